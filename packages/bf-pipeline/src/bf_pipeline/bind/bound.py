"""What binding makes: bound steps, the bound pipeline, and what a run needs to begin."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bf_batch.actions import ActionSpec
from bf_batch.core import check_result
from bf_batch.errors import ItemError
from bf_pipeline.context import PLAIN, Context, ModelSlot, Scope
from bf_pipeline.errors import Location
from bf_pipeline.expressions.base import Expr, walk
from bf_pipeline.expressions.named import V
from bf_pipeline.record.recorded import Recorded


@dataclass(frozen=True, slots=True, eq=False)
class BoundStep:
    """A step that is ready to run: ``run(batch)``, or ``run(batch, context)`` where ``contextual``.

    ``parent`` steps use what belongs to the whole run (models, variables that change) and so run in the
    caller's process, batch after batch; all others may run ahead of them, anywhere. ``pending`` ones leave
    their work to ``settle``.
    """

    number: int
    name: str
    where: Location
    run: Callable[..., Any]
    contextual: bool = False
    parent: bool = False
    resizes: bool = False
    pending: bool = False

    def __str__(self) -> str:
        return f"step {self.number} {self.name!r} ({self.where})"


# One entry a step: its number, its closure, whether that takes the context.
Entries = tuple[tuple[int, Callable[..., Any], bool], ...]
# Makes a model's slot when a run starts.
Build = Callable[[Scope], ModelSlot]
# Puts a clock around a step.
Clock = Callable[[BoundStep], BoundStep]


def list_entries(steps: Sequence[BoundStep]) -> Entries:
    """Return the flat list that a loop runs through."""
    return tuple((step.number, step.run, step.contextual) for step in steps)


def check_returned(result: Any, batch: Any, step: BoundStep) -> Any:
    """Return what a step returned if it is a batch, of the same length unless the step may change it."""
    return check_result(result, batch, ActionSpec(step.name, resizes=step.resizes))


def annotate(error: BaseException, step: BoundStep, place: Any, indices: Any) -> None:
    """Add to an error where it happened: step, line, batch, ids."""
    ids = np.asarray(indices).tolist()
    shown = f"{ids[:5]!r}"[:-1] + (f", ... {len(ids)} in all]" if len(ids) > 5 else "]")
    error.add_note(f"in {step} of batch {place.batch} of epoch {place.epoch}, ids {shown}")
    if isinstance(error, (ValueError, ItemError)) and "read-only" in str(error):
        error.add_note(
            "preloaded data are read-only in every batch: assign a new array in place of changing one, or "
            "make the data set with copy=True"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """A declared variable: a callable default is called for each run, any other is copied for it."""

    name: str
    default: Any
    where: Location

    @property
    def plain(self) -> bool:
        """Whether the initial value is a number or a text, which no step can change in place."""
        return isinstance(self.default, PLAIN)

    def needs(self) -> list[str]:
        """Return the names of the variables that the default is made from."""
        return [expr.name for expr in walk(self.default) if isinstance(expr, V)]

    def initial(self, context: Context) -> Any:
        """Make the value that a run starts with."""
        default = self.default
        if isinstance(default, Expr):
            return default.evaluate(context)
        if callable(default):
            return default()
        return (
            copy.deepcopy(default) if isinstance(default, list | dict | set | tuple | np.ndarray) else default
        )


def initialise(variables: Mapping[str, Variable], scope: Scope) -> None:
    """Put fresh values of all variables into a scope, those that others are made from first."""
    context = Context(scope)

    def make(variable: Variable) -> None:
        if variable.name in scope.variables:
            return
        for name in variable.needs():
            make(variables[name])
        try:
            scope.variables[variable.name] = variable.initial(context)
        except Exception as error:
            error.add_note(f"in the default of variable {variable.name!r} ({variable.where})")
            raise

    for variable in variables.values():
        make(variable)


def find_circle(variables: Mapping[str, Variable]) -> list[str]:
    """Return names of variables whose defaults need each other, in a circle; nothing if there are none."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done or name not in variables:
            return []
        for needed in variables[name].needs():
            if found := visit(needed, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in variables if (found := visit(name, []))), [])


@dataclass(frozen=True, slots=True, eq=False)
class Regroup:
    """Batches of ``batch_size`` items from here on, merged by ``merge`` and put through ``steps``."""

    batch_size: int
    components: tuple[str, ...] | None
    where: Location
    steps: tuple[BoundStep, ...]
    merge: Callable[..., Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class OtherPipeline:
    """Another pipeline whose batches come in at a step, by ``join`` or ``merge``.

    A run starts it under ``key`` in ``Scope.sources``; it draws from a seed of its own that the key decides.
    """

    key: int
    recorded: Recorded
    bound: Bound
    merges: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A pipeline that fits: ``ahead`` may run before ``rest`` and elsewhere, ``rest`` runs in order.

    ``regroups`` follow; ``before`` and ``after`` run once, without a batch. ``written`` are the paths of the
    config and the attributes of the data set that steps write to.
    """

    ahead: tuple[BoundStep, ...]
    rest: tuple[BoundStep, ...]
    regroups: tuple[Regroup, ...]
    before: tuple[BoundStep, ...]
    after: tuple[BoundStep, ...]
    variables: Mapping[str, Variable]
    models: Mapping[str, Build]
    sources: Mapping[int, OtherPipeline]
    written: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())

    @property
    def steps(self) -> tuple[BoundStep, ...]:
        """All steps that a batch goes through, in order."""
        return (*self.ahead, *self.rest, *(step for group in self.regroups for step in group.steps))
