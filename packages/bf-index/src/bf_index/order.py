"""Orders: which position comes when in each epoch, as pure functions of (epoch, place, length, seed)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bf_index.permutation import Permutation, permute
from bf_index.seeding import words_at

Positions = NDArray[np.int64] | slice
"""Positions in an index: a slice where they are contiguous, otherwise int64."""

_SHUFFLE, _WEIGHT, _CLASS, _MEMBER = 101, 102, 103, 104
"""First numbers of the addresses that orders draw from; the rest of the framework uses small numbers."""


_HUGE = 1e200
"""Larger weights may have a sum that is no finite number."""


@runtime_checkable
class Order(Protocol):
    """An order of positions, as ``gen_batch(order=...)`` takes it."""

    def epoch_length(self, n: int) -> int:
        """Return how many positions an epoch over n items has; ValueError when the order is not for n."""

    def block(self, epoch: int, start: int, stop: int, n: int, seed: int) -> Positions:
        """Return the positions at places start..stop-1 of an epoch."""

    def fingerprint(self) -> str:
        """Return a text that is equal for equal orders; a saved state is refused by another order."""


@dataclass(frozen=True)
class Sequential:
    """The order of the index itself."""

    def epoch_length(self, n: int) -> int:
        """Return n."""
        return n

    def block(self, epoch: int, start: int, stop: int, n: int, seed: int) -> slice:
        """Return the places themselves, as a slice."""
        return slice(start, stop)

    def fingerprint(self) -> str:
        """Return the order's name."""
        return "sequential"


@dataclass(frozen=True)
class Shuffled:
    """Each epoch a permutation of its own, computed where it is needed: O(1) memory for any length."""

    def epoch_length(self, n: int) -> int:
        """Return n."""
        return n

    def block(self, epoch: int, start: int, stop: int, n: int, seed: int) -> NDArray[np.int64]:
        """Return positions of the epoch's permutation."""
        return permute(start, stop, n, seed, _SHUFFLE, epoch)

    def fingerprint(self) -> str:
        """Return the order's name."""
        return "shuffled"


@dataclass(frozen=True, eq=False)
class Weighted:
    """Items drawn with chances in proportion to their weights.

    Parameters
    ----------
    weights : 1-d array of finite numbers >= 0, one per item
    replacement : with True an item may come many times an epoch; with False an epoch is a
        permutation in which heavy items tend to come early
    draws : positions in an epoch; by default the number of items, without replacement of those with a weight

    An item of weight 0 is never drawn.

    >>> from bf_index import DatasetIndex
    >>> batch = next(DatasetIndex(3).gen_batch(2, order=Weighted([0, 1, 0]), seed=1))
    >>> list(batch)
    [1, 1]
    """

    weights: ArrayLike
    replacement: bool = True
    draws: int | None = None
    _values: NDArray[np.float64] = field(init=False, repr=False)
    _bounds: NDArray[np.float64] = field(init=False, repr=False)
    _latest: tuple[int, int, NDArray[np.int64]] | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        values = np.array(self.weights, np.float64)
        if values.ndim != 1 or not values.size:
            raise ValueError(f"Weighted: weights must be 1-d and not empty, got shape {values.shape}")
        wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
        if wrong.size:
            raise ValueError(
                f"Weighted: weights must be finite and >= 0, got {values[wrong[0]]} at position {wrong[0]}"
            )
        if not values.any():
            raise ValueError("Weighted: all weights are 0, nothing could be drawn")
        if self.draws is not None and self.draws < 1:
            raise ValueError(f"Weighted: draws must be at least 1, got {self.draws}")
        most = np.count_nonzero(values)
        if self.draws is not None and not self.replacement and self.draws > most:
            raise ValueError(
                f"Weighted: {self.draws} draws from {most} items with a weight above 0 need replacement=True"
            )
        values.setflags(write=False)
        shares = values / values.max() if values.max() > _HUGE else values
        object.__setattr__(self, "_values", values)
        object.__setattr__(self, "_bounds", np.cumsum(shares / shares.sum()))

    def epoch_length(self, n: int) -> int:
        """Return the number of draws; ValueError unless there is one weight per item."""
        _check_length("Weighted", "weights", len(self._values), n)
        if self.draws is not None:
            return self.draws
        return n if self.replacement else int(np.count_nonzero(self._values))

    def block(self, epoch: int, start: int, stop: int, n: int, seed: int) -> NDArray[np.int64]:
        """Return the positions drawn at places start..stop-1."""
        if self.replacement:
            chances = _as_fractions(words_at(start, stop, seed, _WEIGHT, epoch)) * self._bounds[-1]
            drawn: NDArray[np.int64] = np.searchsorted(self._bounds, chances, side="right")
            # A product that rounds up to the last bound would fall past the last item with a weight.
            last = np.flatnonzero(self._values)[-1]
            np.minimum(drawn, last, out=drawn)
            return drawn
        return self._arrivals(epoch, seed)[start:stop]

    def _arrivals(self, epoch: int, seed: int) -> NDArray[np.int64]:
        """Return the order of an epoch without replacement; the latest is kept for the blocks to come."""
        latest = self._latest
        if latest is not None and latest[:2] == (epoch, seed):
            return latest[2]
        chances = _as_fractions(words_at(0, len(self._values), seed, _WEIGHT, epoch))
        # Exponential times with rates = weights: the order of arrival is a draw without replacement.
        with np.errstate(divide="ignore", invalid="ignore"):
            times = -np.log1p(-chances) / (self._values / self._values.max())
        times[self._values == 0] = np.nan  # after all others, those of an infinite time too
        arrivals: NDArray[np.int64] = np.argsort(times, kind="stable")
        object.__setattr__(self, "_latest", (epoch, seed, arrivals))
        return arrivals

    def fingerprint(self) -> str:
        """Return the order's name and a digest of its weights."""
        return f"weighted:{self.replacement}:{self.draws}:{_digest(self._values)}"


@dataclass(frozen=True, eq=False)
class Balanced:
    """Items drawn so that every class comes equally often, whatever its size.

    Any ``k * number of classes`` consecutive places that start at a multiple of the number of classes
    hold each class exactly k times. Within a class items come in a permutation, anew each time it is
    used up; small classes repeat.

    Parameters
    ----------
    labels : 1-d array-like, the class of each item
    draws : positions in an epoch; the number of items by default

    >>> from bf_index import DatasetIndex
    >>> order = Balanced(["cat", "cat", "cat", "dog"])
    >>> sorted(next(DatasetIndex(4).gen_batch(2, order=order, seed=0)))[1]
    3
    """

    labels: Sequence[Any] | NDArray[Any]
    draws: int | None = None
    _members: tuple[NDArray[np.int64], ...] = field(init=False, repr=False)
    _codes: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        codes = class_codes(self.labels, "Balanced")
        if self.draws is not None and self.draws < 1:
            raise ValueError(f"Balanced: draws must be at least 1, got {self.draws}")
        by_class = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes))
        object.__setattr__(self, "_codes", codes)
        object.__setattr__(self, "_members", tuple(np.split(by_class, ends[:-1])))

    def epoch_length(self, n: int) -> int:
        """Return the number of draws; ValueError unless there is one label per item."""
        _check_length("Balanced", "labels", len(self._codes), n)
        return n if self.draws is None else self.draws

    def block(self, epoch: int, start: int, stop: int, n: int, seed: int) -> NDArray[np.int64]:
        """Return the positions drawn at places start..stop-1."""
        count = len(self._members)
        first, last = start // count, -(-stop // count)
        words = words_at(first * count, last * count, seed, _CLASS, epoch).reshape(-1, count)
        classes = np.argsort(words, axis=1, kind="stable").ravel()[
            start - first * count : stop - first * count
        ]
        turns = np.arange(start, stop) // count
        positions = np.empty(stop - start, np.int64)
        for code, members in enumerate(self._members):
            places = np.flatnonzero(classes == code)
            if places.size:
                passes, turn = np.divmod(turns[places], len(members))
                for number in np.unique(passes):
                    chosen = passes == number
                    order = Permutation(len(members), seed, _MEMBER, epoch, code, int(number))
                    positions[places[chosen]] = members[order.at(turn[chosen])]
        return positions

    def fingerprint(self) -> str:
        """Return the order's name and a digest of its labels."""
        return f"balanced:{self.draws}:{_digest(self._codes)}"


def class_codes(labels: Any, owner: str) -> NDArray[np.int64]:
    """Return labels as numbers 0..k-1 in the order of the sorted classes; ValueError unless 1-d."""
    array = np.asarray(labels)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{owner}: labels must be 1-d and not empty, got shape {array.shape}")
    try:
        return np.unique(array, return_inverse=True)[1].astype(np.int64)
    except TypeError as error:
        raise TypeError(f"{owner}: labels must be of one type that can be sorted: {error}") from None


def _check_length(owner: str, what: str, got: int, n: int) -> None:
    if got != n:
        raise ValueError(
            f"{owner}: got {got} {what} for an index of {n} items; give one per item, in its order"
        )


def _as_fractions(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Turn 64-bit words into floats in [0, 1), each a multiple of 2**-53."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _digest(values: NDArray[Any]) -> str:
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return hashlib.blake2b(little.tobytes(), digest_size=16).hexdigest()
