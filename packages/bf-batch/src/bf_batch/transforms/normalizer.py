"""Normalizing: channels are moved and scaled by numbers that were found in data, and back again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bf_batch.dtypes import limit_to, white_of
from bf_batch.transforms.saved import Saved, take_state
from bf_batch.transforms.statistics import Statistics

Mode = Literal["meanstd", "minmax", "mean", "min"]


def as_numbers(values: Any, what: str) -> tuple[float, ...]:
    """Return a number or one for each channel as a tuple of finite floats."""
    try:
        array = np.atleast_1d(np.asarray(values, np.float64))
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(f"{what}: got {values!r}; give a finite number, or one for each channel")
    return tuple(array.tolist())


def check_lengths(owner: str, first: Sequence[float], second: Sequence[float]) -> None:
    """Raise a ValueError unless two tuples are of one length, or one of them of a single number."""
    if len(first) != len(second) and 1 not in (len(first), len(second)):
        raise ValueError(f"{owner}: got {len(first)} and {len(second)} numbers; give one for each channel")


def choose_normalizer(mean: Any, std: Any, by: Any) -> Normalizer:
    """Return the normalizer that an action ``normalize`` is told: by numbers, an object, its state or file.

    ``ValueError`` for both and for neither, and for deviations that are not positive.
    """
    if (by is None) == (mean is None or std is None):
        raise ValueError("normalize: give mean= and std=, or by= instead")
    if by is not None:
        return Normalizer.read(by)
    if not (np.asarray(std, np.float64) > 0).all():
        raise ValueError(f"normalize: std must be positive, got {std!r}")
    return Normalizer(mean, std)


@dataclass(frozen=True, slots=True)
class Normalizer(Saved):
    """``(value - mean) / std`` by channel (the last axis), and its inverse.

    With ``relative`` integers are first divided by the greatest number of their dtype, as
    ``ImagesBatch.normalize`` does, and ``invert`` to integers multiplies them by it. Values outside
    ``limits``, (low, high) in the units of ``mean``, are first moved to the nearer one, and come back so.

    >>> normalizer = Normalizer.fit(np.array([[1.0, 10], [3.0, 30]]))
    >>> normalizer(np.array([[2.0, 10]])).tolist(), normalizer.invert([[0.0, -1]]).tolist()
    ([[0.0, -1.0]], [[2.0, 10.0]])
    """

    kind: ClassVar[str] = "normalizer"

    mean: tuple[float, ...]
    std: tuple[float, ...]
    relative: bool = False
    limits: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", as_numbers(self.mean, "Normalizer: mean"))
        object.__setattr__(self, "std", as_numbers(self.std, "Normalizer: std"))
        if not min(self.std) > 0:
            raise ValueError(f"Normalizer: std must be positive, got {self.std!r}")
        check_lengths("Normalizer: mean and std", self.mean, self.std)
        if self.limits is not None:
            object.__setattr__(self, "limits", _as_limits(self.limits, self.mean))

    @classmethod
    def fit(
        cls,
        values: Any,
        mode: Mode = "meanstd",
        by_channel: bool = True,
        relative: bool = False,
        quantiles: tuple[float, float] | None = None,
    ) -> Self:
        """Return the normalizer of an array or of a list of arrays, all in memory.

        With ``quantiles``, shares such as (0.01, 0.99), values are limited to these quantiles of their
        channel, which numpy interpolates linearly, and mean, deviation and range are those of the limited
        values. Of data larger than memory fit the rows of a ``Sample``.
        """
        if quantiles is None:
            return cls.from_statistics(Statistics.of(values, by_channel, relative), mode)
        low, high = _as_shares(quantiles)
        parts = values if isinstance(values, (list, tuple)) else [values]
        rows = np.concatenate([_as_rows(part, by_channel, relative) for part in parts])
        if not rows.size or not np.isfinite(rows).all():
            raise ValueError("Normalizer.fit: quantiles need numbers, and all of them finite")
        limits = np.quantile(rows, (low, high), axis=0)
        made = cls.from_statistics(Statistics.of(rows.clip(*limits, out=rows)), mode)
        return replace(made, relative=relative, limits=(tuple(limits[0].tolist()), tuple(limits[1].tolist())))

    @classmethod
    def from_statistics(cls, statistics: Statistics, mode: Mode = "meanstd") -> Self:
        """Return the normalizer to mean 0 and deviation 1 ('meanstd'), or to 0..1 ('minmax').

        'mean' and 'min' only move: to mean 0, or to a least value of 0. A channel of one value becomes 0.
        """
        if mode not in get_args(Mode):
            known = ", ".join(repr(one) for one in get_args(Mode))
            raise ValueError(f"Normalizer: mode must be one of {known}, got {mode!r}")
        middle = statistics.mean if mode in ("mean", "meanstd") else statistics.low
        width = {"meanstd": statistics.std, "minmax": statistics.high - statistics.low}.get(
            mode, np.ones_like(middle)
        )
        width = np.where(width > 0, width, 1.0)
        return cls(tuple(middle.tolist()), tuple(width.tolist()), statistics.relative)

    def __call__(self, values: Any, dtype: DTypeLike = "float32") -> NDArray[Any]:
        """Return values normalized: computed in float64, returned as ``dtype``."""
        array = np.asarray(values)
        top = white_of(array.dtype) if self.relative else 1.0
        found = array.astype(np.float64) / top
        if self.limits is not None:
            found = found.clip(*map(np.array, self.limits))
        return np.asarray((found - np.array(self.mean)) / np.array(self.std), dtype)

    def invert(self, values: Any, dtype: DTypeLike = "float64") -> NDArray[Any]:
        """Return what normalized values were; of integers exactly that, rounded and limited."""
        kind = np.dtype(dtype)
        found = np.asarray(values, np.float64) * np.array(self.std) + np.array(self.mean)
        return limit_to(kind, found * (white_of(kind) if self.relative else 1.0))

    def state(self) -> dict[str, Any]:
        """Return the numbers, as a small dict that JSON can hold."""
        limits = None if self.limits is None else [list(some) for some in self.limits]
        return {
            "mean": list(self.mean),
            "std": list(self.std),
            "relative": self.relative,
            "limits": limits,
        }

    @classmethod
    def from_state(cls, state: Any) -> Self:
        """Return the normalizer of a state; a ValueError for what is none."""
        names, later = ("mean", "std", "relative"), {"limits": None}
        mean, std, relative, limits = take_state("Normalizer", state, names, later)
        return cls(mean, std, bool(relative), limits)


def _as_limits(limits: Any, mean: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if not isinstance(limits, (list, tuple)) or len(limits) != 2:
        raise ValueError(f"Normalizer: limits are (low, high), got {limits!r}")
    low, high = (as_numbers(some, "Normalizer: limits") for some in limits)
    check_lengths("Normalizer: limits", low, high)
    check_lengths("Normalizer: mean and limits", mean, max(low, high, key=len))
    if not (np.array(low) <= np.array(high)).all():
        raise ValueError(f"Normalizer: limits are (low, high), got {low!r} above {high!r}")
    return low, high


def _as_shares(quantiles: Any) -> tuple[float, float]:
    shares = np.asarray(quantiles, np.float64)
    if shares.shape != (2,) or not 0 <= shares[0] < shares[1] <= 1:
        raise ValueError(
            f"Normalizer: quantiles are two shares of 0 to 1, as (0.01, 0.99), got {quantiles!r}"
        )
    return float(shares[0]), float(shares[1])


def _as_rows(values: Any, by_channel: bool, relative: bool) -> NDArray[np.float64]:
    """Return a copy of values as float64 (values, channels)."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"Normalizer.fit: got dtype {array.dtype}; give an array of numbers")
    rows = array.reshape(-1, array.shape[-1]) if by_channel and array.ndim else array.reshape(-1, 1)
    floats = rows.astype(np.float64)
    return floats / white_of(array.dtype) if relative else floats
