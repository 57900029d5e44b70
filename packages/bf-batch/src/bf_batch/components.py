"""Components of a batch: their descriptors, the values that they take, and the classes that declare them."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.random import Generator

from bf_batch.actions import ActionSpec
from bf_batch.groups import find_parts, has_parts, is_table, join_groups, list_lengths, take_group_rows
from bf_index import DatasetIndex
from bf_index.errors import unknown

_EXTENDED: dict[tuple[Any, tuple[str, ...]], Any] = {}


class Holder(Protocol):
    """Batch as its components, items and sources see it."""

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


HolderT = TypeVar("HolderT", bound=Holder)


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
            if self.name == "data" and (find_parts(value) or is_table(value)):
                return self._check_parts(batch, value)
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

    def _check_parts(self, batch: Holder, value: Any) -> Any:
        """Return data of several parts, or a table; a ValueError when one has not a row for each item."""
        if wrong := [length for length in list_lengths(value) if length != len(batch)]:
            raise ValueError(
                f"{batch._bf_owner()}.data: got {wrong[0]} rows for a batch of {len(batch)} items; "
                "give one row for each item in every part"
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
    """Return what a stored component is: 'empty', 'pending', 'array' or 'list'."""
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
    if type(value) is not np.ndarray and has_parts(value):
        return take_group_rows(value, rows, take_rows)
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
    """Join the values of a component of several batches: an array if all are arrays that fit, else a list."""
    if has_parts(parts[0]):
        return join_groups(parts, join)
    if all(isinstance(part, np.ndarray) for part in parts) and len({part.shape[1:] for part in parts}) == 1:
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
    return [value for part in parts for value in part]


# What a class of batches declares


def refuse_attribute(batch: Holder, name: str) -> None:
    """Raise the AttributeError for an attribute that the class of a batch does not declare."""
    known = [*batch.components, *(n for n in sorted(batch._bf_settable) if not n.startswith("_"))]
    raise AttributeError(
        f"{unknown('attribute', name, known, batch._bf_owner())}. A new one is declared in the class "
        f"(`{name}: type`, or in `components`), added by add_components or add_attributes, or named `_{name}`"
    )


def declare(cls: type[Holder], own: Iterable[str]) -> None:
    """Check what a new class of batches declares, and make descriptors for its components.

    ``own`` are the words of all batches; some are annotated only, so that no class has them as attributes.
    """
    if "components" in cls.__dict__:
        known = {name for name in dir(cls) if isinstance(getattr(cls, name, None), Component)}
        annotated_only = inspect.get_annotations(cls).keys() - cls.__dict__.keys()
        taken = (set(dir(cls)) - known - annotated_only) | set(own)
        cls.components = check_names(cls.__name__, cls.__dict__["components"], taken)
        for name in cls.components:
            if name not in known:
                setattr(cls, name, Component(name))
    for name in cls.components:
        if not isinstance(getattr(cls, name, None), Component):
            raise ValueError(
                f"{cls.__name__}.components: {name!r} is a component, and the class has an attribute of that "
                "name; rename it"
            )
    actions: dict[str, ActionSpec] = {}
    declared: set[str] = set(dir(cls))
    for base in reversed(cls.__mro__):
        declared.update(inspect.get_annotations(base))
        for name, value in base.__dict__.items():
            if (spec := getattr(value, "__bf_action__", None)) is not None:
                actions[name] = spec
            elif name in actions and callable(value):  # an override of an action is an action
                actions[name] = ActionSpec(name, hasattr(value, "__bf_parallel__"))
    cls.actions = MappingProxyType(actions)
    cls._bf_settable = frozenset(declared)
    for name, value in cls.__dict__.items():
        if (plan := getattr(value, "__bf_parallel__", None)) is not None:
            plan.check(cls, name)


def extend_class(cls: type[HolderT], components: tuple[str, ...]) -> type[HolderT]:
    """Return a class like ``cls`` with more components, for batches that were given some; made once."""
    made: type[HolderT] | None = _EXTENDED.get((cls, components))
    if made is None:
        body = {
            "components": components,
            "_bf_plain_class": cls,
            "__module__": cls.__module__,
            "__doc__": cls.__doc__,
        }
        made = _EXTENDED[cls, components] = type(cls.__name__, (cls,), body)
    return made
