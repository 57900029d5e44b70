"""Finding files and folders by glob patterns: one os.scandir per folder, nothing swallowed."""

from __future__ import annotations

import errno
import fnmatch
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field

_MAGIC = re.compile(r"[*?\[]")

Found = list[tuple[str, list[str]]]
"""Folders and the names of what was found in each."""


@dataclass(slots=True)
class Listing:
    """What one folder holds; names of folders that are symbolic links are in both ``dirs`` and ``links``."""

    files: list[str] = field(default_factory=list)
    dirs: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


class Walker:
    """Expands patterns; reads each folder once, and collects what it could not read in ``problems``."""

    def __init__(self, dirs: bool, recursive: bool) -> None:
        self.problems: list[OSError] = []
        self._dirs = dirs
        self._recursive = recursive
        self._listings: dict[str, Listing] = {}

    def find(self, root: str, parts: list[str]) -> Found:
        """Return what matches the parts of a pattern below a folder; with no parts ``root`` itself."""
        if not parts:
            return self._literal(root)
        if not self._exists(root):
            return []
        folders = [root]
        for part in parts[:-1]:
            folders = self._enter(folders, part)
        last = parts[-1]
        if last == "**":
            folders = self._enter(folders, last)
            last = "*"
        return [(folder, names) for folder in folders if (names := self._names(folder, last))]

    def _literal(self, path: str) -> Found:
        if not self._exists(path):
            if os.path.islink(path):
                self.problems.append(_dangling(path))
            return []
        if os.path.isdir(path) != self._dirs:
            return []
        folder, name = os.path.split(path)
        return [(folder, [name])]

    def _exists(self, path: str) -> bool:
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            self.problems.append(error)
            return False
        return True

    def _enter(self, folders: list[str], part: str) -> list[str]:
        if part == "**" and self._recursive:
            return self._below(folders)
        if not _MAGIC.search(part):
            return [path for folder in folders if os.path.isdir(path := join(folder, part))]
        match = matcher(part)
        return [
            join(folder, name)
            for folder in folders
            for name in sorted(filter(match, self._list(folder).dirs))
        ]

    def _names(self, folder: str, part: str) -> list[str]:
        listing = self._list(folder)
        if listing.broken:
            for name in filter(matcher(part), listing.broken):
                self.problems.append(_dangling(join(folder, name)))
        names = listing.dirs if self._dirs else listing.files
        if part == "*" or (part.startswith("*.") and not _MAGIC.search(part, 1)):
            suffix = part[1:]
            return [name for name in names if name.endswith(suffix) and name[0] != "."]
        return list(filter(matcher(part), names))

    def _below(self, roots: list[str]) -> list[str]:
        """Return folders and all below them, each real folder once.

        Links are followed after all real folders, in the order of their names, so that which of several
        paths to a folder is taken does not depend on the file system; a folder seen before is not entered
        again, which ends loops.
        """
        found: list[str] = []
        links: list[str] = []
        pending = list(reversed(roots))
        while pending:
            folder = pending.pop()
            found.append(folder)
            listing = self._list(folder)
            for name in listing.dirs:
                if name[0] != ".":
                    (links if name in listing.links else pending).append(join(folder, name))
        if links:
            self._follow(found, links)
        return found

    def _follow(self, found: list[str], links: list[str]) -> None:
        seen = set(map(_identity, found))
        pending = sorted(links, reverse=True)
        while pending:
            folder = pending.pop()
            identity = _identity(folder)
            if identity in seen:
                continue
            seen.add(identity)
            found.append(folder)
            pending += sorted(
                (join(folder, name) for name in self._list(folder).dirs if name[0] != "."), reverse=True
            )

    def _list(self, folder: str) -> Listing:
        if (known := self._listings.get(folder)) is not None:
            return known
        listing = self._listings[folder] = Listing()
        files, dirs = listing.files, listing.dirs
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    try:
                        if entry.is_file():
                            files.append(entry.name)
                        elif entry.is_dir():
                            dirs.append(entry.name)
                            if entry.is_symlink():
                                listing.links.append(entry.name)
                        elif entry.is_symlink():
                            listing.broken.append(entry.name)
                    except OSError:  # a link to itself, or into a folder that may not be entered
                        listing.broken.append(entry.name)
        except OSError as error:
            self.problems.append(error)
        return listing


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


def _dangling(path: str) -> OSError:
    return FileNotFoundError(errno.ENOENT, "dangling link", path)
