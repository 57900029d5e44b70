"""Noise, erasing, and mixing the pictures of a batch with each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bf_batch.actions import action
from bf_batch.batch import Batch
from bf_batch.core import BatchCore
from bf_batch.dtypes import limit_to
from bf_batch.images.arguments import Level, Names, as_sizes, owner_of, require_component
from bf_batch.images.checks import require_pictures
from bf_batch.images.colour.recolour import Pictures, Recolour, new_output, recolour, replace_pictures
from bf_batch.images.fills import check_fill, fill_of
from bf_batch.images.geometry.frames import Origin, Placement, read_origin, rows_of
from bf_batch.itemwise.work import PerItem

Number = float | PerItem


class NoiseActions(Batch):
    """Noise, cutout, mixup and cutmix; random numbers come from the batch's own address."""

    @action(itemwise=True)
    def noise(
        self,
        deviation: Number,
        mean: Number = 0.0,
        *,
        p: Number = 1.0,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Add Gauss noise.

        Its deviation and mean are parts of full white. Bytes are limited, floats are not.
        """

        def function(pictures: Pictures, deviation: Any, mean: Any) -> Pictures:
            top = 255.0 if pictures.dtype == np.uint8 else 1.0
            noise = self.rng().standard_normal(pictures.shape, dtype=np.float32)
            noise *= (top * deviation).astype(np.float32).reshape(-1, 1, 1, 1)
            noise += pictures
            noise += (top * mean).astype(np.float32).reshape(-1, 1, 1, 1)
            if top == 1.0:
                return noise
            return np.clip(np.rint(noise, out=noise), 0, 255, out=noise).astype(np.uint8)

        return recolour(self, "noise", function, p, src, dst, deviation=deviation, mean=mean)

    @action(itemwise=True)
    def multiplicative_noise(
        self,
        deviation: Number,
        mean: Number = 1.0,
        *,
        by_channel: bool = True,
        p: Number = 1.0,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Multiply pixels by Gauss noise of a deviation about ``mean``: speckle, which leaves black black.

        Each channel has noise of its own, or all of a pixel the same. Bytes are limited, floats are not.
        """

        def function(pictures: Pictures, deviation: Any, mean: Any) -> Pictures:
            channels = pictures.shape[3] if by_channel else 1
            noise = self.rng().standard_normal((*pictures.shape[:3], channels), dtype=np.float32)
            noise *= deviation.astype(np.float32).reshape(-1, 1, 1, 1)
            noise += mean.astype(np.float32).reshape(-1, 1, 1, 1)
            done = pictures * noise
            return limit_to(pictures.dtype, done) if pictures.dtype == np.uint8 else done

        return recolour(self, "multiplicative_noise", function, p, src, dst, deviation=deviation, mean=mean)

    @action(itemwise=True, older={"p_noise": "share"})
    def salt(
        self,
        share: Number = 0.015,
        pepper: float = 0.5,
        *,
        p: Number = 1.0,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Turn a share of the pixels white, or black for a part ``pepper`` of them."""

        def function(pictures: Pictures, share: Any) -> Pictures:
            draw = self.rng().random((*pictures.shape[:3], 1), dtype=np.float32)
            limit = share.astype(np.float32).reshape(-1, 1, 1, 1)
            out = new_output(pictures)
            out[...] = pictures
            kind = pictures.dtype
            np.copyto(out, kind.type(np.iinfo(kind).max if kind.kind in "iu" else 1), where=draw < limit)
            np.copyto(out, kind.type(0), where=draw < limit * np.float32(pepper))
            return out

        return replace_pictures(self, "salt", lambda _: function, p, src, dst, share=share)

    @action(itemwise=True, older={"shape": "size", "color": "fill"})
    def cutout(
        self,
        size: tuple[int, int] | PerItem,
        fill: Level | Mapping[str, Level] = 0.0,
        *,
        origin: Origin | None = None,
        p: Number = 1.0,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Erase a (height, width) part around a random point of each picture (DeVries 2017).

        ``P(...)`` gives each its own size. The part is cut at the edges of the picture. ``origin`` says where
        its top left corner is, as that of ``crop``: 'random' is a part within the picture. ``fill`` is the
        value that its pixels get, in the units of the pictures, or one for each channel; masks that are named
        with pictures get 0, unless a mapping has values for each component.
        """
        height, width = rows_of(as_sizes(size, len(self), "cutout: size")).T
        around = Placement("random", self.rng().random((len(self), 2))) if origin is None else None
        where = around or read_origin(origin, self, "cutout")  # type: ignore[arg-type]

        def make(name: str) -> Recolour:
            level = fill_of(self, name, fill, src, "cutout")
            if isinstance(level, str):
                raise ValueError(
                    f"{owner_of(self, 'cutout')}: fill is a number, or one a channel, got {level!r}"
                )

            def function(pictures: Pictures, height: Any, width: Any, y: Any, x: Any) -> Pictures:
                value: Any = 0 if level is None else level
                check_fill(self, name, value, [(pictures.shape[3], pictures.dtype)], "cutout")
                sides, frame = np.stack([height, width], axis=1), np.array(pictures.shape[1:3])
                some = Placement(where.kind, np.stack([y, x], axis=1))
                if around is None:
                    return erase_parts(pictures, some.place(frame - sides), sides, value)
                return erase_parts(pictures, np.floor(some.values * frame) - sides // 2, sides, value)

            return function

        given = {"height": height, "width": width, "y": where.values[:, 0], "x": where.values[:, 1]}
        each = {name: PerItem(np.broadcast_to(values, (len(self),))) for name, values in given.items()}
        return replace_pictures(self, "cutout", make, p, src, dst, **each)

    @action
    def mixup(
        self,
        alpha: float = 0.2,
        classes: int | None = None,
        *,
        src: str = "images",
        labels: str | None = "labels",
    ) -> Self:
        """Blend each picture with another of the batch (Zhang 2017).

        The share of each item is drawn from Beta(alpha, alpha). Labels become float32 (n, classes) of the
        same shares; ``classes`` is needed when they are numbers of classes. Pictures become float32 unless
        they are bytes.
        """
        pictures = _require_array(self, src, "mixup")
        rng = self.rng()
        other, share = draw_partners(len(self), rng), rng.beta(alpha, alpha, len(self))
        shaped = share.astype(np.float32).reshape(-1, *[1] * (pictures.ndim - 1))
        mixed = pictures * shaped + pictures[other] * (1 - shaped)
        mixed = np.rint(mixed).astype(np.uint8) if pictures.dtype == np.uint8 else mixed.astype(np.float32)
        if labels is not None:
            own = require_component(self, labels, "mixup")
            setattr(self, labels, mix_labels(own, other, share, classes, "mixup"))
        setattr(self, src, mixed)
        return self

    @action
    def cutmix(
        self,
        alpha: float = 1.0,
        classes: int | None = None,
        *,
        src: str = "images",
        labels: str | None = "labels",
    ) -> Self:
        """Paste a random part of another picture of the batch into each (Yun 2019).

        The share that each picture keeps is drawn from Beta(alpha, alpha). Labels become float32 (n, classes)
        by the areas that were really pasted.
        """
        pictures = _require_array(self, src, "cutmix")
        rng = self.rng()
        other = draw_partners(len(self), rng)
        mixed, share = paste_parts(pictures, other, rng.beta(alpha, alpha, len(self)), rng)
        if labels is not None:
            own = require_component(self, labels, "cutmix")
            setattr(self, labels, mix_labels(own, other, share, classes, "cutmix"))
        setattr(self, src, mixed)
        return self


def erase_parts(pictures: Pictures, corners: Any, sides: Any, value: Any) -> Pictures:
    """Return pictures (n, h, w, c) with a value in parts of corners and sides (n, 2), cut at the edges."""
    ready = limit_to(pictures.dtype, np.array(value, ndmin=1))
    out = new_output(pictures)
    out[...] = pictures
    low, high = (np.maximum(ends, 0).astype(int) for ends in (corners, corners + sides))
    for picture, (top, left), (bottom, right) in zip(out, low, high):
        picture[top:bottom, left:right] = ready
    return out


def _require_array(batch: BatchCore, name: str, what: str) -> Pictures:
    pictures = require_pictures(batch, name, what)
    if isinstance(pictures, np.ndarray) and pictures.dtype != object:
        return pictures
    kinds = {(picture.shape, picture.dtype): None for picture in pictures}
    if len(kinds) > 1:
        shown = " and ".join(f"{shape} {dtype}" for shape, dtype in list(kinds)[:2])
        raise ValueError(
            f"{what}: pictures of {name!r} differ in size or dtype, as {shown}; resize or crop them first, "
            "or bring them to one dtype with to_array()"
        )
    return np.stack(list(pictures))


# Mixing


def draw_partners(n: int, rng: Generator) -> NDArray[np.int64]:
    """Draw for each item another one: a random permutation."""
    return rng.permutation(n)


def mix_labels(
    labels: Any, other: NDArray[np.int64], share: NDArray[np.float64], classes: int | None, what: str
) -> NDArray[np.float32]:
    """Return float32 (n, classes) with the item's own share and the rest for its partner.

    Labels are numbers of classes, which needs ``classes``, or already (n, classes).
    """
    values = np.asarray(labels)
    if values.ndim == 1:
        if classes is None:
            raise ValueError(
                f"{what}: labels are numbers of classes; say how many there are: {what}(classes=10)"
            )
        if not np.issubdtype(values.dtype, np.integer) or (
            len(values) and not 0 <= values.min() <= values.max() < classes
        ):
            raise ValueError(
                f"{what}: labels must be integers from 0 to {classes - 1}, got {values.dtype} from "
                f"{values.min()} to {values.max()}"
            )
        values = np.eye(classes, dtype=np.float32)[values]
    weight = share.astype(np.float32)[:, None]
    return np.asarray(values * weight + values[other] * (1 - weight), dtype=np.float32)


def paste_parts(
    pictures: NDArray[Any], other: NDArray[np.int64], share: NDArray[np.float64], rng: Generator
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Paste a part of the partner into each picture.

    Returns the pictures and the share of its own pixels that each one kept.
    """
    n, h, w = pictures.shape[:3]
    sides = np.sqrt(1 - share)
    middle = rng.random((n, 2)) * (h, w)
    half = np.stack([h * sides, w * sides], axis=1) / 2
    low = np.clip(np.rint(middle - half), 0, (h, w)).astype(int)
    high = np.clip(np.rint(middle + half), 0, (h, w)).astype(int)
    mixed = pictures.copy()
    for i, ((top, left), (bottom, right)) in enumerate(zip(low, high)):
        mixed[i, top:bottom, left:right] = pictures[other[i], top:bottom, left:right]
    return mixed, 1 - (high - low).prod(axis=1) / (h * w)
