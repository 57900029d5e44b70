"""What a running job says to its launcher and hears from it; outside a worker nobody listens."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from bf_batch.engines.channel import Channel, pack

#: Bars need no more, and a fast loop must not pay for more.
REPORT_SECONDS = 0.1
DEVICES = "BF_DEVICES"
#: Takes step, value and whether the job ends here; returns why it should stop, None to go on.
Ask = Callable[[int, float, bool], str | None]


class JobLink(Protocol):
    """The launcher, as a job sees it."""

    def report(self, done: int, total: int | None, metrics: dict[str, float]) -> None:
        """Report how far the job is."""

    def stopping(self) -> bool:
        """Whether the job should end at its next iteration."""

    def ask(self, step: int, value: float, final: bool) -> str | None:
        """Tell a measurement; return why the sweep stops the job, None to go on."""


class NoLink:
    """The link of a process that no launcher runs."""

    def report(self, done: int, total: int | None, metrics: dict[str, float]) -> None:
        """Do nothing."""

    def stopping(self) -> bool:
        """Whether somebody asked: nobody can."""
        return False

    def ask(self, step: int, value: float, final: bool) -> str | None:
        """Refuse: a sweep that stops trials has to be there."""
        raise RuntimeError(
            "a stopping rule is set, and no sweep hears this trial, so nothing would be stopped: use "
            "hydra/sweeper=domain, with hydra.sweep.dir on a file system that all nodes see under the same "
            "path, or stopping=null"
        )


class OwnLink(NoLink):
    """The link of a job that runs in the very process of its sweep."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def ask(self, step: int, value: float, final: bool) -> str | None:
        """Return what the sweep says."""
        return self._ask(step, value, final)


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

    def ask(self, step: int, value: float, final: bool) -> str | None:
        """Ask the driver and wait for its answer, the time of one message; its end is a request to stop."""
        try:
            self._channel.send(pack(("asked", step, value, final), pickle.dumps))
            while (message := self._channel.receive()())[0] != "answer":
                self._stopping = True
        except (EOFError, ConnectionError):
            self._stopping = True
            return None
        if not message[1]:
            return NoLink().ask(step, value, final)
        why: str | None = message[2]
        return why

    def begin(self) -> None:
        """Start afresh for the next job."""
        self._next, self._stopping = 0.0, False


class _Current:
    """The link of this process, and what a stopping rule has to do with the job that runs."""

    link: JobLink = NoLink()
    metric: str | None = None
    step = 0
    pruned: str | None = None
    trial = ""


def connect(link: JobLink) -> None:
    """Use a link for this process."""
    _Current.link = link


def is_connected() -> bool:
    """Whether somebody listens to the jobs of this process."""
    return type(_Current.link) is not NoLink


@contextmanager
def connected(link: JobLink) -> Iterator[None]:
    """Use a link for the jobs that this process runs inside the block."""
    before, _Current.link = _Current.link, link
    try:
        yield
    finally:
        _Current.link = before


@contextmanager
def watched(metric: str | None, trial: str = "") -> Iterator[None]:
    """Ask the sweep at each ``report`` of a metric inside the block, which is one job of that trial."""
    before = _Current.metric, _Current.step, _Current.pruned, _Current.trial
    _Current.metric, _Current.step, _Current.pruned, _Current.trial = metric, 0, None, trial
    try:
        yield
    finally:
        _Current.metric, _Current.step, _Current.pruned, _Current.trial = before


def report(done: int, total: int | None = None, /, **metrics: float) -> None:
    """Report how far this job is: ``report(10, 100, loss=0.5)``; does nothing outside a worker.

    If the sweep has a stopping rule that looks at one of the metrics, each report of it is a step, and
    ``stopping()`` may be true afterwards.
    """
    _Current.link.report(done, total, metrics)
    if _Current.metric is not None and _Current.metric in metrics:
        ask(_Current.step + 1, float(metrics[_Current.metric]), done == total)


def ask(step: int, value: float, final: bool = False) -> str | None:
    """Tell the sweep a value of the metric of its stopping rule; return why it stops this job, if it does.

    ``final``: the job ends here by itself.
    """
    _Current.step = step
    _Current.pruned = _Current.pruned or _Current.link.ask(step, value, final)
    return _Current.pruned


def stopping() -> bool:
    """Whether this job should end at its next iteration: the sweep is being stopped, or stops this trial."""
    return _Current.pruned is not None or _Current.link.stopping()


def pruned() -> str | None:
    """Return why the stopping rule of the sweep has stopped this job; None if it has not."""
    return _Current.pruned


def trial() -> str:
    """Return what the journal of the sweep calls the trial that runs; empty outside of one."""
    return _Current.trial


def where() -> str:
    """Return the devices of this worker, as ``gpu:0`` or ``gpu:0,gpu:1``; empty outside a worker."""
    return os.environ.get(DEVICES, "")
