"""Jobs, how they end, and the policy for those that do not end well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from bf_research.launcher.errors import LauncherError

Kind = Literal["ok", "failed", "crashed", "timeout", "killed"]


@dataclass(frozen=True)
class Policy:
    """What to do when jobs fail, take too long or have to stop."""

    retries: int = 1
    timeout: float | None = None
    stop_on_failure: bool = False
    max_jobs_per_worker: int = 0
    stop_grace: float = 4.0

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise LauncherError(f"retries must be 0 or more, got {self.retries}")
        if self.timeout is not None and self.timeout <= 0:
            raise LauncherError(f"timeout must be above 0 seconds, or null for none, got {self.timeout:g}")
        if self.max_jobs_per_worker < 0:
            raise LauncherError(f"max_jobs_per_worker must be 0 or more, got {self.max_jobs_per_worker}")


@dataclass(frozen=True)
class Job:
    """A piece of work; ``alone`` keeps every other worker idle meanwhile."""

    number: int
    work: Any
    label: str = ""
    attempt: int = 1
    alone: bool = False


@dataclass(frozen=True)
class Done:
    """How a job ended: its result, or the error it ended with."""

    job: Job
    kind: Kind
    value: Any
    slot: str = ""
    seconds: float = 0.0


class Monitor(Protocol):
    """Sees what happens, for bars or a log."""

    def started(self, slot: str, job: Job) -> None:
        """A worker got a job."""

    def progress(self, slot: str, done: int, total: int | None, metrics: dict[str, float]) -> None:
        """A job told how far it is."""

    def finished(self, done: Done) -> None:
        """A job has ended for good."""

    def retried(self, job: Job, reason: str) -> None:
        """A job is tried once more."""

    def close(self) -> None:
        """No more will come."""
