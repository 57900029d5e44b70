"""Tables: one file with a row for each item, found by id; csv, parquet, feather, and arrays of HDF5."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.core import BatchCore
from bf_batch.data import hdf5
from bf_batch.data.formats import FORMATS, TABLES, check_table_name, find_format, write_whole
from bf_batch.data.sources import pick_by_id
from bf_batch.data.tables import import_pandas
from bf_batch.itemwise.parallel import require_component
from bf_index.errors import escape
from bf_index.sizes import reading

_ARRAYS = "hdf5"
_IDS = "id"
_CSV_FORM = frozenset(
    (
        "sep",
        "delimiter",
        "header",
        "skiprows",
        "skipfooter",
        "nrows",
        "encoding",
        "quotechar",
        "comment",
        "decimal",
        "thousands",
        "compression",
        "max_bytes",
    )
)
"""Options of csv files that say nothing about what ids are."""


def is_table(batch: BatchCore, path: str, fmt: str | None) -> bool:
    """Whether a path is a file with rows of many items, of a format that may be one."""
    return _has_rows(batch, fmt or _name_by_ending(path)) and os.path.isfile(path)


def writes_table(batch: BatchCore, path: str | None, name: str) -> bool:
    """Whether a format writes one file of all items at a path; HDF5 writes both, by the ending."""
    if path is None or not _has_rows(batch, name):
        return False
    return name in TABLES or (_name_by_ending(path) == name and not os.path.isdir(path))


def _has_rows(batch: BatchCore, name: str | None) -> bool:
    return name in TABLES or (name == _ARRAYS and batch.formats.get(name) is FORMATS[name])


def _name_by_ending(path: str) -> str | None:
    ending = os.path.splitext(path)[1].lower()
    return next((name for name in (*TABLES, _ARRAYS) if ending in FORMATS[name].endings), None)


def read_table(
    batch: BatchCore, path: str, fmt: str | None, dst: Any, options: dict[str, Any]
) -> dict[str, Any]:
    """Read the rows of the batch's ids; KeyError for an id or a column that is not there.

    The ids are the first column of csv and feather, the index of parquet and the array ``ids`` (by default
    'id') of HDF5.
    """
    name, found = find_format(batch.formats, fmt, path)
    names = None if dst is None else [dst] if isinstance(dst, str) else list(dst)
    if name == _ARRAYS:
        return _read_arrays(batch, path, names, **options)
    with reading(path), open(path, "rb") as file:
        table = found.read(file, **({"index_col": 0, **options} if name == "csv" else options))
        if name == "csv" and isinstance(batch.indices[0], str) and options.keys() <= _CSV_FORM:
            file.seek(0)  # once more as texts: 001 is no number then, and NA is not missing
            ids = found.read(file, usecols=[0], dtype=str, na_filter=False, **options)
            table.index = ids.iloc[:, 0]
    if name == "feather" and type(table.index) is import_pandas().RangeIndex and len(table.columns) > 1:
        table = table.set_index(table.columns[0])
    if names is None:
        names = [name for name in batch.components if name in table.columns] or list(table.columns)
    if len(table.columns) == 1 and len(names) == 1:
        return {names[0]: pick_by_id(path, table.iloc[:, 0], batch.indices)}
    if missing := [name for name in names if name not in table.columns]:
        raise KeyError(
            f"{escape(path)}: no column {missing[0]!r}; it has {', '.join(map(escape, table.columns))}"
        )
    return {name: pick_by_id(path, table[name], batch.indices) for name in names}


def write_table(
    batch: BatchCore, path: str, name: str, names: Sequence[str], options: Mapping[str, Any], action: str
) -> None:
    """Write components into one file, a row for each item, with the ids."""
    found = batch.formats[name]
    check_table_name(path, name, found, action)
    values = {part: require_component(batch, part, action) for part in names}
    if name != _ARRAYS:
        columns = {part: list(entries) for part, entries in values.items()}
        pandas = import_pandas()
        frame = pandas.DataFrame(columns, index=pandas.Index(batch.indices, name=_IDS))
        write_whole(path, found.write, frame, {"index": True, **options})
        return
    if _IDS in values:
        raise ValueError(f"{action}: {_IDS!r} is what the ids are called in an HDF5 file, and a component")
    advice = "dump a file for each item: dst='folder', fmt='hdf5'"
    arrays = {part: hdf5.stack_rows(part, entries, advice) for part, entries in values.items()}
    write_whole(path, found.write, {_IDS: batch.indices, **arrays}, options)


# HDF5


def _read_arrays(
    batch: BatchCore, path: str, names: Sequence[str] | None, ids: str = _IDS, max_bytes: int | None = None
) -> dict[str, Any]:
    """Read the batch's rows of arrays, and no others but those between them."""
    with (
        reading(path, ValueError, KeyError),
        open(path, "rb") as file,
        hdf5.open_file(file) as opened,
    ):
        stored = os.fstat(file.fileno()).st_size
        everything = hdf5.find_names(opened)
        there = [name for name in everything if name != ids]
        chosen = names if names is not None else [name for name in batch.components if name in there] or there
        if missing := [name for name in chosen if name not in there]:
            raise KeyError(
                f"{escape(path)}: no array {missing[0]!r}; it has {', '.join(map(escape, there)) or 'none'}"
            )
        arrays = {name: hdf5.open_array(opened, name) for name in chosen}
        known = hdf5.read_ids(opened, ids, path, stored, max_bytes) if ids in everything else None
        rows = None
        found: dict[str, Any] = {}
        for name, array in arrays.items():
            length = array.shape[0] if array.shape else 0
            if known is not None and len(known) != length:
                raise ValueError(f"{name!r} has {length} rows, and there are {len(known)} ids in {ids!r}")
            if rows is None or known is None:
                rows = _find_rows(batch, path, name, known, length)
            found[name] = hdf5.read_rows(array, rows, path, stored, max_bytes)
        return found


def _find_rows(
    batch: BatchCore, path: str, name: str, known: list[Any] | None, length: int
) -> NDArray[np.int64]:
    """Return the row of each item: where its id stands among those known, else the id itself."""
    if known is not None:
        places = dict(zip(known, range(length)))
        if len(places) < length:
            twice = next(id for row, id in enumerate(known) if places[id] != row)
            raise ValueError(f"the id {twice!r} is there more than once; keep one row for each id")
        return np.array(pick_by_id(path, places, batch.indices.tolist()), np.int64)
    ids: NDArray[Any] = batch.indices
    if ids.dtype.kind not in "iu":
        raise ValueError(
            f"there is no array {_IDS!r} that says which row is whose, and ids such as {ids[0]!r} are no row "
            "numbers; name the array of ids: ids='NAME'"
        )
    if ids.min() < 0 or ids.max() >= length:
        raise ValueError(
            f"{name!r} has {length} rows, and ids {ids.min()} to {ids.max()} can't be row numbers; name the "
            "array of ids: ids='NAME'"
        )
    return ids.astype(np.int64)
