"""What a trial does: pipelines, functions and metrics, iteration by iteration."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

from bf_index.errors import unknown
from bf_pipeline.expressions.base import lift, value_of
from bf_research.journal import to_json
from bf_research.trial import Config, Trial
from bf_research.units_expressions import expression_faults
from bf_research.units_roots import ALONE, Branch
from bf_research.units_schedule import Schedule

Report = Callable[[int, Mapping[str, Any]], None]
#: Goes on by an iteration a step, and returns the rows.
Iterations = Generator[None, None, list[dict[str, Any]]]


class Unit(Protocol):
    """One part of an experiment."""

    @property
    def name(self) -> str:
        """Its name among the units."""

    @property
    def schedule(self) -> Schedule:
        """When it runs."""

    @property
    def returns(self) -> tuple[str, ...]:
        """Names of its results."""

    @property
    def arguments(self) -> Any:
        """What may hold expressions such as ``C``, ``RP`` and ``RR``."""

    def execute(self, going: Going) -> Mapping[str, Any]:
        """Run once; returns results by name. ``StopIteration`` says that its data have ended."""

    def faults(self, before: Sequence[Unit], config: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is wrong with it, given the units before it and a config."""


@dataclass
class Going:
    """A trial that runs: where it stands, and what its units keep from one iteration to the next."""

    trial: Trial
    folder: Path
    config: Mapping[str, Any]
    units: Mapping[str, Unit]
    n_iters: int | None
    iteration: int = 0
    kept: dict[str, Any] = field(default_factory=dict)
    latest: dict[str, Any] = field(default_factory=dict)
    branch: Branch = ALONE

    def evaluate(self, value: Any) -> Any:
        """Give the value of an argument: expressions are evaluated, also inside lists and dicts."""
        return value_of(lift(value), SimpleNamespace(going=self, scope=self, iteration=self.iteration))  # type: ignore[arg-type]

    @property
    def total(self) -> int | None:
        """Number of iterations when it is known: what ``I('maximum')`` asks for."""
        return self.n_iters

    def close(self) -> None:
        """End what the units keep: generators and runs that are not at their end."""
        for kept in self.kept.values():
            for part in kept if isinstance(kept, tuple) else (kept,):
                close = getattr(part, "close", None) or getattr(part, "reset", None)
                if callable(close):
                    close()

    def run_of(self, name: str) -> Any:
        """Give the run of a pipeline unit; begins it when it has not run yet."""
        unit = self.units[name]
        start = getattr(unit, "run_in", None)
        if start is None:
            raise TypeError(f"unit {name!r} is not a pipeline; the units are {', '.join(self.units)}")
        return start(self)


@dataclass(frozen=True)
class CallableUnit:
    """Calls a function; ``returns`` names what of its value is kept."""

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    returns: tuple[str, ...]
    schedule: Schedule

    @property
    def arguments(self) -> Any:
        """Arguments of the function."""
        return (self.args, dict(self.kwargs))

    def execute(self, going: Going) -> Mapping[str, Any]:
        """Call the function with the values of its arguments."""
        value = self.function(*going.evaluate(self.args), **going.evaluate(dict(self.kwargs)))
        return named(self.returns, value, self.name)

    def faults(self, before: Sequence[Unit], config: Mapping[str, Any]) -> Iterator[str]:
        """Yield nothing: its arguments are looked at with those of all units."""
        yield from ()


@dataclass(frozen=True)
class GeneratorUnit(CallableUnit):
    """Calls a generator function once, takes one value an execution; its end is the trial's end."""

    def execute(self, going: Going) -> Mapping[str, Any]:
        """Take the next value."""
        if self.name not in going.kept:
            made = self.function(*going.evaluate(self.args), **going.evaluate(dict(self.kwargs)))
            if not isinstance(made, Iterable):
                raise TypeError(
                    f"{self.name}: the function returned {made!r}; add_generator needs a generator function "
                    "(with yield) or one that returns an iterator, add_callable takes a plain function"
                )
            going.kept[self.name] = iter(made)
        return named(self.returns, next(going.kept[self.name]), self.name)


@dataclass(frozen=True)
class MetricsUnit:
    """Evaluates metrics that a pipeline has gathered in a variable."""

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

    def execute(self, going: Going) -> Mapping[str, Any]:
        """Evaluate each metric."""
        gathered = going.run_of(self.pipeline).v(self.variable)
        if not callable(getattr(gathered, "evaluate", None)):
            raise TypeError(
                f"{self.name}: variable {self.variable!r} of pipeline {self.pipeline!r} is a "
                f"{type(gathered).__name__} without evaluate(); fill it with gather_metrics(save_to=V(...))"
            )
        args, kwargs = going.evaluate(self.args), going.evaluate(dict(self.kwargs))
        values = [gathered.evaluate(metric, *args, **kwargs) for metric in self.metrics]
        return dict(zip(self.returns, values))

    def faults(self, before: Sequence[Unit], config: Mapping[str, Any]) -> Iterator[str]:
        """Yield an unknown pipeline or variable."""
        pipelines = {unit.name: unit for unit in before if hasattr(unit, "bound")}
        if self.pipeline not in pipelines:
            yield unknown("pipeline", self.pipeline, pipelines)
        else:
            pipeline: Any = pipelines[self.pipeline]
            variables = pipeline.variables_in(config)
            if self.variable not in variables:
                yield unknown("variable", self.variable, variables, f"pipeline {self.pipeline!r}")


def named(names: Sequence[str], value: Any, unit: str) -> Mapping[str, Any]:
    """Name the value of a unit: one name takes it whole, several take one item each."""
    if len(names) <= 1:
        return dict.fromkeys(names, value)
    if isinstance(value, Mapping) and all(name in value for name in names):
        return {name: value[name] for name in names}
    if not isinstance(value, list | tuple) or len(value) != len(names):
        raise ValueError(
            f"{unit}: returns has the names {', '.join(names)}, but the function returned {value!r}"
        )
    return dict(zip(names, value))


@dataclass(frozen=True)
class Experiment:
    """The units of a trial in their order: what is sent to workers."""

    units: tuple[Unit, ...]

    def faults(self, config: Config) -> list[str]:
        """Tell what is wrong, so that it is known before any worker starts."""
        found: list[str] = []
        known = config_for_units(config)
        results = [name for unit in self.units for name in unit.returns]
        for number, unit in enumerate(self.units):
            before = self.units[:number]
            taken = [name for name in unit.returns if name in config]
            faults = [
                *(f"{name!r} is an option, no result can have its name; name it otherwise" for name in taken),
                *unit.faults(before, known),
                *expression_faults(unit.arguments, before, results, known),
            ]
            found += [f"unit {unit.name!r}: {text}" for text in faults]
        return found

    def run(
        self,
        trial: Trial,
        folder: Path,
        n_iters: int | None,
        report: Report = lambda iteration, results: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> list[dict[str, Any]]:
        """Run a trial to its end and return its rows: ``iteration`` and the results of that iteration.

        Without ``n_iters`` it goes on until a generator or a pipeline ends, or for one iteration when there
        is nothing that ends; an iteration in which the data end is not recorded. Units of the last iteration
        run at its number. KeyboardInterrupt when ``stopping()`` says so before an iteration.
        """
        return finish(self.iterations(trial, folder, n_iters, report, stopping))

    def iterations(
        self,
        trial: Trial,
        folder: Path,
        n_iters: int | None,
        report: Report,
        stopping: Callable[[], bool],
        branch: Branch = ALONE,
    ) -> Iterations:
        """Run as ``run`` does, iteration by iteration, so that trials may go side by side."""
        units = {unit.name: unit for unit in self.units}
        going = Going(trial, folder, config_for_units(trial.config), units, n_iters, branch=branch)
        rows: list[dict[str, Any]] = []
        try:
            ended_early = yield from self._iterate(going, rows, report, stopping)
            if ended_early or n_iters is None:
                going.iteration = max(going.iteration - 1, 0)
                self._take(going, rows, report, [unit for unit in self.units if unit.schedule.last])
        finally:
            going.close()
        return rows

    def _iterate(
        self, going: Going, rows: list[dict[str, Any]], report: Report, stopping: Callable[[], bool]
    ) -> Generator[None, None, bool]:
        """Run iterations up to ``n_iters`` or to the end of the data; tells whether the data ended."""
        limit = going.n_iters if going.n_iters is not None or self._ends() else 1
        while limit is None or going.iteration < limit:
            if stopping():
                raise KeyboardInterrupt
            due = [unit for unit in self.units if unit.schedule.at(going.iteration, going.n_iters)]
            try:
                self._take(going, rows, report, due)
            except EndOfData:
                return True
            going.iteration += 1
            yield
        return False

    def _ends(self) -> bool:
        """Whether some unit's data end by themselves."""
        return any(getattr(unit, "ends", isinstance(unit, GeneratorUnit)) for unit in self.units)

    @staticmethod
    def _take(going: Going, rows: list[dict[str, Any]], report: Report, units: Sequence[Unit]) -> None:
        found: dict[str, Any] = {}
        for unit in units:
            try:
                found |= unit.execute(going)
            except StopIteration:
                if unit.schedule.only_last:
                    continue
                raise EndOfData from None
            except Exception as error:
                error.bf_rows = [*rows, {"iteration": going.iteration, **found}]  # type: ignore[attr-defined]
                error.add_note(
                    f"in unit {unit.name!r}, iteration {going.iteration}, of trial {going.trial.id}"
                )
                raise
            finally:
                going.latest |= found
        if not found:
            return
        found = json.loads(json.dumps(found, default=to_json))
        if rows and rows[-1]["iteration"] == going.iteration:
            rows[-1] |= found
        else:
            rows.append({"iteration": going.iteration, **found})
        report(going.iteration, found)


def finish(iterations: Iterations) -> list[dict[str, Any]]:
    """Go on to the end and return the rows."""
    while True:
        try:
            next(iterations)
        except StopIteration as end:
            rows: list[dict[str, Any]] = end.value
            return rows


class EndOfData(Exception):
    """A unit has no more data: the trial's iterations are over."""


def config_for_units(config: Config) -> dict[str, Any]:
    """The config that units see: flat names, nested sections where they do not clash, and the repetition."""
    try:
        sections = config.nested()
    except ValueError:  # 'model' and 'model.lr' at once: only the flat names are there
        sections = {}
    return {"repetition": config.repetition, **sections, **config}
