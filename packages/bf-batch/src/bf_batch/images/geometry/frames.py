"""Frames of pictures: their sizes, the steps from one to another, and where cuts of them lie."""

from __future__ import annotations

import functools
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bf_batch.core import BatchCore
from bf_batch.data.lazy_rows import LazyRows
from bf_batch.images.arguments import Floats, as_pairs, widen_pairs
from bf_batch.itemwise.work import PerItem

Sizes = tuple[int, int] | NDArray[np.int64]
"""(height, width) of all pictures of a batch, or an array (n, 2) when they differ."""

NO_TURN = np.zeros(1)
NO_SCALE = np.ones((1, 2))
NO_MOVE = np.zeros((1, 2))
NO_CENTRE = np.zeros((1, 4))


class Step(NamedTuple):
    """One affine step: points are scaled, sheared, turned about a centre and shifted.

    ``angle`` (k,) in degrees counter-clockwise, ``scale`` (k, 2), ``shear`` (k, 2) tangents, ``shift`` (k, 2)
    pixels, all (y, x); ``centre`` (k, 4) is the fixed point in the new frame and in the old one; ``sizes``
    those of the new frame. There is one row for all items or one for each. A step that ``repeats`` the edge
    is a new size, which asks for nothing outside.
    """

    sizes: Sizes
    angle: Floats = NO_TURN
    scale: Floats = NO_SCALE
    shear: Floats = NO_MOVE
    shift: Floats = NO_MOVE
    centre: Floats = NO_CENTRE
    repeats: bool = False


def sizes_of(pictures: Any) -> Sizes:
    """Return the sizes of an array (n, h, w, ...) or a list of arrays, as one pair when they agree."""
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


def select_sizes(chosen: NDArray[np.bool_], after: Sizes, before: Sizes, n: int) -> Sizes:
    """Return the sizes after a step that only the chosen items take."""
    if after is before:
        return after
    if chosen.size == 1:
        return after if chosen[0] else before
    if type(after) is type(before) is tuple and after == before:
        return after
    new = np.where(chosen[:, None], np.broadcast_to(after, (n, 2)), np.broadcast_to(before, (n, 2)))
    return simplify(new.astype(np.int64))


def centres_of(after: Sizes, before: Sizes) -> Floats:
    """Return the centres of the new and the old frame as the fixed point of a step."""
    if isinstance(after, tuple) and isinstance(before, tuple):
        return _centres(after, before)
    new, old = (rows_of(after) - 1) / 2, (rows_of(before) - 1) / 2
    n = max(len(new), len(old))
    return np.hstack([np.broadcast_to(new, (n, 2)), np.broadcast_to(old, (n, 2))])


@functools.lru_cache(maxsize=256)
def _centres(after: tuple[int, int], before: tuple[int, int]) -> Floats:
    return np.array([[(side - 1) / 2 for side in (*after, *before)]])


# Where cuts lie


Named = Literal["center", "random", "top_left", "top_right", "bottom_left", "bottom_right"]
Origin = Named | tuple[int, int] | tuple[float, float] | PerItem

_PARTS = {
    "center": (0.5, 0.5),
    "top_left": (0.0, 0.0),
    "top_right": (0.0, 1.0),
    "bottom_left": (1.0, 0.0),
    "bottom_right": (1.0, 1.0),
}
NAMES = frozenset({"random", *_PARTS})


def find_corners(origin: Origin, inner: Sizes, outer: Sizes, batch: BatchCore, what: str) -> Floats:
    """Return the top left corners of frames within larger ones, (1, 2) or (n, 2), in whole pixels.

    For a cut the picture is the outer frame, for pasting the background is; an inner frame may be the larger
    one.
    """
    if isinstance(origin, str) and origin in _PARTS and isinstance(outer, tuple) and isinstance(inner, tuple):
        return _find_named_corner(origin, inner, outer)
    return read_origin(origin, batch, what).place(rows_of(outer) - rows_of(inner))


class Placement(NamedTuple):
    """Where inner frames lie: ``values`` (1, 2) or (n, 2) are pixels, or parts of the room that there is.

    The kinds differ in how parts become pixels: of a name, of floats that were given, or of random ones.
    """

    kind: Literal["pixels", "name", "parts", "random"]
    values: Floats

    def place(self, room: Floats) -> Floats:
        """Return the top left corners, in whole pixels, for a room (k, 2) that may be negative."""
        if self.kind == "pixels":
            return self.values
        if self.kind == "random":
            return np.asarray(np.floor(self.values * (np.abs(room) + 1)) * np.sign(room))
        if self.kind == "name":
            return np.asarray(np.floor(room * self.values))
        return np.asarray(np.minimum(np.floor(self.values * (room + 1)), room))


def read_origin(origin: Origin, batch: BatchCore, what: str) -> Placement:
    """Return what an argument ``origin`` says, random places drawn; a ValueError when it says nothing."""
    if isinstance(origin, str):
        if origin == "random":
            return Placement("random", batch.rng().random((len(batch), 2)))
        if origin not in _PARTS:
            raise ValueError(
                f"{what}: origin must be one of {', '.join(['random', *_PARTS])}, a pair of ints (pixels) "
                f"or of floats (parts of the room), got {origin!r}"
            )
        return Placement("name", np.array([_PARTS[origin]]))
    values = np.asarray(origin.values if isinstance(origin, PerItem) else origin)
    given = widen_pairs(as_pairs(origin, len(batch), f"{what}: origin"))
    if _whole(values):
        return Placement("pixels", given)
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError(f"{what}: origin in floats is parts of the room, from 0 to 1, got {origin!r}")
    return Placement("parts", given)


@functools.lru_cache(maxsize=256)
def _find_named_corner(origin: str, shape: tuple[int, int], size: tuple[int, int]) -> Floats:
    return np.array([[np.floor((s - c) * part) for s, c, part in zip(size, shape, _PARTS[origin])]])


def _whole(values: Any) -> bool:
    return bool(np.issubdtype(values.dtype, np.integer))


def draw_boxes(sizes: Floats, scale: tuple[float, float], ratio: tuple[float, float], rng: Any) -> Floats:
    """Draw random parts (top, left, height, width) of pictures (n, 2) in whole pixels, as torchvision."""
    n, tries = len(sizes), 10
    draws = rng.random((tries, 4, n))
    area = sizes.prod(axis=1) * (scale[0] + draws[:, 0] * (scale[1] - scale[0]))
    sides = np.exp(np.log(ratio[0]) + draws[:, 1] * (np.log(ratio[1]) - np.log(ratio[0])))
    extents = np.stack([np.rint(np.sqrt(area / sides)), np.rint(np.sqrt(area * sides))], axis=2)
    fits = np.asarray(((extents > 0) & (extents <= sizes)).all(axis=2))
    first = fits.argmax(axis=0)
    items = np.arange(n)
    extent = extents[first, items]
    corner = np.floor(draws[first, 2:, items] * (sizes - extent + 1))
    failed = ~fits[first, items]
    if failed.any():
        whole = sizes[failed]
        own = whole[:, 1] / whole[:, 0]
        kept = whole.copy()
        kept[:, 0] = np.where(own < ratio[0], np.rint(whole[:, 1] / ratio[0]), whole[:, 0])
        kept[:, 1] = np.where(own > ratio[1], np.rint(whole[:, 0] * ratio[1]), whole[:, 1])
        extent[failed], corner[failed] = kept, np.floor((whole - kept) / 2)
    return np.hstack([corner, extent])
