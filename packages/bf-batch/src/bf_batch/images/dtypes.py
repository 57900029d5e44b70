"""Dtypes of pixels: those the compiled loops know, and the way there and back for all others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NATIVE = (np.dtype(np.uint8), np.dtype(np.float32))
"""What the compiled loops read and write."""


def read_only(pictures: NDArray[Any]) -> NDArray[Any]:
    """Return a contiguous read-only view: one type for the compiled loops, whoever owns the pixels."""
    view = (pictures if pictures.flags.c_contiguous else np.ascontiguousarray(pictures)).view()
    view.flags.writeable = False
    return view


def to_native(pictures: NDArray[Any]) -> NDArray[Any]:
    """Return pictures as contiguous read-only uint8 or float32: wider integers as parts of their range."""
    if pictures.dtype in NATIVE:
        return read_only(pictures)
    if pictures.dtype.kind in "iu":
        return read_only((pictures / np.iinfo(pictures.dtype).max).astype(np.float32))
    return read_only(pictures.astype(np.float32))


def from_native(dtype: np.dtype[Any], pictures: NDArray[Any]) -> NDArray[Any]:
    """Return what became of pictures that ``to_native`` made in the dtype they had.

    Integers are limited to its range, bool is 'at least 0.5'.
    """
    if pictures.dtype == dtype:
        return pictures
    if dtype.kind == "b":
        return np.asarray(pictures >= 0.5)
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        scaled = np.rint(pictures.astype(np.float64) * limits.max)
        return np.clip(scaled, limits.min, limits.max).astype(dtype)
    return pictures.astype(dtype)


def cast_into(values: NDArray[np.float32], out: NDArray[Any]) -> None:
    """Store floats as another dtype: integers are rounded and limited, bool is 'at least 0.5'."""
    if out.dtype == bool:
        np.greater_equal(values, 0.5, out=out)
    elif np.issubdtype(out.dtype, np.integer):
        limits = np.iinfo(out.dtype)
        out[...] = np.clip(np.rint(values.astype(np.float64)), limits.min, limits.max).astype(out.dtype)
    else:
        out[...] = values
