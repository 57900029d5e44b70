"""Jobs, how they end, the policy for those that do not end well, and the signals that stop all of them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Literal

from bf_research.launcher.errors import LauncherError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
Kind = Literal["ok", "failed", "crashed", "timeout", "killed", "pruned"]
#: Ends of a job that are no failure.
GOOD: frozenset[Kind] = frozenset({"ok", "pruned"})


@dataclass(frozen=True)
class Policy:
    """The rules for jobs that fail, take too long or have to stop."""

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
    """The end of a job: its result, or its error."""

    job: Job
    kind: Kind
    value: Any
    slot: str = ""
    seconds: float = 0.0


class Monitor:
    """An observer of jobs, for a table or a log; this one shows nothing."""

    def started(self, slot: str, job: Job) -> None:
        """Show that a worker got a job."""

    def progress(self, slot: str, done: int, total: int | None, metrics: dict[str, float]) -> None:
        """Show how far a job is."""

    def finished(self, done: Done) -> None:
        """Show that a job has ended for good."""

    def retried(self, slot: str, job: Job, reason: str) -> None:
        """Show that a job is tried once more."""

    def tick(self) -> None:
        """Show that time goes by; called some ten times a second."""

    def close(self) -> None:
        """End the display."""


class Interrupts:
    """A counter of signals, which do not interrupt meanwhile; the former handlers return at the end."""

    def __init__(self) -> None:
        self.count = 0
        self.last: int | None = None
        self._former: dict[int, Callable[..., Any] | int | None] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # Python lets no other thread do this
            for number in _SIGNALS:
                self._former[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former.clear()

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.last = number

    def ask(self) -> None:
        """Count as Ctrl-C does, from any thread."""
        self._take(signal.SIGINT, None)

    def reraise(self) -> None:
        """Raise what the signal would have raised: KeyboardInterrupt, or an exit with 143."""
        if self.last == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        if self.last is not None:
            raise KeyboardInterrupt
