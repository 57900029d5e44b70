"""Files that somebody else wrote: what they claim is held against their bytes before memory is taken.

Whatever a file claims, a reader takes no more memory than ``FREE_BYTES``, or ``MOST_RATIO`` times the bytes
of the file, or a limit that its caller gave. All readers of the packages ask here.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from bf_index.errors import escape

if TYPE_CHECKING:
    import zipfile

MOST_RATIO = 1_000
"""Bytes that a byte of a compressed file may become: no real data comes near, and zeros go beyond."""
MOST_BYTES = 32 << 30
"""Bytes that a compressed file may become."""
FREE_BYTES = 32 << 20
"""Bytes that any file may become: they do no harm, and a mask without an object is all zeros."""
MOST_JSON = 512 << 20
"""Bytes of a JSON file: its values take many times as much."""

_PIECE = 1 << 20


class FileTooLargeError(ValueError):
    """A file claims more than its bytes can hold, or more than its reader takes."""


@contextlib.contextmanager
def reading(where: object, kind: type[Exception] = ValueError, *passed: type[Exception]) -> Iterator[None]:
    """Make one error, of a kind, that names the file out of whatever its bytes make a library raise.

    Errors of the system stay what they are (a file that is not there, no right to read it), and so do errors
    ``passed`` and those of the kind that name the file.
    """
    try:
        yield
    except ImportError:
        raise
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):
            raise
        raise _explain(where, kind, error) from error
    except MemoryError as error:
        raise kind(f"{escape(where)} can't be read: it asks for more memory than there is") from error
    except Exception as error:  # the bytes of a stranger may raise any error of any library
        if isinstance(error, passed) or (isinstance(error, kind) and escape(where) in str(error)):
            raise
        raise _explain(where, kind, error) from error


def _explain(where: object, kind: type[Exception], error: Exception) -> Exception:
    if kind is ValueError and isinstance(error, FileTooLargeError):
        kind = FileTooLargeError
    ours = type(error) in (ValueError, FileTooLargeError)
    if ours and escape(where) in str(error):
        return kind(str(error))
    told = str(error) if ours else f"{type(error).__name__}: {error}"
    return kind(f"{escape(where)} can't be read: {escape(told)}")


def in_proportion(claimed: int, stored: int) -> bool:
    """Whether a file of ``stored`` bytes may become ``claimed`` without being asked for it."""
    return claimed <= _bound(stored)


def _bound(stored: int) -> int:
    return max(min(stored * MOST_RATIO, MOST_BYTES), FREE_BYTES)


def check_size(
    where: object, claimed: int, stored: int, max_bytes: int | None = None, option: str = "max_bytes"
) -> None:
    """Raise FileTooLargeError where ``stored`` bytes claim to become ``claimed``, out of all proportion.

    A ``max_bytes`` that the caller gives is the only limit; ``option`` is its name, if there is one.
    """
    most = _bound(stored) if max_bytes is None else max_bytes
    if claimed > most:
        advice = f"; if that is meant, give {option}={claimed}" if option else ""
        raise FileTooLargeError(
            f"{escape(where)}: {stored:,} bytes claim to become {claimed:,}, more than {most:,}{advice}"
        )


def count_left(file: IO[bytes]) -> int:
    """Return how many bytes a file that can seek has from here to its end."""
    here = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(here)
    return end - here


def read_npy_head(file: IO[bytes], where: object, left: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the head of an npy file; return shape, whether the order is Fortran's, and dtype.

    ``left`` are the bytes from here to the end. ValueError for another file, for objects, for a head that
    claims more than there is.
    """
    begin = file.tell()
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"{escape(where)}: npy format {version} is not known")
    # the third version differs in the letters of names only
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError(f"{escape(where)} holds objects, which are pickles; data is numbers and texts")
    if any(type(extent) is not int or extent < 0 for extent in shape):
        raise ValueError(f"{escape(where)}: npy file of shape {shape}")
    wanted, there = math.prod(shape) * max(dtype.itemsize, 1), left - (file.tell() - begin)
    if wanted > there:
        raise FileTooLargeError(
            f"{escape(where)}: an array of shape {shape} and dtype {dtype} takes {wanted:,} "
            "bytes, and there are "
            f"{there:,}; the file is cut off or damaged"
        )
    return shape, fortran, dtype


def read_npy(file: IO[bytes], where: object, left: int | None = None) -> np.ndarray:
    """Read an npy file; nothing is allocated that is not there. ``left`` as in ``read_npy_head``."""
    shape, fortran, dtype = read_npy_head(file, where, count_left(file) if left is None else left)
    values = np.empty(math.prod(shape), dtype)
    if values.nbytes:
        buffer = values.view(np.uint8).data
        done = 0
        while done < len(buffer):
            count = file.readinto(buffer[done : done + (_PIECE << 6)])  # type: ignore[attr-defined]
            if not count:
                raise ValueError(f"{escape(where)}: the file ends after {done:,} of {len(buffer):,} bytes")
            done += count
    return values.reshape(shape, order="F" if fortran else "C")


def check_zip(
    archive: zipfile.ZipFile,
    where: object,
    stored: int,
    max_bytes: int | None = None,
    option: str = "max_bytes",
) -> None:
    """Check what the members of a zip claim together against the ``stored`` bytes of the file."""
    packed = sum(entry.compress_size for entry in archive.infolist())
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if packed > stored:
        raise FileTooLargeError(
            f"{escape(where)}: its members claim {packed:,} bytes of {stored:,}: they overlap, "
            "or the file is cut off"
        )
    check_size(where, unpacked, stored, max_bytes, option)


def read_npz(
    file: IO[bytes], where: object, max_bytes: int | None = None, compressed: bool = True
) -> dict[str, np.ndarray]:
    """Read the arrays of an npz file by name; ValueError for other members.

    With ``compressed=False`` compressed members are refused.
    """
    import zipfile

    stored = count_left(file)
    with zipfile.ZipFile(file) as archive:
        check_zip(archive, where, stored, max_bytes)
        found = {}
        for entry in archive.infolist():
            name = f"{escape(where)}: {entry.filename!r}"
            if not compressed and entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{name} is compressed, as no member of such a file is")
            if not entry.filename.endswith(".npy"):
                raise ValueError(f"{name} is no array: members of an npz file end in .npy")
            with archive.open(entry) as member:
                found[entry.filename.removesuffix(".npy")] = read_npy(member, name, entry.file_size)
    return found


def read_json(path: str | os.PathLike[str], max_bytes: int = MOST_JSON) -> Any:
    """Read a JSON file; ValueError that names it for a damaged, larger or too deep one."""
    path = Path(path)
    size = path.stat().st_size
    if size > max_bytes:
        raise FileTooLargeError(f"{escape(path)} has {size:,} bytes, at most {max_bytes:,} of JSON are read")
    with reading(path):
        return json.loads(path.read_bytes())
