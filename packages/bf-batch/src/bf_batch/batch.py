"""A batch: some items of a data set, their components, and the actions that process them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self, TypeVar

from bf_batch import loading
from bf_batch.actions import action
from bf_batch.components import join, take_rows
from bf_batch.core import BatchCore
from bf_batch.engines.base import EngineName
from bf_batch.itemwise.apply import apply, make_options
from bf_batch.itemwise.run import OnError, ParallelOptions
from bf_index import DatasetIndex

BatchT = TypeVar("BatchT", bound=BatchCore)


class Batch(BatchCore):
    """Items of a data set and their data.

    A subclass declares ``components``; each is an array or a list (ragged) with one entry an item, checked at
    assignment, and None until something is loaded. Other public attributes must be declared in the class.

    ``index`` is a DatasetIndex, a sequence of ids or a number of items; ``preloaded`` holds the components'
    values (see ``Dataset``); ``place`` and ``seed`` are the random address of the batch.

    >>> class Points(Batch):
    ...     components = "x", "y"
    >>> batch = Points(3, preloaded=([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]))
    >>> [item.x + item.y for item in batch]
    [5.0, 7.0, 9.0]
    """

    dataset: Any
    _bf_dataset_class: ClassVar[Callable[..., Any]]
    """What ``as_dataset`` makes: ``dataset.py`` sets it to ``Dataset``."""

    # Work on components

    @action
    def load(
        self,
        src: Any = None,
        fmt: str | None = None,
        dst: str | Sequence[str] | None = None,
        *,
        target: EngineName = "threads",
        on_error: OnError = "raise",
        **options: Any,
    ) -> Self:
        """Fill components from memory (arrays, tables, mappings by id), files or a table.

        Without ``src`` each item is read from its own file of a FilesIndex; where items are folders, ``src``
        is a file name inside each, or a tuple of names, one for each component of ``dst``; else it is the
        folder of files named by id. ``fmt`` is one of ``Batch.formats``, by default that of the file's
        ending; a csv or parquet file at ``src`` is a table with the ids in its first column. ``options`` go
        to the reader. A failed item is an ItemError, or left out with ``on_error='skip'``.
        """
        return loading.load(self, src, fmt, dst, ParallelOptions(target, on_error), options)

    @action
    def dump(
        self,
        dst: Any = None,
        fmt: str | None = None,
        src: str | Sequence[str] | None = None,
        *,
        target: EngineName = "threads",
        **options: Any,
    ) -> Self:
        """Write components to memory, to one file an item, or to a table; the counterpart of ``load``.

        Files appear under their names when they are whole. ``options`` go to the writer.
        """
        return loading.dump(self, dst, fmt, src, ParallelOptions(target), options)

    @action(itemwise=True)
    def apply(
        self,
        function: Callable[..., Any],
        *args: Any,
        src: Any = None,
        dst: Any = None,
        p: Any = None,
        target: EngineName | None = None,
        **kwargs: Any,
    ) -> Self:
        """Call ``function(entry, *args, **kwargs)`` for each entry of ``src``; the results become ``dst``.

        A tuple of components as ``src`` gives joint entries, a tuple as ``dst`` takes several results; lists
        are one call for each. Items not chosen by ``p`` stay what they are. A parameter ``rng`` of the
        function is the item's generator. ``on_error``, ``timeout`` and ``n_workers`` are those of
        ``inbatch_parallel``.
        """
        own: dict[str, Any] = {
            name: kwargs.pop(name)
            for name in ("on_error", "timeout", "n_workers", "init", "post")
            if name in kwargs
        }
        given: dict[str, Any] = {**self.apply_defaults, **own}
        if target is not None:
            given["target"] = target
        place = {**given, "src": src or given.get("src"), "dst": dst or given.get("dst") or src}
        done: Self = apply(self, function, args, kwargs, place, make_options(given), p)
        return done

    apply_parallel = apply

    @classmethod
    def merge(
        cls, batches: Sequence[Batch], batch_size: int | None = None, components: Sequence[str] | None = None
    ) -> tuple[Self, Self | None]:
        """Return one batch of the first ``batch_size`` items of several, and one of the rest or None.

        Without ``batch_size`` all items are in the first. The new ids are numbers from 0 on. A component that
        only some of the batches have is a ValueError.
        """
        return _merge(cls, batches, batch_size, components)

    def as_dataset(self) -> Any:
        """Return a data set of the items of this batch, with its data as it is now."""
        kind: Any = self._bf_plain_class or type(self)
        return self._bf_dataset_class(self.index, kind, self.to_dict() if self.components else self.data)


def _merge(
    cls: type[BatchT], batches: Sequence[BatchCore], batch_size: int | None, components: Sequence[str] | None
) -> tuple[BatchT, BatchT | None]:
    """Return one batch of the items of several, and the rest beyond ``batch_size``; see ``Batch.merge``."""
    batches = list(batches)
    if not batches:
        raise ValueError(f"{cls.__name__}.merge: got no batches")
    names = tuple(components) if components is not None else batches[0].components or ("data",)
    values = {name: _join_component(cls, batches, name) for name in names}
    total = sum(map(len, batches))
    if batch_size is not None and batch_size < 1:
        raise ValueError(
            f"{cls.__name__}.merge: batch_size must be an integer >= 1 or None, got {batch_size}"
        )
    first = _make_batch(cls, batches[0], values, slice(0, min(batch_size or total, total)))
    if batch_size is None or batch_size >= total:
        return first, None
    return first, _make_batch(cls, batches[0], values, slice(batch_size, total))


def _join_component(cls: type[BatchCore], batches: Sequence[BatchCore], name: str) -> Any:
    """Return the joined values of a component; ValueError naming the batch that lacks it."""
    parts = []
    waiting = _join_waiting(batches, name)
    if waiting is not None:
        return waiting
    for number, batch in enumerate(batches):
        if name != "data" and name not in batch.components:
            raise ValueError(
                f"{cls.__name__}.merge: batch {number} ({type(batch).__name__}) has no component {name!r}; "
                f"it has {', '.join(batch.components) or 'none'}"
            )
        parts.append(batch.data if name == "data" else getattr(batch, name))
    empty = [number for number, part in enumerate(parts) if part is None]
    if len(empty) == len(parts):
        return None
    if empty:
        raise ValueError(
            f"{cls.__name__}.merge: component {name!r} is empty in batch {empty[0]} and has data in others; "
            f"load it, or leave it out: components="
        )
    for number, batch in enumerate(batches):
        if extra := set(batch.components) - set(batches[0].components):
            raise ValueError(
                f"{cls.__name__}.merge: batch 0 ({type(batches[0]).__name__}) has no component "
                f"{sorted(extra)[0]!r}, which batch {number} has; say which to merge: components="
            )
    return join(parts)


def _join_waiting(batches: Sequence[BatchCore], name: str) -> Any:
    """Return the joined values of a component that stays pending in all batches; else None."""
    values = [batch._bf_data.get(name) for batch in batches]
    first = values[0]
    if getattr(first, "stays_pending", False) and all(type(value) is type(first) for value in values):
        return first.join(values)  # type: ignore[union-attr]
    return None


def _make_batch(cls: type[BatchT], model: BatchCore, values: dict[str, Any], rows: slice) -> BatchT:
    batch: BatchT = cls(DatasetIndex(rows.stop - rows.start), seed=model.seed, place=model.place)
    for name, value in values.items():
        part = take_rows(value, rows)
        if name in batch.components:
            setattr(batch, name, part)
        elif name == "data" and not batch.components:
            batch._bf_data["data"] = part
        else:
            batch.add_components(name, part)
    return batch
