"""Loading components from memory, files and tables, and dumping them there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import IO, Any, TypeVar

import numpy as np

from bf_batch.components import Component, assemble, check_names
from bf_batch.core import BatchCore
from bf_batch.data.formats import TABLES, Format, find_format, import_pandas, write_whole
from bf_batch.data.sources import assign_to_components, pick_by_id, take_batch_values, take_item_values
from bf_batch.itemwise.parallel import require_component
from bf_batch.itemwise.run import ParallelOptions, run_all
from bf_batch.itemwise.work import ColumnItems, Work
from bf_index.errors import escape
from bf_index.sizes import reading

BatchT = TypeVar("BatchT", bound=BatchCore)


def is_place(src: Any) -> bool:
    """Whether a source is a place of files: None for the index's own, a path or several."""
    if isinstance(src, (tuple, list)):
        return bool(src) and all(isinstance(part, (str, PathLike)) for part in src)
    return src is None or isinstance(src, (str, PathLike))


def load(
    batch: BatchT, src: Any, fmt: str | None, dst: Any, settings: ParallelOptions, options: dict[str, Any]
) -> BatchT:
    """Load components; see ``Batch.load``."""
    if fmt is None and not is_place(src):
        _assign(batch, _read_memory(batch, src, dst))
        return batch
    if not is_place(src):
        raise TypeError(
            f"{type(batch).__name__}.load: src must be a path for fmt={fmt!r}, got {type(src).__name__}"
        )
    if isinstance(src, (tuple, list)):
        targets = _choose_targets(batch, dst, len(src))
        for part, name in zip(src, targets):
            batch = load(batch, part, fmt, name, settings, options)
        return batch
    path = None if src is None else os.fspath(src)
    if path is not None and _is_table(path, fmt):
        _assign(batch, _read_table(batch, path, fmt, dst, options))
        return batch
    return _load_files(batch, path, fmt, dst, settings, options)


def _assign(batch: BatchCore, values: Mapping[str, Any]) -> None:
    """Assign components, adding those that the batch does not have."""
    for name, value in values.items():
        if name in batch.components or (name == "data" and not batch.components):
            batch._bf_data[name] = Component(name).check(batch, value)
        else:
            batch.add_components(name, value)


def _choose_targets(batch: BatchCore, dst: Any, count: int | None = None) -> tuple[str, ...]:
    """Return the components to fill: those given, else all of the batch."""
    owner = type(batch).__name__
    if dst is None:
        names = batch.components or ("data",)
        if count is None and len(names) > 1:
            raise ValueError(f"{owner}.load: say which of the components {names} to load: dst={names[0]!r}")
    else:
        names = (dst,) if isinstance(dst, str) else tuple(dst)
        check_names(owner, [name for name in names if name not in batch.components])
    if count is not None and len(names) != count:
        raise ValueError(f"{owner}.load: got {count} sources for {len(names)} components {names}")
    return names


def _read_memory(batch: BatchCore, src: Any, dst: Any) -> dict[str, Any]:
    if dst is None:
        return take_batch_values(batch, src)
    if isinstance(dst, str):
        return take_item_values(batch, {dst: src})
    return take_item_values(batch, assign_to_components(src, tuple(dst), type(batch).__name__))


# Tables: one file with a row for each item


def _is_table(path: str, fmt: str | None) -> bool:
    name = fmt or os.path.splitext(path)[1].lower().lstrip(".")
    return name in TABLES and os.path.isfile(path)


def _read_table(
    batch: BatchCore, path: str, fmt: str | None, dst: Any, options: dict[str, Any]
) -> dict[str, Any]:
    """Read the rows of the batch's ids; the ids are the first column of csv, the index of parquet."""
    name, found = find_format(batch.formats, fmt, path)
    if name == "csv":
        options = {"index_col": 0, **options}
    with reading(path), open(path, "rb") as file:
        table = found.read(file, **options)
    if dst is None:
        names = [name for name in batch.components if name in table.columns] or list(table.columns)
    else:
        names = [dst] if isinstance(dst, str) else list(dst)
    if len(table.columns) == 1 and len(names) == 1:
        return {names[0]: pick_by_id(path, table.iloc[:, 0], batch.indices)}
    if missing := [name for name in names if name not in table.columns]:
        raise KeyError(
            f"{escape(path)}: no column {missing[0]!r}; it has {', '.join(map(escape, table.columns))}"
        )
    return {name: pick_by_id(path, table[name], batch.indices) for name in names}


# Files: one for each item


def path_of(batch: BatchCore, id: Any, src: str | None, ending: str = "") -> str:
    """Return the file of an item: its own path, ``src`` inside its folder, or its name inside ``src``."""
    own = getattr(batch.index, "fullpath", None)
    if src is None:
        if own is None:
            raise ValueError(
                f"{type(batch).__name__}: the index has no files; use a FilesIndex, or say where they are: "
                "src='folder'"
            )
        return str(own(id))
    if own is not None:
        path = own(id)
        if "://" in path or os.path.isdir(path):
            return f"{path.rstrip('/')}/{src}"
        return os.path.join(src, os.path.basename(path))
    name = str(id)
    inside = os.path.normpath(os.path.join(src, name))
    if os.path.isabs(name) or os.path.relpath(inside, src).startswith(".."):
        raise ValueError(f"{type(batch).__name__}: the id {id!r} leads out of the folder {src!r}")
    return inside if not ending or inside.endswith(ending) else inside + ending


def _open_file(path: str, index: Any, id: Any) -> IO[bytes]:
    if "://" not in path:
        return open(path, "rb")
    if path == index.fullpath(id):
        opened: IO[bytes] = index.open(id)
        return opened
    from fsspec import open as open_remote

    remote: IO[bytes] = open_remote(path, "rb").open()
    return remote


def _load_files(
    batch: BatchT,
    src: str | None,
    fmt: str | None,
    dst: Any,
    settings: ParallelOptions,
    options: dict[str, Any],
) -> BatchT:
    first = path_of(batch, _plain_id(batch.indices[0]), src)
    _, found = find_format(batch.formats, fmt, first if src is None or os.path.splitext(first)[1] else src)
    ending = found.endings[0] if fmt is not None else ""
    names = _choose_targets(batch, dst)

    def read(id: Any) -> Any:
        path = path_of(batch, _plain_id(id), src, ending)
        return _split_value(_read_file(path, batch.index, _plain_id(id), found, options), names, path, found)

    action = f"{type(batch).__name__}.load"
    results = run_all(_make_work(batch, read, ColumnItems([batch.indices])), settings, action)
    columns = zip(*results)
    _assign(batch, {name: assemble(list(column)) for name, column in zip(names, columns)})
    return batch


def _read_file(path: str, index: Any, id: Any, found: Format, options: Mapping[str, Any]) -> Any:
    with reading(path), _open_file(path, index, id) as file:
        return found.read(file, **options)


def _split_value(value: Any, names: Sequence[str], path: str, found: Format) -> tuple[Any, ...]:
    """Return what goes to each component: the value, or entries by name of a file that holds several."""
    if not isinstance(value, Mapping):
        if len(names) > 1:
            raise ValueError(
                f"{escape(path)} holds one value for the components {tuple(names)}; give one file for each"
            )
        return (value,)
    if all(name in value for name in names):
        return tuple(value[name] for name in names)
    if found.parts or len(names) == len(value) == 1:
        return tuple(value.values())[: len(names)]
    raise ValueError(
        f"{escape(path)} holds {', '.join(map(escape, value))} for the components {tuple(names)}; "
        "name them alike"
    )


def _make_work(batch: BatchCore, function: Callable[..., Any], items: Any) -> Work:
    return Work(function, batch, items, (), {}, range(len(batch)), batch.address(), False, False, False)


def _plain_id(id: Any) -> Any:
    return id.item() if isinstance(id, np.generic) else id


# Dumping


def dump(
    batch: BatchT, dst: Any, fmt: str | None, src: Any, settings: ParallelOptions, options: dict[str, Any]
) -> BatchT:
    """Dump components; see ``Batch.dump``."""
    action = f"{type(batch).__name__}.dump"
    names = (
        (src,) if isinstance(src, str) else tuple(src) if src is not None else batch.components or ("data",)
    )
    if fmt is None and not is_place(dst):
        _write_memory(batch, dst, names, action)
        return batch
    path = None if dst is None else os.fspath(dst)
    guess = path or path_of(batch, _plain_id(batch.indices[0]), None)
    name, found = find_format(batch.formats, fmt, guess)
    if name in TABLES and path is not None:
        table = {part: list(require_component(batch, part, action)) for part in names}
        frame = _make_table(table, batch.indices)
        write_whole(path, found.write, frame, {"index": True, **options})
        return batch
    several = isinstance(src, (tuple, list)) or len(names) > 1
    if several and name != "npz":
        raise ValueError(
            f"{action}: {name} holds one component; say which of {names} to dump: src={names[0]!r}"
        )
    columns = (
        [batch.data] if names == ("data",) else [require_component(batch, part, action) for part in names]
    )

    def write(id: Any, *entries: Any) -> None:
        value = dict(zip(names, entries)) if several else entries[0]
        write_whole(path_of(batch, _plain_id(id), path, found.endings[0]), found.write, value, options)

    run_all(_make_work(batch, write, ColumnItems([batch.indices, *columns])), settings, action)
    return batch


def _make_table(table: Mapping[str, Any], ids: Any) -> Any:
    return import_pandas().DataFrame(table, index=import_pandas().Index(ids, name="id"))


def _write_memory(batch: BatchCore, dst: Any, names: Sequence[str], action: str) -> None:
    """Write the items' values into a container: an array by integer ids, a mapping by ids."""
    if len(names) != 1:
        raise ValueError(
            f"{action}: a container takes one component; say which of {tuple(names)}: src={names[0]!r}"
        )
    values = batch.data if names[0] == "data" else require_component(batch, names[0], action)
    if isinstance(dst, np.ndarray):
        if batch.indices.dtype.kind not in "iu":
            raise TypeError(
                f"{action}: an array is written by integer ids, got ids such as {batch.indices[0]!r}"
            )
        dst[batch.indices] = values
    elif hasattr(dst, "__setitem__"):
        for id, value in zip(batch.indices.tolist(), values):
            dst[id] = value
    else:
        raise TypeError(f"{action}: dst must be a path or a container, got {type(dst).__name__}")
