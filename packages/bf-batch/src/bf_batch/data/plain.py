"""What readers and writers of all formats share: the name of an open file, and arrays without objects."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np


def name_of(file: IO[bytes]) -> str:
    """Return the path of an open file for messages."""
    name = getattr(file, "name", None) or getattr(file, "path", None)
    return str(name or "the file")


def as_plain_array(value: Any) -> np.ndarray:
    """Return a value as an array of numbers or texts; TypeError for objects."""
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise TypeError(f"an array of objects can't be stored without pickle; got {array!r:.80}")
    return array


def write_anew(file: IO[bytes]) -> None:
    """Forget what was written to a file."""
    file.seek(0)
    file.truncate()


def write_npz(file: IO[bytes], arrays: Mapping[str, np.ndarray], compressed: bool = False) -> None:
    """Write arrays by name as an npz file, none of them as a pickle; any name will do.

    ``numpy.savez`` of numpy before 2.1 takes ``allow_pickle`` for an array, and none called "file".
    """
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
