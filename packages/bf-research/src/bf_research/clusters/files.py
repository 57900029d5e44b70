"""The files by which a sweep and its trials speak: where they are, and lines of JSON in them, bounded.

A driver makes ``.link/TOKEN`` in the folder of its sweep, with ``driver.json`` and two files for each trial,
``ID.up`` and ``ID.down``, before the trial begins. One process appends to a file and others read it, each
time opened anew: on a network file system that is what shows them what is new. No name is looked for before
it is there, since such a system remembers for a minute that it was not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bf_index.errors import escape
from bf_research.own_files import open_plain

FOLDER, DRIVER = ".link", "driver.json"
UP, DOWN = ".up", ".down"
#: Bytes of a line; one that is longer is passed over.
LONGEST = 4096
#: Bytes read from a file at once.
MOST = 1 << 16
#: The driver counts in its file this often.
BEAT_SECONDS = 5.0


def append(path: Path, entry: dict[str, Any], first: bool = False) -> None:
    """Append a line in one write; ``first`` ends a line that another process may have left torn.

    ``OSError`` where the file is not there or can't be written, ``ValueError`` for a line that is too long.
    """
    line = json.dumps(entry).encode() + b"\n"
    if len(line) > LONGEST:
        raise ValueError(
            f"{escape(path)}: a line has {LONGEST} bytes at most, got {len(line)}: {line[:80]!r}"
        )
    data = b"\n" + line if first else line
    file = open_plain(path, os.O_WRONLY | os.O_APPEND)
    try:
        if os.write(file, data) != len(data):
            raise OSError(f"{escape(path)}: there is no room for a line")
    finally:
        os.close(file)


@dataclass
class Tail:
    """A reader of the lines that others append to a file; it holds no more than one read of it."""

    path: Path
    offset: int = 0
    #: lines that were none: too long, or no mapping in JSON
    strange: int = 0
    _skipping: bool = False

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the mappings of whole lines that are new, 64 KB of them at most; ``OSError``."""
        file = open_plain(self.path, os.O_RDONLY)
        try:
            data = os.pread(file, MOST, self.offset)
        finally:
            os.close(file)
        end = data.rfind(b"\n") + 1
        if not end and len(data) >= LONGEST:  # no end in sight: the rest of this line is passed over as well
            self.offset += len(data)
            self.strange += not self._skipping
            self._skipping = True
            return
        self.offset += end
        for line in data[:end].split(b"\n")[:-1]:
            if self._skipping:
                self._skipping = False
            elif line and (entry := self._parse(line)) is not None:
                yield entry

    def _parse(self, line: bytes) -> dict[str, Any] | None:
        try:
            entry = json.loads(line) if len(line) < LONGEST else None
        except (ValueError, RecursionError):
            entry = None
        if isinstance(entry, dict):
            return entry
        self.strange += 1
        return None


def write_driver(folder: Path, beat: int, stop: bool) -> None:
    """Write over the driver's file: a count that shows it alive, and whether all trials should stop."""
    line = json.dumps({"beat": beat, "stop": stop}).encode().ljust(79) + b"\n"
    file = open_plain(folder / DRIVER, os.O_WRONLY | os.O_CREAT)
    try:
        os.pwrite(file, line, 0)  # of one length, and in place: a reader finds one of the two
    finally:
        os.close(file)


def read_driver(folder: Path) -> tuple[int, bool] | None:
    """Return the driver's count and whether to stop, None where it can't be read now.

    ``FileNotFoundError`` where its folder is gone: another driver has taken over.
    """
    try:
        file = open_plain(folder / DRIVER, os.O_RDONLY)
    except FileNotFoundError:
        raise
    except OSError:
        return None
    try:
        entry = json.loads(os.read(file, LONGEST))
        return int(entry["beat"]), entry["stop"] is True
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    finally:
        os.close(file)
