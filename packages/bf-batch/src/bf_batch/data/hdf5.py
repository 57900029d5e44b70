"""HDF5 files: arrays by name, of one item or with a row for each; nothing of other files, no plugins."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bf_batch.data.plain import as_plain_array, name_of, write_anew
from bf_index.errors import escape
from bf_index.sizes import MOST_BYTES, MOST_RATIO, check_size, count_left, in_proportion

Compression = Literal["gzip", "lzf"]
_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
_PIECE = 1 << 16
"""Bytes of a chunk at least."""
_SPARSE = 4
"""Rows are read with those between them, unless these are so many times as many."""


def read(file: IO[bytes], max_bytes: int | None = None) -> dict[str, Any]:
    """Return the arrays of a file by name; what stands in groups is left out."""
    stored = count_left(file)
    with _import_h5py().File(file, "r") as opened:
        arrays = {name: open_array(opened, name) for name in find_names(opened)}
        if not arrays:
            raise ValueError("it holds no arrays (those in groups are not read)")
        check_size(name_of(file), sum(array.nbytes for array in arrays.values()), stored, max_bytes)
        return {
            name: read_rows(array, None, name_of(file), stored, max_bytes) for name, array in arrays.items()
        }


@contextmanager
def _damaged() -> Iterator[None]:
    """Make a ValueError of the KeyError that h5py has for an array whose head is damaged."""
    try:
        yield
    except KeyError as error:
        raise ValueError(str(error.args[0] if error.args else error)) from error


@_damaged()
def find_names(opened: Any) -> list[str]:
    """Return the names of the arrays and the links that an open file holds; no link is followed."""
    h5py = _import_h5py()
    return [
        name
        for name in opened
        if type(opened.get(name, getlink=True)) is not h5py.HardLink
        or opened.get(name, getclass=True) is h5py.Dataset
    ]


@_damaged()
def open_array(opened: Any, name: str) -> Any:
    """Return an array of an open file; ValueError for one of another file, or one that needs plugins."""
    h5py = _import_h5py()
    linked = type(opened.get(name, getlink=True)) is not h5py.HardLink
    array = None if linked else opened[name]
    if array is None or array.is_virtual or array.external:
        raise ValueError(f"{name!r} stands in another file or place, which is not read")
    if array.shape is None:
        raise ValueError(f"{name!r} is empty")
    if array.dtype.hasobject and h5py.check_string_dtype(array.dtype) is None:
        raise ValueError(f"{name!r} holds {array.dtype}; numbers and texts are read")
    layout = array.id.get_create_plist()
    filters = [layout.get_filter(number)[0] for number in range(layout.get_nfilters())]
    if len(set(filters)) < len(filters) or not set(filters) <= set(_FILTERS):
        raise ValueError(
            f"{name!r} is packed by the filters {', '.join(map(str, filters))}; one each of "
            f"{', '.join(_FILTERS.values())} is known"
        )
    return array


@_damaged()
def read_rows(
    array: Any, rows: NDArray[np.int64] | None, where: str, stored: int, max_bytes: int | None = None
) -> NDArray[Any]:
    """Return all of an array, or rows of it by number, in their order; texts as str."""
    name = f"{where}: {array.name.lstrip('/')!r}"
    if array.chunks:
        check_size(name, math.prod(array.chunks) * array.dtype.itemsize, stored, max_bytes)
    if rows is None:
        check_size(name, array.nbytes, stored, max_bytes)
        return _read_slice(array, slice(None), name, stored, max_bytes)
    size = math.prod(array.shape[1:]) * array.dtype.itemsize
    check_size(name, len(rows) * size, stored, max_bytes)
    unique, back = np.unique(rows, return_inverse=True)
    begin, end = (int(unique[0]), int(unique[-1]) + 1) if len(unique) else (0, 0)
    if end - begin <= _SPARSE * len(unique):
        check_size(name, (end - begin) * size, stored, max_bytes)
        return _read_slice(array, slice(begin, end), name, stored, max_bytes)[rows - begin]
    parts = [_read_slice(array, slice(row, row + 1), name, stored, max_bytes) for row in unique.tolist()]
    return np.concatenate(parts)[back]


def _read_slice(array: Any, rows: slice, name: str, stored: int, max_bytes: int | None) -> NDArray[Any]:
    text = _import_h5py().check_string_dtype(array.dtype)
    if text is None:
        return np.asarray(array[rows] if array.shape else array[()])
    if text.length is None:
        return _read_texts(array, rows, name, stored, max_bytes)
    fixed = np.asarray(array[rows] if array.shape else array[()])
    return np.char.decode(fixed, "utf-8") if text.encoding == "utf-8" else fixed


def _read_texts(array: Any, rows: slice, name: str, stored: int, max_bytes: int | None) -> NDArray[Any]:
    """Return texts of any length, a few at a time: each may be as long as the file, and all may be one."""
    if array.ndim != 1:
        raise ValueError(f"{name} has texts of any length in {array.ndim} dimensions; one is read")
    texts: list[str] = []
    count, piece = 0, max(1, min(MOST_RATIO // 4, MOST_BYTES // max(stored, 1)))
    begin, end, _ = rows.indices(len(array))
    for place in range(begin, end, piece):
        texts += [bytes(text).decode() for text in array[place : min(place + piece, end)].tolist()]
        count += sum(map(len, texts[-piece:]))
        check_size(name, count, stored, max_bytes)
    values = np.empty(len(texts), object)
    values[:] = texts
    return values


def write(
    file: IO[bytes], value: Any, compression: Compression | None = None, level: int | None = None
) -> None:
    """Write an array, or arrays by name; ``compression`` is None, 'gzip' (``level`` 0 to 9) or 'lzf'."""
    arrays = value if isinstance(value, Mapping) else {"data": value}
    plain = {name: _as_storable(name, as_plain_array(entry)) for name, entry in arrays.items()}
    if compression not in (None, "gzip", "lzf"):
        raise ValueError(f"compression={compression!r:.80}: there are gzip, lzf, and None")
    _write_arrays(file, plain, {"compression": compression, "compression_opts": level})
    if compression and not in_proportion(sum(array.nbytes for array in plain.values()), file.tell()):
        # nearly all zeros: what is written must not look like a bomb
        write_anew(file)
        _write_arrays(file, plain, {})


def stack_rows(name: str, values: Any, advice: str) -> NDArray[Any]:
    """Return one array of the values of all items; ValueError where their shapes differ."""
    if isinstance(values, np.ndarray) and not values.dtype.hasobject:
        return values
    rows = [as_plain_array(value) for value in values]
    if shapes := sorted({row.shape for row in rows}):
        if len(shapes) > 1:
            raise ValueError(
                f"component {name!r}: items have the shapes {shapes[0]} and {shapes[1]}, and rows of an "
                f"array have one; {advice}"
            )
        return np.stack(rows)
    return np.empty(0)


def _as_storable(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of a type that HDF5 has; texts are UTF-8 of one length."""
    if array.dtype.kind == "U":
        encoded = np.char.encode(array, "utf-8")
        kind = _import_h5py().string_dtype("utf-8", max(encoded.dtype.itemsize, 1))
        return encoded.astype(kind)
    if array.dtype.kind in "mM":
        raise TypeError(f"{name!r}: HDF5 has no times; store array.astype('int64'), or the text of each")
    return array


def _write_arrays(file: IO[bytes], arrays: Mapping[str, NDArray[Any]], packing: Mapping[str, Any]) -> None:
    with _import_h5py().File(file, "w") as opened:
        for name, array in arrays.items():
            if "/" in name or name in ("", "."):
                raise ValueError(f"{escape(name)!r} is no name of an array in an HDF5 file")
            options = {key: setting for key, setting in packing.items() if setting is not None}
            if array.ndim == 0 or not array.size or not options:
                opened.create_dataset(name, data=array)
                continue
            row = max(array.nbytes // len(array), 1)
            chunks = (min(len(array), max(1, _PIECE // row)), *array.shape[1:])
            opened.create_dataset(name, data=array, chunks=chunks, shuffle=True, **options)


def read_ids(opened: Any, name: str, where: str, stored: int, max_bytes: int | None = None) -> list[Any]:
    """Return the ids of the rows of an open file, whole numbers or texts."""
    ids = read_rows(open_array(opened, name), None, where, stored, max_bytes)
    if ids.ndim != 1 or ids.dtype.kind not in "iuSUO":
        raise ValueError(f"{name!r} is of shape {ids.shape} and {ids.dtype}; ids are whole numbers or texts")
    return [id.decode() if isinstance(id, bytes) else id for id in ids.tolist()]


def open_file(file: IO[bytes], mode: Literal["r", "w"] = "r") -> Any:
    """Open an HDF5 file; to be used in ``with``."""
    return _import_h5py().File(file, mode)


def _import_h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            "reading and writing HDF5 files needs h5py: pip install 'bf-batch[hdf5]'"
        ) from error
    return h5py
