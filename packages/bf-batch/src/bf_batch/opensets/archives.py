"""Archives that somebody else made: every member is checked before a byte of it is written."""

from __future__ import annotations

import glob
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from bf_batch.opensets.download import locked

_PIECE = 1 << 20
MOST_BYTES = 32 << 30
MOST_MEMBERS = 5_000_000
"""Far above all known sets; an archive that claims more is a bomb."""


class UnsafeArchiveError(ValueError):
    """Error of an archive with a member that leads outside, is no plain file, or is too large."""


def unpack(archive: Path, target: Path, most_bytes: int = MOST_BYTES) -> Path:
    """Unpack a tar or zip archive into the new folder ``target`` and return it; whole or not at all.

    A folder that is there already is taken as it is. UnsafeArchiveError for members with absolute paths or
    ``..``, links, devices, or more than ``most_bytes`` in all.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.parent):
        if not target.is_dir():
            _remove_leftovers(target)
            work = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
            try:
                _write_members(archive, work, most_bytes)
                work.chmod(0o755)
                os.rename(work, target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return target


def read_members(archive: Path, names: Iterable[str], most_bytes: int = 1 << 30) -> dict[str, bytes]:
    """Return the contents of some members without unpacking; KeyError names a member that is not there."""
    wanted = set(names)
    found: dict[str, bytes] = {}
    left = most_bytes
    for name, opened in _yield_members(archive):
        if name in wanted:
            with opened() as file:
                found[name] = file.read(left + 1)
            left -= len(found[name])
            if left < 0:
                raise UnsafeArchiveError(f"{archive}: {name!r} is larger than {most_bytes} bytes")
    if missing := sorted(wanted - set(found)):
        raise KeyError(f"{archive} has no member {missing[0]!r}; it is not the archive expected")
    return found


def _write_members(archive: Path, folder: Path, most_bytes: int) -> None:
    left = most_bytes
    for count, (name, opened) in enumerate(_yield_members(archive)):
        if count >= MOST_MEMBERS:
            raise UnsafeArchiveError(f"{archive} has more than {MOST_MEMBERS} members")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with opened() as source, path.open("wb") as file:
            while piece := source.read(_PIECE):
                # Counted as they come: what a header says about sizes is only a claim.
                left -= len(piece)
                if left < 0:
                    raise UnsafeArchiveError(f"{archive} holds more than {most_bytes} bytes, at {name!r}")
                file.write(piece)


Opener = Callable[[], AbstractContextManager[IO[bytes]]]


def _yield_members(archive: Path) -> Iterator[tuple[str, Opener]]:
    """Yield the checked name of each file and what opens it; all other members are refused or are folders."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if entry.is_dir():
                    continue
                if kind not in (0, stat.S_IFREG):
                    raise UnsafeArchiveError(f"{archive}: {entry.filename!r} is a link or a device")
                yield _check_name(archive, entry.filename), partial(packed.open, entry)
        return
    with tarfile.open(archive) as unrolled:
        for member in unrolled:
            if member.isdir():
                continue
            if not member.isreg():
                raise UnsafeArchiveError(f"{archive}: {member.name!r} is a link or a device")
            yield _check_name(archive, member.name), partial(_open_member, unrolled, member)


def _open_member(unrolled: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = unrolled.extractfile(member)
    assert file is not None  # it is a regular file
    return file


def _check_name(archive: Path, name: str) -> str:
    """Return a member's name; UnsafeArchiveError when it could lead out of the folder."""
    parts = PurePosixPath(name).parts
    if (
        not parts
        or name.startswith(("/", "\\"))
        or ".." in parts
        or "\\" in name
        or "\0" in name
        or ":" in parts[0]
    ):
        raise UnsafeArchiveError(
            f"{archive}: the member {name!r} leads out of the folder; nothing was unpacked"
        )
    return name


def _remove_leftovers(target: Path) -> None:
    """Remove what a process that was killed while unpacking left behind."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        shutil.rmtree(path, ignore_errors=True)
