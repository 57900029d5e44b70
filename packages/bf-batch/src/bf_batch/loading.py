"""Loading components from memory, files and tables, and dumping them there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import IO, Any, TypeVar

import numpy as np

from bf_batch.components import Component, assemble, check_names
from bf_batch.core import BatchCore
from bf_batch.data.formats import Format, find_format, write_whole
from bf_batch.data.sources import assign_to_components, take_batch_values, take_item_values
from bf_batch.itemwise.parallel import require_component
from bf_batch.itemwise.run import ParallelOptions, run_all
from bf_batch.itemwise.work import ColumnItems, Work
from bf_batch.tables import is_table, read_table, write_table, writes_table
from bf_index.errors import escape, find_alike
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
    if path is not None and is_table(batch, path, fmt):
        _assign(batch, read_table(batch, path, fmt, dst, options))
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


# Files: one for each item


def path_of(batch: BatchCore, id: Any, src: str | None, found: Format | None = None) -> str:
    """Return the file of an item: its own path, ``src`` inside its folder, or its name inside ``src``.

    The name of a file in ``src`` is the id, with the ending of the item's own file if it has none of the
    format ``found``, that of the format: no two items have one file.
    """
    own = getattr(batch.index, "fullpath", None)
    if src is None:
        if own is None:
            raise ValueError(
                f"{type(batch).__name__}: the index has no files; use a FilesIndex, or say where they are: "
                "src='folder'"
            )
        return str(own(id))
    path = None if own is None else str(own(id))
    if path is not None and ("://" in path or os.path.isdir(path)):
        return f"{path.rstrip('/')}/{src}"
    name = os.path.normpath(str(id))
    if os.path.isabs(name) or name.split(os.sep)[0] == os.pardir:
        raise ValueError(f"{type(batch).__name__}: the id {id!r} leads out of the folder {src!r}")
    whole = name if path is None else _name_with_ending(name, path)
    if found is not None and not _has_ending(whole, found):
        whole = name + found.endings[0]
    return os.path.join(src, whole)


def _name_with_ending(name: str, path: str) -> str:
    """Return the name of an item's own file, from its id, which may lack the ending."""
    ending = os.path.splitext(path)[1]
    return name if os.path.basename(path) == os.path.basename(name) else name + ending


def _has_ending(name: str, found: Format) -> bool:
    return os.path.splitext(name)[1].lower() in found.endings


def find_file(batch: BatchCore, id: Any, src: str | None, found: Format | None) -> str:
    """Return the file to read for an item: the one that ``dump`` writes, else one of its own name."""
    path = path_of(batch, id, src, found)
    if src is None or found is None or "://" in path or os.path.exists(path):
        return path
    plain = path_of(batch, id, src)
    return plain if os.path.exists(plain) else path


def open_file(path: str, index: Any, id: Any, buffering: int = -1) -> IO[bytes]:
    """Open the file of an item; the error for a missing one names a file whose name looks alike."""
    if "://" not in path:
        try:
            return open(path, "rb", buffering)
        except FileNotFoundError as error:
            folder, name = os.path.split(path)
            known = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
            if (alike := find_alike(name, known)) is None:
                raise
            what = f"there is {alike!a}, which differs from {name!a} in its Unicode form only"
            raise FileNotFoundError(error.errno, f"{error.strerror}; {what}", path) from None
    if path == index.fullpath(id):
        own: IO[bytes] = index.open(id)
        return own
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
    given = None if fmt is None else found
    names = _choose_targets(batch, dst)

    def read(id: Any) -> Any:
        path = find_file(batch, _plain_id(id), src, given)
        return _split_value(_read_file(path, batch.index, _plain_id(id), found, options), names, path, found)

    action = f"{type(batch).__name__}.load"
    results = run_all(_make_work(batch, read, ColumnItems([batch.indices])), settings, action)
    columns = zip(*results)
    _assign(batch, {name: assemble(list(column)) for name, column in zip(names, columns)})
    return batch


def _read_file(path: str, index: Any, id: Any, found: Format, options: Mapping[str, Any]) -> Any:
    with reading(path), open_file(path, index, id) as file:
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
    if path is not None and writes_table(batch, path, name):
        write_table(batch, path, name, names, options, action)
        return batch
    several = isinstance(src, (tuple, list)) or len(names) > 1
    if several and not found.several:
        raise ValueError(
            f"{action}: {name} holds one component; say which of {names} to dump: src={names[0]!r}"
        )
    columns = (
        [batch.data] if names == ("data",) else [require_component(batch, part, action) for part in names]
    )

    paths = _choose_paths(batch, path, found, action)

    def write(id: Any, *entries: Any) -> None:
        value = dict(zip(names, entries)) if several else entries[0]
        path = paths[_plain_id(id)]
        try:
            write_whole(path, found.write, value, options)
        except (TypeError, ValueError) as error:
            raise ValueError(f"component {', '.join(map(repr, names))} to {escape(path)}: {error}") from error

    run_all(_make_work(batch, write, ColumnItems([batch.indices, *columns])), settings, action)
    return batch


def _choose_paths(batch: BatchCore, dst: str | None, found: Format, action: str) -> dict[Any, str]:
    """Return the file to write for each item; ValueError where two items would have one."""
    paths: dict[Any, str] = {}
    owners: dict[str, Any] = {}
    everything = batch.index if batch.dataset is None else batch.dataset.index
    for id in map(_plain_id, batch.indices):
        path = path_of(batch, id, dst, found)
        if dst is None and not _has_ending(path, found):
            path += found.endings[0]  # beside the item's own file, which is of another format
        if dst is not None and isinstance(id, str) and id != os.path.normpath(id):
            raise ValueError(
                f"{action}: the id {id!r} is no plain name of a file; write {os.path.normpath(id)!r}"
            )
        other = owners.setdefault(path, id)
        if other == id and isinstance(id, str):
            # The id 'a' is written to the file 'a.npy', as 'a.npy' is; the other may be in another batch.
            stem, ending = os.path.splitext(id)
            if ending == found.endings[0] and stem in everything:
                other = stem
        if other != id:
            raise ValueError(
                f"{action}: the items {other!r} and {id!r} would be one file, {escape(path)}; give ids that "
                "differ in more than the ending, or dump each in a folder of its own"
            )
        paths[id] = path
    return paths


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
