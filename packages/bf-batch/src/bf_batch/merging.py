"""Joining batches into one, and cutting off what is more than asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from bf_batch.components import join, take_rows
from bf_batch.core import BatchCore
from bf_index import DatasetIndex

BatchT = TypeVar("BatchT", bound=BatchCore)


def merge(
    cls: type[BatchT], batches: Sequence[BatchCore], batch_size: int | None, components: Sequence[str] | None
) -> tuple[BatchT, BatchT | None]:
    """Return one batch of the items of several, and the rest beyond ``batch_size``; see ``Batch.merge``."""
    batches = list(batches)
    if not batches:
        raise ValueError(f"{cls.__name__}.merge: got no batches")
    names = tuple(components) if components is not None else batches[0].components or ("data",)
    values = {name: _column(cls, batches, name) for name in names}
    total = sum(map(len, batches))
    if batch_size is not None and batch_size < 1:
        raise ValueError(
            f"{cls.__name__}.merge: batch_size must be an integer >= 1 or None, got {batch_size}"
        )
    first = _make(cls, batches[0], values, slice(0, min(batch_size or total, total)))
    if batch_size is None or batch_size >= total:
        return first, None
    return first, _make(cls, batches[0], values, slice(batch_size, total))


def _column(cls: type[BatchCore], batches: Sequence[BatchCore], name: str) -> Any:
    """Return the joined values of a component; ValueError naming the batch that lacks it."""
    parts = []
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


def _make(cls: type[BatchT], model: BatchCore, values: dict[str, Any], rows: slice) -> BatchT:
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
