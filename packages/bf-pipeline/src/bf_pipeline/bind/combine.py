"""Steps that change what a batch is: ``join`` and ``merge`` of several pipelines, and ``rebatch``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bf_batch import Dataset
from bf_index import Place
from bf_pipeline.bind.bound import BoundStep, OtherPipeline, Regroup
from bf_pipeline.bind.builtin import BuiltinStep
from bf_pipeline.bind.names import Names
from bf_pipeline.context import Context
from bf_pipeline.errors import BindError, Location
from bf_pipeline.expressions.base import Expr
from bf_pipeline.record.data import choose_data
from bf_pipeline.record.recorded import Recorded


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
        recorded = choose_data(recorded)
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


@dataclass(frozen=True, slots=True, eq=False)
class Join(BuiltinStep):
    """The step of ``join(...)``: the next action gets the batches of the others as its first arguments."""

    verb = "join"

    others: tuple[Any, ...]

    @classmethod
    def read(cls, where: Location, /, *others: Any) -> Join:
        """Make the step from the arguments of ``join``."""
        return cls(where, others)

    def bind(self, names: Names, number: int) -> None:
        """Bind the others; the next action takes their batches."""
        if not self.others:
            names.mistake(self.where, "join: give at least one dataset or pipeline")
        found = [_bind_other(names, self.where, other, "join") for other in self.others]
        names.joined = tuple(Joined(-1 if other is None else other.key) for other in found)
        names.joined_in_parent = any(other is not None and bool(other.bound.rest) for other in found)


@dataclass(frozen=True, slots=True, eq=False)
class Merge(BuiltinStep):
    """The step of ``merge(...)``: items of the others' batches of the same number follow the batch's own."""

    verb = "merge"

    others: tuple[Any, ...]
    fn: Any
    components: Any

    @classmethod
    def read(cls, where: Location, /, *others: Any, fn: Any = None, components: Any = None) -> Merge:
        """Make the step from the arguments of ``merge``."""
        return cls(where, others, fn, components)

    def bind(self, names: Names, number: int) -> BoundStep:
        """Bind the others and the merging."""
        if not self.others:
            names.mistake(self.where, "merge: give at least one dataset or pipeline")
        found = [_bind_other(names, self.where, other, "merge") for other in self.others]
        bound = [other for other in found if other is not None]
        keys, components, fn = [other.key for other in bound], self.components, self.fn
        if fn is not None and (not callable(fn) or components is not None):
            text = "fn is a function of the batches, and then components have no meaning"
            names.mistake(self.where, f"merge: {text}; got fn={fn!r}, components={components!r}")

        def run(batch: Any, context: Context) -> Any:
            batches = [batch]
            for key in keys:
                runner = context.scope.sources[key]
                batches.append(runner.finish(runner.prepare(runner.places.place(context.iteration))))
            if fn is not None:
                return fn(batches)
            merged, _ = type(batch).merge(batches, components=components)
            return merged

        parent = any(other.bound.rest for other in bound)
        return BoundStep(number, "merge", self.where, run, True, parent, resizes=True)


@dataclass(frozen=True, slots=True, eq=False)
class Rebatch(BuiltinStep):
    """The step of ``rebatch(batch_size)``: the steps after it get batches of another size."""

    verb = "rebatch"

    batch_size: Any
    components: Any = None
    merge: Any = None

    def bind(self, names: Names, number: int) -> None:
        """Note a mistake: only a ``rebatch`` inside a repetition or a coin is bound, others regroup."""
        names.mistake(self.where, "rebatch can not be repeated or left to a coin; put it outside of * and @")

    def regroup(self, names: Names, inner: tuple[BoundStep, ...]) -> Regroup:
        """Return what a run makes of it; ``inner`` are the steps after it, bound already."""
        size, components = self.batch_size, self.components
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            names.mistake(self.where, f"rebatch: batch_size must be an integer >= 1, got {size!r}")
            size = 1
        if isinstance(components, str):
            components = (components,)
        if self.merge is not None and (not callable(self.merge) or components is not None):
            text = "merge is a function (batches, batch_size), and then components have no meaning"
            names.mistake(self.where, f"rebatch: {text}; got merge={self.merge!r}, components={components!r}")
        kept = None if components is None else tuple(components)
        return Regroup(size, kept, self.where, inner, self.merge)


@dataclass(frozen=True, slots=True, eq=False)
class DiscardBatch(BuiltinStep):
    """The step of ``discard_batch()``: components are let go, ids and attributes stay."""

    verb = "discard_batch"

    def bind(self, names: Names, number: int) -> BoundStep:
        """Bind nothing but the step itself."""
        return BoundStep(number, "discard_batch", self.where, lambda batch: batch.discard_data())
