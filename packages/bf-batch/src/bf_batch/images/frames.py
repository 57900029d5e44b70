"""Sizes of pictures, the steps between frames, and the values of an argument for each item."""

from __future__ import annotations

import functools
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bf_batch.data.lazy_rows import Unread
from bf_batch.itemwise.per_item import PerItem

Sizes = tuple[int, int] | NDArray[np.int64]
"""(height, width) of all pictures of a batch, or an array (n, 2) when they differ."""
Floats = NDArray[np.float64]
Fill = float | Literal["reflect", "edge"]

ALL = np.ones(1, bool)
NO_TURN = np.zeros(1)
NO_SCALE = np.ones((1, 2))
NO_MOVE = np.zeros((1, 2))
NO_CENTRE = np.zeros((1, 4))
for _constant in (ALL, NO_TURN, NO_SCALE, NO_MOVE, NO_CENTRE):
    _constant.flags.writeable = True  # one type for the compiled code, which never writes to them


class Step(NamedTuple):
    """One affine step: points are scaled, sheared, turned about a centre and shifted; rows are for all
    items or for each.

    ``angle`` (k,) in degrees counter-clockwise, ``scale`` (k, 2), ``shear`` (k, 2) tangents, ``shift`` (k,
    2) pixels, all (y, x); ``centre`` (k, 4) is the fixed point in the new frame and in the old one;
    ``sizes`` those of the new frame.
    """

    sizes: Sizes
    angle: Floats = NO_TURN
    scale: Floats = NO_SCALE
    shear: Floats = NO_MOVE
    shift: Floats = NO_MOVE
    centre: Floats = NO_CENTRE


def sizes_of(pictures: Any) -> Sizes:
    """Return the sizes of an array (n, h, w, ...) or a list of arrays (h, w, ...), as one pair when they
    agree.
    """
    if type(pictures) is Unread or (isinstance(pictures, np.ndarray) and pictures.dtype != object):
        return pictures.shape[1], pictures.shape[2]
    return simplify(np.array([picture.shape[:2] for picture in pictures], dtype=np.int64).reshape(-1, 2))


def simplify(sizes: Sizes) -> Sizes:
    """Return one pair when all pictures have the same size."""
    if isinstance(sizes, tuple):
        return sizes
    if len(sizes) and (sizes == sizes[0]).all():
        return int(sizes[0, 0]), int(sizes[0, 1])
    return sizes


def rows_of(sizes: Sizes) -> Floats:
    """Return sizes as an array of floats (1, 2) or (n, 2)."""
    return np.array(sizes, dtype=np.float64).reshape(-1, 2)


def select(chosen: NDArray[np.bool_], after: Sizes, before: Sizes, n: int) -> Sizes:
    """Return the sizes after a step that only the chosen items take."""
    if after is before:
        return after
    if chosen.size == 1:
        return after if chosen.size != 1 or chosen[0] else before
    if isinstance(after, tuple) and after == before:
        return after
    new = np.where(chosen[:, None], np.broadcast_to(after, (n, 2)), np.broadcast_to(before, (n, 2)))
    return simplify(new.astype(np.int64))


def centred(after: Sizes, before: Sizes) -> Floats:
    """Return the centres of the new and the old frame as the fixed point of a step."""
    if isinstance(after, tuple) and isinstance(before, tuple):
        return _centres(after, before)
    new, old = (rows_of(after) - 1) / 2, (rows_of(before) - 1) / 2
    n = max(len(new), len(old))
    return np.hstack([np.broadcast_to(new, (n, 2)), np.broadcast_to(old, (n, 2))])


@functools.lru_cache(maxsize=256)
def _centres(after: tuple[int, int], before: tuple[int, int]) -> Floats:
    return np.array([[(side - 1) / 2 for side in (*after, *before)]])


def numbers(value: Any, n: int, what: str) -> Floats:
    """Return an argument as floats (1,) or, per item, (n,); TypeError for what is no number, ValueError
    for a wrong length.
    """
    if type(value) is PerItem:
        values = np.asarray(value.values, dtype=np.float64)
        if values.shape == (n,):
            return values
        values = values.reshape(len(value), -1)
        if len(values) != n or values.shape[1] != 1:
            raise ValueError(
                f"{what}: got per-item values of shape {values.shape} for {n} items; give one number an item"
            )
        return values[:, 0]
    if isinstance(value, (bool, str)) or not np.isscalar(value):
        raise TypeError(
            f"{what}: got {value!r} ({type(value).__name__}); give a number, or P(...) for one an item"
        )
    return np.array([value], dtype=np.float64)


def pairs(value: Any, n: int, what: str) -> Floats:
    """Return an argument that is a number or a (y, x) pair as floats (1, 1 or 2) or, per item, (n, 1 or
    2).
    """
    if type(value) is PerItem:
        values = np.asarray(value.values, dtype=np.float64)
        values = values[:, None] if values.ndim == 1 else values.reshape(len(value), -1)
        if len(values) != n or values.shape[1] not in (1, 2):
            raise ValueError(
                f"{what}: got per-item values of shape {values.shape} for {n} items; "
                "give a number or (y, x) each"
            )
        return values
    values = np.array(value, dtype=np.float64, ndmin=1)[None]
    if values.shape[1:] not in ((1,), (2,)):
        raise TypeError(f"{what}: got {value!r}; give a number, a pair (y, x), or P(...) of these")
    return values


def both(values: Floats) -> Floats:
    """Return ``pairs`` with two columns, whatever was given."""
    return values if values.shape[1] == 2 else np.repeat(values, 2, axis=1)


def size_pair(value: Any, what: str) -> tuple[int, int]:
    """Return a (height, width) argument as two positive ints."""
    if type(value) is not tuple:
        try:
            value = tuple(value)
        except TypeError:
            raise TypeError(f"{what}: got {value!r}; give (height, width)") from None
    return _size_pair(value, what)


@functools.lru_cache(maxsize=256)
def _size_pair(value: tuple[Any, ...], what: str) -> tuple[int, int]:
    good = [isinstance(side, (int, np.integer)) and side > 0 for side in value]
    if good != [True, True]:
        raise ValueError(f"{what}: got {value!r}; give (height, width) as positive ints")
    return int(value[0]), int(value[1])
