"""Where to cut: positions of train, test and validation parts, of folds and of shards."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from bf_index.arguments import check_bool, check_count
from bf_index.order import Positions, class_codes
from bf_index.permutation import permute
from bf_index.seeding import check_seed

_SHOWN = 5
_SPLIT = 105
"""First number of the address of the order in which a shuffled split deals items out."""

PartT = TypeVar("PartT")
NewT = TypeVar("NewT")


@dataclass(frozen=True, slots=True)
class Split(Generic[PartT]):
    """Parts of a data set; a part that was given no share is None.

    >>> from bf_index import DatasetIndex
    >>> train, test, validation = DatasetIndex(10).split([0.6, 0.3])
    >>> len(train), len(test), len(validation)
    (6, 3, 1)
    """

    train: PartT | None
    test: PartT | None
    validation: PartT | None = None
    seed: int | None = None

    def __iter__(self) -> Iterator[PartT | None]:
        return iter((self.train, self.test, self.validation))

    def map(self, function: Callable[[PartT], NewT]) -> Split[NewT]:
        """Return the split of what a function makes of each part; parts that are None stay so."""
        train, test, validation = (None if part is None else function(part) for part in self)
        return Split(train, test, validation, self.seed)


def split_sizes(n: int, shares: float | Sequence[float] = 0.8) -> tuple[int, int, int]:
    """Return how many of n items go to train, test and validation.

    One share is that of train and the rest is test; of two the rest is validation; three are all. Every share
    above 0 gets at least one item, and what rounding leaves goes to train.

    >>> split_sizes(10), split_sizes(10, (0.6, 0.3)), split_sizes(10, (0.5, 0.5, 0))
    ((8, 2, 0), (6, 3, 1), (5, 5, 0))
    """
    given = _check_shares(shares)
    full = [*given, max(1 - sum(given), 0.0)][:3] if len(given) < 3 else given
    full = [share if share > 1e-9 else 0.0 for share in full] + [0.0] * (3 - len(full))
    wanted = sum(share > 0 for share in full)
    if n < wanted:
        raise ValueError(f"split: {n} items can't be split into {wanted} parts (shares {shares!r})")
    sizes = [max(int(np.round(share * n)), 1) if share else 0 for share in full]
    largest = max(range(3), key=lambda part: full[part])
    spare = 0 if full[0] else largest
    sizes[spare] += n - sum(sizes)
    while sizes[spare] < 1:
        other = max(range(3), key=lambda part: sizes[part])
        sizes[other] -= 1
        sizes[spare] += 1
    return sizes[0], sizes[1], sizes[2]


def _check_shares(shares: Any) -> list[float]:
    values = np.asarray(shares)
    if values.dtype.kind not in "iuf" or values.ndim > 1 or not 1 <= values.size <= 3:
        raise ValueError(
            f"split: shares must be one number or up to three (train, test, validation), got {shares!r}"
        )
    given = [float(value) for value in values.ravel()]
    if not all(0 <= share <= 1 for share in given):
        raise ValueError(f"split: each share must be between 0 and 1, got {shares!r}")
    total = sum(given)
    if total > 1 + 1e-9:
        raise ValueError(f"split: shares must sum to at most 1, got {shares!r} with the sum {total:g}")
    if len(given) == 3 and total < 1 - 1e-9:
        raise ValueError(
            f"split: three shares must sum to 1, got {shares!r} with the sum {total:g};"
            " leave out the last to give validation the rest"
        )
    return given


def split_positions(
    n: int,
    shares: float | Sequence[float] = 0.8,
    shuffle: bool = False,
    seed: int | None = None,
    stratify: Any = None,
) -> Split[Positions]:
    """Return the positions of each part: validation comes first in the order, then test, then train.

    With ``stratify``, one label per item, each part has the classes in the same proportions; a class with too
    few items to be in every part is told by a warning.
    """
    sizes = split_sizes(n, shares)
    seed = check_seed(seed) if check_bool("shuffle", shuffle) else None
    ends = np.cumsum([sizes[2], sizes[1]]).tolist()
    parts: Sequence[Positions]
    if stratify is not None:
        codes = _labels(stratify, n, "split: stratify")
        parts = _stratify(n, sizes, codes, seed)
        _tell_missing(parts, codes, stratify)
    elif seed is None:
        bounds = [0, *ends, n]
        parts = [slice(low, high) for low, high in pairwise(bounds)]
    else:
        parts = np.split(permute(0, n, n, seed, _SPLIT), ends)
    validation, test, train = (part if size else None for part, size in zip(parts, reversed(sizes)))
    return Split(train, test, validation, seed)


def _tell_missing(parts: Sequence[Positions], codes: NDArray[np.int64], labels: Any) -> None:
    """Warn of classes that are not in all parts."""
    counts = np.bincount(codes)
    names = np.unique(np.asarray(labels)).tolist()
    missing = []
    for kind, part in zip(("validation", "test", "train"), parts):
        if len(part):  # type: ignore[arg-type]
            lacking = np.flatnonzero(np.bincount(codes[part], minlength=len(counts)) == 0)
            missing += [f"{names[code]!r} ({counts[code]} items) is not in {kind}" for code in lacking]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        warnings.warn(
            f"split: too few items to stratify: class {', class '.join(missing[:_SHOWN])}{more}; "
            "give larger shares, or join rare classes",
            stacklevel=4,
        )


def _labels(labels: Any, n: int, what: str) -> NDArray[np.int64]:
    codes = class_codes(labels, what)
    if len(codes) != n:
        raise ValueError(
            f"{what}: got {len(codes)} labels for {n} items; give one per item, in the order of the index"
        )
    return codes


def _deal(n: int, codes: NDArray[np.int64], seed: int | None) -> NDArray[np.int64]:
    """Return positions ordered by class, within a class shuffled or in their order."""
    order = np.arange(n) if seed is None else permute(0, n, n, seed, _SPLIT)
    dealt: NDArray[np.int64] = order[np.argsort(codes[order], kind="stable")]
    return dealt


def _stratify(
    n: int, sizes: tuple[int, int, int], codes: NDArray[np.int64], seed: int | None
) -> list[NDArray[np.int64]]:
    """Cut each class so that parts have exactly their sizes and proportions are off by less than an item."""
    counts = np.bincount(codes)
    taken = np.zeros((3, len(counts)), np.int64)
    left, remaining = counts.copy(), n
    for part, size in enumerate((sizes[2], sizes[1])):
        taken[part] = _apportion(left, size, remaining)
        left, remaining = left - taken[part], remaining - size
    taken[2] = left
    starts = np.cumsum(counts) - counts
    by_class = _deal(n, codes, seed)
    parts = []
    for part in range(3):
        lows = starts + taken[:part].sum(axis=0)
        pieces = [by_class[low : low + size] for low, size in zip(lows, taken[part])]
        parts.append(np.sort(np.concatenate(pieces)))
    if seed is None:
        return parts
    return [part[permute(0, len(part), len(part), seed, _SPLIT, number)] for number, part in enumerate(parts)]


def _apportion(counts: NDArray[np.int64], size: int, total: int) -> NDArray[np.int64]:
    """Share ``size`` out over classes in proportion to their counts, the largest remainders first."""
    if not size:
        return np.zeros_like(counts)
    exact = counts * (size / total)
    given: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    most = np.argsort(given - exact, kind="stable")
    given[most[: size - int(given.sum())]] += 1
    return given


def fold_positions(
    n: int, folds: int, shuffle: bool = False, seed: int | None = None, stratify: Any = None
) -> tuple[Split[Positions], ...]:
    """Return train and test positions of each fold; the test parts together hold each item once."""
    count = check_count("folds", folds, 2)
    if count > n:
        raise ValueError(f"folds: {n} items can't be cut into {count} folds")
    seed = check_seed(seed) if check_bool("shuffle", shuffle) else None
    if stratify is None:
        order = np.arange(n) if seed is None else permute(0, n, n, seed, _SPLIT)
        tests = np.array_split(order, count)
    else:
        codes = _labels(stratify, n, "folds: stratify")
        smallest = int(np.bincount(codes).min())
        if smallest < count:
            warnings.warn(
                f"folds: the smallest class has {smallest} items, fewer than {count} folds, so some lack it",
                stacklevel=3,
            )
        # Dealing the items of one class after another like cards keeps both classes and sizes even.
        by_class = _deal(n, codes, seed)
        tests = [np.sort(by_class[number::count]) for number in range(count)]
    return tuple(Split(_complement(test, n), test, seed=seed) for test in tests)


def _complement(test: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    keep = np.ones(n, bool)
    keep[test] = False
    return np.flatnonzero(keep)


def shard_positions(n: int, number: int, count: int, even: bool = False) -> slice:
    """Return the positions of shard ``number`` of ``count``: every count-th item, from item ``number`` on.

    Sizes differ by at most one; with ``even`` the items that don't divide are left out, so that workers
    in lock step make equally many steps.
    """
    count = check_count("count", count, 1)
    number = check_count("number", number, 0)
    if number >= count:
        raise ValueError(f"shard: number must be 0..{count - 1} for count={count}, got {number}")
    if count > n:
        raise ValueError(f"shard: {n} items can't be shared by {count} shards")
    stop = n // count * count if check_bool("even", even) else n
    return slice(number, stop, count)
