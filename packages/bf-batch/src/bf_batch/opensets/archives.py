"""Archives that somebody else made: every member is checked before a byte of it is written."""

from __future__ import annotations

import glob
import importlib
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from bf_batch.opensets.download import locked
from bf_index.errors import escape
from bf_index.sizes import FREE_BYTES, FileTooLargeError, check_size, check_zip, reading

_PIECE = 1 << 20
MOST_MEMBERS = 5_000_000
"""Far above all known sets; an archive of more is a bomb."""


class UnsafeArchiveError(ValueError):
    """Error of an archive with a member that leads outside, is no plain file, or is too large."""


def unpack(archive: Path, target: Path, most_bytes: int | None = None) -> Path:
    """Unpack a tar or zip archive into the new folder ``target`` and return it; whole or not at all.

    A folder that is there already is taken as it is. UnsafeArchiveError for members with absolute paths or
    ``..``, links, devices, for damage, and for more than ``most_bytes`` in all; without it, for more than 32
    GiB or 1,000 times the bytes of the archive.
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
    with reading(archive, UnsafeArchiveError):
        for name, opened in _yield_members(archive, most_bytes):
            if name in wanted:
                with opened() as file:
                    found[name] = b"".join(iter(partial(file.read, _PIECE), b""))
    if missing := sorted(wanted - set(found)):
        raise KeyError(f"{escape(archive)} has no member {missing[0]!r}; it is not the archive expected")
    return found


def _write_members(archive: Path, folder: Path, most_bytes: int | None) -> None:
    with reading(archive, UnsafeArchiveError):
        for count, (name, opened) in enumerate(_yield_members(archive, most_bytes)):
            if count >= MOST_MEMBERS:
                raise UnsafeArchiveError(f"{escape(archive)} has more than {MOST_MEMBERS} members")
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with opened() as source, path.open("wb") as file:
                shutil.copyfileobj(source, file, _PIECE)


Opener = Callable[[], AbstractContextManager[IO[bytes]]]


def _yield_members(archive: Path, most_bytes: int | None) -> Iterator[tuple[str, Opener]]:
    """Yield the checked name of each file and what opens it; all other members are refused or are folders.

    No member gives more bytes than it claims, and what all claim is checked before it is read.
    """
    stored = archive.stat().st_size
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            check_zip(packed, archive, stored, most_bytes, "most_bytes")
            for entry in packed.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if entry.is_dir():
                    continue
                if kind not in (0, stat.S_IFREG):
                    raise UnsafeArchiveError(f"{escape(archive)}: {entry.filename!r} is a link or a device")
                yield _check_name(archive, entry.filename), partial(packed.open, entry)
        return
    with _open_stream(archive) as stream:
        claimed = 0

        def check(place: int, where: object = archive) -> None:
            check_size(where, place, stored, most_bytes, "most_bytes")

        watched = _Watched(stream, check)
        with tarfile.open(fileobj=watched, mode="r:") as unrolled:  # type: ignore[call-overload]
            for member in unrolled:
                claimed += member.size
                check(claimed, f"{escape(archive)}: {member.name!r}")
                if member.isdir():
                    continue
                if not member.isreg():
                    raise UnsafeArchiveError(f"{escape(archive)}: {member.name!r} is a link or a device")
                yield _check_name(archive, member.name), partial(_open_member, unrolled, member)


_PACKERS: Mapping[bytes, str] = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "lzma",
    b"\x5d\0\0": "lzma",
}


def _open_stream(archive: Path) -> IO[bytes]:
    """Open the bytes of a tar archive, unpacked as they are read."""
    with archive.open("rb") as file:
        begin = file.read(6)
    for magic, module in _PACKERS.items():
        if begin.startswith(magic):
            opened: IO[bytes] = importlib.import_module(module).open(archive, "rb")
            return opened
    return archive.open("rb")


class _Watched:
    """A stream of unpacked bytes that goes no further than is allowed, and gives no huge piece at once.

    tarfile reads what stands between the members, such as long names, whole and as long as it claims.
    """

    def __init__(self, stream: IO[bytes], check: Callable[[int], None]) -> None:
        self._stream, self._check = stream, check

    def read(self, count: int) -> bytes:
        """Return the next bytes."""
        if count > FREE_BYTES:
            raise FileTooLargeError(f"a member's head claims {count:,} bytes")
        self._check(self._stream.tell() + count)
        return self._stream.read(count)

    def seek(self, place: int) -> int:
        """Go to a place."""
        self._check(place)
        return self._stream.seek(place)

    def tell(self) -> int:
        """Return the place."""
        return self._stream.tell()


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
            f"{escape(archive)}: the member {name!r} leads out of the folder; nothing was unpacked"
        )
    return name


def _remove_leftovers(target: Path) -> None:
    """Remove what a process that was killed while unpacking left behind."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        shutil.rmtree(path, ignore_errors=True)
