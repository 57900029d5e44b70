"""DatasetIndex: the ids of the items of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bf_index.arguments import as_positions
from bf_index.batches import BatchIterator
from bf_index.errors import suggest
from bf_index.ids import Ids, Lookup, as_ids, digest, find_in_range, gather, items_of, join_ids
from bf_index.order import Order, Positions
from bf_index.plan import check_order, make_plan
from bf_index.seeding import check_seed
from bf_index.split import Split, fold_positions, shard_positions, split_positions

_SHOWN = 3
_COMPARED = 20_000
"""Close matches of an unknown id are looked for among the first so many ids."""


class DatasetIndex:
    """Unique ids in a fixed order.

    Parameters
    ----------
    index : int n for the ids 0..n-1 (O(1) memory) | 1-d array-like of unique ids (integers, strings, dates
        or any hashable objects of one type) | DatasetIndex | callable that returns one of these

    Raises
    ------
    ValueError : no ids, repeated ids, or more than one dimension
    TypeError : ids of mixed types, or something that is no sequence of ids

    >>> index = DatasetIndex(["a", "b", "c"])
    >>> len(index), index.positions("b"), list(index.subset([2, 0]))
    (3, 1, ['c', 'a'])
    """

    __slots__ = ("__weakref__", "_hash", "_ids", "_iterator", "_lookup", "_parent", "_shard", "_where")

    _has_more: ClassVar[bool] = False
    """Whether subsets take over attributes beside the ids; subclasses set it by having some."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._has_more = True

    def __init__(self, index: Any) -> None:
        self._ids: Ids | None = as_ids(self.build_index(index))
        self._forget(None, None, index._shard if isinstance(index, DatasetIndex) else ())

    def build_index(self, index: Any) -> Any:
        """Return what the ids are made of; the hook for subclasses that find their ids themselves."""
        if isinstance(index, DatasetIndex):
            return index._store()
        return index() if callable(index) else index

    def _forget(self, parent: DatasetIndex | None, where: Any, shard: tuple[int, ...] = ()) -> None:
        self._parent = parent
        self._where = where
        self._shard = shard
        self._hash: str | None = None
        self._lookup: Lookup | None = None
        self._iterator: tuple[Any, BatchIterator[Any]] | None = None

    def _store(self) -> Ids:
        """Return the ids; a subset looks them up in its parent the first time that it needs them.

        Threads may do so at once: nothing that another of them reads is taken away.
        """
        ids = self._ids
        if ids is None:
            ids = gather(self._parent._store(), self._where)  # type: ignore[union-attr]
            if isinstance(ids, np.ndarray):
                ids.setflags(write=False)
            self._ids = ids
        return ids

    # What is inside

    @property
    def indices(self) -> NDArray[Any]:
        """The ids as a read-only 1-d array; made anew at each reading for ids 0..n-1."""
        ids = self._store()
        return np.arange(ids.start, ids.stop, ids.step) if isinstance(ids, range) else ids

    @property
    def index(self) -> Self:
        """The index itself: an index, a data set and a batch can be asked alike."""
        return self

    def __len__(self) -> int:
        if self._ids is not None:
            return len(self._ids)
        where = self._where
        if type(where) is not slice:
            return len(where)
        return (
            where.stop - where.start
            if where.step is None
            else len(range(where.start, where.stop, where.step))
        )

    def __iter__(self) -> Iterator[Any]:
        return iter(items_of(self._store()))

    def __contains__(self, item: object) -> bool:
        return self._find(item) is not None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DatasetIndex):
            return NotImplemented
        return len(self) == len(other) and self.content_hash() == other.content_hash()

    def __hash__(self) -> int:
        return hash(self.content_hash())

    def __repr__(self) -> str:
        first = ", ".join(map(repr, islice(self, _SHOWN)))
        more = ", ..." if len(self) > _SHOWN else ""
        return f"{type(self).__name__}({len(self)} items: {first}{more})"

    def content_hash(self) -> str:
        """Return a hash of the ids in their order: the same on every machine, another for other data."""
        if self._hash is None:
            self._hash = digest(self._store())
        return self._hash

    # Positions and subsets

    def _find(self, item: Any) -> int | None:
        if self._lookup is None:
            self._lookup = Lookup(self._store())
        return self._lookup.find(item)

    def _position(self, item: Any) -> int:
        if (found := self._find(item)) is not None:
            return found
        hint = suggest(item, list(islice(self, _COMPARED))) if isinstance(item, str) else ""
        raise KeyError(f"unknown id {item!r} of {self!r}{hint}")

    def positions(self, ids: Any) -> Any:
        """Return where ids are: an int for one id, int64 for several, a slice for a slice of ids.

        KeyError with close matches when an id is not in the index.
        """
        if isinstance(ids, slice):
            start, stop = (None if end is None else self._position(end) for end in (ids.start, ids.stop))
            return slice(start, stop, ids.step)
        if isinstance(ids, DatasetIndex):
            ids = ids.indices
        if isinstance(ids, np.ndarray) and ids.ndim:
            store = self._store()
            if isinstance(store, range) and ids.dtype.kind in "iu":
                return find_in_range(store, ids, repr(self))
            ids = ids.tolist()
        if isinstance(ids, (list, range)) or (isinstance(ids, Sequence) and not self._is_id(ids)):
            return np.fromiter(map(self._position, ids), np.int64, len(ids))
        return self._position(ids)

    def _is_id(self, value: Any) -> bool:
        return isinstance(value, (str, bytes)) or self._find(value) is not None

    def subset(self, positions: Positions | ArrayLike) -> Self:
        """Return the items at positions: a slice, integers, or a mask of one bool per item.

        IndexError outside the index. The result looks its ids up in this index when they are first needed.
        """
        where: Any = positions
        if type(where) is slice:
            start, stop = where.start, where.stop
            if where.step is not None or start is None or stop is None or not 0 <= start < stop <= len(self):
                where = as_positions(where, len(self))
        elif type(where) is not np.ndarray or where.flags.writeable:
            # Read-only arrays are what iterators and splits give: right by construction.
            where = as_positions(where, len(self))
        new = object.__new__(type(self))
        new._ids = None
        new._forget(self, where, self._shard)
        if self._has_more:
            self._pass_on(new)
        return new

    def _pass_on(self, new: Self) -> None:
        """Copy to a subset what this index has beside its ids; for subclasses to extend."""
        if more := getattr(self, "__dict__", None):
            new.__dict__.update(more)

    def create_subset(self, ids: Any) -> Self:
        """Return the items with the given ids, in the order given; KeyError for an unknown one."""
        found = self.positions(ids)
        return self.subset(found if isinstance(found, (slice, np.ndarray)) else [found])

    def filter(self, predicate: Callable[[Any], bool]) -> Self:
        """Return the items whose ids a predicate accepts; ValueError when there are none."""
        kept = np.fromiter(map(bool, map(predicate, self)), bool, len(self))
        if not kept.any():
            raise ValueError(f"filter: the predicate accepts none of {len(self)} ids ({self!r})")
        return self.subset(kept)

    def __add__(self, other: Any) -> Self:
        """Return an index of these ids followed by others, which must be new and of the same type."""
        if not isinstance(other, (DatasetIndex, list, tuple, range, np.ndarray)):
            return NotImplemented
        return self.concat(self, other)

    @classmethod
    def concat(cls, *indices: Any) -> Self:
        """Return one index of the ids of several, in their order; ValueError when an id comes twice."""
        new = object.__new__(cls)
        new._ids = join_ids([part._store() if isinstance(part, DatasetIndex) else part for part in indices])
        new._forget(None, None)
        if isinstance(indices[0], cls) and cls._has_more:
            indices[0]._pass_on(new)
        return new

    # Parts

    def split(
        self,
        shares: float | Sequence[float] = 0.8,
        shuffle: bool = False,
        seed: int | None = None,
        stratify: ArrayLike | None = None,
    ) -> Split[Self]:
        """Return train, test and validation parts.

        Parameters
        ----------
        shares : share of train | (train, test) | (train, test, validation); the rest goes to the next
        shuffle : deal the items out in random order
        seed : makes the order reproducible; drawn when None, and reported as ``.seed``
        stratify : labels, one per item; each part gets the classes in the same proportions
        """
        return split_positions(len(self), shares, shuffle, seed, stratify).map(self.subset)

    def folds(
        self, n: int, shuffle: bool = False, seed: int | None = None, stratify: ArrayLike | None = None
    ) -> tuple[Split[Self], ...]:
        """Return n cross-validation folds, each with ``.train`` and ``.test``; arguments as in ``split``."""
        return tuple(fold.map(self.subset) for fold in fold_positions(len(self), n, shuffle, seed, stratify))

    def shard(self, number: int, count: int, even: bool = False) -> Self:
        """Return every count-th item from item ``number`` on: what worker ``number`` of ``count`` takes.

        Together the shards are the whole index. With ``even`` they are all of one length and up to
        ``count - 1`` last items are left out. Shards of one seed shuffle and draw each in its own way.
        """
        part = self.subset(shard_positions(len(self), number, count, even))
        part._shard = (*self._shard, number, count)
        return part

    # Batches

    def gen_batch(
        self,
        batch_size: int,
        shuffle: bool = False,
        n_epochs: int | None = None,
        n_iters: int | None = None,
        drop_last: bool = False,
        seed: int | None = None,
        order: Order | None = None,
        cross_epochs: bool = False,
    ) -> BatchIterator[Self]:
        """Return an iterator over batches, one epoch by default.

        Parameters
        ----------
        batch_size : items in a batch, at most the number of items
        shuffle : each epoch in a random order of its own
        n_epochs, n_iters : how many epochs or batches; at most one of the two
        drop_last : leave out the short batch at the end of an epoch
        seed : makes the order reproducible; drawn when None, and reported as ``.seed`` of the iterator
        order : Sequential(), Shuffled(), Weighted(weights) or Balanced(labels) in place of ``shuffle``
        cross_epochs : cut batches over the border of epochs, so that only the very last may be short
        """
        if n_epochs is None and n_iters is None:
            n_epochs = 1
        limits = {
            "n_epochs": n_epochs,
            "n_iters": n_iters,
            "drop_last": drop_last,
            "cross_epochs": cross_epochs,
        }
        plan = make_plan(len(self), batch_size, check_order(shuffle, order), shard=self._shard, **limits)
        return BatchIterator(self, plan, check_seed(seed))

    def endless(
        self,
        batch_size: int,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int | None = None,
        order: Order | None = None,
        cross_epochs: bool = False,
    ) -> BatchIterator[Self]:
        """Return an iterator over batches of one epoch after another, without end."""
        limits = {"drop_last": drop_last, "cross_epochs": cross_epochs}
        plan = make_plan(len(self), batch_size, check_order(shuffle, order), shard=self._shard, **limits)
        return BatchIterator(self, plan, check_seed(seed))

    def next_batch(
        self,
        batch_size: int,
        shuffle: bool = False,
        n_epochs: int | None = None,
        n_iters: int | None = None,
        drop_last: bool = False,
        seed: int | None = None,
        order: Order | None = None,
        cross_epochs: bool = False,
    ) -> Self:
        """Return the next batch of an iteration that the index remembers; endless unless told how long.

        The first call makes the iteration from the arguments, which are those of ``gen_batch``; later calls
        must repeat them (ValueError otherwise). StopIteration at the end, until ``reset()``.
        """
        wanted = (batch_size, shuffle, n_epochs, n_iters, drop_last, seed, order, cross_epochs)
        if self._iterator is None:
            if n_epochs is None and n_iters is None:
                made = self.endless(batch_size, shuffle, drop_last, seed, order, cross_epochs)
            else:
                made = self.gen_batch(*wanted)
            self._iterator = wanted, made
        begun, iterator = self._iterator
        if begun != wanted:
            raise ValueError(
                f"next_batch: began with the arguments {begun}, got {wanted}; reset() begins anew"
            )
        return next(iterator)

    def reset(self) -> None:
        """Forget the iteration of ``next_batch``; the next call begins another."""
        self._iterator = None

    # Pickling: a subset goes with its own ids, not with those of its parent

    def __getstate__(self) -> dict[str, Any]:
        return {**getattr(self, "__dict__", {}), "_ids": self._store(), "_shard": self._shard}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._forget(None, None)
        for name, value in state.items():
            setattr(self, name, value)
        if isinstance(self._ids, np.ndarray):
            self._ids.setflags(write=False)
