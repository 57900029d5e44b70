"""Values of batches without components that have several parts: tuples, mappings by name, and tables."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

_NO_CONTAINERS = (str, bytes, set, frozenset)


def is_table(value: Any) -> bool:
    """Whether a value is a table with named columns, as pandas has them."""
    return hasattr(value, "iloc") and hasattr(value, "columns")


def _holds_rows(value: Any) -> bool:
    if isinstance(value, _NO_CONTAINERS) or not hasattr(value, "__getitem__"):
        return False
    try:
        len(value)
    except TypeError:
        return False
    return True


def find_parts(container: Any, ids: Any = None) -> bool:
    """Whether a container is several: a tuple of containers, or a mapping of names to containers.

    A list holds rows, and so does a mapping that has the first of the ids as a key.
    """
    if type(container) is tuple:
        return bool(container) and all(map(_holds_rows, container))
    if not isinstance(container, Mapping) or not container:
        return False
    if ids is not None and len(ids) and _has_key(container, ids[0]):
        return False
    return all(map(_holds_rows, container.values()))


def _has_key(container: Mapping[Any, Any], id: Any) -> bool:
    try:
        return id in container
    except TypeError:  # it can be no key
        return False


def map_parts(function: Callable[[Any, Any], Any], value: Any) -> Any:
    """Return a tuple or a mapping of what ``function(key, part)`` returns for each part."""
    if type(value) is tuple:
        return tuple(function(number, part) for number, part in enumerate(value))
    return {key: function(key, part) for key, part in value.items()}


def has_parts(value: Any) -> bool:
    """Whether the data of a batch are a group or a table, not one container of rows."""
    return type(value) is tuple or isinstance(value, dict) or is_table(value)


def get_entry(value: Any, position: int) -> Any:
    """Return what one item has of a group (its entry of each part) or of a table (its row)."""
    return value.iloc[position] if is_table(value) else map_parts(lambda _, part: part[position], value)


def list_lengths(value: Any) -> list[int]:
    """Return how many rows the parts of a group, or a table, have."""
    return [len(value)] if is_table(value) else list(dict.fromkeys(map(len, list_parts(value))))


def list_parts(value: Any) -> list[Any]:
    """Return the parts of a group."""
    return list(value if type(value) is tuple else value.values())


def take_group_rows(value: Any, rows: Any, take: Callable[[Any, Any], Any]) -> Any:
    """Return the rows of a group or a table, those of a part by ``take(part, rows)``."""
    if is_table(value):
        return value.iloc[rows]
    return map_parts(lambda _, part: take(part, rows), value)


def join_groups(parts: Sequence[Any], join: Callable[[list[Any]], Any]) -> Any:
    """Join groups, or tables, of several batches; a ValueError when they do not have the same parts."""
    first = parts[0]
    if is_table(first):
        import pandas as pd

        return pd.concat(list(parts))
    keys = [len(part) if type(part) is tuple else list(part) for part in parts]
    if any(type(part) is not type(first) for part in parts) or any(key != keys[0] for key in keys):
        raise ValueError(f"merge: the data of the batches have the parts {keys}, which do not fit together")
    return map_parts(lambda key, _: join([part[key] for part in parts]), first)


def copy_group(value: Any) -> Any:
    """Return a copy of a group or a table that can be changed without changing this one."""
    if is_table(value):
        return value.copy()
    return map_parts(lambda _, part: part.copy() if isinstance(part, np.ndarray) else copy.copy(part), value)


class TableColumn:
    """Rows of a table; batches get tables with the same columns, copies of their own."""

    __slots__ = ("_table",)

    def __init__(self, table: Any) -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    def take(self, rows: Any) -> Any:
        """Return a table of the rows."""
        return self._table.iloc[rows].copy()


class GroupColumn:
    """Several columns that are read together; each part has rows of its own."""

    __slots__ = ("_count", "_parts")

    def __init__(self, parts: Any, count: int) -> None:
        self._parts, self._count = parts, count

    def __len__(self) -> int:
        return self._count

    def take(self, rows: Any) -> Any:
        """Return a tuple or a mapping of the rows of each part."""
        return map_parts(lambda _, read: read(rows), self._parts)
