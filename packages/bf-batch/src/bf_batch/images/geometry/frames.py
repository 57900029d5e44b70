"""Frames of pictures: their sizes and the steps from one to another."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bf_batch.data.lazy_rows import LazyRows
from bf_batch.images.arguments import Floats

Sizes = tuple[int, int] | NDArray[np.int64]
"""(height, width) of all pictures of a batch, or an array (n, 2) when they differ."""

NO_TURN = np.zeros(1)
NO_SCALE = np.ones((1, 2))
NO_MOVE = np.zeros((1, 2))
NO_CENTRE = np.zeros((1, 4))


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
    if type(pictures) is LazyRows or (isinstance(pictures, np.ndarray) and pictures.dtype != object):
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
