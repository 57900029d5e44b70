"""Arguments that a user gives, checked: numbers, flags and positions."""

from __future__ import annotations

from operator import index as as_int
from typing import Any

import numpy as np
from numpy.typing import NDArray


def check_count(name: str, value: Any, least: int) -> int:
    """Return an integer argument as int; TypeError for another type, ValueError below ``least``."""
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer >= {least}, got {value!r} ({type(value).__name__})")
    number = as_int(value)
    if number < least:
        raise ValueError(f"{name} must be an integer >= {least}, got {number}")
    return number


def check_bool(name: str, value: Any) -> bool:
    """Return a flag as bool; TypeError with advice for anything else."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    advice = "; give the seed by itself: shuffle=True, seed=..." if name == "shuffle" else ""
    raise TypeError(f"{name} must be True or False, got {value!r} ({type(value).__name__}){advice}")


def as_positions(positions: Any, n: int) -> slice | NDArray[np.int64]:
    """Return positions among n items as a forward slice within them or a read-only int64 array.

    IndexError outside of 0..n-1, ValueError for none at all, TypeError for what is no position.
    """
    if isinstance(positions, slice):
        places = range(n)[positions]
        if places.step > 0 and places:
            return slice(places.start, places.stop, None if places.step == 1 else places.step)
        array = np.arange(places.start, places.stop, places.step)
    else:
        array = _as_integers(np.asarray(positions), n)
    if not array.size:
        raise ValueError(
            f"positions are empty: got {positions!r} for an index of {n} items; a subset needs an item"
        )
    low, high = int(array.min()), int(array.max())
    if low < -n or high >= n:
        raise IndexError(f"position {low if low < -n else high} is outside of an index of {n} items")
    array = np.where(array < 0, array + n, array) if low < 0 else array.copy()
    array.setflags(write=False)
    return array


def _as_integers(array: NDArray[Any], n: int) -> NDArray[np.int64]:
    if array.ndim != 1:
        raise ValueError(f"positions must be 1-d, got shape {array.shape}; for one item give [position]")
    if array.dtype == bool:
        if len(array) != n:
            raise ValueError(f"a mask needs one bool per item: got {len(array)} for an index of {n} items")
        return np.flatnonzero(array)
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(
            f"positions must be integers or a mask, got {array.dtype}; for ids use create_subset(ids)"
        )
    return array.astype(np.int64, copy=False)
