"""Several pipelines at once: ``join`` side by side, ``merge`` one behind another, zipped in step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

from bf_batch import Dataset
from bf_index import Place
from bf_pipeline.bind.bound import BoundStep, OtherPipeline
from bf_pipeline.bind.names import Names
from bf_pipeline.context import Context
from bf_pipeline.errors import BindError, Location
from bf_pipeline.expressions.base import Expr
from bf_pipeline.record.recorded import Recorded
from bf_pipeline.record.steps import Call


@dataclass(frozen=True, slots=True, eq=False)
class Joined(Expr):
    """The batch of another pipeline with the same ids as the batch at hand."""

    key: int

    def evaluate(self, context: Context) -> Any:
        """Make the other pipeline's batch."""
        runner = context.scope.sources[self.key]
        batch, place = context.batch, context.place
        positions = runner.scope.dataset.index.positions(batch.indices)
        return runner.finish(runner.prepare(Place(place.epoch, place.batch, positions)))


def _bind_other(names: Names, where: Location, other: Any, step: str) -> OtherPipeline | None:
    """Bind another pipeline or dataset; its mistakes are the outer pipeline's."""
    recorded = Recorded(other) if isinstance(other, Dataset) else other
    if not isinstance(recorded, Recorded):
        names.mistake(where, f"{step}: datasets and pipelines can be combined, got {other!r}")
        return None
    if recorded.dataset is None:
        names.mistake(
            where, f"{step}: the other pipeline has no dataset; give it one with pipeline << dataset"
        )
        return None
    try:
        bound = names.bind_other(recorded)
    except BindError as error:
        names.mistakes.extend(error.mistakes)
        return None
    if bound.regroups:
        names.mistake(
            where, f"{step}: the other pipeline has a rebatch, so its batches do not match; leave it out"
        )
        return None
    if bound.before or bound.after:
        names.mistake(where, f"{step}: before and after of the other pipeline would not run; leave them out")
        return None
    made = OtherPipeline(len(names.sources), recorded, bound, merges=step == "merge")
    names.sources[made.key] = made
    return made


def bind_join(names: Names, call: Call, number: int, *others: Any) -> BoundStep | None:
    """Bind ``join``: the next action gets the batches of the others as its first arguments."""
    if not others:
        names.mistake(call.where, "join: give at least one dataset or pipeline")
    sources = [_bind_other(names, call.where, other, "join") for other in others]
    names.joined = tuple(Joined(-1 if source is None else source.key) for source in sources)
    names.joined_in_parent = any(source is not None and bool(source.bound.rest) for source in sources)
    return None


def bind_merge(
    names: Names, call: Call, number: int, *others: Any, components: Any = None
) -> BoundStep | None:
    """Bind ``merge``: the items of the others' batches of the same number come behind the batch's."""
    if not others:
        names.mistake(call.where, "merge: give at least one dataset or pipeline")
    found = [_bind_other(names, call.where, other, "merge") for other in others]
    sources = [source for source in found if source is not None]
    keys = [source.key for source in sources]

    def run(batch: Any, context: Context) -> Any:
        batches = [batch]
        for key in keys:
            runner = context.scope.sources[key]
            batches.append(runner.finish(runner.prepare(runner.places.place(context.iteration))))
        merged, _ = type(batch).merge(batches, components=components)
        return merged

    parent = any(source.bound.rest for source in sources)
    return BoundStep(number, call.name, call.where, run, True, parent, resizes=True)


def refuse_rebatch(names: Names, call: Call, number: int, *args: Any, **kwargs: Any) -> BoundStep | None:
    """Note that a ``rebatch`` stands inside a repetition or a coin."""
    names.mistake(call.where, "rebatch can not be repeated or left to a coin; put it outside of * and @")
    return None


def zip_batches(*pipelines: Any, batch_size: int | None = None, **options: Any) -> Iterator[tuple[Any, ...]]:
    """Give tuples of batches of several pipelines or datasets, in step; it ends with the shortest.

    The options are those of ``gen_batch`` and go to all of them.
    """
    from bf_pipeline.pipeline import Pipeline

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
