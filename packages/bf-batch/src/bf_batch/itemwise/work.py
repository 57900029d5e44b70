"""The work of one item-wise call: which function, for which items, with which arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bf_batch.components import take_rows
from bf_batch.core import BatchCore
from bf_batch.data.locks import is_locked, lock_again
from bf_batch.items import CurrentItem, current_item, set_current_item
from bf_index import rng_at


@dataclass(frozen=True, slots=True)
class PerItem:
    """Values for the items of a batch in their order; item-wise actions give each item its own.

    >>> PerItem([10, 20, 30])[1]
    20
    """

    values: Sequence[Any] | Any

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, position: int) -> Any:
        return self.values[position]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)


def check_per_item(arguments: dict[str, Any], n: int, action: str) -> bool:
    """Whether any argument is per item; one with another number of values is a ValueError."""
    found = False
    for name, value in arguments.items():
        if type(value) is PerItem:
            found = True
            if len(value) != n:
                raise ValueError(
                    f"{action}: argument {name} has {len(value)} per-item values for {n} items; "
                    "give one value for each item"
                )
    return found


class Failure:
    """Result of an item whose function raised."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return Failure, (self.error,)


class ColumnItems:
    """Items that are entries of one or more components; locked ones are locked in a worker process, too."""

    def __init__(self, columns: Sequence[Any]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[0])

    def arguments(self, position: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the entries as positional arguments."""
        return tuple([column[position] for column in self.columns]), {}

    def unchanged(self, position: int) -> Any:
        """Return what an item is that nothing is done to."""
        entries = [column[position] for column in self.columns]
        return entries[0] if len(entries) == 1 else tuple(entries)

    def part(self, positions: Any) -> ColumnItems:
        """Return some of the items."""
        return ColumnItems([take_rows(column, positions) for column in self.columns])

    def __reduce__(self) -> tuple[Any, ...]:
        return _make_items, (self.columns, [is_locked(column) for column in self.columns])


def _make_items(columns: Sequence[Any], locked: Sequence[bool]) -> ColumnItems:
    """Return items that came from another process, locked where they were there."""
    return ColumnItems([lock_again(column) if held else column for column, held in zip(columns, locked)])


class GivenItems:
    """Items from an init function: each a value, a tuple or list of arguments, a dict, or (tuple, dict)."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def arguments(self, position: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return positional and keyword arguments of an item."""
        item = self.items[position]
        if isinstance(item, dict):
            return (), item
        if (
            isinstance(item, tuple)
            and len(item) == 2
            and isinstance(item[0], tuple)
            and isinstance(item[1], dict)
        ):
            return item
        if isinstance(item, (tuple, list)):
            return tuple(item), {}
        return (item,), {}

    def unchanged(self, position: int) -> Any:
        """Return what an item is that nothing is done to: its first argument."""
        positional, named = self.arguments(position)
        return positional[0] if positional else next(iter(named.values()), None)

    def part(self, positions: Any) -> GivenItems:
        """Return some of the items."""
        return GivenItems(take_rows(list(self.items), positions))


@dataclass(slots=True)
class Work:
    """A function and the items it runs over.

    ``function(*first, *entries, *args, **kwargs)`` is called for each item; per-item arguments give each its
    own. ``positions`` are the items' places in the batch, part of their random address.
    """

    function: Callable[..., Any]
    batch: BatchCore
    items: ColumnItems | GivenItems
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    positions: Sequence[int]
    address: tuple[int, ...]
    with_batch: bool
    with_rng: bool
    per_item: bool
    first_only: bool = False
    """Whether an item that nothing is done to is its first entry alone, since there is one target."""

    def __len__(self) -> int:
        return len(self.positions)

    def run(self, number: int) -> Any:
        """Return the result of one item, its exception as ``Failure``."""
        outer = current_item()
        try:
            return self.call(number)
        except Exception as error:  # noqa: BLE001  becomes an ItemError in the caller
            return Failure(error)
        finally:
            set_current_item(outer)

    def call(self, number: int) -> Any:
        """Call the function for one item, which becomes the one that this thread is at."""
        batch = self.batch
        path = (*self.address, self.positions[number])
        set_current_item(CurrentItem(batch, path))
        positional, named = self.items.arguments(number)
        args, kwargs = self.args, self.kwargs
        if self.per_item:
            args = tuple([a[number] if type(a) is PerItem else a for a in args])
            kwargs = {k: a[number] if type(a) is PerItem else a for k, a in kwargs.items()}
        if named:
            kwargs = {**kwargs, **named}
        if self.with_rng and "rng" not in kwargs:
            kwargs = {**kwargs, "rng": rng_at(batch.seed, *path)}
        if self.with_batch:
            return self.function(batch, *positional, *args, **kwargs)
        return self.function(*positional, *args, **kwargs)

    def unchanged(self, number: int) -> Any:
        """Return the result of an item that nothing is done to."""
        value = self.items.unchanged(number)
        return value[0] if self.first_only and isinstance(value, tuple) else value

    def part(self, rows: slice | list[int]) -> Work:
        """Return the work of some of the items."""
        args, kwargs = self.args, self.kwargs
        if self.per_item:
            args = tuple([_pick_values(argument, rows) for argument in args])
            kwargs = {name: _pick_values(argument, rows) for name, argument in kwargs.items()}
        positions = self.positions[rows] if isinstance(rows, slice) else [self.positions[row] for row in rows]
        return replace(self, items=self.items.part(rows), args=args, kwargs=kwargs, positions=positions)


def id_of(work: Work, number: int) -> Any:
    """Return the id of an item of the work, its number when the items are not those of the batch."""
    position = work.positions[number]
    if len(work.batch) <= position:
        return position
    id = work.batch.indices[position]
    return id.item() if isinstance(id, np.generic) else id


def _pick_values(argument: Any, rows: slice | list[int]) -> Any:
    """Return an argument for some of the items."""
    if type(argument) is not PerItem:
        return argument
    values = argument.values
    return PerItem(values[rows] if isinstance(rows, slice) else [values[row] for row in rows])
