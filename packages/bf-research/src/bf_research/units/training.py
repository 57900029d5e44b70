"""Trainings as units of an experiment: one iteration an execution, in the trial's folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bf_index.errors import unknown
from bf_research.training.state import Event, TrainingState
from bf_research.training.training import Training
from bf_research.units.base import RunningTrial
from bf_research.units.functions import CallableUnit


@dataclass(frozen=True)
class TrainingUnit(CallableUnit):
    """A unit that trains: its function makes the ``Training``, whose end ends the trial.

    ``returns`` are the metrics that go to the results of the iteration in which they were measured. With
    ``Checkpoints`` among its events, a trial that is tried again goes on; what the iterations before the
    checkpoint returned is returned again.
    """

    ends = True
    has_output = False
    #: Whether it ends by itself when the trial should stop, with a checkpoint.
    halts = True

    def execute(self, running: RunningTrial) -> Mapping[str, Any]:
        """Train for an iteration and return the metrics of it."""
        if self.name not in running.kept:
            made = self.call(running)
            if not isinstance(made, Training):
                raise TypeError(
                    f"{self.name}: the function returned {made!r}; add_training needs one that returns a "
                    "Training"
                )
            running.kept[self.name] = self._train(made, running)
        found: Mapping[str, Any] = next(running.kept[self.name])
        return found

    def _train(self, training: Training, running: RunningTrial) -> Iterator[Mapping[str, Any]]:
        memory = Memory(self.returns, self.name)
        given = 0
        for _ in training.inside(running.folder / self.name.replace("/", "_"), memory).iterate():
            yield from memory.rows[given:]
            given = len(memory.rows)
        yield from memory.rows[given:]
        if memory.late:
            yield memory.late


class Memory(Event):
    """Metrics by iteration, remembered over interruptions."""

    def __init__(self, names: Sequence[str], owner: str) -> None:
        self.names, self.owner = tuple(names), owner
        self.rows: list[dict[str, float]] = []
        self.late: dict[str, float] = {}

    def check(self, state: TrainingState) -> None:
        """Refuse the name of a metric that nobody measures: ``ValueError`` with those that are."""
        for name in self.names:
            if name not in state.metrics:
                raise ValueError(unknown("metric", name, sorted(state.metrics), self.owner))

    def after_iteration(self, state: TrainingState) -> None:
        """Remember what was measured now."""
        self.rows.append(self._measured(state))

    def after_epoch(self, state: TrainingState) -> None:
        """Remember what was measured now."""
        self.rows[-1] |= self._measured(state)

    def after(self, state: TrainingState) -> None:
        """Remember what was measured at the very end."""
        known = self.rows[-1] if self.rows else {}
        self.late = {name: value for name, value in self._measured(state).items() if name not in known}

    def _measured(self, state: TrainingState) -> dict[str, float]:
        return {
            name: state.metrics[name] for name in self.names if state.measured.get(name) == state.iteration
        }

    def state(self) -> dict[str, Any]:
        """Return all rows."""
        return {"rows": self.rows}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take back what ``state`` returned."""
        self.rows = [dict(row) for row in saved["rows"]]
