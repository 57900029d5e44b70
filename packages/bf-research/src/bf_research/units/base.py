"""Units of an experiment: what they are, when they run, and the trial that runs them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, Self, cast

from bf_pipeline.expressions.base import evaluate, lift
from bf_research.sweep.trial import Trial
from bf_research.units.shared_roots import ALONE, Branch

Execute = int | str | Sequence[int | str]


@dataclass(frozen=True)
class Schedule:
    """Iterations at which a unit runs: ``every`` n-th ones, ``exact`` ones counted from 0, the ``last``."""

    every: frozenset[int] = frozenset()
    exact: frozenset[int] = frozenset()
    last: bool = False

    @classmethod
    def of(cls, execute: Execute, unit: str = "unit") -> Self:
        """Read the argument ``execute``; ``ValueError`` for anything that it can't be.

        It is ``10`` (iterations 9, 19, ...; 0: never), ``'#5'``, ``'last'``, or a list of these.
        """
        if isinstance(execute, list | tuple) and not execute:
            raise ValueError(f"{unit}: execute={execute!r} names no iteration, so it would never run")
        parts: Sequence[Any] = execute if isinstance(execute, list | tuple) else [execute]
        every, exact, last = set(), set(), False
        for part in parts:
            if part == "last":
                last = True
            elif isinstance(part, int) and not isinstance(part, bool) and part >= 0:
                every.add(part)
            elif isinstance(part, str) and part[:1] == "#" and part[1:].isdecimal():
                exact.add(int(part[1:]))
            else:
                raise ValueError(
                    f"{unit}: execute={part!r} is none of: n >= 0 (every n-th iteration), '#i' (exactly "
                    "iteration i, from 0), 'last', or a list of these"
                )
        return cls(frozenset(every - {0}), frozenset(exact), last)

    def at(self, iteration: int, n_iters: int | None) -> bool:
        """Whether the unit runs at an iteration; the last one is known only when ``n_iters`` is."""
        return (
            any((iteration + 1) % step == 0 for step in self.every)
            or iteration in self.exact
            or (self.last and n_iters is not None and iteration == n_iters - 1)
        )

    @property
    def only_last(self) -> bool:
        """Whether the unit runs once, at the end."""
        return self.last and not self.every and not self.exact


Report = Callable[[int, Mapping[str, Any]], None]
#: Runs one iteration a step, and returns the rows.
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

    def execute(self, running: RunningTrial) -> Mapping[str, Any]:
        """Run once and return results by name; ``StopIteration`` when its data have ended."""

    def faults(self, before: Sequence[Unit], config: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is wrong with it, given the units before it and a config."""


@dataclass
class RunningTrial:
    """A trial that runs: its iteration, and what its units keep from one iteration to the next."""

    trial: Trial
    folder: Path
    config: Mapping[str, Any]
    units: Mapping[str, Unit]
    n_iters: int | None
    iteration: int = 0
    kept: dict[str, Any] = field(default_factory=dict)
    latest: dict[str, Any] = field(default_factory=dict)
    branch: Branch = ALONE
    #: What came out, an entry an iteration.
    rows: list[dict[str, Any]] = field(default_factory=list)
    #: Instances that units share, by name; results that the running iteration named itself.
    instances: dict[str, Any] = field(default_factory=dict)
    named: dict[str, Any] = field(default_factory=dict)
    #: Units whose latest value another one asks for, and these values.
    wanted: frozenset[str] = frozenset()
    outputs: dict[str, Any] = field(default_factory=dict)
    #: Calls and seconds of each unit.
    times: dict[str, tuple[int, float]] = field(default_factory=dict)

    def evaluate(self, value: Any) -> Any:
        """Return the value of an argument: expressions are evaluated, also inside lists and dicts."""
        context: Any = SimpleNamespace(running_trial=self, scope=self, iteration=self.iteration)
        return evaluate(lift(value), context)

    @property
    def total(self) -> int | None:
        """Number of iterations when it is known: the value of ``I('maximum')``."""
        return self.n_iters

    def note_output(self, unit: str, value: Any) -> None:
        """Keep the latest value of a unit, if another unit asks for it."""
        if unit in self.wanted:
            self.outputs[unit] = value

    def output_of(self, unit: str) -> Any:
        """Return the latest value of a unit; ``KeyError`` when it has not run yet."""
        if unit not in self.outputs:
            raise KeyError(f"unit {unit!r} has not run yet in this trial, so RO({unit!r}) is nothing")
        return self.outputs[unit]

    def note_time(self, unit: str, seconds: float) -> None:
        """Count a call of a unit."""
        calls, total = self.times.get(unit, (0, 0.0))
        self.times[unit] = calls + 1, total + seconds

    def close(self) -> None:
        """Close what the units keep: generators and runs that are not at their end."""
        for kept in self.kept.values():
            for part in kept if isinstance(kept, tuple) else (kept,):
                close = getattr(part, "close", None) or getattr(part, "reset", None)
                if callable(close):
                    close()

    def run_of(self, name: str) -> Any:
        """Return the run of a pipeline unit, begun when it has not run yet."""
        unit: Any = self.units[name]
        start = getattr(unit, "run_in", None)
        if start is None:
            raise TypeError(f"unit {name!r} is not a pipeline; the units are {', '.join(self.units)}")
        return start(self)

    def instance_of(self, name: str) -> Any:
        """Return an instance that units share, made when nobody has asked for it yet."""
        return cast("Any", self.units[name]).make(self)


#: Columns of every table of results.
RESERVED = ("id", "iteration", "repetition", "state")


@dataclass(frozen=True, eq=False)
class NamedResults:
    """The results of a trial whose names only its own code knows."""

    running: RunningTrial

    def update_variable(self, name: str, value: Any) -> None:
        """Give the result of this iteration a name and a value; a second value takes the place of the first.

        ``TypeError`` for a name that is no text, ``ValueError`` for one that an option, a column or a unit
        has.
        """
        if not isinstance(name, str) or not name.strip():
            raise TypeError(f"update_variable: a name is a text that is not empty, got {name!r}")
        owners = dict.fromkeys(self.running.trial.config, "an option")
        for unit in self.running.units.values():
            owners |= dict.fromkeys(unit.returns, f"a result of unit {unit.name!r}")
        owners |= dict.fromkeys(RESERVED, "a column of every table")
        if name in owners:
            raise ValueError(f"update_variable: {name!r} is {owners[name]} already; name it otherwise")
        self.running.named[name] = value
