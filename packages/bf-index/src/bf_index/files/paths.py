"""Ids of found files, and the table of their paths, made when the first path is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain, pairwise

from bf_index.files.glob import Group, join


class Paths:
    """Paths by id; an index and all its subsets share one.

    ``base`` is the folder that ids are relative to, None for ids that are mere names.
    """

    __slots__ = ("_base", "_groups", "_no_ext", "_runs", "_table")

    def __init__(self, base: str | None = None, no_ext: bool = False) -> None:
        self._base = base
        self._no_ext = no_ext
        self._groups: list[Group] = []
        self._runs: list[list[str]] = []
        self._table: dict[str, str] | None = None

    @classmethod
    def of(cls, table: dict[str, str]) -> Paths:
        """Return the paths in a ready table."""
        new = cls()
        new._table = table
        return new

    def add(self, folder: str, names: list[str]) -> None:
        """Add files of one folder: at least one name, sorted."""
        self._groups.append((folder, names))
        self._runs.append(self._named(folder, names))

    def settle(self, sort: bool) -> int:
        """Bring all ids in order, return their number; ValueError names both files when two have one id."""
        ordered = sorted(self._runs)
        # Folders whose ids all come before those of the next, as in most data sets, need no look at each id.
        apart = not self._no_ext and all(before[-1] < after[0] for before, after in pairwise(ordered))
        if sort:
            self._runs = ordered
        if not apart:
            ids = list(chain.from_iterable(self._runs))
            if len(set(ids)) < len(ids):
                ids = list(self.table())
            self._runs = [sorted(ids) if sort else ids]
        return sum(map(len, self._runs))

    def ids(self) -> list[str]:
        """Return the ids that were brought in order."""
        return list(chain.from_iterable(self._runs))

    def table(self) -> dict[str, str]:
        """Return the path of each id; ValueError when two files have one id."""
        if self._table is None:
            table: dict[str, str] = {}
            for name, path in self._pairs():
                if table.setdefault(name, path) != path:
                    raise ValueError(describe_collision(name, table[name], path))
            self._table = table
        return self._table

    def _pairs(self) -> Iterator[tuple[str, str]]:
        for folder, names in self._groups:
            start = join(folder, "") if folder else ""
            yield from zip(self._named(folder, names), [start + name for name in names])

    def _named(self, folder: str, names: list[str]) -> list[str]:
        if self._no_ext:
            names = [os.path.splitext(name)[0] for name in names]
        if self._base is None or folder == self._base:
            return names
        start = folder[len(self._base) :].lstrip("/") + "/"
        return [start + name for name in names]


def describe_collision(name: str, first: str, second: str) -> str:
    """Return the message that two files have the same id."""
    return (
        f"FilesIndex: two files have the id {name!r}: {first!r} and {second!r};"
        " pass relative=True for ids that are relative paths"
    )
