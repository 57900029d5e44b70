"""Where a training stands, and what an event is that looks at it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bf_index.errors import unknown
from bf_research.stopping.directions import Mode, less_is_better
from bf_research.tracking.tracker import NoTracker, Tracker

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")


@dataclass(eq=False)
class TrainingState:
    """A training as its events see it.

    ``iteration`` and ``epoch`` count what is complete; ``metrics`` has the latest value of each metric and
    ``measured`` the iteration it is of, ``times`` how often it was measured. ``run`` is the run of
    the pipeline.
    """

    run: Any
    model_name: str
    total: int | None
    folder: Path | None = None
    tracker: Tracker = field(default_factory=NoTracker)
    iteration: int = 0
    epoch: int = 0
    loss: float = float("nan")
    metrics: dict[str, float] = field(default_factory=dict)
    measured: dict[str, int] = field(default_factory=dict)
    stopped: str | None = None
    times: dict[str, int] = field(default_factory=dict)

    @property
    def model(self) -> Any:
        """The model that is trained."""
        return self.run.m(self.model_name)

    def log(self, name: str, value: float) -> None:
        """Note the value of a metric at this iteration, for other events and for the tracker."""
        if self.measured.get(name) != self.iteration:
            self.times[name] = self.times.get(name, 0) + 1
        self.metrics[name] = value
        self.measured[name] = self.iteration
        self.tracker.log_metric(name, value, self.iteration)

    def stop(self, reason: str) -> None:
        """End the training after this iteration; the first reason is the one that is told."""
        self.stopped = self.stopped or reason


class Event:
    """A part of a training: it is told where the training stands and may log metrics or stop it.

    Events are called in their order, checkpoints last. What ``state`` returns is JSON; it is saved in
    checkpoints and given back to ``restore``.
    """

    def check(self, state: TrainingState) -> None:
        """Raise what can be known to be wrong when there is a model: before the first iteration.

        With a model that has no method ``build`` it is called in the first iteration.
        An event that will measure something says its name here: ``state.metrics.setdefault(name, nan)``.
        """

    def before(self, state: TrainingState) -> None:
        """Look at a training that begins or goes on."""

    def after_iteration(self, state: TrainingState) -> None:
        """Look at a training after a batch."""

    def after_epoch(self, state: TrainingState) -> None:
        """Look at a training after the last batch of an epoch; ``after_iteration`` was called before."""

    def after(self, state: TrainingState) -> None:
        """Look at a training that has come to its end: all batches, or it was stopped for a reason."""

    def state(self) -> dict[str, Any]:
        """Return what this event has to remember, as JSON."""
        return {}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take back what ``state`` returned."""

    def close(self) -> None:
        """Let go of threads and files; called however the training ends."""


@dataclass(frozen=True)
class Every:
    """A rhythm: after each epoch, after so many iterations, or after so many seconds."""

    iterations: int | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, given: Any, owner: str) -> Every:
        """Read ``'epoch'``, a number of iterations, or a time such as ``'600s'``; else ``ValueError``."""
        if isinstance(given, Every):
            return given
        if given == "epoch":
            return cls()
        if isinstance(given, int) and not isinstance(given, bool) and given >= 1:
            return cls(iterations=given)
        if isinstance(given, str) and _DURATION.fullmatch(given):
            return cls(seconds=read_seconds(given, owner))
        raise ValueError(
            f"{owner}: every must be 'epoch', a number of iterations of at least 1, or a time such as '600s' "
            f"or '10m', got {given!r}"
        )

    def is_due(self, state: TrainingState, now: float, last: float) -> bool:
        """Whether something is due after an iteration; ``last`` is when it was done before."""
        if self.iterations is not None:
            return state.iteration % self.iterations == 0
        return self.seconds is not None and now - last >= self.seconds

    @property
    def is_epoch(self) -> bool:
        """Whether it is after each epoch."""
        return self.iterations is None and self.seconds is None


def read_seconds(given: Any, owner: str) -> float:
    """Return a time in seconds: a number, or a text such as ``'90s'``, ``'15m'``, ``'1h30m'``."""
    if isinstance(given, int | float) and not isinstance(given, bool) and given > 0:
        return float(given)
    if isinstance(given, str) and _DURATION.fullmatch(given):
        parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", given)
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
        if seconds > 0:
            return seconds
    raise ValueError(
        f"{owner} must be seconds above 0 or a time such as '90s', '15m', '1h30m', got {given!r}"
    )


def check_mode(mode: str, owner: str) -> None:
    """Refuse a mode that is none: ``ValueError``."""
    if mode not in ("auto", "min", "max"):
        raise ValueError(f"{owner}: mode must be 'min', 'max' or 'auto', got {mode!r}")


def check_count(value: Any, least: int, owner: str) -> None:
    """Refuse what is no whole number, or is below the least: ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{owner} must be a whole number of at least {least}, got {value!r}")


class Watch:
    """A metric, and the best value of it so far."""

    def __init__(self, metric: str, min_delta: float, mode: Mode, owner: str) -> None:
        if not (isinstance(min_delta, int | float) and min_delta >= 0 and math.isfinite(min_delta)):
            raise ValueError(f"{owner}: min_delta must be 0 or more, got {min_delta!r}")
        check_mode(mode, owner)
        self.metric, self.min_delta, self.mode, self.owner = metric, min_delta, mode, owner
        self.best: float | None = None
        self._seen = 0

    def check(self, state: TrainingState) -> None:
        """Refuse a metric that nobody measures: ``ValueError`` with those that are."""
        if self.metric not in state.metrics:
            raise ValueError(unknown("metric", self.metric, sorted(state.metrics), self.owner))

    def look(self, state: TrainingState) -> bool | None:
        """Return whether the metric is better than ever before; None if it was not measured now."""
        measured = state.measured.get(self.metric, 0)
        if measured != state.iteration or measured == self._seen:
            return None
        self._seen, value = measured, state.metrics[self.metric]
        if not is_better(value, self.best, self.metric, self.mode, self.min_delta):
            return False
        self.best = value
        return True

    def state(self) -> dict[str, Any]:
        """Return the best value and when the metric was looked at, as JSON."""
        return {"best": self.best, "seen": self._seen}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take back what ``state`` returned."""
        self.best, self._seen = saved["best"], saved["seen"]


def is_better(value: float, best: float | None, metric: str, mode: Mode, margin: float = 0.0) -> bool:
    """Whether a value of a metric is better than the best so far by more than a margin; NaN never is."""
    if math.isnan(value):
        return False
    if best is None:
        return True
    return value < best - margin if less_is_better(metric, mode) else value > best + margin
