"""Actions back from normalized pixels, and to small integers and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from bf_batch.actions import action
from bf_batch.batch import Batch
from bf_batch.dtypes import white_of
from bf_batch.images.arguments import Names, pair_names
from bf_batch.images.colour.channelwise import apply_by_channel
from bf_batch.images.colour.scaling_actions import get_waiting, store_waiting
from bf_batch.transforms.normalizer import Normalizer
from bf_batch.transforms.quantizer import Quantizer

File = str | PathLike[str]


def _always_joins(arguments: Mapping[str, Any]) -> bool:
    return True


class TransformActions(Batch):
    """The inverse of ``normalize``; quantizing and its inverse."""

    @action(pending=_always_joins)
    def denormalize(
        self,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        dtype: DTypeLike = "uint8",
        *,
        by: Normalizer | Mapping[str, Any] | File | None = None,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Undo ``normalize`` of the same numbers: pixels become ``pixel * std + mean`` in the dtype they had.

        Of integers, which are rounded and limited, it is the part of their greatest number. ``by`` is a
        ``Normalizer``, its state or its file, in place of numbers.
        """
        if (by is None) == (mean is None or std is None):
            raise ValueError("denormalize: give mean= and std=, or by= instead")
        given = Normalizer.read(by) if by is not None else Normalizer(mean, std, True)  # type: ignore[arg-type]
        kind = np.dtype(dtype)
        top = white_of(kind) if given.relative else 1.0
        for name, target in zip(*pair_names(src, dst, "denormalize")):
            warp = get_waiting(self, name, "denormalize")
            gain, bias = np.array(given.std) * top, np.array(given.mean) * top
            store_waiting(self, name, target, warp.finish(kind, gain, bias))
        return self

    @action
    def quantize(
        self,
        low: float | Sequence[float] | None = None,
        high: float | Sequence[float] | None = None,
        dtype: str = "int8",
        *,
        by: Quantizer | Mapping[str, Any] | File | None = None,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Replace pixels of ``low`` to ``high`` by integers, evenly spaced; others by those of the ends.

        Numbers are one for all or one a channel. A range about 0 of a signed dtype keeps 0. ``by`` is a
        ``Quantizer``, its state or its file, in place of numbers.
        """
        return apply_by_channel(self, "quantize", _read(low, high, dtype, by, "quantize"), src, dst)

    @action
    def dequantize(
        self,
        low: float | Sequence[float] | None = None,
        high: float | Sequence[float] | None = None,
        dtype: str = "int8",
        *,
        by: Quantizer | Mapping[str, Any] | File | None = None,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Undo ``quantize`` of the same arguments: integers become float32, within half a step."""
        return apply_by_channel(
            self, "dequantize", _read(low, high, dtype, by, "dequantize").restore, src, dst
        )


def _read(low: Any, high: Any, dtype: str, by: Any, what: str) -> Quantizer:
    if (by is None) == (low is None or high is None):
        raise ValueError(f"{what}: give low= and high=, or by= instead")
    return Quantizer.read(by) if by is not None else Quantizer(low, high, dtype)
