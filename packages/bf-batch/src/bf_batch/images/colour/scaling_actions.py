"""Actions on what pixels are: dtype, scale and normalisation, which join a pending resample; channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bf_batch.actions import action
from bf_batch.batch import Batch
from bf_batch.core import BatchCore
from bf_batch.dtypes import limit_to
from bf_batch.errors import ItemError
from bf_batch.images.arguments import Names, id_of, owner_of, pair_names
from bf_batch.images.checks import require_pictures
from bf_batch.images.colour.channelwise import BatchT, apply_to_pictures
from bf_batch.images.colour.recolour import warn_of_dark
from bf_batch.images.geometry.apply import peek_pictures
from bf_batch.images.geometry.warp import Warp
from bf_batch.transforms.normalizer import Normalizer
from bf_index.errors import escape

_PLAIN = {np.dtype(kind) for kind in (np.uint8, np.int8, np.bool_, np.float16, np.float32, np.float64)}
"""Dtypes whose values can't be meant in a narrower one."""


def _always_joins(arguments: Mapping[str, Any]) -> bool:
    return True


def _joins_with_numbers(arguments: Mapping[str, Any]) -> bool:
    return arguments.get("mean") is not None or arguments.get("by") is not None


class PixelActions(Batch):
    """Dtype, scale, normalisation and channels; the first three join the pass that resamples."""

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

        ``channels=None`` leaves the axes as they are; ``'first'`` means (n, channels, h, w) and ends the
        geometry.
        """
        kind = np.dtype(dtype)
        if channels not in ("last", "first", None):
            raise ValueError(f"to_array: channels must be 'last', 'first' or None, got {channels!r}")
        for name, target in zip(*pair_names(src, dst, "to_array")):
            warp = get_waiting(self, name, "to_array")
            store_waiting(self, name, target, warp.finish(kind, scale, 0.0, channels))
        return self

    @action(pending=_joins_with_numbers)
    def normalize(
        self,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        *,
        by: Normalizer | Mapping[str, Any] | str | PathLike[str] | None = None,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Replace pixels by float32 ``(pixel - mean) / std``; numbers are one for all or one a channel.

        Bytes (and other integers) are first brought to 0..1 by the greatest number of their dtype, so that
        the usual numbers of ImageNet fit; floats are taken as they are. ``by`` is a ``Normalizer``, its
        state or its file, in place of numbers; limits that it has end the geometry. Without any each picture
        gets mean 0 and deviation 1.
        """
        relative = True
        if by is not None:
            if mean is not None or std is not None:
                raise ValueError("normalize: got by= and numbers; give one of both")
            normalizer = Normalizer.read(by)
            mean, std, relative = normalizer.mean, normalizer.std, normalizer.relative
            if normalizer.limits is not None:
                return _normalize_limited(self, normalizer, src, dst)
        if (mean is None) != (std is None):
            raise ValueError(f"normalize: got mean={mean!r} and std={std!r}; give both or neither")
        for name, target in zip(*pair_names(src, dst, "normalize")):
            if mean is None or std is None:
                setattr(self, target, standardize(require_pictures(self, name, "normalize")))
                continue
            warp = get_waiting(self, name, "normalize")
            deviation = np.asarray(std, np.float64)
            if not (deviation > 0).all():
                raise ValueError(f"normalize: std must be positive, got {std!r}")
            if relative and warp.dtype is None and not warp.stored_dtypes <= _PLAIN:
                warp = warp.read()
                some = warp.source if isinstance(warp.source, (np.ndarray, list)) else warp.source.arrays
                warn_of_dark(some, name, owner_of(self, "normalize"))
            gain, bias = 1 / deviation, -np.asarray(mean, np.float64) / deviation
            done = warp.finish(np.dtype(np.float32), gain, bias, relative=relative)
            store_waiting(self, name, target, done)
        return self

    @action
    def gray(self, *, src: Names = "images", dst: Names | None = None) -> Self:
        """Convert pictures to one channel, (..., h, w, 1), by ITU-R 601; grey ones are left as they are."""
        for name, target in zip(*pair_names(src, dst, "gray")):
            setattr(self, target, _apply_to_each(require_pictures(self, name, "gray"), _to_grey))
        return self

    @action
    def to_pil(self, mode: str | None = None, *, src: Names = "images", dst: Names | None = None) -> Self:
        """Make a list of Pillow images: grey, colours, both with transparency; ``mode`` converts them.

        Bool gives mode '1'; integers wider than bytes and floats, of one channel, 'I;16', 'I' and 'F'; floats
        of more channels are taken as 0..1 and become bytes. Other kinds of pictures are an ItemError.
        """
        for name, target in zip(*pair_names(src, dst, "to_pil")):
            pictures = require_pictures(self, name, "to_pil")
            setattr(self, target, [_to_pil(self, one, i, mode) for i, one in enumerate(pictures)])
        return self

    @action
    def rgb(self, *, src: Names = "images", dst: Names | None = None) -> Self:
        """Convert pictures to three channels: grey is repeated, transparency is left out."""
        for name, target in zip(*pair_names(src, dst, "rgb")):
            setattr(self, target, _apply_to_each(require_pictures(self, name, "rgb"), _to_rgb))
        return self


def store_waiting(batch: BatchCore, name: str, target: str, warp: Warp) -> None:
    """Store pending pictures; in the component that they came from they need no check."""
    if target == name:
        batch._bf_data[name] = warp
    else:
        setattr(batch, target, warp)


def get_waiting(batch: BatchCore, name: str, what: str) -> Warp:
    """Return a component as a warp, with the geometry that is pending on it."""
    value = batch._bf_data.get(name)
    if value is None:
        value = peek_pictures(batch, name, what)
    return value if type(value) is Warp else Warp.of(require_pictures(batch, name, what))


def _normalize_limited(batch: BatchT, normalizer: Normalizer, src: Names, dst: Names | None) -> BatchT:
    """Limiting is not linear, so it comes after the resampling, not in it."""
    for name, target in zip(*pair_names(src, dst, "normalize")):
        pictures = get_waiting(batch, name, "normalize").resolve()
        setattr(batch, target, apply_to_pictures(pictures, normalizer, owner_of(batch, "normalize")))
    return batch


def standardize(pictures: Any) -> Any:
    """Return float32 pictures, each with mean 0 and deviation 1 (a flat picture is 0)."""
    if isinstance(pictures, np.ndarray) and pictures.dtype != object:
        axes = tuple(range(1, pictures.ndim))
        # wide integers and floats lose what tells their pixels apart when they are rounded before
        floats: Any = pictures.astype(np.float32 if pictures.dtype.itemsize <= 2 else np.float64, copy=True)
        floats -= floats.mean(axis=axes, keepdims=True)
        deviation = floats.std(axis=axes, keepdims=True)
        floats /= np.where(deviation == 0, 1, deviation)
        return floats.astype(np.float32, copy=False)
    return [standardize(np.asarray(picture)[None])[0] for picture in pictures]


def _apply_to_each(pictures: Any, function: Any) -> Any:
    """Apply a function of pictures (n, h, w, c) to an array or a list of pictures."""
    if isinstance(pictures, np.ndarray) and pictures.dtype != object:
        return function(pictures[..., None] if pictures.ndim == 3 else pictures)
    return [function((p[..., None] if p.ndim == 2 else p)[None])[0] for p in map(np.asarray, pictures)]


def _to_pil(batch: BatchCore, picture: Any, position: int, mode: str | None) -> Any:
    """Return a picture (h, w) or (h, w, c) as a Pillow image."""
    from PIL import Image

    array = np.asarray(picture)
    flat = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if flat.ndim == 3 and flat.dtype.kind == "f":
        flat = limit_to(np.dtype(np.uint8), flat.astype(np.float64) * 255)
    elif flat.dtype in (np.int8, np.uint32, np.int64, np.uint64) and flat.ndim == 2:
        flat = flat.astype(np.int64)
        fits = flat.min() >= -(1 << 31) and flat.max() < 1 << 31
        flat = flat.astype(np.int32) if fits else flat
    elif flat.dtype.kind == "f":
        flat = flat.astype(np.float32)
    elif flat.dtype == np.int16:
        flat = flat.astype(np.int32)
    try:
        image = Image.fromarray(np.ascontiguousarray(flat))
        return image if mode is None else image.convert(mode)
    except (TypeError, ValueError) as error:
        wanted = "" if mode is None else f" in mode {mode!r}"
        raise ItemError(
            id_of(batch, position),
            owner_of(batch, "to_pil"),
            position,
            f"Pillow has no image for shape {array.shape} and dtype {array.dtype}{wanted} ({escape(error)}); "
            "make bytes with to_array('uint8')",
        ) from error


def _to_grey(pictures: NDArray[Any]) -> NDArray[Any]:
    if pictures.shape[3] == 1:
        return pictures
    if pictures.shape[3] not in (3, 4):
        raise ValueError(f"gray: needs RGB or RGBA pictures, got {pictures.shape[3]} channels")
    grey = pictures[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32)
    return limit_to(pictures.dtype, grey)[..., None]


def _to_rgb(pictures: NDArray[Any]) -> NDArray[Any]:
    channels = pictures.shape[3]
    if channels not in (1, 3, 4):
        raise ValueError(f"rgb: needs grey, RGB or RGBA pictures, got {channels} channels")
    return np.repeat(pictures, 3, axis=3) if channels == 1 else pictures[..., :3]
