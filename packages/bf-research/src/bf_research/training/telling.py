"""The event by which a trial tells its sweep how good it is, and hears whether to go on."""

from __future__ import annotations

from bf_index.errors import unknown
from bf_research.launcher.channel import ask
from bf_research.training.state import Event, TrainingState


class TellSweep(Event):
    """Tell the stopping rule of the sweep each measurement of a metric, whose number is the step.

    What the rule stops ends at this iteration with a checkpoint, as after Ctrl-C.
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self._told = 0

    def check(self, state: TrainingState) -> None:
        """Refuse a metric that nobody measures: ``ValueError`` with those that are."""
        if self.metric not in state.metrics:
            raise ValueError(unknown("metric", self.metric, sorted(state.metrics), "stopping.metric"))

    def before(self, state: TrainingState) -> None:
        """Take what was measured before a checkpoint as told."""
        self._told = state.times.get(self.metric, 0)

    def after_iteration(self, state: TrainingState) -> None:
        """Tell what was measured now."""
        self._tell(state, state.stopped is not None or state.iteration == state.total)

    def after_epoch(self, state: TrainingState) -> None:
        """Tell what was measured now."""
        self.after_iteration(state)

    def after(self, state: TrainingState) -> None:
        """Tell what was measured at the very end."""
        self._tell(state, True)

    def _tell(self, state: TrainingState, ends: bool) -> None:
        step = state.times.get(self.metric, 0)
        if step > self._told:
            self._told = step
            ask(step, state.metrics[self.metric], ends)
