"""The loop that gives jobs to workers: one thread, no queue; retries, time limits, stops."""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from bf_batch.engines.base import UNKNOWN_EXIT, WorkerDied
from bf_batch.engines.channel import Payload, pack
from bf_batch.engines.pickling import dumps
from bf_research.launcher.errors import JobStopped, JobTimeout, LauncherError
from bf_research.launcher.jobs import GOOD, Done, Interrupts, Job, Kind, Monitor, Policy
from bf_research.launcher.pool import Pool, ServerDied, Worker

#: Answers a job that asks at a step with a value, and whether it ends there: why to stop, None to go on.
Answer = Callable[[Job, int, float, bool], str | None]
#: The loop looks at limits and signals this often.
TICK_SECONDS = 0.1
#: The system tells that a process ended, and how, right after its connection closed.
EXIT_SECONDS = 5.0
#: A time limit counts from the job's begin; a worker may load the function of all jobs so long before.
LOADING_SECONDS = 120.0
#: Workers that end before they had any job: something is wrong with all of them.
MOST_STILLBORN = 3
#: What became of a job, by what its worker says; all else has failed.
ENDS: Mapping[str, Kind] = {"ok": "ok", "stopped": "killed", "pruned": "pruned"}
_END = Job(-1, None)


@dataclass
class _Running:
    """A job that a worker has, and why it was ended, if we did."""

    job: Job
    began: float
    deadline: float
    timed_out: bool = False
    stopped: bool = False


@dataclass(frozen=True, eq=False)
class _Task:
    """The function of all jobs, pickled once, and what a worker takes over from us before it loads it."""

    payload: Payload
    state: dict[str, Any]

    @classmethod
    def of(cls, function: Callable[[Any], Any]) -> _Task:
        try:
            payload = Payload(pack(function, dumps))
        except Exception as error:
            raise LauncherError(
                f"the task can't be sent to the workers: {error}; keep files, locks and clients out of the "
                "globals of the script and make them inside the task"
            ) from error
        state = {
            "folder": os.getcwd(),
            "path": list(sys.path),
            "arguments": list(sys.argv),
            "environment": dict(os.environ),
        }
        return cls(payload, state)


class Scheduler:
    """A loop that runs jobs on the workers of a pool; good for one ``run``."""

    def __init__(
        self,
        pool: Pool,
        policy: Policy,
        monitor: Monitor,
        interrupts: Interrupts | None = None,
        answer: Answer | None = None,
    ) -> None:
        self.pool, self.policy, self.monitor = pool, policy, monitor
        self.interrupts = interrupts or Interrupts()
        self._answer = answer
        self._running: dict[str, _Running] = {}
        self._waiting: deque[Job] = deque()
        self._exhausted = False
        self._closed = False
        self._stopping_at: float | None = None
        self._stillborn = 0

    def run(self, function: Callable[[Any], Any], jobs: Iterable[Job | None]) -> Generator[Done, None, None]:
        """Give each job to the next free worker; yield how they end, as they end.

        ``jobs`` is asked when a worker is free; None from it means: nothing yet, ask after the next end.
        After Ctrl-C no job begins; those that run may stop at their next iteration, at a second Ctrl-C or
        after the grace they are killed; then KeyboardInterrupt is raised (after SIGTERM: exit 143).
        """
        task = _Task.of(function)
        source = iter(jobs)
        with self.interrupts as interrupts:
            try:
                while True:
                    self._stop_if_asked(interrupts.count)
                    self._feed(source, task)
                    if not self._running and not self._waiting and (self._exhausted or self._closed):
                        break
                    yield from self._step()
                    self.monitor.tick()
            finally:
                for name in self._running:  # the caller gave up: an error of its own, or a closed generator
                    self.pool.kill(self.pool.workers[name])
                task.payload.close()
        if self._stopping_at is not None:
            interrupts.reraise()

    # giving jobs --------------------------------------------------------------------------------------------

    def _feed(self, source: Iterator[Job | None], task: _Task) -> None:
        """Give jobs to free workers."""
        for worker in self._idle():
            if any(running.job.alone for running in self._running.values()):
                return
            job = self._next(source)
            if job is None:
                return
            if job.alone and self._running:
                self._waiting.appendleft(job)
                return
            self._give(worker, job, task)

    def _next(self, source: Iterator[Job | None]) -> Job | None:
        if self._waiting:
            return self._waiting.popleft()
        if self._closed or self._exhausted:
            return None
        job = next(source, _END)
        if job is _END or (job is None and not self._running):
            self._exhausted = True  # nothing now, and nothing runs that could bring more
            return None
        return job

    def _idle(self) -> list[Worker]:
        return [
            worker
            for name, worker in self.pool.workers.items()
            if worker.pid is not None
            and worker.code is None
            and worker.lost_at is None
            and name not in self._running
        ]

    def _give(self, worker: Worker, job: Job, task: _Task) -> None:
        now = time.monotonic()
        self._running[worker.slot.name] = _Running(job, now, now + self._allowed() + LOADING_SECONDS)
        try:
            if worker.task is not task:
                worker.channel.send(pack(("function", task.state), pickle.dumps))
                task.payload.send(worker.channel)
                worker.task = task
            last = 0 < self.policy.max_jobs_per_worker <= worker.jobs + 1
            worker.channel.send(pack(("job", dumps(job.work), last), pickle.dumps))
        except (BrokenPipeError, ConnectionError):
            return  # it died while idle: found and told like any other death
        self.monitor.started(worker.slot.name, job)

    # hearing of them ----------------------------------------------------------------------------------------

    def _step(self) -> Iterator[Done]:
        """Wait a moment for messages, deaths and limits; yield the jobs that ended."""
        workers = {w.channel.fileno(): w for w in self.pool.workers.values() if w.lost_at is None}
        server = self.pool.server.fileno()
        poll = select.poll()
        for file in (*workers, server):
            poll.register(file, select.POLLIN)
        ready = [file for file, _ in poll.poll(TICK_SECONDS * 1000)]
        for file in ready:
            if file in workers:
                yield from self._hear(workers[file])
        try:
            if server in ready:
                self.pool.hear()
        except ServerDied as error:
            yield from self._bury_server(str(error))
            return
        for worker in list(self.pool.workers.values()):
            if _overdue(worker):
                self.pool.kill(worker)
            if worker.code is not None or _overdue(worker):
                yield from self._bury(worker)
        self._enforce()

    def _hear(self, worker: Worker) -> Iterator[Done]:
        """Read what a worker has sent; yield its job if that ended."""
        try:
            while worker.channel.has_message():
                message = worker.channel.receive()()
                if message[0] == "began":
                    running = self._running[worker.slot.name]
                    running.began = time.monotonic()
                    running.deadline = running.began + self._allowed()
                elif message[0] == "progress":
                    self.monitor.progress(worker.slot.name, *message[1:])
                elif message[0] == "asked":
                    self._answer_job(worker, *message[1:])
                else:
                    yield from self._take_result(worker, message[1], message[2])
        except (EOFError, OSError):
            worker.lost_at = time.monotonic()

    def _answer_job(self, worker: Worker, step: int, value: float, final: bool) -> None:
        """Answer a job that waits for it; one that died meanwhile is found like any other death."""
        running = self._running[worker.slot.name]
        why = None if self._answer is None else self._answer(running.job, step, value, final)
        with suppress(OSError):
            worker.channel.send(pack(("answer", self._answer is not None, why), pickle.dumps))

    def _take_result(self, worker: Worker, kind: str, data: Any) -> Iterator[Done]:
        running = self._running.pop(worker.slot.name)
        worker.jobs += 1
        if self.policy.max_jobs_per_worker and worker.jobs >= self.policy.max_jobs_per_worker:
            self._replace(worker)
        if kind == "out of memory" and not running.job.alone:
            self.monitor.retried(
                worker.slot.name, running.job, "the device's memory was full: once more, alone"
            )
            again = replace(running.job, attempt=running.job.attempt + 1, alone=True)
            self._waiting.append(again)
            return
        yield self._end(running, ENDS.get(kind, "failed"), load_result(data), worker)

    def _end(self, running: _Running, kind: Kind, value: Any, worker: Worker) -> Done:
        done = Done(running.job, kind, value, worker.slot.name, time.monotonic() - running.began)
        if kind not in GOOD and self.policy.stop_on_failure:
            self._closed = True
            self._waiting.clear()
        self.monitor.finished(done)
        return done

    # deaths -------------------------------------------------------------------------------------------------

    def _bury(self, worker: Worker) -> Iterator[Done]:
        """Replace a worker whose process has ended, and try its job again if the policy allows."""
        yield from self._hear(worker)  # a result sent right before the end counts
        running = self._running.pop(worker.slot.name, None)
        self._replace(worker)
        if running is None:
            if worker.jobs == 0:
                self._stillborn += 1
                if self._stillborn > MOST_STILLBORN:
                    raise LauncherError(f"workers end before they have a job, {_end_text(worker.code)}")
            return
        yield from self._judge(running, worker, _end_text(worker.code))

    def _judge(self, running: _Running, worker: Worker, how: str) -> Iterator[Done]:
        job = running.job
        what = f"job {job.number} ({job.label}) on {worker.slot.name}, attempt {job.attempt}"
        if running.timed_out:
            text = f"{what}: took longer than {self.policy.timeout:g} s and was ended"
            yield self._end(running, "timeout", JobTimeout(text), worker)
        elif running.stopped:
            yield self._end(running, "killed", JobStopped(f"{what}: the sweep was stopped"), worker)
        elif job.attempt <= self.policy.retries and not self._closed:
            self.monitor.retried(worker.slot.name, job, f"its worker ended, {how}")
            self._waiting.appendleft(replace(job, attempt=job.attempt + 1))
        else:
            code = UNKNOWN_EXIT if worker.code is None else worker.code
            died = WorkerDied(worker.pid or 0, code, message=f"{what}: its worker ended, {how}")
            yield self._end(running, "crashed", died, worker)

    def _bury_server(self, how: str) -> Iterator[Done]:
        self._stillborn += 1
        if self._stillborn > MOST_STILLBORN or not any(w.jobs or w.pid for w in self.pool.workers.values()):
            raise LauncherError(how)
        workers = list(self.pool.workers.values())
        for worker in workers:
            yield from self._hear(worker)  # results sent right before the end count
        self.pool.restart()
        for worker in workers:
            running = self._running.pop(worker.slot.name, None)
            self.pool.fork(worker.slot)
            if running is not None:
                yield from self._judge(running, worker, how)

    def _replace(self, worker: Worker) -> None:
        self.pool.end(worker)
        if not self._closed:
            self.pool.fork(worker.slot)

    # limits and stops ---------------------------------------------------------------------------------------

    def _enforce(self) -> None:
        """Kill what runs longer than it may."""
        now = time.monotonic()
        for name, running in self._running.items():
            if now > running.deadline and not running.timed_out:
                running.timed_out = True
                self.pool.kill(self.pool.workers[name])

    def _allowed(self) -> float:
        return float("inf") if self.policy.timeout is None else self.policy.timeout

    def _stop_if_asked(self, count: int) -> None:
        """Ask running jobs to stop at the first signal; kill them at the second, or after the grace."""
        if not count:
            return
        if self._stopping_at is None:
            self._stopping_at = time.monotonic() + self.policy.stop_grace
            self._closed = True
            self._waiting.clear()
            for name, running in self._running.items():
                running.stopped = True
                with suppress(OSError):  # it died this moment: found and told like any other death
                    self.pool.workers[name].channel.send(pack(("stop",), pickle.dumps))
        elif count > 1 or time.monotonic() > self._stopping_at:
            for name in self._running:
                self.pool.kill(self.pool.workers[name])


def _overdue(worker: Worker) -> bool:
    return worker.lost_at is not None and time.monotonic() - worker.lost_at > EXIT_SECONDS


def _end_text(code: int | None) -> str:
    if code is None:
        return "nobody knows how"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"with exit code {code}"


def load_result(data: Any) -> Any:
    """Return what a worker sent; what only the worker can import becomes an error that says so."""
    try:
        return pickle.loads(data)  # noqa: S301 - from our own worker
    except Exception as error:  # noqa: BLE001 - classes of the user's own
        return RuntimeError(f"the job's result can't be read in the sweep's process: {error}")
