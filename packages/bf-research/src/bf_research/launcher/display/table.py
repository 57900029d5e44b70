"""The table of a sweep, wherever it is drawn: it hears of jobs, and is drawn anew a few times a second."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from bf_research.launcher.display.board import Board
from bf_research.launcher.display.lines import describe, describe_retry
from bf_research.launcher.jobs import Done, Job, Monitor


class SweepTable(Monitor, ABC):
    """The jobs that run, how many ended in which way, what is best so far, and the time left.

    ``seconds`` lie between two drawings at least.
    """

    def __init__(
        self, total: int | None, slots: Sequence[str], best: Callable[[], str], seconds: float
    ) -> None:
        self.board = Board(total, slots, best)
        self._seconds = seconds
        self._due = time.monotonic() + seconds

    @abstractmethod
    def draw(self) -> None:
        """Draw the table as it is now."""

    @abstractmethod
    def write(self, line: str) -> None:
        """Leave a line beside the table."""

    def started(self, slot: str, job: Job) -> None:
        """Show that a worker got a job."""
        self.board.started(slot, job)

    def progress(self, slot: str, done: int, total: int | None, metrics: dict[str, float]) -> None:
        """Show how far a job is."""
        self.board.progress(slot, done, total, metrics)

    def finished(self, done: Done) -> None:
        """Count a job that ended; one that did not end well leaves a line."""
        self.board.finished(done)
        if done.kind != "ok":
            self.write(describe(done))

    def retried(self, slot: str, job: Job, reason: str) -> None:
        """Leave a line."""
        self.board.retried(slot)
        self.write(describe_retry(job, reason))

    def tick(self) -> None:
        """Draw the table, if the last time was long enough ago."""
        if time.monotonic() >= self._due:
            self.draw()
            self._due = time.monotonic() + self._seconds
