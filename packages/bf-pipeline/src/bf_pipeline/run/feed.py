"""Batches from anywhere through a pipeline: ready ones, or those of another pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from bf_batch import SkipBatch, StopPipeline
from bf_index import Place, new_seed
from bf_pipeline.record.recorded import with_config
from bf_pipeline.run.options import RunOptions
from bf_pipeline.run.runner import applied, start_runner
from bf_pipeline.run.state import Holds

if TYPE_CHECKING:
    from bf_pipeline.pipeline import Pipeline


def fed(pipeline: Pipeline, batches: Iterable[Any], options: RunOptions) -> Iterator[Any]:
    """Put batches through a pipeline, all steps in the caller; it is bound to the first one's class."""
    if options.config is not None:
        pipeline = with_config(pipeline, options.config)
    seed = new_seed() if options.seed is None else options.seed
    source = iter(batches)
    first = next(source, None)
    if first is None:
        return
    bound = pipeline.bind(type(first))
    runner = start_runner(pipeline, bound, seed, None)
    pipeline._memory.run = Holds(runner)
    if bound.regroups:
        raise ValueError("feed: a pipeline with rebatch can not be fed; rebatch where the batches are made")
    apply = applied(bound.steps, runner.scope)
    try:
        runner.once(bound.before)
        number = 0
        batch = first
        while batch is not None:
            place = Place(0, number, slice(0, len(batch)))
            batch.place, batch.seed = place, seed
            with suppress(SkipBatch):
                yield apply(batch, place)
            number += 1
            batch = next(source, None)
    except StopPipeline:
        return
    finally:
        runner.once(bound.after)
