"""Components of a batch: descriptors made for declared names, checks of values, values computed on first
read.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.random import Generator

from bf_batch.actions import ActionSpec
from bf_index import DatasetIndex


class Holder(Protocol):
    """What the parts of a batch need of the batch that holds them: its items, their values, its name."""

    components: ClassVar[tuple[str, ...]]
    actions: ClassVar[Mapping[str, ActionSpec]]
    _bf_settable: ClassVar[frozenset[str]]
    _bf_data: dict[str, Any]
    _bf_size: int

    @property
    def index(self) -> DatasetIndex:
        """The items' ids as an index."""
        ...

    @property
    def indices(self) -> Any:
        """The items' ids as an array."""
        ...

    @property
    def data(self) -> Any:
        """The rows of a batch without components."""
        ...

    def __len__(self) -> int: ...

    def rng(self, *path: int) -> Generator:
        """Return a generator of the batch's own."""
        ...

    def _bf_fetch(self, name: str) -> Any: ...
    @classmethod
    def _bf_owner(cls) -> str: ...


@runtime_checkable
class Pending(Protocol):
    """A component that is not computed yet: the first read calls ``resolve`` and stores what it returns."""

    def __len__(self) -> int: ...

    def resolve(self) -> Any:
        """Compute the component: an array or a list with one value for each item."""
        ...


class Component:
    """Descriptor of one component: reads come from the batch's store, assignments are checked for length."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, batch: Holder | None, owner: type | None = None) -> Any:
        if batch is None:
            return self
        try:
            value = batch._bf_data[self.name]
        except KeyError:
            return batch._bf_fetch(self.name)
        kind = type(value)
        if kind is np.ndarray or kind is list or not hasattr(value, "resolve"):
            return value
        value = self.check(batch, value.resolve())
        batch._bf_data[self.name] = value
        return value

    def __set__(self, batch: Holder, value: Any) -> None:
        batch._bf_data[self.name] = self.check(batch, value)

    def check(self, batch: Holder, value: Any) -> Any:
        """Return the value to store; ValueError or TypeError when it has not one entry for each item."""
        if value is None:
            return None
        kind = type(value)
        if kind is not np.ndarray and kind is not list:
            value = _as_component(value)
        try:
            length = None if value is None else len(value)
        except TypeError:
            length = None
        if length is None:
            raise TypeError(
                f"{batch._bf_owner()}.{self.name}: got {kind.__name__} for a batch of {len(batch)} items; "
                "give an array or a list with one value for each item"
            )
        if length != len(batch):
            raise ValueError(
                f"{batch._bf_owner()}.{self.name}: got {length} values for a batch of {len(batch)} items; "
                "give one value for each item"
            )
        return value


def _as_component(value: Any) -> Any:
    """Return an array or a list for what can be one, None for what has a length but no items in order."""
    if isinstance(value, (str, bytes, dict, set, frozenset)):
        return None
    if isinstance(value, tuple):
        return list(value)
    if hasattr(value, "iloc"):  # pandas: rows are found by label, not by position
        return value.to_numpy()
    return value


def check_names(owner: str, names: Any, taken: Iterable[str] = ()) -> tuple[str, ...]:
    """Return component names as a tuple; anything but distinct free identifiers is refused."""
    if isinstance(names, str):
        raise TypeError(
            f"{owner}.components is the string {names!r}; give a tuple of names: components = {names!r},"
        )
    try:
        given: tuple[Any, ...] = tuple(names)
    except TypeError:
        raise TypeError(f"{owner}.components must be a tuple of names, got {type(names).__name__}") from None
    taken = set(taken)
    for position, name in enumerate(given):
        if not isinstance(name, str):
            raise TypeError(f"{owner}.components: names are strings, got {name!r} ({type(name).__name__})")
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
            raise ValueError(f"{owner}.components: {name!r} can't be a component; use a plain public name")
        if name in given[:position]:
            raise ValueError(f"{owner}.components: {name!r} is given twice")
        if name in taken:
            raise ValueError(f"{owner}.components: {name!r} is already an attribute of the batch; rename it")
    return given


def kind_of(value: Any) -> str:
    """Say what a stored component is: 'empty', 'pending', 'array' or 'list'."""
    if value is None:
        return "empty"
    if hasattr(value, "resolve"):
        return "pending"
    return "list" if isinstance(value, list) else "array"


def take_rows(value: Any, rows: Any) -> Any:
    """Return the rows of a component, in their order: an array for an array, a list for a list."""
    if value is None:
        return None
    if isinstance(value, list):
        return value[rows] if isinstance(rows, slice) else [value[row] for row in rows]
    return value[rows]


def assemble(values: list[Any]) -> Any:
    """Join the values of items: an array when they are arrays or numbers of one shape, else a list.

    >>> assemble([1, 2, 3])
    array([1, 2, 3])
    >>> len(assemble([[1], [2, 3]]))
    2
    """
    if not values:
        return values
    first = values[0]
    if isinstance(first, np.ndarray):
        shape = first.shape
        same = all(isinstance(value, np.ndarray) and value.shape == shape for value in values)
        return np.stack(values) if same else values
    numbers = (int, float, complex, bool, np.number, np.bool_)
    if all(isinstance(value, numbers) for value in values):
        return np.array(values)
    return values


def join(parts: list[Any]) -> Any:
    """Join the values of one component of several batches: an array when all are arrays that fit, else a
    list.
    """
    if all(isinstance(part, np.ndarray) for part in parts) and len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    return [value for part in parts for value in part]
