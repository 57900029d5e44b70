"""What a running job says to its launcher and hears from it; outside a worker nobody listens."""

from __future__ import annotations

import os
import pickle
import time
from typing import Protocol

from bf_batch.engines.channel import Channel, pack

#: Bars need no more, and a fast loop must not pay for more.
REPORT_SECONDS = 0.1
DEVICES = "BF_DEVICES"


class JobLink(Protocol):
    """The launcher, as a job sees it."""

    def report(self, done: int, total: int | None, metrics: dict[str, float]) -> None:
        """Report how far the job is."""

    def stopping(self) -> bool:
        """Whether the job should end at its next iteration."""


class NoLink:
    """The link of a process that no launcher runs."""

    def report(self, done: int, total: int | None, metrics: dict[str, float]) -> None:
        """Do nothing."""

    def stopping(self) -> bool:
        """Whether somebody asked: nobody can."""
        return False


class WorkerLink:
    """The link of a worker: progress goes up its channel, a request to stop comes down."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._next = 0.0
        self._stopping = False

    def report(self, done: int, total: int | None, metrics: dict[str, float]) -> None:
        """Report how far the job is, ten times a second at most."""
        now = time.monotonic()
        if now >= self._next or done == total:
            self._next = now + REPORT_SECONDS
            self._channel.send(pack(("progress", done, total, metrics), pickle.dumps))

    def stopping(self) -> bool:
        """Whether anything but silence comes from the launcher: a request to stop, or its end."""
        if not self._stopping and self._channel.has_message():
            self._stopping = True
        return self._stopping

    def begin(self) -> None:
        """Start afresh for the next job."""
        self._next, self._stopping = 0.0, False


class _Current:
    """The link of this process."""

    link: JobLink = NoLink()


def connect(link: JobLink) -> None:
    """Use a link for this process."""
    _Current.link = link


def report(done: int, total: int | None = None, /, **metrics: float) -> None:
    """Report how far this job is: ``report(10, 100, loss=0.5)``; does nothing outside a worker."""
    _Current.link.report(done, total, metrics)


def stopping() -> bool:
    """Whether this job should end at its next iteration, since the sweep is being stopped."""
    return _Current.link.stopping()


def where() -> str:
    """Return the devices of this worker, as ``gpu:0`` or ``gpu:0,gpu:1``; empty outside a worker."""
    return os.environ.get(DEVICES, "")
