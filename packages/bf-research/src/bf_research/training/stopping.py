"""Events that end a training: no more progress, no more time."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from bf_index.errors import unknown
from bf_research.training.state import (
    Event,
    Mode,
    TrainingState,
    check_count,
    check_mode,
    is_better,
    read_seconds,
)


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
        if not (isinstance(min_delta, int | float) and min_delta >= 0 and math.isfinite(min_delta)):
            raise ValueError(f"early_stopping: min_delta must be 0 or more, got {min_delta!r}")
        check_count(start, 0, "early_stopping: start, a number of epochs,")
        check_mode(mode, "early_stopping")
        self.metric, self.patience, self.min_delta, self.mode, self.start = (
            metric, patience, min_delta, mode, start,
        )  # fmt: skip
        self._best: float | None = None
        self._waited = 0
        self._seen = 0

    def check(self, state: TrainingState) -> None:
        """Refuse a metric that nobody measures: ``ValueError`` with those that are."""
        if self.metric not in state.metrics:
            raise ValueError(unknown("metric", self.metric, sorted(state.metrics), "early_stopping"))

    def after_iteration(self, state: TrainingState) -> None:
        """Look at a metric that was measured now."""
        self._look(state)

    def after_epoch(self, state: TrainingState) -> None:
        """Look at a metric that was measured now."""
        self._look(state)

    def _look(self, state: TrainingState) -> None:
        measured = state.measured.get(self.metric, 0)
        if measured != state.iteration or measured == self._seen or state.epoch < self.start:
            return
        self._seen, value = measured, state.metrics[self.metric]
        if is_better(value, self._best, self.metric, self.mode, self.min_delta):
            self._best, self._waited = value, 0
            return
        self._waited += 1
        if self._waited >= self.patience:
            best = "never a number" if self._best is None else f"best {self._best:.4f}"
            state.stop(f"{self.metric} did not become better in {self.patience} measurements ({best})")

    def state(self) -> dict[str, Any]:
        """Return the best value, and how long there was no better one."""
        return {"best": self._best, "waited": self._waited, "seen": self._seen}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take back what ``state`` returned."""
        self._best, self._waited, self._seen = saved["best"], saved["waited"], saved["seen"]


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
