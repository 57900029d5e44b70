"""The loop that gives trials to a cluster one by one, hears them, and hands out how they end."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

from bf_batch.engines.base import UNKNOWN_EXIT, WorkerDied
from bf_index.errors import escape
from bf_research.clusters.engines import Died, Engine, Failed, Outcome
from bf_research.clusters.listener import Asked, Began, Listener, Said, pause_after
from bf_research.launcher.errors import JobStopped
from bf_research.launcher.jobs import Done, Interrupts, Job, Monitor
from bf_research.launcher.scheduler import ENDS, Answer, load_result

log = logging.getLogger(__name__)

#: Seconds until jobs that a cluster did not take are offered again: at first, and at most.
_FIRST_WAIT, _MOST_WAIT = 5.0, 60.0
#: Times in a row that a cluster may take no job while none of them runs.
_MOST_REFUSED = 10


@dataclass
class _Running:
    """A trial that a cluster has: it waits there until it is heard to begin."""

    name: str
    job: Job
    handle: Any
    slot: str
    began: float | None = None
    host: str = ""


class Stream:
    """A loop that runs jobs on an engine; good for one ``run``."""

    def __init__(
        self,
        engine: Engine,
        listener: Listener,
        monitor: Monitor,
        retries: int = 1,
        answer: Answer | None = None,
        grace: float = 10.0,
    ) -> None:
        self.engine, self.listener, self.monitor = engine, listener, monitor
        self.retries, self.grace = retries, grace
        self.interrupts = Interrupts()
        self._answer = answer
        self._running: dict[str, _Running] = {}
        self._waiting: deque[tuple[str, Job]] = deque()
        self._stopping_at: float | None = None
        self._next_look = 0.0
        self._offered_again = 0.0
        self._refused: int | None = None  # times in a row; None until the cluster has taken a job

    def run(self, take: Callable[[], tuple[str, Job] | None]) -> Generator[Done, None, None]:
        """Give jobs to the engine as it has room; yield how they end.

        ``take`` gives the next one with the name of its trial, None when there is none before another ends.
        After the first Ctrl-C or SIGTERM none begins: those that wait are cancelled, those that run may end
        by themselves, at the second one or after the grace they are cancelled; then KeyboardInterrupt is
        raised (after SIGTERM: exit 143). Jobs that the engine does not take are offered again later: its
        error is raised when it takes none at all, or again and again while none runs.
        """
        with self.interrupts as interrupts:
            try:
                while True:
                    if interrupts.count:
                        yield from self._wind_up(interrupts.count)
                    else:
                        self._feed(take)
                    if not self._running and not self._waiting:
                        break
                    yield from self._step()
                    self.monitor.tick()
            finally:
                self._abandon()
        if self._stopping_at is not None:
            interrupts.reraise()

    def _feed(self, take: Callable[[], tuple[str, Job] | None]) -> None:
        """Submit jobs for which there is room."""
        if time.monotonic() < self._offered_again:
            return
        free = self.engine.room() - len(self._running)
        taken: list[tuple[str, Job]] = []
        while len(taken) < free:
            one = self._waiting.popleft() if self._waiting else take()
            if one is None:
                break
            taken.append(one)
        if not taken:
            return
        try:
            for name, _ in taken:
                self.listener.open(name)
            handles = self.engine.submit([job.work for _, job in taken])
        except Exception as error:
            self._take_back(taken, error)
            if self._refused is None or (self._refused >= _MOST_REFUSED and not self._running):
                raise
            return
        self._refused = 0
        for (name, job), handle in zip(taken, handles):
            self._running[name] = _Running(name, job, handle, self._free_slot())
        self._waiting.extendleft(reversed(taken[len(handles) :]))

    def _take_back(self, taken: list[tuple[str, Job]], error: Exception) -> None:
        """Keep jobs that the engine did not take: its scheduler may be restarted, or a limit be reached."""
        self._waiting.extendleft(reversed(taken))
        if self._refused is None:
            return
        wait = min(_FIRST_WAIT * 2**self._refused, _MOST_WAIT)
        self._refused += 1
        self._offered_again = time.monotonic() + wait
        log.warning(
            "%s took none of %d %s, which are offered again in %.0f s: %s",
            self.engine.name,
            len(taken),
            "trial" if len(taken) == 1 else "trials",
            wait,
            escape(str(error) or type(error).__name__),
        )

    def _free_slot(self) -> str:
        used = {running.slot for running in self._running.values()}
        number = 0
        while (slot := f"{self.engine.name}:{number}") in used:
            number += 1
        return slot

    def _step(self) -> Iterator[Done]:
        """Hear what trials say, look for ends when it is time, and wait a moment."""
        began = time.monotonic()
        self._hear()
        pause = pause_after(time.monotonic() - began)
        if began >= self._next_look:
            self._next_look = began + self.engine.look_seconds
            handles = {running.handle: running for running in self._running.values()}
            ends = self.engine.ended(handles)
            if ends:
                self._hear()  # what they said before
            for handle, outcome in ends.items():
                yield from self._end(handles[handle], outcome)
        self.listener.beat()
        if self._running or self._waiting:
            time.sleep(pause)

    def _hear(self) -> None:
        for said in self.listener.hear():
            self._take(said)

    def _take(self, said: Said) -> None:
        running = self._running.get(said.trial)
        if running is None:
            return
        if isinstance(said, Asked):
            why = None
            if self._answer is not None:
                why = self._answer(running.job, said.step, said.value, said.final)
            self.listener.answer(said, why)
        elif isinstance(said, Began):
            running.began, running.host = time.monotonic(), said.host
            self.monitor.started(running.slot, running.job)
        else:
            self.monitor.progress(running.slot, said.done, said.total, said.metrics)

    def _end(self, running: _Running, outcome: Outcome) -> Iterator[Done]:
        del self._running[running.name]
        job = running.job
        if isinstance(outcome, Died):
            what = f"job {job.number} ({job.label}), attempt {job.attempt}: {outcome.how}"
            if self._stopping_at is not None:
                yield self._finish(running, Done(job, "killed", JobStopped("the sweep was stopped")))
            elif job.attempt <= self.retries:
                self.monitor.retried(running.slot, job, outcome.how.partition("\n")[0])
                self._waiting.append((running.name, replace(job, attempt=job.attempt + 1)))
            else:
                died = WorkerDied(0, UNKNOWN_EXIT, message=what)
                yield self._finish(running, Done(job, "crashed", died))
        elif isinstance(outcome, Failed):
            yield self._finish(running, Done(job, "failed", outcome.error))
        else:
            verdict, data = outcome
            yield self._finish(running, Done(job, ENDS.get(verdict, "failed"), load_result(data)))

    def _finish(self, running: _Running, done: Done) -> Done:
        seconds = 0.0 if running.began is None else time.monotonic() - running.began
        self.listener.forget(running.name)
        self.monitor.finished(replace(done, slot=running.slot, seconds=seconds))
        return replace(done, slot=running.host or self.engine.name, seconds=seconds)

    # stops --------------------------------------------------------------------------------------------------

    def _wind_up(self, count: int) -> Iterator[Done]:
        """Ask for the end of all; cancel what has not begun, and the rest when its time is over."""
        now = time.monotonic()
        if self._stopping_at is None:
            self._stopping_at = now + self.grace
            self._waiting.clear()
            self._hear()  # some may have begun
            self.listener.stop()
            over = [running for running in self._running.values() if running.began is None]
        elif count > 1 or now > self._stopping_at:
            over = list(self._running.values())
        else:
            return
        self.engine.cancel([running.handle for running in over])
        for running in over:
            del self._running[running.name]
            yield self._finish(running, Done(running.job, "killed", JobStopped("the sweep was stopped")))

    def _abandon(self) -> None:
        """Cancel what runs where the caller gave up: an error of its own, or a closed generator."""
        if not self._running:
            return
        try:
            self.engine.cancel([running.handle for running in self._running.values()])
        finally:
            self._running.clear()
            self.listener.stop()
