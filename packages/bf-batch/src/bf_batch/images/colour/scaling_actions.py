"""Actions on pixel values as a whole: dtype, scale and normalisation, which join a pending resample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import DTypeLike

from bf_batch.actions import action
from bf_batch.batch import Batch
from bf_batch.core import BatchCore
from bf_batch.images.arguments import Names, pair_names, require_component
from bf_batch.images.geometry.apply import peek_pictures
from bf_batch.images.geometry.warp import Warp


def _always_joins(arguments: Mapping[str, Any]) -> bool:
    return True


def _joins_with_numbers(arguments: Mapping[str, Any]) -> bool:
    return arguments.get("mean") is not None


class PixelActions(Batch):
    """To arrays of floats, scaled and normalised in the same pass as the resample."""

    @action(pending=_always_joins)
    def to_array(
        self,
        dtype: DTypeLike = "float32",
        scale: float = 1.0,
        *,
        channels: Literal["last", "first"] | None = "last",
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Make one array of a dtype, its values times ``scale``; pictures (h, w) get an axis of one channel.

        ``channels=None`` leaves the axes as they are; ``'first'`` gives (n, channels, h, w) and ends the
        geometry.
        """
        kind = np.dtype(dtype)
        if channels not in ("last", "first", None):
            raise ValueError(f"to_array: channels must be 'last', 'first' or None, got {channels!r}")
        for name, target in zip(*pair_names(src, dst, "to_array")):
            store_waiting(
                self, name, target, get_waiting(self, name, "to_array").finish(kind, scale, 0.0, channels)
            )
        return self

    @action(pending=_joins_with_numbers)
    def normalize(
        self,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        *,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Give float32 ``(pixel - mean) / std``; numbers are one for all or one a channel.

        Bytes (and other integers) are first brought to 0..1, so that the usual numbers of ImageNet fit;
        floats are taken as they are.  Without ``mean`` and ``std`` each picture gets mean 0 and deviation 1.
        """
        if (mean is None) != (std is None):
            raise ValueError(f"normalize: got mean={mean!r} and std={std!r}; give both or neither")
        for name, target in zip(*pair_names(src, dst, "normalize")):
            if mean is None or std is None:
                setattr(self, target, standardize(require_component(self, name, "normalize")))
                continue
            warp = get_waiting(self, name, "normalize")
            deviation = np.asarray(std, np.float64)
            if not (deviation > 0).all():
                raise ValueError(f"normalize: std must be positive, got {std!r}")
            kind = warp.dtype or warp.stored_dtype
            top = float(np.iinfo(kind).max) if np.issubdtype(kind, np.integer) else 1.0
            gain, bias = 1 / (top * deviation), -np.asarray(mean, np.float64) / deviation
            store_waiting(self, name, target, warp.finish(np.dtype(np.float32), gain, bias))
        return self


def store_waiting(batch: BatchCore, name: str, target: str, warp: Warp) -> None:
    """Store pending pictures; where they came from they need no check."""
    if target == name:
        batch._bf_data[name] = warp
    else:
        setattr(batch, target, warp)


def get_waiting(batch: BatchCore, name: str, what: str) -> Warp:
    """Return a component as a warp, with the geometry that is pending on it."""
    value = batch._bf_data.get(name)
    if value is None:
        value = peek_pictures(batch, name)
    if type(value) is Warp:
        return value
    owner = type(batch).__name__
    return Warp.of(require_component(batch, name, f"{owner}.{what}"), f"{owner}.{name}")


def standardize(pictures: Any) -> Any:
    """Return float32 pictures, each with mean 0 and deviation 1 (a flat picture is 0)."""
    if isinstance(pictures, np.ndarray) and pictures.dtype != object:
        axes = tuple(range(1, pictures.ndim))
        floats = pictures.astype(np.float32)
        floats -= floats.mean(axis=axes, keepdims=True)
        deviation = floats.std(axis=axes, keepdims=True)
        floats /= np.where(deviation == 0, 1, deviation)
        return floats
    return [standardize(np.asarray(picture)[None])[0] for picture in pictures]
