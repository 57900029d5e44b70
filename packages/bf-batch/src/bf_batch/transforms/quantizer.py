"""Quantizing: floats of a range as small integers, and back again within half a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bf_batch.transforms.normalizer import as_numbers, check_lengths
from bf_batch.transforms.saved import Saved, take_state
from bf_batch.transforms.statistics import Statistics

_WIDEST = 2
"""Bytes of an integer: more would hold no less than the floats themselves."""


@dataclass(frozen=True, slots=True)
class Quantizer(Saved):
    """Values of ``low`` to ``high`` by channel (the last axis) as integers of ``dtype``, evenly spaced.

    Values outside become the nearest end. A range about 0, of a signed dtype, keeps 0 as 0 and has as many
    levels on both sides. ``restore`` gives the values back, within half a ``step``. With ``reserve`` the
    least integer of the dtype is left for missing values: NaN becomes it and comes back.

    >>> quantizer = Quantizer(-2.0, 2.0)
    >>> quantizer(np.array([-2.0, 0.0, 0.01, 5.0])).tolist()
    [-127, 0, 1, 127]
    >>> quantizer.restore(np.array([-127, 0, 127])).tolist()
    [-2.0, 0.0, 2.0]
    """

    kind: ClassVar[str] = "quantizer"

    low: Any
    high: Any
    dtype: str = "int8"
    reserve: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", as_numbers(self.low, "Quantizer: low"))
        object.__setattr__(self, "high", as_numbers(self.high, "Quantizer: high"))
        check_lengths("Quantizer: low and high", self.low, self.high)
        if not (np.array(self.low) < np.array(self.high)).all():
            raise ValueError(f"Quantizer: low must be below high, got {self.low!r} and {self.high!r}")
        try:
            kind = np.dtype(self.dtype)
        except TypeError:
            kind = np.dtype(np.float64)
        if kind.kind not in "iu" or kind.itemsize > _WIDEST:
            raise ValueError(f"Quantizer: dtype must be int8, uint8, int16 or uint16, got {self.dtype!r}")
        object.__setattr__(self, "dtype", kind.name)

    @classmethod
    def fit(
        cls,
        values: Any,
        dtype: str = "int8",
        by_channel: bool = True,
        deviations: float | None = None,
        reserve: bool = False,
    ) -> Self:
        """Return the quantizer of the range of an array or of a list of arrays, see ``from_statistics``."""
        return cls.from_statistics(Statistics.of(values, by_channel), dtype, deviations, reserve)

    @classmethod
    def from_statistics(
        cls,
        statistics: Statistics,
        dtype: str = "int8",
        deviations: float | None = None,
        reserve: bool = False,
    ) -> Self:
        """Return the quantizer of all values, or of those up to so many deviations from their mean.

        Rare values far out would leave few levels to all others. A channel of one value has a range of 1.
        """
        low, high = statistics.low, statistics.high
        if deviations is not None:
            if not deviations > 0:
                raise ValueError(f"Quantizer: deviations must be positive, got {deviations!r}")
            low = np.maximum(low, statistics.mean - deviations * statistics.std)
            high = np.minimum(high, statistics.mean + deviations * statistics.std)
        flat = ~(low < high)
        return cls((low - flat / 2).tolist(), (high + flat / 2).tolist(), dtype, reserve)

    def _levels(self) -> tuple[int, int]:
        """Return the least and the greatest integer in use."""
        limits = np.iinfo(self.dtype)
        about_zero = limits.min < 0 and (np.array(self.low) == -np.array(self.high)).all()
        return limits.min + bool(self.reserve or about_zero), limits.max

    @property
    def step(self) -> NDArray[np.float64]:
        """How far apart two levels are, for each channel."""
        first, last = self._levels()
        return np.asarray((np.array(self.high) - np.array(self.low)) / (last - first))

    def __call__(self, values: Any) -> NDArray[Any]:
        """Return values as integers; a ValueError for NaN without ``reserve``."""
        array = np.asarray(values, np.float64)
        missing = np.isnan(array)
        if not self.reserve and missing.any():
            raise ValueError(
                "Quantizer: got values that are not numbers (nan), for which there is no level; reserve=True "
                "keeps one for them"
            )
        first, last = self._levels()
        low, high = np.array(self.low), np.array(self.high)
        # from the middle, so that 0 of a range about it is hit exactly
        found = np.rint((array.clip(low, high) - (low + high) / 2) / self.step + (first + last) / 2)
        found = found.clip(first, last)
        if self.reserve:
            found[missing] = np.iinfo(self.dtype).min
        return np.asarray(found, self.dtype)

    def restore(self, values: Any, dtype: DTypeLike = "float32") -> NDArray[Any]:
        """Return the values of levels; a ValueError for a missing one in a dtype without NaN."""
        first, last = self._levels()
        levels = np.asarray(values, np.float64)
        middle = (np.array(self.low) + np.array(self.high)) / 2
        found = (levels - (first + last) / 2) * self.step + middle
        if self.reserve and (missing := np.broadcast_to(levels < first, found.shape)).any():
            if np.dtype(dtype).kind != "f":
                raise ValueError(
                    f"Quantizer.restore: {np.dtype(dtype)} has no NaN for the values that are missing"
                )
            found = np.where(missing, np.nan, found)
        return np.asarray(found, dtype)

    def state(self) -> dict[str, Any]:
        """Return the numbers, as a small dict that JSON can hold."""
        low, high = list(self.low), list(self.high)
        return {"low": low, "high": high, "dtype": self.dtype, "reserve": self.reserve}

    @classmethod
    def from_state(cls, state: Any) -> Self:
        """Return the quantizer of a state; a ValueError for what is none."""
        names, later = ("low", "high", "dtype"), {"reserve": False}
        low, high, dtype, reserve = take_state("Quantizer", state, names, later)
        return cls(low, high, dtype, bool(reserve))
