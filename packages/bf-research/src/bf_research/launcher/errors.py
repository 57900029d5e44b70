"""How a job can end without a result, and what a launcher refuses to start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bf_batch.engines.base import WorkerDied

__all__ = [
    "JobStopped",
    "JobTimeout",
    "LauncherError",
    "PassingError",
    "SweepRefused",
    "TrialPruned",
    "WorkerDied",
]


class LauncherError(ValueError):
    """A request that can't be met: unknown devices, too few of them, one that another sweep holds."""


class PassingError(RuntimeError):
    """The failure of what is around a trial, not of the trial: a sweep that goes on tries it again."""


class JobTimeout(RuntimeError):
    """The end of a job that took longer than it may."""


class JobStopped(RuntimeError):
    """The end of a job, begun or not, because the sweep was stopped."""


class TrialPruned(RuntimeError):
    """The end of a trial that the stopping rule of its sweep stopped: why, and its results so far."""

    def __init__(self, reason: str, rows: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(reason)
        self.reason, self.rows = reason, tuple(rows)

    def __reduce__(self) -> Any:
        return type(self), (self.reason, self.rows)


class SweepRefused(SystemExit):
    """A sweep that can't begin as it was asked for; ends the program with the reason and exit code 1.

    Raised by callbacks, where Hydra would turn an Exception into a warning and go on.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"error: {reason}")
