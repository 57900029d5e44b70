"""A data set: an index, the class of its batches, and data that is already at hand."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np

from bf_batch.batch import Batch
from bf_batch.data.lazy_rows import LazyRows
from bf_batch.data.sources import DataAway, Rows, Source, compose
from bf_batch.groups import map_parts
from bf_index import (
    BatchIterator,
    DatasetIndex,
    Order,
    Place,
    Split,
    fold_positions,
    shard_positions,
    split_positions,
)
from bf_index.errors import Suggests, unknown


class Dataset(Suggests):
    """Items and how to make batches of them.

    ``preloaded`` is data at hand: a dict from component to container, a tuple in the order of the components
    or a table; a container is an array, a list, a mapping from id to value, a path of an npy file, or a
    memory-mapped, hdf5 or zarr array that is read batch by batch. Row i is the i-th item; a container of more
    rows than items is read by integer ids. Batches see arrays, and arrays in lists, read-only, in whatever
    order; with ``copy=True`` each has copies of its own. ``attributes`` become attributes of the data set and
    of all its parts.

    >>> class Points(Batch):
    ...     components = "x", "y"
    >>> dataset = Dataset(4, Points, preloaded=([1, 2, 3, 4], [0, 1, 0, 1]), unit="m").split(0.5)
    >>> [batch.x for batch in dataset.test.gen_batch(2)], dataset.test.unit
    ([[1, 2]], 'm')
    """

    def __init__(
        self,
        index: DatasetIndex | Sequence[Any] | np.ndarray | int,
        batch_class: type[Batch] = Batch,
        preloaded: Any = None,
        *,
        copy: bool = False,
        **attributes: Any,
    ) -> None:
        if not (isinstance(batch_class, type) and issubclass(batch_class, Batch)):
            raise TypeError(f"batch_class must be a class of batches, got {batch_class!r}")
        for name in attributes:
            if hasattr(Dataset, name) or name in ("index", "batch_class"):
                raise ValueError(f"Dataset: the attribute {name!r} is taken; choose another name")
        self.index = index if isinstance(index, DatasetIndex) else DatasetIndex(index)
        self.batch_class = batch_class
        self.__dict__.update(attributes)
        self._bf_rows: Rows | None = None
        self._bf_parts: dict[str, Dataset] = {}
        self._bf_batches: DatasetBatches | None = None
        self._bf_asked: tuple[Any, ...] = ()
        self._bf_source: Source | DataAway | None = None
        if preloaded is not None:
            self._bf_source = Source(
                preloaded, batch_class.components, batch_class.__name__, self.index, copy
            )

    # Items and data

    def __len__(self) -> int:
        return len(self.index)

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, position: int) -> Any:
        """Return one item by its position: a tuple of the values of its components that are preloaded.

        An item of a batch class without components is its row of the data. Arrays are the caller's own.
        ``IndexError`` past the end; ``TypeError`` for what is no position, or where nothing is preloaded.
        With ``len(dataset)`` it is all that a PyTorch ``DataLoader`` asks for.
        """
        if not hasattr(position, "__index__") or isinstance(position, bool | np.bool_):
            given = f"{position!r} ({type(position).__name__})"
            advice = "for several take dataset.subset(positions), for ids dataset.create_subset(ids)"
            raise TypeError(f"{type(self).__name__}: an item's position is an integer, got {given}; {advice}")
        place = position.__index__()
        if not -len(self) <= place < len(self):
            raise IndexError(
                f"{type(self).__name__}: got position {place} for a data set of {len(self)} items"
            )
        return self.__getitems__([place])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[Any]:
        """Return several items by position, read at once: what a PyTorch ``DataLoader`` calls for a batch."""
        batch = self.create_batch(Place(0, 0, _normalize_positions(positions, len(self))))
        if not batch.components and self.has_data:
            return [_own(item.data) for item in batch]
        values = [value for name in batch.components if (value := getattr(batch, name)) is not None]
        if not values:
            advice = "make batches with a pipeline that loads them; pipeline.to_torch(...) is for PyTorch"
            raise TypeError(f"{self!r}: no component is preloaded, so that an item holds nothing; {advice}")
        return [tuple(_own(value[row]) for value in values) for row in range(len(batch))]

    @property
    def indices(self) -> Any:
        """The items' ids as an array."""
        return self.index.indices

    @property
    def has_data(self) -> bool:
        """Whether there is preloaded data."""
        return self._bf_source is not None

    @property
    def preloaded(self) -> tuple[str, ...]:
        """Names of the components with preloaded data."""
        return self._bf_source.names if self._bf_source is not None else ()

    def rows(self, name: str, positions: Rows) -> Any:
        """Return a component's preloaded values at some positions, None when there are none."""
        if self._bf_source is None:
            return None
        own = self._bf_rows
        return self._bf_source.take(name, positions if own is None else compose(own, positions))

    def unread(self, name: str, positions: Rows) -> LazyRows | None:
        """Return a component's values at some positions without reading them, None where that can't be."""
        if self._bf_source is None or type(self).rows is not Dataset.rows:
            return None
        own = self._bf_rows
        return self._bf_source.unread(name, positions if own is None else compose(own, positions))

    # Batches

    def create_batch(self, items: Place | DatasetIndex | Sequence[Any] | np.ndarray, seed: int = 0) -> Batch:
        """Return a batch of the items at a place, or of some ids; unknown ids are a KeyError."""
        if type(items) is not Place:
            where = self.index.positions(items)
            items = Place(0, 0, _normalize_positions([where] if isinstance(where, int) else where, len(self)))
        return self.batch_class._bf_at(self, items, seed)

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
    ) -> DatasetBatches:
        """Return an iterator over batches, one epoch by default; see ``DatasetIndex.gen_batch``.

        Wrong arguments are refused at this call, not at the first batch.
        """
        given = (batch_size, shuffle, n_epochs, n_iters, drop_last, seed, order, cross_epochs)
        return DatasetBatches(self, self.index.gen_batch(*given))

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
    ) -> Batch:
        """Return the next batch; endless unless ``n_epochs`` or ``n_iters`` is given, then StopIteration.

        Each part of a data set has its own position. Other arguments than those of the calls before are a
        ValueError until ``reset()``.
        """
        asked = (batch_size, shuffle, n_epochs, n_iters, drop_last, seed, order, cross_epochs)
        if self._bf_batches is None:
            if n_epochs is None and n_iters is None:
                places = self.index.endless(batch_size, shuffle, drop_last, seed, order, cross_epochs)
            else:
                places = self.index.gen_batch(*asked)
            self._bf_batches, self._bf_asked = DatasetBatches(self, places), asked
        elif asked != self._bf_asked:
            names = (
                "batch_size",
                "shuffle",
                "n_epochs",
                "n_iters",
                "drop_last",
                "seed",
                "order",
                "cross_epochs",
            )
            changes = [
                f"{name}={new!r} (was {old!r})"
                for name, new, old in zip(names, asked, self._bf_asked)
                if new != old
            ]
            raise ValueError(
                f"next_batch: got {', '.join(changes)} in the middle of a pass; call reset() to begin anew"
            )
        return next(self._bf_batches)

    def reset(self) -> Self:
        """Begin ``next_batch`` anew."""
        self._bf_batches = None
        return self

    # Parts

    def subset(self, positions: Any) -> Self:
        """Return the data set of the items at some positions; data and attributes are shared."""
        positions = _normalize_positions(positions, len(self))
        part = copy.copy(self)
        part.index = self.index.subset(positions)
        part._bf_rows = compose(self._bf_rows, positions)
        part._bf_parts = {}
        part._bf_batches = None
        return part

    def create_subset(self, ids: Any) -> Self:
        """Return the data set of some ids, in their order; unknown ids are a KeyError."""
        return self.subset(self.index.positions(ids.indices if isinstance(ids, DatasetIndex) else ids))

    def with_parts(self, **parts: Any) -> Self:
        """Return the same data set with named parts: positions (a slice or numbers) by name.

        Usual names are ``train``, ``test`` and ``validation``.
        """
        whole = copy.copy(self)
        whole._bf_batches = None
        whole._bf_parts = {
            name: self.subset(positions) for name, positions in parts.items() if positions is not None
        }
        return whole

    def split(
        self, shares: Any = 0.8, shuffle: bool = False, seed: int | None = None, stratify: Any = None
    ) -> Self:
        """Return the same data set with the parts ``train`` and ``test``.

        Two shares or more make the part ``validation``, too. ``stratify`` is one label for each item or the
        name of a preloaded component that holds them.
        """
        return self._bf_of(split_positions(len(self), shares, shuffle, seed, self._bf_labels(stratify)))

    def folds(
        self, n: int, shuffle: bool = False, seed: int | None = None, stratify: Any = None
    ) -> list[Self]:
        """Return n data sets for cross-validation, each with its own ``train`` and ``test``."""
        return [
            self._bf_of(fold)
            for fold in fold_positions(len(self), n, shuffle, seed, self._bf_labels(stratify))
        ]

    def shard(self, number: int, count: int, even: bool = False) -> Self:
        """Return the part of one of ``count`` hosts or workers.

        The shards share no item and make up the whole. With ``even`` all shards have one length and up to
        ``count - 1`` items are left out. Shards of one seed shuffle and draw each in its own way.
        """
        part = self.subset(shard_positions(len(self), number, count, even))
        part.index = self.index.shard(number, count, even)
        return part

    def _bf_of(self, split: Split[Any]) -> Self:
        return self.with_parts(train=split.train, test=split.test, validation=split.validation)

    def _bf_labels(self, stratify: Any) -> Any:
        if not isinstance(stratify, str):
            return stratify
        if stratify not in self.preloaded:
            raise ValueError(
                unknown("preloaded component", stratify, self.preloaded, self.batch_class.__name__)
            )
        return self.rows(stratify, slice(0, len(self)))

    def _bf_part(self, name: str) -> Self:
        try:
            return self._bf_parts[name]  # type: ignore[return-value]
        except KeyError:
            has = (
                f"it has {', '.join(self._bf_parts)}"
                if self._bf_parts
                else "it is not split: dataset = dataset.split()"
            )
            raise AttributeError(f"{type(self).__name__} has no part {name!r}; {has}") from None

    @property
    def train(self) -> Self:
        """The part to train on, after ``split``."""
        return self._bf_part("train")

    @property
    def test(self) -> Self:
        """The part to test on, after ``split``."""
        return self._bf_part("test")

    @property
    def validation(self) -> Self:
        """The part to choose by, after ``split`` with two shares or more."""
        return self._bf_part("validation")

    @property
    def is_split(self) -> bool:
        """Whether there are parts."""
        return bool(self._bf_parts)

    def _bf_without_data(self) -> Self:
        """Return the same data set whose data stay here: what a worker process sees that works on items."""
        away = copy.copy(self)
        if self._bf_source is not None:
            away._bf_source = DataAway(self._bf_source.names)
        away._bf_parts = {name: part._bf_without_data() for name, part in self._bf_parts.items()}
        return away

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_bf_batches": None}

    def __repr__(self) -> str:
        parts = "".join(f", {name} {len(part)}" for name, part in self._bf_parts.items())
        return f"{type(self).__name__}({len(self)} items, {self.batch_class.__name__}{parts})"


Batch._bf_dataset_class = Dataset


class DatasetBatches:
    """Iterator of batches; ``state()`` returns where it is and ``restore()`` goes back there."""

    def __init__(self, dataset: Dataset, places: BatchIterator[Any]) -> None:
        self.dataset = dataset
        self.places = places

    @property
    def seed(self) -> int:
        """The seed given, or the one drawn when none was."""
        return self.places.seed

    @property
    def total(self) -> int | None:
        """How many batches there are in all, None when there is no end."""
        return self.places.total

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return self.dataset.create_batch(self.places.next_place(), self.places.data_seed)

    def state(self) -> dict[str, Any]:
        """Return the position as a small dict that JSON can hold."""
        return self.places.state()

    def restore(self, state: dict[str, Any]) -> Self:
        """Go to a position; the batches that follow are those that followed it then."""
        self.places.restore(state)
        return self


def _normalize_positions(positions: Any, n: int) -> Any:
    """Return positions as a slice of step 1 or as numbers from 0 on."""
    if isinstance(positions, slice):
        start, stop, step = positions.indices(n)
        return slice(start, max(start, stop)) if step == 1 else np.arange(start, stop, step)
    positions = np.asarray(positions)
    if positions.dtype == bool:
        return np.flatnonzero(positions)
    return np.where(positions < 0, positions + n, positions) if positions.size else positions


def _own(value: Any) -> Any:
    """Return an item's value that its owner may change: a copy of what is read-only."""
    if type(value) is tuple or isinstance(value, dict):
        return map_parts(lambda _, part: _own(part), value)
    return value if not isinstance(value, np.ndarray) or value.flags.writeable else value.copy()
