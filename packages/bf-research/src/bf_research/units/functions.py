"""Units that call something: a function, a generator, the metrics of a pipeline."""

from __future__ import annotations

import dis
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import CodeType, FunctionType
from typing import Any

from bf_index.errors import unknown
from bf_research.units.base import RunningTrial, Schedule, Unit
from bf_research.units.expressions import differing_faults
from bf_research.units.instances import Part, find_function


@dataclass(frozen=True)
class CallableUnit:
    """A unit that calls a function; ``returns`` names what of its value is kept.

    With ``root`` it is called once an iteration for all branches that run side by side.
    """

    name: str
    function: Callable[..., Any] | Part
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    returns: tuple[str, ...]
    schedule: Schedule
    root: bool = False

    has_output = True

    @property
    def arguments(self) -> Any:
        """Arguments of the function."""
        return (self.args, dict(self.kwargs))

    def call(self, running: RunningTrial) -> Any:
        """Call the function with the values of its arguments."""
        function = find_function(self.function, running)
        return function(*running.evaluate(self.args), **running.evaluate(dict(self.kwargs)))

    def execute(self, running: RunningTrial) -> Mapping[str, Any]:
        """Call the function, or take what it gave another branch; return what is kept of its value."""
        value = running.branch.call(self.name, running.iteration, lambda: self.take(running), self.root)
        running.note_output(self.name, value)
        return name_values(self.returns, value, self.name)

    def take(self, running: RunningTrial) -> Any:
        """Return the value of this iteration."""
        return self.call(running)

    def faults(self, before: Sequence[Unit], config: Mapping[str, Any]) -> Iterator[str]:
        """Yield an instance of one trial whose method many are to share."""
        shared = {unit.name for unit in before if getattr(unit, "root", False)}
        if self.root and isinstance(self.function, Part) and self.function.owner not in shared:
            yield f"it is a root, so the instance {self.function.owner!r} has to be made with root=True"

    def root_faults(self, config: Mapping[str, Any], differing: Collection[str]) -> Iterator[str]:
        """Yield what a function that is shared asks for that differs between its trials."""
        yield from differing_faults(self.arguments, differing) if self.root else ()


@dataclass(frozen=True)
class GeneratorUnit(CallableUnit):
    """A unit that takes one value of a generator an execution; its end ends the trial."""

    def take(self, running: RunningTrial) -> Any:
        """Return the next value of the generator."""

        def begin() -> Iterator[Any]:
            made = self.call(running)
            if not isinstance(made, Iterable):
                raise TypeError(
                    f"{self.name}: the function returned {made!r}; add_generator needs a generator function "
                    "(with yield) or one that returns an iterator, add_callable takes a plain function"
                )
            return iter(made)

        return next(running.branch.make(self.name, begin, running.kept, self.root))


@dataclass(frozen=True)
class MetricsUnit:
    """A unit that evaluates metrics which a pipeline has gathered in a variable."""

    name: str
    pipeline: str
    variable: str
    metrics: tuple[str, ...]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    returns: tuple[str, ...]
    schedule: Schedule

    @property
    def arguments(self) -> Any:
        """Arguments of ``evaluate``."""
        return (self.args, dict(self.kwargs))

    def execute(self, running: RunningTrial) -> Mapping[str, Any]:
        """Evaluate each metric."""
        gathered = running.run_of(self.pipeline).v(self.variable)
        if not callable(getattr(gathered, "evaluate", None)):
            raise TypeError(
                f"{self.name}: variable {self.variable!r} of pipeline {self.pipeline!r} is a "
                f"{type(gathered).__name__} without evaluate(); fill it with gather_metrics(save_to=V(...))"
            )
        args, kwargs = running.evaluate(self.args), running.evaluate(dict(self.kwargs))
        values = [gathered.evaluate(metric, *args, **kwargs) for metric in self.metrics]
        return dict(zip(self.returns, values))

    def faults(self, before: Sequence[Unit], config: Mapping[str, Any]) -> Iterator[str]:
        """Yield an unknown pipeline or variable."""
        pipelines = {unit.name: unit for unit in before if hasattr(unit, "run_in")}
        if self.pipeline not in pipelines:
            yield unknown("pipeline", self.pipeline, pipelines)
        elif hasattr(pipeline := pipelines[self.pipeline], "variables_in"):  # an instance's is not known yet
            variables = pipeline.variables_in(config)
            if self.variable not in variables:
                yield unknown("variable", self.variable, variables, f"pipeline {self.pipeline!r}")


def name_values(names: Sequence[str], value: Any, unit: str) -> Mapping[str, Any]:
    """Return the value of a unit by names: one name takes it whole, several take one item each."""
    if len(names) <= 1:
        return dict.fromkeys(names, value)
    if isinstance(value, Mapping) and all(name in value for name in names):
        return {name: value[name] for name in names}
    if not isinstance(value, list | tuple) or len(value) != len(names):
        raise ValueError(
            f"{unit}: returns has the names {', '.join(names)}, but the function returned {value!r}"
        )
    return dict(zip(names, value))


def find_imports(function: Callable[..., Any]) -> set[str]:
    """Return the modules that a function imports when it is called, as far as its code tells.

    Functions and classes of the same module that it names are looked at, too.
    """
    found: set[str] = set()
    seen: set[int] = set()
    first: Any = function.func if isinstance(function, partial) else function
    left = [first if isinstance(first, type) or hasattr(first, "__code__") else type(first)]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, type):
            left += [part for part in vars(one).values() if type(part) is FunctionType]
            continue
        names: set[str] = set()
        for part in _walk_code(one.__code__):
            found |= {step.argval for step in dis.get_instructions(part) if step.opname == "IMPORT_NAME"}
            names |= set(part.co_names)
        left += [
            value
            for value in (one.__globals__.get(name) for name in names)
            if (type(value) is FunctionType or isinstance(value, type)) and value.__module__ == one.__module__
        ]
    return found


def _walk_code(code: CodeType) -> Iterator[CodeType]:
    """Yield a code and those of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _walk_code(constant)
