"""One batch through a bound pipeline: ``prepare`` may run ahead, anywhere; ``finish`` in order, here.

The seam for work ahead: ``Runner.prepare(place) -> Batch`` is pure for each batch and touches neither models
nor variables that change; ``Runner.finish(batch) -> Batch`` does the rest. ``Runner.preparer`` is the part
that travels to workers. Both raise what a step raised, with a note that tells the step, its line, the batch
and ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from bf_batch import SkipBatch, StopPipeline
from bf_index import Place
from bf_index.seeding import key_at
from bf_pipeline.bind.bound import (
    Bound,
    BoundStep,
    OtherPipeline,
    annotate,
    check_returned,
    initialise,
    list_entries,
)
from bf_pipeline.context import Context, Scope
from bf_pipeline.plain_config import UNSET, find_value, make_plain, replace_value
from bf_pipeline.record.recorded import Recorded

# The stage of the seeds that are derived for joined and merged pipelines.
_SOURCES = 3

Apply = Callable[[Any, Place], Any]


def compile_steps(steps: Sequence[BoundStep], scope: Scope) -> Apply:
    """Return ``apply(batch, place)``, which puts a batch through a flat list of steps."""
    flat = list_entries(steps)
    by_number = {step.number: step for step in steps}
    contextual = any(step.contextual for step in steps)

    def apply(batch: Any, place: Place) -> Any:
        context = Context(scope, batch, place) if contextual else None
        # The batch's own __setattr__ would ask at each step whether the name is declared.
        state = batch.__dict__
        number = -1
        try:
            for number, run, with_context in flat:
                state["step"] = number
                result = run(batch, context) if with_context else run(batch)
                if result is not batch:
                    batch = _replace_batch(result, batch, by_number[number], place)
                    state = batch.__dict__
                    if context is not None:
                        context.batch = batch
        except (SkipBatch, StopPipeline):
            raise
        except Exception as error:
            annotate(error, by_number[number], place, batch.indices)
            raise
        return batch

    return apply


def _replace_batch(result: Any, batch: Any, step: BoundStep, place: Place) -> Any:
    """Return the batch that a step made in place of another, at the same random address."""
    new = check_returned(result, batch, step)
    new.__dict__.update(place=place, seed=batch.seed)
    return new


class Preparer:
    """The part of a runner that may be anywhere: it makes a batch and does the steps that run ahead."""

    __slots__ = ("_apply", "_create", "_seed", "scope", "steps")

    def __init__(self, steps: Sequence[BoundStep], scope: Scope) -> None:
        self.scope = scope
        self.steps = tuple(steps)
        self._create: Any = getattr(scope.dataset, "create_batch", None)
        self._seed = scope.seed
        self._apply = compile_steps(self.steps, scope)

    def prepare(self, place: Place) -> Any:
        """Make the batch of a place and do the steps that need nothing of the caller, all of their work."""
        return self.settle(self.record(place), place)

    def record(self, place: Place) -> Any:
        """Make the batch and do the steps; what they leave pending stays so."""
        return self._apply(self._create(place, self._seed), place)

    def settle(self, batch: Any, place: Place) -> Any:
        """Do what the steps left pending, such as the pixels of geometry."""
        try:
            return batch.settle()
        except Exception as error:
            if self.steps:
                annotate(error, self.steps[-1], place, batch.indices)
            raise

    def __reduce__(self) -> tuple[Any, ...]:
        return Preparer, (self.steps, self.scope.ahead())


class Runner:
    """A bound pipeline with all that belongs to one run of it; batches go through it one by one."""

    __slots__ = ("_finish", "bound", "places", "preparer", "scope")

    def __init__(self, bound: Bound, scope: Scope) -> None:
        self.bound = bound
        self.places: Any = None
        self.scope = scope
        self.preparer = Preparer(bound.ahead, scope)
        self._finish = compile_steps(bound.rest, scope) if bound.rest else None

    def prepare(self, place: Place) -> Any:
        """Make the batch of a place and do the steps that need nothing of the caller."""
        return self.preparer.prepare(place)

    def finish(self, batch: Any) -> Any:
        """Do the other steps: models, variables, printing."""
        if batch.dataset is None:  # it comes from another process
            batch.dataset = self.scope.dataset
        return batch if self._finish is None else self._finish(batch, batch.place)

    def run_once(self, steps: Sequence[BoundStep]) -> None:
        """Run steps of ``before`` or ``after``: there is no batch."""
        context = Context(self.scope)
        for step in steps:
            try:
                step.run(None, context)
            except Exception as error:
                error.add_note(f"in {step}, which runs once, without a batch")
                raise


def start_runner(
    recorded: Recorded, bound: Bound, seed: int, plan: Any, before: Scope | None = None
) -> Runner:
    """Make the runner of a run: variables, models and joined pipelines, fresh or those of the one before."""
    config = dict(recorded.config) if bound.written[0] else recorded.config
    scope = Scope(dataset=recorded.dataset, config=config, seed=seed, plan=plan)
    if before is not None:
        _hand_on(scope, before, bound)
    initialise(bound.variables, scope)
    for name, build in bound.models.items():
        known = before is not None and name in before.models
        scope.models.add(before.models.slot(name) if before is not None and known else build(scope), name)
    for key, other in bound.sources.items():
        earlier = None if before is None or key not in before.sources else before.sources[key].scope
        scope.sources[key] = _start_other(other, scope, earlier)
    return Runner(bound, scope)


def _hand_on(scope: Scope, before: Scope, bound: Bound) -> None:
    """Give a scope the variables of the one before, and what steps wrote to its config."""
    scope.variables.update(
        {name: before.variables[name] for name in bound.variables if name in before.variables}
    )
    for path in bound.written[0]:
        if (value := find_value(before.config, path)) is not UNSET:
            cast("dict[str, Any]", scope.config).update(replace_value(scope.config, path, make_plain(value)))


def _start_other(other: OtherPipeline, scope: Scope, before: Scope | None) -> Runner:
    """Make the runner of a joined or merged pipeline; its variables and its seed are its own."""
    seed = int.from_bytes(key_at(scope.seed, _SOURCES, other.key, size=4), "little")
    runner = start_runner(other.recorded, other.bound, seed, scope.plan, before)
    if other.merges:
        runner.places = _places_to_merge(other.recorded, seed, scope.plan)
    return runner


def _places_to_merge(recorded: Recorded, seed: int, plan: Any) -> Any:
    """Make the places of the batches to merge: the n-th goes with the n-th batch of the run.

    They are a function of the number alone, so they are the same ahead, in order, and after a resume.
    """
    options = recorded.options
    size = options.get("batch_size", None if plan is None else plan.batch_size)
    if size is None:
        raise TypeError("merge: the other pipeline needs a batch size; give it with run_later(batch_size)")
    names = ("shuffle", "order", "drop_last", "cross_epochs")
    known = {name: options[name] for name in names if name in options}
    return recorded.dataset.index.endless(size, seed=seed, **known)
