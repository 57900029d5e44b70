"""Mean, deviation and range of data that come part by part: one pass, stable, resumable."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bf_batch.dtypes import white_of
from bf_batch.transforms.saved import Saved, take_state

_BLOCK = 1 << 15
"""Numbers that are worked on at once, so that they stay in the cache."""
_NUMBERS = frozenset("biuf")


class Statistics(Saved):
    """Mean, deviation, least and greatest of each channel, gathered part by part in float64.

    Parts are joined by the formula of Chan, Golub and LeVeque (1979), which loses no digits where all values
    are large and their deviation small. Channels are the last axis, or with ``by_channel=False`` all values
    are one. With ``relative`` integers are divided by the greatest number of their dtype, as
    ``ImagesBatch.normalize`` does. ``update`` takes in other statistics, so that a variable of a pipeline may
    gather them: ``.update(V('statistics'), F(Statistics.of)(B('images')), 'u')``.

    >>> statistics = Statistics().add([[1.0, 10], [3.0, 30]]).add([[5.0, 50]])
    >>> statistics.mean.tolist(), statistics.std.round(3).tolist(), statistics.count
    ([3.0, 30.0], [1.633, 16.33], 3.0)
    """

    kind = "statistics"

    def __init__(self, by_channel: bool = True, relative: bool = False) -> None:
        self.by_channel = by_channel
        self.relative = relative
        self.count = 0.0
        self._mean: NDArray[np.float64] = np.empty(0)
        self._squares: NDArray[np.float64] = np.empty(0)
        self._low: NDArray[np.float64] = np.empty(0)
        self._high: NDArray[np.float64] = np.empty(0)

    @classmethod
    def of(cls, values: Any, by_channel: bool = True, relative: bool = False) -> Self:
        """Return the statistics of one array, or of the arrays of a list."""
        made = cls(by_channel, relative)
        for part in values if isinstance(values, (list, tuple)) else [values]:
            made.add(part)
        return made

    @classmethod
    def measure(
        cls, batches: Iterable[Any], component: str, by_channel: bool = True, relative: bool = False
    ) -> Self:
        """Return the statistics of a component over batches, in one pass."""
        made = cls(by_channel, relative)
        for batch in batches:
            made.update(cls.of(getattr(batch, component), by_channel, relative))
        return made

    def add(self, values: Any, weight: float | None = None) -> Self:
        """Take an array (..., channels) in; it counts as its number of values, or as ``weight`` in all.

        A ValueError for numbers that are not finite, another number of channels, or what are no numbers.
        """
        array = np.asarray(values)
        if array.dtype.kind not in _NUMBERS:
            raise ValueError(f"Statistics.add: got dtype {array.dtype}; give an array of numbers")
        if weight is not None and not (weight > 0 and math.isfinite(weight)):
            raise ValueError(f"Statistics.add: weight must be positive, got {weight!r}")
        rows = array.reshape(-1, array.shape[-1]) if self.by_channel and array.ndim else array.reshape(-1, 1)
        if not rows.size:
            return self
        top = white_of(array.dtype) if self.relative else 1.0
        part = type(self)(self.by_channel, self.relative)
        step = max(_BLOCK // rows.shape[1], 1)
        for start in range(0, len(rows), step):
            part._join(*_measure(rows[start : start + step], top))
        if not np.isfinite(part._squares).all():
            channel = int(np.flatnonzero(~np.isfinite(part._squares))[0])
            raise ValueError(
                f"Statistics.add: channel {channel} has a number that is not finite, or too large to square"
            )
        if weight is not None:
            part._squares *= weight / part.count
            part.count = float(weight)
        return self.update(part)

    def update(self, other: Statistics) -> Self:
        """Take other statistics in, as if their values had come here."""
        if not isinstance(other, Statistics):
            raise TypeError(
                f"Statistics.update: got {type(other).__name__}; give Statistics, or add() the values"
            )
        if (self.by_channel, self.relative) != (other.by_channel, other.relative):
            raise ValueError(
                f"Statistics.update: by_channel={self.by_channel}, relative={self.relative} here, and "
                f"by_channel={other.by_channel}, relative={other.relative} in those given"
            )
        if other.count:
            self._join(other.count, other._mean, other._squares, other._low, other._high)
        return self

    def _join(self, count: float, mean: Any, squares: Any, low: Any, high: Any) -> None:
        if not self.count:
            self._mean, self._squares, self._low, self._high = (a.copy() for a in (mean, squares, low, high))
        elif len(mean) != len(self._mean):
            raise ValueError(
                f"Statistics: got values of {len(mean)} channels after some of {len(self._mean)}; channels "
                "are the last axis (by_channel=False takes all values as one)"
            )
        else:
            total, apart = self.count + count, mean - self._mean
            self._mean += apart * (count / total)
            self._squares += squares + apart**2 * (self.count * count / total)
            np.minimum(self._low, low, out=self._low)
            np.maximum(self._high, high, out=self._high)
        self.count += count

    # What is known

    def _ask(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self.count:
            raise ValueError("Statistics: no values came yet; add() some")
        return values.copy()

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean of each channel."""
        return self._ask(self._mean)

    @property
    def std(self) -> NDArray[np.float64]:
        """The deviation of each channel, that of all values (``ddof=0``)."""
        return np.asarray(np.sqrt(self._ask(self._squares) / self.count))

    @property
    def low(self) -> NDArray[np.float64]:
        """The least value of each channel."""
        return self._ask(self._low)

    @property
    def high(self) -> NDArray[np.float64]:
        """The greatest value of each channel."""
        return self._ask(self._high)

    def state(self) -> dict[str, Any]:
        """Return all that is known, as a small dict that JSON can hold: from there gathering goes on."""
        arrays = (self._mean, self._squares, self._low, self._high)
        known = dict(zip(("mean", "squares", "low", "high"), (array.tolist() for array in arrays)))
        return {"by_channel": self.by_channel, "relative": self.relative, "count": self.count, **known}

    @classmethod
    def from_state(cls, state: Any) -> Self:
        """Return the statistics of a state; a ValueError for what is none."""
        names = ("by_channel", "relative", "count", "mean", "squares", "low", "high")
        by_channel, relative, count, *arrays = take_state("Statistics", state, names)
        made = cls(bool(by_channel), bool(relative))
        try:
            read = [np.array(array, np.float64).reshape(-1) for array in arrays]
            made.count = float(count)
        except (TypeError, ValueError) as error:
            raise ValueError(f"Statistics: a state of numbers is needed, got {error}") from error
        good = all(np.isfinite(array).all() for array in read) and (read[1] >= 0).all()
        if not good or len({len(array) for array in read}) != 1 or not 0 <= made.count < math.inf:
            raise ValueError("Statistics: the numbers of the state do not fit together")
        made._mean, made._squares, made._low, made._high = read
        return made

    def __repr__(self) -> str:
        if not self.count:
            return "Statistics(of nothing)"
        return f"Statistics(count={self.count:g}, mean={self.mean.tolist()}, std={self.std.tolist()})"


def _measure(rows: NDArray[Any], top: float) -> tuple[float, Any, Any, Any, Any]:
    """Return count, mean, sum of squares about it, least and greatest of the columns of a few rows."""
    values = np.ascontiguousarray(rows.T, np.float64)  # one channel after another: sums of long rows are fast
    if top != 1.0:
        values /= top
    with np.errstate(all="ignore"):  # what is not finite is told by the caller
        mean, low, high = values.mean(axis=1), values.min(axis=1), values.max(axis=1)
        values -= mean[:, None]
        squares = np.einsum("ij,ij->i", values, values)
    return float(len(rows)), mean, squares, low, high
