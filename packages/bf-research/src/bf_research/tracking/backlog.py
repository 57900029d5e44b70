"""Points that wait to be written: in memory up to a limit, beyond it in a file, always in order."""

from __future__ import annotations

import errno
import io
import json
import os
import tempfile
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple


class Point(NamedTuple):
    """One value of one metric; ``when`` is in milliseconds since 1970.

    A step that is no whole number is not written, but told.
    """

    name: str
    value: float
    step: float
    when: int


class Backlog:
    """A queue of points in bounded memory: a store that is down for hours costs disk, not memory.

    The file is an unnamed temporary one: the system removes it however the process ends. Points for which it
    has no room are ``lost``.
    """

    def __init__(self, limit: int = 100_000) -> None:
        if limit < 1:
            raise ValueError(f"a backlog must hold at least 1 point in memory, got limit={limit}")
        self._limit = limit
        self._memory: deque[Point] = deque()
        self._file: io.FileIO | None = None
        self._read_at = self._end = 0
        self._in_file = 0
        #: How many points there was no room for.
        self.lost = 0

    def __len__(self) -> int:
        return len(self._memory) + self._in_file

    @property
    def in_memory(self) -> int:
        """Number of points held in memory; at most the limit."""
        return len(self._memory)

    def extend(self, points: Iterable[Point]) -> None:
        """Add points at the end."""
        for point in points:
            if self._in_file or len(self._memory) >= self._limit:
                self._spill(point)
            else:
                self._memory.append(point)

    def peek(self, count: int) -> list[Point]:
        """Return up to ``count`` points from the front, which stay."""
        if not self._memory and self._in_file:
            self._load()
        return list(islice(self._memory, count))

    def drop(self, count: int) -> None:
        """Remove points that ``peek`` returned, once they are written."""
        for _ in range(count):
            self._memory.popleft()

    def close(self) -> None:
        """Drop what is left, and the file."""
        self._memory.clear()
        if self._file is not None:
            self._file.close()
            self._file, self._in_file = None, 0

    def _spill(self, point: Point) -> None:
        line = json.dumps(point).encode() + b"\n"
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by close()
                self._read_at = self._end = 0
            if os.pwrite(self._file.fileno(), line, self._end) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:  # what was begun is written over
            self.lost += 1
            return
        self._end += len(line)
        self._in_file += 1

    def _load(self) -> None:
        """Bring the oldest points of the file back to memory."""
        assert self._file is not None
        reader = io.BufferedReader(self._file)
        reader.seek(self._read_at)
        count = min(self._in_file, self._limit)
        self._memory.extend(Point(*json.loads(reader.readline())) for _ in range(count))
        self._read_at = reader.tell()
        reader.detach()
        self._in_file -= count
        if not self._in_file:
            self._file.close()
            self._file = None
