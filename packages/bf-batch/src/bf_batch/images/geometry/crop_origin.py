"""Where a crop is cut: names, pixels or parts of the room there is."""

from __future__ import annotations

import functools
from typing import Any, Literal

import numpy as np

from bf_batch.core import BatchCore
from bf_batch.images.arguments import Floats, pairs, two_columns
from bf_batch.images.geometry.frames import Sizes, rows_of
from bf_batch.itemwise.work import PerItem

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


def offsets(origin: Origin, shape: tuple[int, int], sizes: Sizes, batch: BatchCore) -> Floats:
    """Return the top left corners of cuts of a shape, (1, 2) or (n, 2), in whole pixels."""
    if isinstance(origin, str) and origin in _PARTS and isinstance(sizes, tuple):
        return _named(origin, shape, sizes)
    room = rows_of(sizes) - shape
    if isinstance(origin, str):
        if origin == "random":
            parts = batch.rng().random((len(batch), 2))
            return np.asarray(np.floor(parts * (np.abs(room) + 1)) * np.sign(room))
        if origin not in _PARTS:
            raise ValueError(
                f"crop: origin must be one of {', '.join(['random', *_PARTS])}, a pair of ints (pixels) "
                f"or of floats "
                f"(parts of the room), got {origin!r}"
            )
        return np.asarray(np.floor(room * np.array(_PARTS[origin])))
    values = np.asarray(origin.values if isinstance(origin, PerItem) else origin)
    given = two_columns(pairs(origin, len(batch), "crop: origin"))
    if _whole(values):
        return given
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError(f"crop: origin in floats is parts of the room, from 0 to 1, got {origin!r}")
    return np.asarray(np.minimum(np.floor(given * (room + 1)), room))


@functools.lru_cache(maxsize=256)
def _named(origin: str, shape: tuple[int, int], size: tuple[int, int]) -> Floats:
    return np.array([[np.floor((s - c) * part) for s, c, part in zip(size, shape, _PARTS[origin])]])


def _whole(values: Any) -> bool:
    return bool(np.issubdtype(values.dtype, np.integer))
