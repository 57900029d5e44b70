"""How a job can end without a result, and what a launcher refuses to start."""

from __future__ import annotations

from bf_batch.engines.base import WorkerDied

__all__ = ["JobStopped", "JobTimeout", "LauncherError", "PassingError", "SweepRefused", "WorkerDied"]


class LauncherError(ValueError):
    """A request that can't be met: unknown devices, too few of them, one that another sweep holds."""


class PassingError(RuntimeError):
    """The failure of what is around a trial, not of the trial: a sweep that goes on tries it again."""


class JobTimeout(RuntimeError):
    """The end of a job that took longer than it may."""


class JobStopped(RuntimeError):
    """The end of a job, begun or not, because the sweep was stopped."""


class SweepRefused(SystemExit):
    """A sweep that can't begin as it was asked for; ends the program with the reason and exit code 1.

    Raised by callbacks, where Hydra would turn an Exception into a warning and go on.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"error: {reason}")
