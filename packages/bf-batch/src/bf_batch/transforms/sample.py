"""A sample of bounded size of data that come part by part: for quantiles of data larger than memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


class Sample:
    """Up to ``size`` rows of all that come, each as likely as any other, in one pass.

    Rows are values along the last axis (channels), or single values with ``by_channel=False``. Every row
    draws a random number, and those of the least numbers stay (bottom-k sampling, Cohen and Kaplan, 2007), so
    that samples of parts join to one of all. Until ``size`` rows came it is all of them, and quantiles are
    exact. Beyond, the share of the data below a quantile of the sample is off by more than
    ``sqrt(log(200) / (2 * size))`` at no more than 1 in 100 samples (Dvoretzky, Kiefer, Wolfowitz; Massart,
    1990): 0.0064 at 65,536 rows. ``seed`` makes it repeatable; samples that are to be joined need different
    ones.

    >>> sample = Sample(size=100, seed=1).add(np.arange(50)[:, None]).add(np.arange(50, 100)[:, None])
    >>> np.quantile(sample.rows, [0.25, 0.75], axis=0).tolist()
    [[24.75], [74.25]]
    """

    def __init__(self, size: int = 1 << 16, by_channel: bool = True, seed: int | None = None) -> None:
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"Sample: size is a number of rows above 0, got {size!r}")
        self.size, self.by_channel = size, by_channel
        #: How many rows came.
        self.count = 0
        self._rng = np.random.default_rng(seed)
        self._rows: NDArray[Any] | None = None
        self._drawn: NDArray[np.float64] = np.empty(0)

    @classmethod
    def measure(
        cls,
        batches: Iterable[Any],
        component: str,
        size: int = 1 << 16,
        by_channel: bool = True,
        seed: int | None = None,
    ) -> Self:
        """Return the sample of a component over batches, in one pass."""
        made = cls(size, by_channel, seed)
        for batch in batches:
            made.add(getattr(batch, component))
        return made

    def add(self, values: Any) -> Self:
        """Take an array (..., channels), or a list of arrays, in.

        A ValueError for numbers that are not finite, another number of channels, or what are no numbers.
        """
        if isinstance(values, list):
            for part in values:
                self.add(part)
            return self
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise ValueError(f"Sample.add: got dtype {array.dtype}; give an array of numbers")
        rows = array.reshape(-1, array.shape[-1]) if self.by_channel and array.ndim else array.reshape(-1, 1)
        if array.dtype.kind == "f" and not np.isfinite(rows).all():
            raise ValueError("Sample.add: got numbers that are not finite")
        drawn = self._rng.random(len(rows))
        if len(self._drawn) == self.size:  # most rows of large data end here
            kept = np.flatnonzero(drawn < self._drawn.max())
            return self._take(rows[kept], drawn[kept], len(rows))
        return self._take(rows, drawn, len(rows))

    def update(self, other: Sample) -> Self:
        """Take in another sample, as if its data had come here; the size stays that of this one."""
        if not isinstance(other, Sample):
            raise TypeError(f"Sample.update: got {type(other).__name__}; give a Sample, or add() the values")
        if self.by_channel != other.by_channel or other.size < min(self.size, other.count):
            raise ValueError(
                f"Sample.update: size={self.size}, by_channel={self.by_channel} here, and size={other.size}, "
                f"by_channel={other.by_channel} in the one given; it must not be smaller"
            )
        if other._rows is not None:
            self._take(other._rows, other._drawn, other.count)
        return self

    def _take(self, rows: NDArray[Any], drawn: NDArray[np.float64], count: int) -> Self:
        if self._rows is not None and rows.shape[1] != self._rows.shape[1]:
            raise ValueError(f"Sample: got {rows.shape[1]} channels after some of {self._rows.shape[1]}")
        self.count += count
        if not len(rows):
            return self
        # copies: a view would keep the whole array that came
        joined = np.array(rows) if self._rows is None else np.concatenate([self._rows, rows])
        numbers = np.concatenate([self._drawn, drawn])
        if len(numbers) > self.size:
            least = np.argpartition(numbers, self.size - 1)[: self.size]
            joined, numbers = joined[least], numbers[least]
        self._rows, self._drawn = joined, numbers
        return self

    @property
    def rows(self) -> NDArray[Any]:
        """The rows that were kept (rows, channels), of the dtype that came; a ValueError before any came."""
        if self._rows is None:
            raise ValueError("Sample: no values came yet; add() some")
        return self._rows.copy()

    def __repr__(self) -> str:
        return f"Sample({len(self._drawn):,} of {self.count:,} rows)"
