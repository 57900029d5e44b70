"""Preloaded data: which rows of which container belong to the items of a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from os import PathLike
from typing import Any, NoReturn, TypeAlias

import numpy as np

from bf_batch.components import Component, Holder
from bf_batch.data.columns import ArrayColumn, Column, ListColumn, open_column
from bf_batch.data.lazy_rows import LazyRows, leave_unread
from bf_batch.data.locks import lock
from bf_batch.errors import RowsError
from bf_batch.groups import GroupColumn, TableColumn, find_parts, is_table, map_parts
from bf_index import DatasetIndex
from bf_index.errors import suggest, unknown

Rows: TypeAlias = Any
"""A slice or an integer array."""

_COMPARED = 20_000
"""Close matches of an id are looked for among so many."""

_CHUNK = 1 << 16
"""Ids that are looked at together: a range of any length is checked in little memory."""


def compose(outer: Rows | None, inner: Rows) -> Rows:
    """Return the rows that ``inner`` picks among those of ``outer`` (None: all)."""
    if outer is None:
        return inner
    if isinstance(outer, slice):
        start = outer.start or 0
        if isinstance(inner, slice):
            return slice(start + inner.start, start + inner.stop)
        return inner + start
    return outer[inner]


def assign_to_components(preloaded: Any, components: Sequence[str], owner: str) -> dict[str, Any]:
    """Return the data of each component: by name of a mapping or a table, in order of a tuple or a list.

    Components without data are left out. A batch without components has one nameless ``data``.
    """
    if not components:
        return {"data": preloaded}
    if type(preloaded) is tuple and len(preloaded) <= len(components):
        return dict(zip(components, preloaded))
    if isinstance(preloaded, Mapping):
        for name in preloaded:
            if name not in components:
                raise ValueError(f"preloaded: {unknown('component', name, components, owner)}")
        return dict(preloaded)
    if hasattr(preloaded, "columns") and hasattr(preloaded, "loc"):
        for name in preloaded.columns:
            if name not in components:
                raise ValueError(
                    f"preloaded: column {unknown('component', name, components, owner)}; give the "
                    "columns that are components: table[['a', 'b']]"
                )
        if not preloaded.columns.is_unique:
            twice = preloaded.columns[preloaded.columns.duplicated()][0]
            raise ValueError(f"preloaded: the table has two columns {twice!r} for {owner}")
        return {name: preloaded[name] for name in components if name in preloaded.columns}
    if isinstance(preloaded, (tuple, list)):
        if len(preloaded) > len(components):
            raise ValueError(
                f"preloaded: got {len(preloaded)} values for the {len(components)} components of {owner} "
                f"{tuple(components)}; give one container for each, or a dict by component"
            )
        return dict(zip(components, preloaded))
    if len(components) == 1:
        return {components[0]: preloaded}
    raise TypeError(
        f"preloaded: got {type(preloaded).__name__} for the {len(components)} components of {owner} "
        f"{tuple(components)}; give a tuple of containers or a dict by component"
    )


def find_rows(name: str, length: int, index: DatasetIndex) -> Rows | None:
    """Return the rows of a container of some length for the items of an index, None when row i is item i.

    As many rows as items: in order. More rows than items: integer ids are row numbers.
    """
    if length == len(index):
        return None
    ids = index.indices
    if ids.dtype.kind not in "iu":
        raise RowsError(
            f"preloaded {name}: got {length} rows for {len(index)} items with ids such as {ids[0]!r}, "
            "no row numbers; give one row for each item in the index's order, or a mapping from id to value"
        )
    if ids.min() < 0 or ids.max() >= length:
        raise RowsError(
            f"preloaded {name}: got {length} rows for {len(index)} items; ids {ids.min()} to {ids.max()} "
            "can't be row numbers; give one row for each item"
        )
    if len(ids) > 1 and (np.diff(ids) != 1).any():
        return ids
    return slice(int(ids[0]), int(ids[0]) + len(ids))


def pick_by_id(where: str, container: Any, ids: Any) -> Any:
    """Return the values of ids from a mapping or a labelled table or series, in the order of the ids.

    KeyError for an id that is not there, ValueError for one that is there twice.
    """
    if not hasattr(container, "loc"):
        try:
            return [container[id] for id in ids]
        except KeyError as error:
            raise KeyError(
                _explain_missing(where, [error.args[0]], list(islice(container, _COMPARED)), "key")
            ) from None
    return pick_rows_by_id(where, container, ids).to_numpy()


def pick_rows_by_id(where: str, container: Any, ids: Any) -> Any:
    """Return the rows of a labelled table or series, in the order of the ids; errors as in ``pick_by_id``."""
    labels = container.index
    if not labels.is_unique:
        wanted = set(ids.tolist() if isinstance(ids, np.ndarray) else ids)
        if twice := [label for label in labels[labels.duplicated()].unique() if label in wanted]:
            places = np.flatnonzero(labels == twice[0]).tolist()
            raise ValueError(
                f"{where}: the id {twice[0]!r} is there {len(places)} times, in rows {places[0]} and "
                f"{places[1]} (counted from 0); {len(twice)} ids are repeated. Keep one row for each id"
            )
        container = container[labels.isin(list(wanted))]
        labels = container.index
    found = labels.get_indexer(ids if getattr(ids, "dtype", labels.dtype).kind in "iufMm" else list(ids))
    if (found < 0).any():
        missing = np.asarray(ids)[found < 0].tolist()
        raise KeyError(_explain_missing(where, missing, labels.tolist(), "id"))
    return container.iloc[found]


def _explain_missing(where: str, missing: Sequence[Any], known: Sequence[Any], word: str) -> str:
    """Return the message about ids without values, with what is likely wrong."""
    missing = [id.item() if isinstance(id, np.generic) else id for id in missing]
    shown = ", ".join(map(repr, missing[:3]))
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    message = f"{where}: no value for the id{'s' if len(missing) > 1 else ''} {shown}{more}"
    id = missing[0]
    if not len(known):
        return f"{message}; there are none"
    other = known[0]
    if isinstance(id, str) != isinstance(other, str):
        kinds = [f"{type(value).__name__} such as {value!r}" for value in (other, id)]
        return (
            f"{message}: the {word}s there are {kinds[0]}, those of the items {kinds[1]}; make both of one "
            "type (of a csv file with dtype={'column of ids': str})"
        )
    return message + (suggest(id, known[:_COMPARED]) if isinstance(id, str) else "")


def is_labelled(container: Any) -> bool:
    """Whether a container is read by id: a mapping, a pandas series or table."""
    return isinstance(container, Mapping) or hasattr(container, "loc")


class Source:
    """The preloaded data of a data set: a column and the rows of the items for each component."""

    def __init__(
        self, preloaded: Any, components: Sequence[str], owner: str, index: DatasetIndex, copy: bool
    ) -> None:
        self._columns: dict[str, Column] = {}
        self._rows: dict[str, Rows | None] = {}
        for name, container in assign_to_components(preloaded, components, owner).items():
            if container is None:
                continue
            grouped = not components and (is_table(container) or find_parts(container, index.indices))
            open_it = _open_group if grouped else _open_with_rows
            self._columns[name], self._rows[name] = open_it(name, container, index, copy)

    @property
    def names(self) -> tuple[str, ...]:
        """The components that have data."""
        return tuple(self._columns)

    def take(self, name: str, positions: Rows) -> Any:
        """Return the values of the items at some positions, None when there is no such data."""
        column = self._columns.get(name)
        if column is None:
            return None
        return column.take(self._of(name, positions))

    def unread(self, name: str, positions: Rows) -> LazyRows | None:
        """Return those values unread, None where they must be read to know their shape."""
        column = self._columns.get(name)
        return None if column is None else leave_unread(column, self._of(name, positions))

    def _of(self, name: str, positions: Rows) -> Rows:
        rows = self._rows[name]
        return positions if rows is None else compose(rows, positions)


def _open_with_rows(name: str, container: Any, index: DatasetIndex, copy: bool) -> tuple[Column, Rows | None]:
    """Return the column of a container and the rows of the items in it, None when row i is item i."""
    if is_labelled(container):
        return open_column(name, pick_by_id(f"preloaded {name}", container, index.indices), copy), None
    column = open_column(name, container, copy)
    rows = find_rows(name, len(column), index)
    if rows is None:
        _refuse_ambiguous(name, index)
    return column, rows


def _open_group(name: str, container: Any, index: DatasetIndex, copy: bool) -> tuple[Column, None]:
    """Return the column of a table, or of several containers, with a row for each item."""
    if is_table(container):
        return TableColumn(pick_rows_by_id(f"preloaded {name}", container, index.indices)), None

    def read_part(key: Any, part: Any) -> Callable[[Rows], Any]:
        column, rows = _open_with_rows(f"{name}[{key!r}]", part, index, copy)
        return _PartReader(column, rows)

    return GroupColumn(map_parts(read_part, container), len(index)), None


class _PartReader:
    """A function of rows that can be sent to another process."""

    __slots__ = ("_column", "_rows")

    def __init__(self, column: Column, rows: Rows | None) -> None:
        self._column, self._rows = column, rows

    def __call__(self, positions: Rows) -> Any:
        """Return the values of the items at some positions."""
        return self._column.take(positions if self._rows is None else compose(self._rows, positions))


class DataAway:
    """The preloaded data of a data set that was sent to a worker process without them."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def take(self, name: str, positions: Rows) -> NoReturn:
        """Raise a RuntimeError that says how the values come here."""
        raise RuntimeError(
            f"preloaded {name}: the data of other items are not sent to worker processes; make what an item "
            "needs of them part of it (init=), or use target='threads'"
        )

    unread = take


def _refuse_ambiguous(name: str, index: DatasetIndex) -> None:
    """Refuse integer ids that are row numbers in another order: it is unclear which is meant."""
    n = len(index)
    for start in range(0, n, _CHUNK):
        stop = min(start + _CHUNK, n)
        ids = index.subset(slice(start, stop)).indices
        if ids.dtype.kind not in "iu":
            return
        if (ids != np.arange(start, stop)).any():
            break
    else:
        return
    ids = index.indices
    if ids.min() == 0 and ids.max() == n - 1:
        raise ValueError(
            f"preloaded {name}: the ids are the numbers 0 to {n - 1} in another order, so row 0 could be "
            f"item 0 or the first item, {ids[0]}. Say which: for rows by id give dict(enumerate(array)) or "
            "array[index.indices]; for rows in the index's order build the index from len(array)"
        )


def take_batch_values(batch: Holder, preloaded: Any) -> dict[str, Any]:
    """Return the values of a batch's components from what was given to it, checked."""
    components = batch.components
    given = preloaded if type(preloaded) is dict and preloaded.keys() <= _name_set(components) else None
    if given is None:
        given = assign_to_components(preloaded, components, type(batch).__name__)
    return take_item_values(batch, given)


def take_item_values(batch: Holder, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a batch's items from containers by component, checked."""
    values: dict[str, Any] = {}
    for name, container in given.items():
        if type(container) is np.ndarray and container.shape[:1] == (batch._bf_size,):
            values[name] = (
                ArrayColumn(container).take(slice(None)) if container.dtype == object else lock(container)
            )
        elif container is None:
            values[name] = None
        elif not batch.components and find_parts(container, batch.indices):
            values[name] = map_parts(
                lambda key, part: take_item_values(batch, {f"data[{key!r}]": part})[f"data[{key!r}]"],
                container,
            )
        elif not batch.components and is_table(container):
            values[name] = pick_rows_by_id(f"preloaded {name}", container, batch.indices).copy()
        elif is_labelled(container):
            picked = pick_by_id(f"preloaded {name}", container, batch.indices)
            values[name] = open_column(name, picked).take(slice(None))
        else:
            values[name] = Component(name).check(batch, _take_own_rows(name, container, batch))
    return values


@functools.lru_cache(maxsize=256)
def _name_set(components: tuple[str, ...]) -> frozenset[str]:
    return frozenset(components)


def _take_own_rows(name: str, container: Any, batch: Holder) -> Any:
    if isinstance(container, (list, tuple)) and len(container) == len(batch):
        return ListColumn(container).take(slice(None))
    if isinstance(container, (str, PathLike)) or hasattr(container, "__len__"):
        column = open_column(name, container, copy=False)
        rows = find_rows(name, len(column), batch.index)
        return column.take(slice(0, len(batch)) if rows is None else rows)
    return container
