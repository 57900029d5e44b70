"""A batch without its actions: items, their components, their random addresses, their parts and copies."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NoReturn, Protocol, Self

import numpy as np
from numpy.random import Generator

from bf_batch.actions import ActionSpec, action
from bf_batch.components import (
    Component,
    check_names,
    declare,
    extend_class,
    kind_of,
    refuse_attribute,
    take_rows,
)
from bf_batch.data.formats import FORMATS, Format
from bf_batch.data.lazy_rows import LazyRows
from bf_batch.data.locks import is_locked, lock_again
from bf_batch.data.sources import Rows, take_batch_values
from bf_batch.errors import ItemError, SkipBatch
from bf_batch.groups import copy_group, has_parts
from bf_batch.items import Item, NeedsBatch, current_item, is_shell, item_class_of
from bf_index import DatasetIndex, Place, rng_at
from bf_index.errors import Suggests, unknown

_STAGE = 0
"""First number of a batch's random address; expressions of a pipeline have another."""


class DatasetLike(Protocol):
    """Data set as a batch sees it: the ids of all items, and their preloaded values by position."""

    @property
    def index(self) -> DatasetIndex:
        """The ids of all items."""
        ...

    @property
    def has_data(self) -> bool:
        """Whether there is preloaded data."""
        ...

    def rows(self, name: str, positions: Rows) -> Any:
        """Return a component's preloaded values at some positions, None when there are none."""
        ...

    def unread(self, name: str, positions: Rows) -> LazyRows | None:
        """Return those values unread, None where they must be read."""
        ...


class BatchCore(Suggests):
    """The items of a batch, their components and their random numbers; ``Batch`` adds the actions."""

    components: ClassVar[tuple[str, ...]] = ()
    actions: ClassVar[Mapping[str, ActionSpec]] = MappingProxyType({})
    formats: ClassVar[Mapping[str, Format]] = FORMATS
    apply_defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    worker_modules: ClassVar[tuple[str, ...]] = ()
    """Modules that are imported once for all worker processes of a pipeline; they must start no thread."""
    _bf_settable: ClassVar[frozenset[str]] = frozenset({"step", "seed", "place", "dataset"})
    _bf_plain_class: ClassVar[type[BatchCore] | None] = None

    dataset: DatasetLike | None
    place: Place | None
    seed: int
    step: int = 0
    skipped: Sequence[ItemError] = ()
    """Errors of the items that ``on_error='skip'`` has left out."""
    _bf_data: dict[str, Any]
    _bf_index: DatasetIndex | None
    _bf_positions: Any
    _bf_size: int
    _bf_calls: int = 0
    _bf_call_step: int = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        declare(cls, BatchCore.__annotations__)

    def __init__(
        self,
        index: DatasetIndex | Sequence[Any] | np.ndarray | int | None,
        dataset: DatasetLike | None = None,
        preloaded: Any = None,
        *,
        seed: int = 0,
        place: Place | None = None,
    ) -> None:
        state = self.__dict__  # past __setattr__, which asks whether a name is declared
        state["_bf_data"] = {}
        state["dataset"] = dataset
        state["seed"] = seed
        state["place"] = place
        if index is None:
            if place is None or dataset is None:
                raise TypeError(f"{self._bf_owner()}: give an index, or a dataset and a place in it")
            positions = place.positions
            state["_bf_index"] = None
        else:
            state["_bf_index"] = index = index if isinstance(index, DatasetIndex) else DatasetIndex(index)
            positions = None
            if dataset is not None and dataset.has_data:
                positions = dataset.index.positions(index.indices)
        state["_bf_positions"] = positions
        if positions is None:
            state["_bf_size"] = len(index)  # type: ignore[arg-type]
        elif type(positions) is slice:
            state["_bf_size"] = positions.stop - positions.start
        else:
            state["_bf_size"] = len(positions)
        if preloaded is not None:
            state["_bf_data"] = take_batch_values(self, preloaded)

    @classmethod
    def _bf_at(cls, dataset: DatasetLike, place: Place, seed: int) -> Self:
        """Return the batch at a place of a data set, as calling the class does but in half the time."""
        if cls.__init__ is not BatchCore.__init__:
            return cls(None, dataset, None, seed=seed, place=place)
        batch = object.__new__(cls)
        state = batch.__dict__
        state["_bf_data"] = {}
        state["dataset"] = dataset
        state["seed"] = seed
        state["place"] = place
        state["_bf_index"] = None
        state["_bf_positions"] = positions = place.positions
        size = positions.stop - positions.start if type(positions) is slice else len(positions)
        state["_bf_size"] = size
        return batch

    # Which items

    @property
    def index(self) -> DatasetIndex:
        """The items' ids as an index."""
        if self._bf_index is None:
            assert self.dataset is not None
            self._bf_index = self.dataset.index.subset(self._bf_positions)
        return self._bf_index

    @property
    def indices(self) -> Any:
        """The items' ids as an array."""
        return self.index.indices

    @property
    def size(self) -> int:
        """How many items there are."""
        return self._bf_size  # type: ignore[no-any-return]

    def __len__(self) -> int:
        return self._bf_size  # type: ignore[no-any-return]

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Item]:
        kind = item_class_of(type(self))
        return (kind(self, position) for position in range(len(self)))

    def __getitem__(self, id: Any) -> Item:
        """Return the item of an id; a KeyError when the batch does not hold it."""
        return item_class_of(type(self))(self, int(self.index.positions([id])[0]))

    @property
    def items(self) -> list[Item]:
        """All items, in order; ``batch.items[0]`` is the first one whatever its id."""
        return list(self)

    # Their data

    @property
    def data(self) -> Any:
        """The rows of a batch without components, else the values of the components as a tuple."""
        if self.components:
            return tuple(getattr(self, name) for name in self.components)
        return self._bf_fetch("data") if "data" not in self._bf_data else self._bf_data["data"]

    def _bf_fetch(self, name: str) -> Any:
        """Read a component that was not touched yet from the preloaded data."""
        value = None
        if self._bf_positions is not None and self.dataset is not None:
            value = self.dataset.rows(name, self._bf_positions)
        elif is_shell(self):
            raise NeedsBatch
        self._bf_data[name] = value
        return value

    def _bf_unread(self, name: str) -> LazyRows | None:
        """Return a component that was not touched yet as lazy rows, None where it must be read."""
        if name in self._bf_data or self._bf_positions is None or self.dataset is None:
            return None
        return self.dataset.unread(name, self._bf_positions)

    def peek(self, name: str) -> Any:
        """Return a component as it is stored, a pending one unresolved."""
        self._bf_check_component(name)
        return self._bf_data[name] if name in self._bf_data else self._bf_fetch(name)

    def kinds(self) -> dict[str, str]:
        """Return what each component is: 'empty', 'array', 'list' or 'pending' (computed on first read)."""
        return {name: kind_of(self.peek(name)) for name in self.components}

    def to_dict(self) -> dict[str, Any]:
        """Return the components by name, pending ones computed; the values are no copies."""
        return {name: getattr(self, name) for name in self.components}

    def settle(self) -> Self:
        """Compute now what components are still pending: in the worker, not at the first read."""
        if not self._bf_data:
            return self
        for name, value in list(self._bf_data.items()):
            if type(value) is not np.ndarray and hasattr(value, "resolve") and not _stays(value):
                getattr(self, name)
        return self

    # Randomness

    def rng(self, *path: int) -> Generator:
        """Return a generator that depends on the seed, the epoch, the batch, the step and the call alone.

        The same for every engine. Two calls differ; inside an item method each item has its own.
        """
        item = current_item()
        if item is not None and item.batch is self:
            item.calls += 1
            return rng_at(self.seed, *item.path, item.calls, *path)
        return rng_at(self.seed, *self.address(), *path)

    def address(self) -> tuple[int, int, int, int, int]:
        """Return a fresh random address: stage, epoch, batch, step and the number of the call in the step."""
        state = self.__dict__  # past __setattr__, which asks whether a name is declared
        if self._bf_call_step != self.step:
            state["_bf_call_step"], state["_bf_calls"] = self.step, 0
        call = self._bf_calls
        state["_bf_calls"] = call + 1
        place = self.place
        if place is None:
            return _STAGE, 0, 0, self.step, call
        return _STAGE, place.epoch, place.batch, self.step, call

    # Parts and copies

    def subset(self, positions: Any) -> Self:
        """Return a new batch of the items at some positions (a slice, numbers or a mask), with their data."""
        new = self._bf_like(self)
        new._bf_keep(positions)
        return new

    def copy(self) -> Self:
        """Return a batch whose components can be changed in place without changing this one's."""
        new = self._bf_like(self)
        for name in self.components or ("data",):
            value = getattr(self, name)
            if name == "data" and has_parts(value):
                value = copy_group(value)
            elif isinstance(value, list):
                value = [entry.copy() if isinstance(entry, np.ndarray) else entry for entry in value]
            elif value is not None:
                value = value.copy() if isinstance(value, np.ndarray) else copy.copy(value)
            new._bf_data[name] = value
        return new

    def _bf_like(self, other: Self) -> Self:
        new = object.__new__(type(other))
        new.__dict__.update(other.__dict__)
        new.__dict__["_bf_data"] = dict(other._bf_data)
        return new

    def _bf_keep(self, positions: Any) -> None:
        """Keep the items at some positions only, in place."""
        if not isinstance(positions, slice):
            positions = np.asarray(positions)
            if positions.dtype == bool:
                positions = np.flatnonzero(positions)
        names = self.components or ("data",)
        held = {}
        for name in names:
            value = self._bf_data.get(name)
            held[name] = take_rows(value if _stays(value) else getattr(self, name), positions)
        index = self.index.subset(positions)
        self.__dict__.update(_bf_data=held, _bf_index=index, _bf_positions=None, _bf_size=len(index))

    def leave_out(self, errors: Sequence[ItemError]) -> Self:
        """Leave failed items out, in place, and keep their errors in ``skipped``; SkipBatch when all did."""
        failed = {error.position for error in errors}
        self.skipped = [*self.skipped, *errors]
        if len(failed) == len(self):
            raise SkipBatch(
                f"{self._bf_owner()}: all {len(self)} items failed; the first: {errors[0]}"
            ) from errors[0]
        self._bf_keep([position for position in range(len(self)) if position not in failed])
        return self

    # Components and attributes

    @action
    def add_components(self, names: str | Sequence[str], init: Any = None) -> Self:
        """Add components to this batch, not to its class; ``init`` is one value or a tuple of them.

        A name that the batch already has is a ValueError.
        """
        single = isinstance(names, str)
        new = check_names(self._bf_owner(), (names,) if single else names, dir(self))
        values = [init] if single else list(init) if init is not None else [None] * len(new)
        if len(values) != len(new):
            raise ValueError(
                f"{self._bf_owner()}: got {len(values)} values for {len(new)} new components {new}"
            )
        checked = [Component(name).check(self, value) for name, value in zip(new, values)]
        plain: Any = self._bf_plain_class or type(self)
        self.__class__ = extend_class(plain, self.components + new)
        self._bf_data.update(zip(new, checked))
        return self

    @action
    def add_attributes(self, **values: Any) -> Self:
        """Add attributes of any value that the class of the batch does not declare.

        They travel with the batch, its parts and copies; batches that are merged lose them.
        """
        check_names(self._bf_owner(), tuple(values), set(dir(self)) - set(self.__dict__))
        self.__dict__.update(values)
        return self

    def discard_data(self) -> Self:
        """Let go of the values of all components, in place; ids and attributes stay."""
        self.__dict__["_bf_data"] = dict.fromkeys(self.components or ("data",))
        return self

    def __getattr__(self, name: str) -> NoReturn:
        if name == "dataset" and "_bf_data" in self.__dict__:  # in a worker process: it was not sent along
            raise NeedsBatch("dataset")
        super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name[0] == "_" or name in self._bf_settable or name in self.__dict__:
            object.__setattr__(self, name, value)
            return
        refuse_attribute(self, name)

    def _bf_check_component(self, name: str) -> None:
        if name not in self.components and not (name == "data" and not self.components):
            raise AttributeError(unknown("component", name, self.components, self._bf_owner()))

    @classmethod
    def _bf_owner(cls) -> str:
        return cls.__name__

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickled batch holds: its data, not its data set."""
        for name in self.components or ("data",):
            if not _stays(self._bf_data.get(name)):
                getattr(self, name)
        locked = [name for name, value in self._bf_data.items() if is_locked(value)]
        own = {"_bf_index": self.index, "_bf_positions": None, "dataset": None}
        return {**self.__dict__, **own, **({"_bf_locked": locked} if locked else {})}

    def __reduce__(self) -> tuple[Any, ...]:
        cls = self._bf_plain_class or type(self)
        added = self.components if self._bf_plain_class else None
        return _rebuild, (cls, added), self.__getstate__()

    def __setstate__(self, state: dict[str, Any]) -> None:
        own = self.__dict__
        own.update(state)
        for name in own.pop("_bf_locked", ()):  # numpy forgets in a pickle that an array is read-only
            self._bf_data[name] = lock_again(self._bf_data[name])

    def __repr__(self) -> str:
        parts = []
        for name, value in self._bf_data.items():
            kind = kind_of(value)
            shape = f" {value.shape} {value.dtype}" if isinstance(value, np.ndarray) else ""
            parts.append(f"{name}: {kind}{shape}")
        return f"<{self._bf_owner()} of {len(self)} items{': ' if parts else ''}{', '.join(parts)}>"


def _stays(value: Any) -> bool:
    """Whether a pending value is to stay so until it is read: it is cheap to keep, and all of it is large."""
    return bool(getattr(value, "stays_pending", False))


def check_result(result: Any, batch: BatchCore, spec: ActionSpec) -> BatchCore:
    """Return what an action returned if it is a batch of the same length, else raise an error that names it.

    TypeError for anything that is no batch (``return self`` forgotten), ValueError for another length.
    """
    owner = type(batch).__name__
    if not isinstance(result, BatchCore):
        hint = "end it with `return self`" if result is None else "an action returns the batch"
        raise TypeError(f"{owner}.{spec.name} returned {type(result).__name__}, not a batch: {hint}")
    if len(result) != len(batch) and not spec.resizes:
        raise ValueError(
            f"{owner}.{spec.name} returned a {type(result).__name__} of {len(result)} items for a batch of "
            f"{len(batch)}; mark it @action(resizes=True) if that is meant"
        )
    return result


def _rebuild(cls: type[BatchCore], components: tuple[str, ...] | None) -> BatchCore:
    """Make the empty batch that a pickled one fills."""
    return object.__new__(cls if components is None else extend_class(cls, components))
