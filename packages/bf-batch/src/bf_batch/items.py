"""One item of a batch: a view of its components, and the item that a thread is working on."""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.random import Generator

from bf_batch.components import Holder
from bf_batch.groups import get_entry, has_parts
from bf_index.errors import Suggests

_CLASSES: weakref.WeakKeyDictionary[type[Holder], type[Item]] = weakref.WeakKeyDictionary()


class Item(Suggests):
    """One item of a batch: ``item.images`` is its entry of that component, an assignment writes it there."""

    __slots__ = ("_batch", "_position")

    def __init__(self, batch: Holder, position: int) -> None:
        self._batch = batch
        self._position = position

    # A component may be called as one of these: then it stands in its place.

    @property
    def batch(self) -> Any:
        """The batch that the item is of."""
        return self._batch

    @property
    def position(self) -> int:
        """The item's place in the batch."""
        return self._position

    @property
    def id(self) -> Any:
        """The item's id in the index."""
        return self._batch.indices[self._position]

    @property
    def data(self) -> Any:
        """The item's row of a batch without components, else its entries as a tuple."""
        if not self._batch.components:
            data = self._batch.data
            return get_entry(data, self._position) if has_parts(data) else data[self._position]
        return tuple(getattr(self, name) for name in self._batch.components)

    def rng(self, *path: int) -> Generator:
        """Return the item's own generator; see ``Batch.rng``."""
        return self._batch.rng(self._position, *path)

    def __repr__(self) -> str:
        return f"<item {Item.id.__get__(self)!r} of {self._batch!r}>"


class _Entry:
    """Descriptor of one component's entry."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, item: Item | None, owner: type | None = None) -> Any:
        if item is None:
            return self
        values = getattr(item._batch, self.name)
        return None if values is None else values[item._position]

    def __set__(self, item: Item, value: Any) -> None:
        batch = item._batch
        values = getattr(batch, self.name)
        if values is None:
            values = [None] * len(batch)
            setattr(batch, self.name, values)
        if isinstance(values, np.ndarray):
            if not values.flags.writeable:  # a view of the preloaded data, which must stay as it is
                values = values.copy()
                setattr(batch, self.name, values)
            if np.shape(value) != values.shape[1:]:
                raise ValueError(
                    f"{type(batch).__name__}.{self.name}: item {Item.id.__get__(item)!r} got shape "
                    f"{np.shape(value)}, the component is an array of items of shape {values.shape[1:]}; "
                    f"make it a list for items of many shapes: batch.{self.name} = list(batch.{self.name})"
                )
        values[item._position] = value


def item_class_of(cls: type[Holder]) -> type[Item]:
    """Return the class of items of a class of batches, made once."""
    try:
        return _CLASSES[cls]
    except KeyError:
        body: dict[str, Any] = {"__slots__": (), **{name: _Entry(name) for name in cls.components}}
        made = type(f"{cls.__name__}Item", (Item,), body)
        _CLASSES[cls] = made
        return made


# The item that a thread is working on


class NeedsBatch(BaseException):
    """Signal that an item method in a worker process read what was not sent along.

    ``what`` is 'batch' for a component and 'dataset'. Not an Exception, so that no ``except`` of an item
    method hides it from the parent, which sends more.
    """

    def __init__(self, what: str = "batch") -> None:
        super().__init__(what)
        self.what = what


class CurrentItem:
    """The item at hand: its batch, its random address and how many generators it has asked for."""

    __slots__ = ("batch", "calls", "path")

    def __init__(self, batch: Holder, path: tuple[int, ...]) -> None:
        self.batch = batch
        self.path = path
        self.calls = -1


_ITEM: ContextVar[CurrentItem | None] = ContextVar("bf_batch_item", default=None)
current_item = _ITEM.get
set_current_item = _ITEM.set


def is_shell(batch: Any) -> bool:
    """Whether a batch came to a worker process without its data."""
    return "_bf_shell" in batch.__dict__
