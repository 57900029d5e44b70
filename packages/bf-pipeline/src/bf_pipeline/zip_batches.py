"""Batches of several pipelines in step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

from bf_batch import Dataset
from bf_pipeline.pipeline import Pipeline


def zip_batches(*pipelines: Any, batch_size: int | None = None, **options: Any) -> Iterator[tuple[Any, ...]]:
    """Yield tuples of batches of several pipelines or datasets, in step; it ends with the shortest.

    The options are those of ``gen_batch`` and go to all of them.
    """
    chosen = [Pipeline(one) if isinstance(one, Dataset) else one for one in pipelines]
    for one in chosen:
        if not isinstance(one, Pipeline):
            raise TypeError(f"zip_batches: pipelines and datasets are needed, got {one!r}")
    runs = [one.gen_batch(batch_size, **options) for one in chosen]
    return _in_step(runs)


def _in_step(runs: list[Any]) -> Iterator[tuple[Any, ...]]:
    with ExitStack() as stack:
        for run in runs:
            stack.enter_context(closing(run))
        yield from zip(*runs, strict=False)
