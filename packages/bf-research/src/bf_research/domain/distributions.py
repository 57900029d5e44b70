"""Distributions for options in all three spellings: frozen values that draw from the generator handed in."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, repr=False)
class Interval:
    """Numbers between ``low`` and ``high``, even in the logarithm with ``log``; integers with ``whole``.

    Integers include both ends. ``ValueError`` when the ends are out of order, or not above 0 with ``log``.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        for end in (self.low, self.high):
            if isinstance(end, bool) or not isinstance(end, int | float) or not math.isfinite(end):
                raise ValueError(f"{self}: the ends must be finite numbers, got {end!r}")
        if not self.low < self.high:
            raise ValueError(f"{self}: low must be below high, got {self.low!r} and {self.high!r}")
        if self.log and self.low <= 0:
            raise ValueError(f"{self}: a logarithm needs low above 0, got {self.low!r}")
        if self.whole and not (float(self.low).is_integer() and float(self.high).is_integer()):
            raise ValueError(f"{self}: integers need whole ends, got {self.low!r} and {self.high!r}")

    def sample(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Draw an array of shape (size,), float64 or int64."""
        low, high = (self.low, self.high + 1) if self.whole else (self.low, self.high)
        drawn = (
            np.exp(rng.uniform(math.log(low), math.log(high), size))
            if self.log
            else rng.uniform(low, high, size)
        )
        if self.whole:
            drawn = np.floor(drawn)
        # Rounding in exp may step over an end by one unit.
        kept = np.clip(drawn, self.low, self.high)
        return kept.astype(np.int64) if self.whole else kept

    def __repr__(self) -> str:
        if self.whole:
            return f"integers({self.low!r}, {self.high!r}{', log=True' if self.log else ''})"
        return f"{'loguniform' if self.log else 'uniform'}({self.low!r}, {self.high!r})"


@dataclass(frozen=True, slots=True, repr=False)
class Normal:
    """Normally distributed numbers; ``ValueError`` unless ``std`` is above 0."""

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and math.isfinite(self.std) and self.std > 0):
            raise ValueError(
                f"normal: a finite mean and a std above 0 are needed, got {self.mean!r}, {self.std!r}"
            )

    def sample(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Draw an array of shape (size,), float64."""
        return rng.normal(self.mean, self.std, size)

    def __repr__(self) -> str:
        return f"normal({self.mean!r}, {self.std!r})"


def uniform(low: float, high: float) -> Interval:
    """Numbers between low and high, evenly."""
    return Interval(low, high)


def loguniform(low: float, high: float) -> Interval:
    """Numbers between low and high, evenly in the logarithm: for learning rates."""
    return Interval(low, high, log=True)


def integers(low: int, high: int, log: bool = False) -> Interval:
    """Whole numbers from low to high, both included."""
    return Interval(low, high, log=log, whole=True)


def normal(mean: float = 0.0, std: float = 1.0) -> Normal:
    """Normally distributed numbers."""
    return Normal(mean, std)


# What the text and YAML spellings of a domain may call.
DISTRIBUTIONS: MappingProxyType[str, Callable[..., Any]] = MappingProxyType(
    {"uniform": uniform, "loguniform": loguniform, "integers": integers, "normal": normal}
)
