"""Events that end a training: no more progress, no more time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from bf_research.stopping.directions import Mode
from bf_research.training.state import Event, TrainingState, Watch, check_count, read_seconds


class EarlyStopping(Event):
    """Stop when a metric has not become better in so many measurements.

    ``patience`` is a number of measurements, ``min_delta`` what counts as better, ``start`` the epoch from
    which on it counts; ``mode='auto'`` takes less for better where the name ends in loss or error.
    """

    def __init__(
        self,
        metric: str = "validation/loss",
        patience: int = 5,
        min_delta: float = 0.0,
        mode: Mode = "auto",
        start: int = 0,
    ) -> None:
        check_count(patience, 1, "early_stopping: patience")
        check_count(start, 0, "early_stopping: start, a number of epochs,")
        self.watch = Watch(metric, min_delta, mode, "early_stopping")
        self.patience, self.start = patience, start
        self._waited = 0

    @property
    def metric(self) -> str:
        """The metric that is looked at."""
        return self.watch.metric

    def check(self, state: TrainingState) -> None:
        """Refuse a metric that nobody measures: ``ValueError`` with those that are."""
        self.watch.check(state)

    def after_iteration(self, state: TrainingState) -> None:
        """Look at a metric that was measured now."""
        if state.epoch >= self.start and (better := self.watch.look(state)) is not None:
            self._count(state, better)

    def after_epoch(self, state: TrainingState) -> None:
        """Look at a metric that was measured now."""
        self.after_iteration(state)

    def _count(self, state: TrainingState, better: bool) -> None:
        self._waited = 0 if better else self._waited + 1
        if self._waited >= self.patience:
            best = "never a number" if self.watch.best is None else f"best {self.watch.best:.4f}"
            state.stop(f"{self.metric} did not become better in {self.patience} measurements ({best})")

    def state(self) -> dict[str, Any]:
        """Return the best value, and how long there was no better one."""
        return {**self.watch.state(), "waited": self._waited}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take back what ``state`` returned."""
        self.watch.restore(saved)
        self._waited = saved["waited"]


class TimeLimit(Event):
    """Stop after so much time of training, that of earlier parts of a run included.

    ``max_time`` is seconds or a time such as ``'1h30m'``.
    """

    def __init__(self, max_time: float | str) -> None:
        self.seconds = read_seconds(max_time, "max_time")
        self._text = max_time if isinstance(max_time, str) else f"{max_time:g} s"
        self._spent = 0.0
        self._since: float | None = None

    def before(self, state: TrainingState) -> None:
        """Begin to count."""
        self._since = time.monotonic()

    def after_iteration(self, state: TrainingState) -> None:
        """Stop when the time is over."""
        if self.state()["spent"] >= self.seconds:
            state.stop(f"max_time={self._text} is over")

    def state(self) -> dict[str, Any]:
        """Return the seconds that were spent."""
        now = 0.0 if self._since is None else time.monotonic() - self._since
        return {"spent": self._spent + now}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take back what ``state`` returned."""
        self._spent = saved["spent"]
