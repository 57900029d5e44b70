"""Folders of sets that are archives: downloaded and unpacked once, or what somebody has already."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from bf_batch.opensets.archives import unpack
from bf_batch.opensets.download import Patience, RemoteFile, fetch, locked
from bf_index.errors import escape


def fetch_unpacked(file: RemoteFile, place: Path, patience: Patience) -> Path:
    """Return the folder of what is in a remote archive, downloaded and unpacked unless it is there."""
    target = place / f"{_stem(file.name)}-{file.sha256[:12]}"
    return target if target.is_dir() else unpack(fetch(file, place, patience), target)


def open_given(path: str | os.PathLike[str], place: Path, owner: str) -> Path:
    """Return a folder that the user has, or what is in his archive, unpacked below ``place`` once.

    What is in it is taken as it is: it has no sum to be held against. FileNotFoundError for neither.
    """
    given = Path(path).expanduser()
    if given.is_dir():
        return given
    if not given.is_file():
        raise FileNotFoundError(f"{owner}: path={escape(given)} is neither a folder nor an archive")
    known = given.stat()
    return unpack(given, place / f"{_stem(given.name)}-{known.st_size:x}-{known.st_mtime_ns:x}")


def find_inside(root: Path, inside: str, has: str, owner: str) -> Path:
    """Return the folder ``inside`` a root, or the root itself or one between, that has a file or a folder.

    FileNotFoundError names what was looked for.
    """
    parts = inside.split("/")
    tried = [root.joinpath(*parts[number:]) for number in range(len(parts) + 1)]
    for folder in tried:
        if (folder / has).exists():
            return folder
    raise FileNotFoundError(
        f"{owner}: {escape(root)} is not the data set: there is no {escape(tried[0] / has)}, and no {has} "
        "in a folder above it"
    )


def make_folder(target: Path, fill: Callable[[Path], None]) -> Path:
    """Return a folder that ``fill`` makes, unless it is there; whole or not at all, by one process."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.parent):
        if not target.is_dir():
            work = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
            try:
                fill(work)
                work.chmod(0o755)
                os.rename(work, target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return target


def read_lines(path: Path, owner: str) -> list[str]:
    """Return the first word of each line of a list of files; ValueError for what is no plain name."""
    names = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        name = line.split()[0]
        if os.path.basename(name) != name or name in (".", ".."):
            raise ValueError(f"{owner}: {escape(path)}, line {number}: {name!r} is no plain name of a file")
        names.append(name)
    if not names:
        raise ValueError(f"{owner}: {escape(path)} names no files")
    return names


def _stem(name: str) -> str:
    return name.partition(".")[0]
