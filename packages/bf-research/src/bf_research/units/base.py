"""What the parts of an experiment are, and the trial that runs them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

from bf_pipeline.expressions.base import lift, value_of
from bf_research.sweep.trial import Trial
from bf_research.units.schedule import Schedule
from bf_research.units.shared_roots import ALONE, Branch

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
