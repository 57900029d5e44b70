"""Rows of preloaded data that were not read yet: their shape is known, reading can wait for a worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.data.columns import ArrayColumn, Column


class LazyRows:
    """Some rows of a column of arrays of one shape; ``read`` gives them."""

    __slots__ = ("column", "dtype", "rows", "shape")

    def __init__(self, column: Column, rows: Any, count: int, shape: tuple[int, ...], dtype: Any) -> None:
        self.column = column
        self.rows = rows
        self.shape = (count, *shape)
        self.dtype = np.dtype(dtype)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def whole(self) -> NDArray[Any] | None:
        """The array that ``rows`` are of: one in memory, in C order, of which they are numbers; else None."""
        if type(self.column) is not ArrayColumn or type(self.rows) is not np.ndarray or not len(self.rows):
            return None
        array = self.column.array
        # Compiled loops do not ask again; as unsigned numbers the negative ones are large, too.
        inside = self.rows.dtype == np.intp and self.rows.view(np.uintp).max() < len(array)
        return array if inside and array.flags.c_contiguous else None

    def numbers(self) -> NDArray[np.intp]:
        """Return the numbers of the rows."""
        rows: NDArray[np.intp] = self.rows
        return np.arange(self.rows.start, self.rows.stop) if type(self.rows) is slice else rows

    @property
    def in_memory(self) -> bool:
        """Whether the whole column is in memory, so that rows of it can't travel unread."""
        return type(self.column) is ArrayColumn

    def read_part(self, number: int, part: tuple[slice, ...]) -> NDArray[Any]:
        """Read a part of one row, of files as little as they allow."""
        row = self.rows.start + number if type(self.rows) is slice else int(self.rows[number])
        if hasattr(self.column, "read_part"):
            values: NDArray[Any] = self.column.read_part(row, part)
            return values
        found: NDArray[Any] = self.column.take(slice(row, row + 1))[0][part]
        return found

    def read(self) -> NDArray[Any]:
        """Read the rows."""
        values: NDArray[Any] = self.column.take(self.rows)
        return values


def concatenate(parts: Sequence[LazyRows | NDArray[Any]]) -> LazyRows | NDArray[Any]:
    """Return the rows of several batches one after another, unread if all are of one column."""
    some = [part for part in parts if type(part) is LazyRows]
    if len(some) == len(parts) and all(part.column is some[0].column for part in some):
        rows, first = np.concatenate([part.numbers() for part in some]), some[0]
        return LazyRows(first.column, rows, len(rows), first.shape[1:], first.dtype)
    return np.concatenate([part.read() if isinstance(part, LazyRows) else part for part in parts])


def leave_unread(column: Column, rows: Any) -> LazyRows | None:
    """Return rows as unread ones; None when the column must read them to know their shape."""
    shape, dtype = getattr(column, "shape", None), getattr(column, "dtype", None)
    if shape is None or dtype is None or np.dtype(dtype).hasobject:
        return None
    if type(rows) is slice:
        rows = slice(*rows.indices(shape[0]))
        return LazyRows(column, rows, len(range(rows.start, rows.stop)), shape[1:], dtype)
    return LazyRows(column, rows, len(rows), shape[1:], dtype)
