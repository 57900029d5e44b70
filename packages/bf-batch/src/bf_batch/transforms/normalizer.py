"""Normalizing: channels are moved and scaled by numbers that were found in data, and back again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bf_batch.dtypes import limit_to, white_of
from bf_batch.transforms.saved import Saved, take_state
from bf_batch.transforms.statistics import Statistics

Mode = Literal["meanstd", "minmax"]


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


@dataclass(frozen=True, slots=True)
class Normalizer(Saved):
    """``(value - mean) / std`` by channel (the last axis), and its inverse.

    With ``relative`` integers are first divided by the greatest number of their dtype, as
    ``ImagesBatch.normalize`` does, and ``invert`` to integers multiplies them by it.

    >>> normalizer = Normalizer.fit(np.array([[1.0, 10], [3.0, 30]]))
    >>> normalizer(np.array([[2.0, 10]])).tolist(), normalizer.invert([[0.0, -1]]).tolist()
    ([[0.0, -1.0]], [[2.0, 10.0]])
    """

    kind: ClassVar[str] = "normalizer"

    mean: tuple[float, ...]
    std: tuple[float, ...]
    relative: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", as_numbers(self.mean, "Normalizer: mean"))
        object.__setattr__(self, "std", as_numbers(self.std, "Normalizer: std"))
        if not min(self.std) > 0:
            raise ValueError(f"Normalizer: std must be positive, got {self.std!r}")
        check_lengths("Normalizer: mean and std", self.mean, self.std)

    @classmethod
    def fit(
        cls, values: Any, mode: Mode = "meanstd", by_channel: bool = True, relative: bool = False
    ) -> Self:
        """Return the normalizer of an array or of a list of arrays."""
        return cls.from_statistics(Statistics.of(values, by_channel, relative), mode)

    @classmethod
    def from_statistics(cls, statistics: Statistics, mode: Mode = "meanstd") -> Self:
        """Return the normalizer to mean 0 and deviation 1 ('meanstd'), or to 0..1 ('minmax').

        A channel of one value only becomes 0.
        """
        if mode not in ("meanstd", "minmax"):
            raise ValueError(f"Normalizer: mode must be 'meanstd' or 'minmax', got {mode!r}")
        middle, width = statistics.mean, statistics.std
        if mode == "minmax":
            middle, width = statistics.low, statistics.high - statistics.low
        width = np.where(width > 0, width, 1.0)
        return cls(tuple(middle.tolist()), tuple(width.tolist()), statistics.relative)

    def __call__(self, values: Any, dtype: DTypeLike = "float32") -> NDArray[Any]:
        """Return values normalized: computed in float64, returned as ``dtype``."""
        array = np.asarray(values)
        top = white_of(array.dtype) if self.relative else 1.0
        done = (array.astype(np.float64) / top - np.array(self.mean)) / np.array(self.std)
        return np.asarray(done, dtype)

    def invert(self, values: Any, dtype: DTypeLike = "float64") -> NDArray[Any]:
        """Return what normalized values were; of integers exactly that, rounded and limited."""
        kind = np.dtype(dtype)
        found = np.asarray(values, np.float64) * np.array(self.std) + np.array(self.mean)
        return limit_to(kind, found * (white_of(kind) if self.relative else 1.0))

    def state(self) -> dict[str, Any]:
        """Return the numbers, as a small dict that JSON can hold."""
        return {"mean": list(self.mean), "std": list(self.std), "relative": self.relative}

    @classmethod
    def from_state(cls, state: Any) -> Self:
        """Return the normalizer of a state; a ValueError for what is none."""
        mean, std, relative = take_state("Normalizer", state, ("mean", "std", "relative"))
        return cls(mean, std, bool(relative))
