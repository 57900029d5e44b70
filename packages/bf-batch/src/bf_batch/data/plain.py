"""What readers and writers of all formats share: the name of an open file, and arrays without objects."""

from __future__ import annotations

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
