"""Functions of arrays (..., channels), applied to the pictures of a component."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bf_batch.core import BatchCore
from bf_batch.images.arguments import Names, owner_of, pair_names
from bf_batch.images.checks import require_pictures

BatchT = TypeVar("BatchT", bound=BatchCore)


def apply_by_channel(
    batch: BatchT, what: str, function: Callable[[Any], NDArray[Any]], src: Names, dst: Names | None
) -> BatchT:
    """Replace the pictures of components by what a function of them gives, and return the batch."""
    for name, target in zip(*pair_names(src, dst, owner_of(batch, what))):
        pictures = require_pictures(batch, name, what)
        setattr(batch, target, apply_to_pictures(pictures, function, owner_of(batch, what)))
    return batch


def apply_to_pictures(pictures: Any, function: Callable[[Any], NDArray[Any]], owner: str) -> Any:
    """Return what a function gives for an array or a list of pictures, whose channels may be left out."""
    stacked = isinstance(pictures, np.ndarray) and pictures.dtype != object
    channels = 3 if stacked else 2  # the number of the axis of channels
    some = [pictures] if stacked else pictures
    done = [_apply_to_one(one, one.ndim > channels, function, owner) for one in some]
    return done[0] if stacked else done


def _apply_to_one(
    pictures: NDArray[Any], has_channels: bool, function: Callable[[Any], NDArray[Any]], owner: str
) -> NDArray[Any]:
    """Apply a function by channel, the last axis, to pictures that may have none."""
    try:
        found = function(pictures if has_channels else pictures[..., None])
    except ValueError as error:
        error.add_note(f"in {owner}, pictures of shape {pictures.shape}")
        raise
    return found if has_channels else found[..., 0]
