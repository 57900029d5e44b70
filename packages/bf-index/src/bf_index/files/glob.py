"""Finding files and folders by glob patterns: one os.scandir per folder, nothing swallowed."""

from __future__ import annotations

import errno
import fnmatch
import os
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

_MAGIC = re.compile(r"[*?\[]")

Group = tuple[str, list[str]]
"""A folder and the names of what was found in it."""


@dataclass(slots=True)
class Listing:
    """The contents of one folder, sorted; a link to a folder is in both ``dirs`` and ``links``."""

    files: list[str] = field(default_factory=list)
    dirs: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


class Walker:
    """A walk over folders that expands patterns: it reads each folder once, and collects its ``problems``."""

    def __init__(self, dirs: bool, recursive: bool) -> None:
        self.problems: list[OSError] = []
        self._dirs = dirs
        self._recursive = recursive
        self._listings: dict[str, Listing] = {}

    def find(self, root: str, parts: list[str]) -> Iterator[Group]:
        """Yield what matches the parts of a pattern below a folder; with no parts ``root`` itself.

        Each group comes right after its folder is read, while its names are in the cache of the processor.
        """
        if not parts:
            folder, name = os.path.split(root)
            if self._is_there(folder, name):
                yield folder, [name]
            return
        if not self._exists(root):
            return
        folders: Iterable[str] = [root]
        for before, part in pairwise(["", *parts[:-1]]):
            if (before, part) != ("**", "**"):
                folders = self._enter(folders, part)
        last = parts[-1]
        if last == "**":
            if self._recursive and parts[-2:-1] != ["**"]:
                folders = self._enter(folders, last)
            last = "*"
        for folder in folders:
            if names := self._names(folder, last):
                yield folder, names

    def _is_there(self, folder: str, name: str) -> bool:
        """Whether a name is there and of the kind wanted; does not read its folder."""
        path = join(folder, name)
        if self._exists(path):
            return os.path.isdir(path) == self._dirs
        if os.path.islink(path):
            self.problems.append(_dangling_link(path))
        return False

    def _exists(self, path: str) -> bool:
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            self.problems.append(error)
            return False
        return True

    def _enter(self, folders: Iterable[str], part: str) -> Iterator[str]:
        if part == "**" and self._recursive:
            return self._below(folders)
        if not _MAGIC.search(part):
            return (path for folder in folders if os.path.isdir(path := join(folder, part)))
        match = matcher(part)
        return (join(folder, name) for folder in folders for name in filter(match, self._list(folder).dirs))

    def _names(self, folder: str, part: str) -> list[str]:
        if folder not in self._listings and not _MAGIC.search(part):
            return [part] if self._is_there(folder, part) else []
        listing = self._list(folder)
        if listing.broken:
            for name in filter(matcher(part), listing.broken):
                self.problems.append(_dangling_link(join(folder, name)))
        names = listing.dirs if self._dirs else listing.files
        if part == "*" or (part.startswith("*.") and not _MAGIC.search(part, 1)):
            return _with_suffix(names, part[1:])
        return list(filter(matcher(part), names))

    def _below(self, roots: Iterable[str]) -> Iterator[str]:
        """Yield folders and all below them, each real folder once.

        Links are followed after all real folders, in the order of their names, so that which of several
        paths to a folder is taken does not depend on the file system; a folder seen before is not entered
        again, which ends loops.
        """
        found: list[str] = []
        links: list[str] = []
        for root in roots:
            pending = [root]
            while pending:
                folder = pending.pop()
                found.append(folder)
                yield folder
                listing = self._list(folder)
                for name in listing.dirs:
                    if name[0] != ".":
                        (links if name in listing.links else pending).append(join(folder, name))
        seen = set(map(_identity, found)) if links else set()
        links.sort(reverse=True)
        while links:
            folder = links.pop()
            identity = _identity(folder)
            if identity not in seen:
                seen.add(identity)
                yield folder
                names = (name for name in self._list(folder).dirs if name[0] != ".")
                links += sorted((join(folder, name) for name in names), reverse=True)

    def _list(self, folder: str) -> Listing:
        if (known := self._listings.get(folder)) is not None:
            return known
        listing = self._listings[folder] = Listing()
        try:
            with os.scandir(folder) as opened:
                entries = list(opened)
        except OSError as error:
            self.problems.append(error)
            return listing
        try:
            # Most folders hold mere files, which a comprehension takes in half of the time.
            listing.files = [entry.name for entry in entries if entry.is_file()]
        except OSError:  # a link to itself, or into a folder that may not be entered
            listing.files = []
        if len(listing.files) < len(entries):
            _sort_out(entries, listing)
        listing.files.sort()
        listing.dirs.sort()
        return listing


def _sort_out(entries: list[os.DirEntry[str]], listing: Listing) -> None:
    """Sort entries into files, folders and broken links."""
    listing.files = []
    for entry in entries:
        try:
            if entry.is_file():
                listing.files.append(entry.name)
            elif entry.is_dir():
                listing.dirs.append(entry.name)
                if entry.is_symlink():
                    listing.links.append(entry.name)
            elif entry.is_symlink():
                listing.broken.append(entry.name)
        except OSError:
            listing.broken.append(entry.name)


def _with_suffix(names: list[str], suffix: str) -> list[str]:
    """Return the sorted names that end so and are not hidden; the hidden ones stand together."""
    first, last = bisect_left(names, "."), bisect_left(names, "/")
    shown = names[:first] + names[last:] if first < last else names
    # Often all end so, and one search tells it; no name of a file holds a NUL.
    if not suffix or "\0".join([*shown, ""]).count(suffix + "\0") == len(shown):
        return shown
    return [name for name in shown if name.endswith(suffix)]


def join(folder: str, name: str) -> str:
    """Return the path of a name in a folder; quicker than os.path.join and right for '/'."""
    return f"{folder}{name}" if folder.endswith("/") else f"{folder}/{name}"


def split_pattern(pattern: str) -> tuple[str, list[str]]:
    """Return the folder where a pattern starts and its remaining parts; none when all of it is literal.

    A part with brackets but neither ``*`` nor ``?`` is taken literally when something of that name exists.
    """
    path = os.path.expanduser(pattern)
    full = path if path.startswith("/") else join(os.getcwd(), path)
    parts = [part for part in full.split("/") if part not in ("", ".")]
    root = "/"
    for number, part in enumerate(parts):
        if _MAGIC.search(part) and not _is_literal(root, part):
            return root, parts[number:]
        root = join(root, part)
    return root, []


def _is_literal(folder: str, part: str) -> bool:
    return "*" not in part and "?" not in part and os.path.lexists(join(folder, part))


def matcher(part: str) -> Callable[[str], bool]:
    """Return the test of a name against a part of a pattern; hidden names need one that starts with a dot."""
    if not _MAGIC.search(part):
        return part.__eq__
    compiled = re.compile(fnmatch.translate(part)).match
    if part.startswith((".", "[.]")):
        return lambda name: compiled(name) is not None
    return lambda name: name[0] != "." and compiled(name) is not None


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _dangling_link(path: str) -> OSError:
    return FileNotFoundError(errno.ENOENT, "dangling link", path)
