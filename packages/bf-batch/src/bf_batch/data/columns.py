"""Containers of preloaded values that are read row by row: in memory, mapped files, hdf5 and zarr arrays."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from functools import cached_property
from os import PathLike
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bf_batch.data.locks import copy_entry, lock, lock_entries, need_care
from bf_index.errors import escape
from bf_index.sizes import FileTooLargeError, count_left, in_proportion, read_npy_head, reading


class Column(Protocol):
    """Values of one component for all rows; columns of rows of one shape have ``shape`` and ``dtype`` too."""

    def __len__(self) -> int: ...

    def take(self, rows: Any) -> Any:
        """Return the values of a slice of rows or of an integer array of row numbers."""
        ...


class ArrayColumn:
    """Array in memory, held as a read-only view; batches get read-only parts of it or, if asked, copies."""

    __slots__ = ("_care", "_copy", "array", "dtype", "shape")

    def __init__(self, array: NDArray[Any], copy: bool = False) -> None:
        self.shape, self.dtype = array.shape, array.dtype
        if array.dtype == object:
            entries = lock_entries(array.ravel().tolist())
            array = np.fromiter(entries, object, len(entries)).reshape(array.shape)
            self._care = need_care(entries, copy)
        else:
            self._care = False
        self.array = lock(array)
        self._copy = copy

    def __len__(self) -> int:
        return len(self.array)

    def take(self, rows: Any) -> NDArray[Any]:
        """Return the rows, those of a slice as a view of the array itself."""
        values: NDArray[Any]
        if type(rows) is not slice:
            values = self.array.take(rows, axis=0)  # in half the time of array[rows]
        else:
            values = self.array[rows]
            if self._copy:
                values = values.copy()
        if self._care:
            entries = [copy_entry(value, self._copy) for value in values.ravel().tolist()]
            values = np.fromiter(entries, object, len(entries)).reshape(values.shape)
        values.flags.writeable = self._copy
        return values

    def __reduce__(self) -> tuple[Any, ...]:
        return ArrayColumn, (self.array, self._copy)  # made anew: a pickle forgets that it is read-only


class ListColumn:
    """A list of values of any kind; arrays among them are locked, lists, dicts and sets are copied."""

    __slots__ = ("_care", "_copy", "_values")

    def __init__(self, values: Iterable[Any], copy: bool = False) -> None:
        self._values = lock_entries(values)
        self._care = need_care(self._values, copy)
        self._copy = copy

    def __len__(self) -> int:
        return len(self._values)

    def take(self, rows: Any) -> list[Any]:
        """Return a list of the rows."""
        values = self._values
        found = values[rows] if type(rows) is slice else [values[row] for row in rows]
        return [copy_entry(value, self._copy) for value in found] if self._care else found

    def __reduce__(self) -> tuple[Any, ...]:
        return ListColumn, (self._values, self._copy)  # made anew: a pickle forgets what is read-only


class MappedColumn:
    """A memory-mapped npy file or ``np.memmap``: rows are read from the file when a batch needs them.

    A process that receives it maps the file anew; the data itself does not travel.
    """

    def __init__(self, array: np.memmap[Any, Any], copy: bool = False) -> None:
        if array.filename is None:
            raise ValueError(
                "a memory-mapped array without a file can't be preloaded; give np.asarray(array)"
            )
        self._place = (os.fspath(array.filename), array.dtype, array.shape, _order(array), _offset(array))
        self._array = np.asarray(array)
        self._copy = copy

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole array."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its numbers."""
        return self._array.dtype

    def __len__(self) -> int:
        return len(self._array)

    def take(self, rows: Any) -> NDArray[Any]:
        """Return the rows; a slice is a view of the file unless copies were asked for."""
        values: NDArray[Any] = self._array[rows]
        if type(rows) is slice and self._copy:
            values = values.copy()
        values.flags.writeable = self._copy
        return values

    def __getstate__(self) -> dict[str, Any]:
        return {"_place": self._place, "_copy": self._copy}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        path, dtype, shape, order, offset = self._place
        self._array = np.asarray(np.memmap(path, dtype, "r", offset, shape, order))  # type: ignore[call-overload]


def _check_rows(column: HDF5Column | ZarrColumn, rows: Any) -> None:
    """Refuse rows that are out of all proportion to the bytes that their whole array has in its file."""
    number = len(range(*rows.indices(len(column)))) if type(rows) is slice else len(rows)
    claimed = number * math.prod(column.shape[1:]) * column.dtype.itemsize
    if not in_proportion(claimed, 0) and not in_proportion(claimed, column.stored):
        raise FileTooLargeError(
            f"{column.where}: {number} rows of shape {column.shape[1:]} claim {claimed:,} bytes, and the "
            f"whole array has {column.stored:,} in its file; if that is meant, read it and give the values"
        )


class HDF5Column:
    """An hdf5 data set (h5py); row numbers are read sorted, as hdf5 asks, and put back in order."""

    def __init__(self, dataset: Any, copy: bool = False) -> None:
        self._copy = copy
        self._dataset: Any = dataset
        self._place = (dataset.file.filename, dataset.name)
        self.shape, self.dtype = dataset.shape, dataset.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def take(self, rows: Any) -> NDArray[Any]:
        """Return the rows, read from the file."""
        if self._dataset is None:
            import h5py

            path, name = self._place
            self._dataset = h5py.File(path, "r")[name]
        values: NDArray[Any]
        _check_rows(self, rows)
        if type(rows) is slice:
            values = self._dataset[rows]
        else:
            unique, back = np.unique(rows, return_inverse=True)
            values = self._dataset[unique][back]
        values.flags.writeable = self._copy
        return values

    def read_part(self, row: int, part: tuple[slice, ...]) -> NDArray[Any]:
        """Return a part of one row; no more is read of the file than the chunks that it lies in."""
        if self._dataset is None:
            self.take(slice(0, 0))  # opens the file
        values: NDArray[Any] = self._dataset[(row, *part)]
        return values

    @property
    def where(self) -> str:
        """The file and the name in it."""
        return ":".join(self._place)

    @cached_property
    def stored(self) -> int:
        """How many bytes the whole array has in its file."""
        return int(self._dataset.id.get_storage_size())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_dataset": None}


class ZarrColumn:
    """A zarr array; rows are read from its chunks when a batch needs them."""

    def __init__(self, array: Any, copy: bool = False) -> None:
        self._copy = copy
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def take(self, rows: Any) -> NDArray[Any]:
        """Return the rows, read and decompressed."""
        _check_rows(self, rows)
        values = self._array[rows] if type(rows) is slice else self._array.oindex[rows]
        return np.array(values) if self._copy else lock(np.asarray(values))

    def read_part(self, row: int, part: tuple[slice, ...]) -> NDArray[Any]:
        """Return a part of one row; no more is read and decompressed than the chunks that it lies in."""
        return np.asarray(self._array[(row, *part)])

    @property
    def where(self) -> str:
        """The place of the array."""
        return f"zarr array {self._array.store}: {self._array.name}"

    @cached_property
    def stored(self) -> int:
        """How many bytes the whole array has in its files."""
        told = self._array.nbytes_stored  # a method since zarr 3
        return int(told() if callable(told) else told)


class SlicedColumn:
    """Container of any other kind that takes slices and integer arrays along its first axis."""

    def __init__(self, container: Any, copy: bool = False) -> None:
        self._copy = copy
        self._container = container

    def __len__(self) -> int:
        return len(self._container)

    def take(self, rows: Any) -> Any:
        """Return the rows as an array."""
        values = self._container[rows]
        return np.array(values) if self._copy else lock(np.asarray(values))


def _order(array: np.memmap[Any, Any]) -> str:
    return "C" if array.flags.c_contiguous else "F"


def _offset(array: np.memmap[Any, Any]) -> int:
    """Return where the array's first byte is in its file; a part of a mapped array starts further on."""
    if not (array.flags.c_contiguous or array.flags.f_contiguous):
        raise ValueError("a strided part of a memory-mapped array can't be preloaded; give the whole array")
    root = array
    while isinstance(root.base, np.memmap):
        root = root.base
    shift = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    return int(root.offset + shift)


def _has_rows(container: Any) -> bool:
    """Whether a container has a length, which arrays of no axis only claim to have, and takes rows."""
    try:
        len(container)
    except TypeError:
        return False
    return hasattr(container, "__getitem__")


def open_column(name: str, container: Any, copy: bool = False) -> Column:
    """Return the column of a container; TypeError for what has no rows.

    A path of an npy file is mapped, never unpickled.
    """
    if isinstance(container, (str, PathLike)):
        path = os.fspath(container)
        if not path.endswith(".npy"):
            raise ValueError(f"preloaded {name}: {path!r} is no npy file; load it first and give the array")
        where = f"preloaded {name}: {escape(path)}"
        with reading(where):
            with open(path, "rb") as file:
                read_npy_head(file, where, count_left(file))
            container = np.load(path, mmap_mode="r", allow_pickle=False)
    if isinstance(container, np.memmap) and container.ndim:
        return MappedColumn(container, copy)
    if isinstance(container, np.ndarray) and container.ndim:
        return ArrayColumn(container, copy)
    if isinstance(container, (list, tuple)):
        return ListColumn(container, copy)
    module = type(container).__module__.partition(".")[0]
    if module == "h5py" and hasattr(container, "chunks") and container.shape:
        return HDF5Column(container, copy)
    if module == "zarr" and hasattr(container, "oindex") and container.shape:
        return ZarrColumn(container, copy)
    if _has_rows(container):
        return SlicedColumn(container, copy)
    one = "one value, " if np.ndim(container) == 0 else ""
    raise TypeError(
        f"preloaded {name}: got {one}{type(container).__name__}; give an array, a list, a mapping from id to "
        "value, a table, or an npy, hdf5 or zarr array"
    )
