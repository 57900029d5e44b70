"""Arrays of pixels: outputs used again once nobody holds them, and the dtypes that compiled loops know."""

from __future__ import annotations

import math
import mmap
import sys
import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bf_batch.dtypes import limit_to, white_of

# Outputs: fresh pages of memory are dear, old ones are warm


def _references_of_a_pool() -> int:
    """Count the references to an array that only a pool holds: what the loop of ``take`` sees."""
    held, count = [np.empty(1)], 0
    for array in held:
        count = sys.getrefcount(array)
    return count


_FREE = _references_of_a_pool()
"""Measured, since it is not the same in all versions of Python: the list, the variable, the argument."""


_MAPPED = 1 << 20
"""Bytes from which on an array has memory of its own: forgotten, it goes back to the system at once. In the
heap arrays of changing sizes leave holes, and it grows to twice of what is in use."""

_FLAGS = getattr(mmap, "MAP_PRIVATE", 0) | getattr(mmap, "MAP_ANONYMOUS", 0)


def _new_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array of unset values that is not a view of another one, since views hold only the last."""
    size = math.prod(shape) * dtype.itemsize
    if size < _MAPPED or not _FLAGS:
        return np.empty(shape, dtype)
    memory = mmap.mmap(-1, size, flags=_FLAGS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)  # as numpy does for large arrays: fewer faults
    return np.ndarray(shape, dtype, buffer=memory)


class BufferPool:
    """Arrays of the same shape and dtype, handed out again when only the pool refers to them.

    A view, a slice or another library that took the array without a copy refers to it, so it is never handed
    out while someone can read it. ``each`` arrays of one kind are kept, ``max_bytes`` in all; smaller arrays
    than ``min_bytes`` are simply made.
    """

    def __init__(self, each: int = 8, max_bytes: int = 512 << 20, min_bytes: int = 1 << 15) -> None:
        self._each = each
        self._max_bytes = max_bytes
        self._min_bytes = min_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[tuple[int, ...], str], list[NDArray[Any]]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return a C-contiguous array of unset values."""
        kind = np.dtype(dtype)
        key = shape, kind.str
        with self._lock:
            held = self._kept.get(key)
            if held is not None:
                self._kept.move_to_end(key)
                for array in held:
                    if sys.getrefcount(array) == _FREE:
                        return array
        array = _new_array(shape, kind)
        if self._min_bytes <= array.nbytes <= self._max_bytes:
            self._keep(key, array)
        return array

    def _keep(self, key: tuple[tuple[int, ...], str], array: NDArray[Any]) -> None:
        """Remember an array for later, forgetting the kinds asked for longest ago when memory is short."""
        with self._lock:
            held = self._kept.setdefault(key, [])
            if len(held) >= self._each:
                return
            held.append(array)
            self._bytes += array.nbytes
            while self._bytes > self._max_bytes:
                oldest, arrays = next(iter(self._kept.items()))
                self._bytes -= arrays.pop(0).nbytes
                if not arrays:
                    del self._kept[oldest]

    def __len__(self) -> int:
        return sum(len(arrays) for arrays in self._kept.values())


outputs = BufferPool()
"""The pool of all image batches of this process."""


# Dtypes


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
        return read_only((pictures / white_of(pictures.dtype)).astype(np.float32))
    return read_only(pictures.astype(np.float32))


def from_native(dtype: np.dtype[Any], pictures: NDArray[Any]) -> NDArray[Any]:
    """Return what became of pictures that ``to_native`` made in the dtype they had.

    Integers are limited to its range, bool is 'at least 0.5'.
    """
    if pictures.dtype == dtype:
        return pictures
    return limit_to(dtype, pictures.astype(np.float64) * white_of(dtype) if dtype.kind in "iu" else pictures)


def find_dark_range(pictures: Any) -> tuple[np.dtype[Any], int] | None:
    """Return the dtype and the bits used of pictures of wide integers that use half of them at most.

    Such are bytes in an array of int64, which their dtype would make black. None for all others, also for
    pictures that are black indeed.
    """
    some = [pictures] if isinstance(pictures, np.ndarray) else pictures
    for picture in some:
        kind = picture.dtype
        if kind.kind not in "iu" or kind.itemsize == 1 or not picture.size:
            continue
        half = 4 * kind.itemsize
        tops = (
            picture.reshape(len(picture), -1).max(axis=1)
            if picture is pictures
            else picture.max(keepdims=True)
        )
        dark = (tops > 0) & (tops < 1 << half)
        if dark.any():
            return kind, half
    return None
