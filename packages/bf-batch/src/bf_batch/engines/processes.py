"""The processes engine: for work that holds the interpreter lock. Workers last as long as the engine."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from bf_batch.engines.base import Stops, WorkerDied, check_workers, describe_exit
from bf_batch.engines.channel import SMALL, Channel, Message, Payload, pack
from bf_batch.engines.forking import Child, SharedForkServer, Start
from bf_batch.engines.pickling import dumps, refuse_unpicklable

_PATIENCE = 2.0
"""Seconds that ``stop`` gives idle workers to end by themselves; busy ones are ended at once."""

_MOST_FAILED_STARTS = 3


@dataclass(eq=False, slots=True)
class _Task:
    """A function on its way: a message ready to be sent, and the future of its result."""

    future: Future[Any]
    message: Message

    @property
    def is_small(self) -> bool:
        """Whether it fits into the socket of a worker that does not read at the moment."""
        return self.message.size + len(self.message.data) <= SMALL


@dataclass(eq=False, slots=True)
class _Worker:
    """A worker process and the tasks it was given; it works on the first of them."""

    process: Child
    channel: Channel
    ready: bool = False
    tasks: deque[_Task] = field(default_factory=deque)


class ProcessesEngine(Stops):
    """Worker processes, forked from a small clean process and never from this one, whose threads do no harm.

    Functions and arguments are pickled by value where a worker could not import them; large arrays go through
    shared memory. A worker that dies costs the task it was working on (``WorkerDied``) and is replaced.
    ``modules`` are imported once, before workers are forked: only what starts no thread.
    """

    def __init__(
        self, workers: int | None = None, payload: Any = None, modules: tuple[str, ...] = ()
    ) -> None:
        self.workers = check_workers(workers)
        self._start = Start(modules=modules)
        self._payload = Payload.of(payload)
        self._server = SharedForkServer()
        self._lock = threading.RLock()
        self._team: list[_Worker] = []
        self._backlog: deque[_Task] = deque()
        self._failed_starts = 0
        self._broken: BaseException | None = None
        self._stopped = False
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        try:
            for _ in range(self.workers):
                self._start_worker()
        except BaseException:
            self.stop()
            raise
        self._reader = threading.Thread(target=self._read, name="bf-engine-reader", daemon=True)
        self._reader.start()

    def _start_worker(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = self._server.fork(theirs, self._start)
        except BaseException:
            ours.close()
            raise
        worker = _Worker(process, Channel(ours))
        self._team.append(worker)
        self._selector.register(ours, selectors.EVENT_READ, worker)
        self._payload.send(worker.channel)

    # The caller's side

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Send the function to a worker, or keep it until one is free.

        TypeError, naming the argument, for what can't be pickled.
        """
        try:
            message = pack((function, args), dumps)
        except Exception as error:  # noqa: BLE001  pickling runs code of any type
            named = {"function": function, **{f"argument {n}": value for n, value in enumerate(args)}}
            refuse_unpicklable(named, "a worker process", error)
        return self.send(message)

    def send(self, message: Message) -> Future[Any]:
        """Submit a pickled (function, arguments); for callers that know a cheaper way to pickle theirs."""
        task = _Task(Future(), message)
        with self._lock:
            if self._stopped:
                raise RuntimeError("the engine is stopped; make another one")
            if self._broken is not None:
                raise self._broken
            self._backlog.append(task)
            self._deal()
        return task.future

    def abandon(self, future: Future[Any]) -> None:
        """Cancel it if it has not begun, else end the worker that is at it."""
        with self._lock:
            if future.cancel():
                return
            for worker in self._team:
                if worker.tasks and worker.tasks[0].future is future:
                    worker.process.kill()

    def stop(self) -> None:
        """End all workers: idle ones by themselves, busy ones at once; cancel what has not begun."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            team, tasks = list(self._team), list(self._backlog)
            self._backlog.clear()
        for worker in team:
            if worker.tasks:
                worker.process.kill()
                tasks.extend(worker.tasks)
            worker.channel.hang_up()
        deadline = time.monotonic() + _PATIENCE
        for worker in team:
            if worker.process.wait(max(0.0, deadline - time.monotonic())) is None:
                worker.process.kill()
                worker.process.wait()
        self._wake.send(b"x")
        if hasattr(self, "_reader") and self._reader is not threading.current_thread():
            self._reader.join(_PATIENCE)
        for worker in team:
            worker.channel.close()
        self._wake.close()
        self._woken.close()
        self._selector.close()
        self._payload.close()
        self._server.close()
        for task in tasks:
            if not task.future.cancel() and not task.future.done():
                task.future.set_exception(RuntimeError("the engine was stopped in the middle of this work"))

    # Dealing out work; the lock is held

    def _deal(self) -> None:
        """Give tasks to idle workers; to busy ones a second, small one when there is enough for all."""
        while self._backlog:
            idle = next((worker for worker in self._team if worker.ready and not worker.tasks), None)
            if idle is not None:
                self._give(idle, self._backlog.popleft())
                continue
            if len(self._backlog) < self.workers or not self._backlog[0].is_small:
                return
            busy = next((worker for worker in self._team if worker.ready and len(worker.tasks) == 1), None)
            if busy is None:
                return
            self._give(busy, self._backlog.popleft())

    def _give(self, worker: _Worker, task: _Task) -> None:
        if not worker.tasks and not task.future.set_running_or_notify_cancel():
            return
        worker.tasks.append(task)
        with contextlib.suppress(OSError):  # it has just died, as its reader is about to learn
            worker.channel.send(task.message)

    # The reader's side: one thread that waits for all workers

    def _read(self) -> None:
        while not self._stopped:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                worker: _Worker = key.data
                try:
                    load = worker.channel.receive()
                except (EOFError, OSError):
                    self._bury(worker)
                else:
                    self._take(worker, load)
                    del load
            del key

    def _take(self, worker: _Worker, load: Callable[[], Any]) -> None:
        """Take a worker's answer: that it is ready, or the result of its first task."""
        kind, value = unpack_answer(load)
        if kind == "ready":
            with self._lock:
                worker.ready = True
                self._failed_starts = 0
                self._deal()
            return
        if kind == "unready":
            self._break(value)
            return
        with self._lock:
            task = worker.tasks.popleft()
            if (
                worker.tasks
            ):  # if it was cancelled while it waited, the worker runs it and nobody reads the result
                worker.tasks[0].future.set_running_or_notify_cancel()
            self._deal()
        if task.future.cancelled():
            return
        if kind == "result":
            task.future.set_result(value)
        else:
            task.future.set_exception(value)

    def _bury(self, worker: _Worker) -> None:
        """Take a dead worker out: its first task fails, the others wait for another worker."""
        self._selector.unregister(worker.channel)
        with self._lock:
            if self._stopped:
                return
        code = worker.process.wait() or 0
        with self._lock:
            if self._stopped:
                return
            self._team.remove(worker)
            worker.channel.close()
            tasks = list(worker.tasks)
            self._backlog.extendleft(reversed(tasks[1:]))
            if not worker.ready:
                self._failed_starts += 1
            give_up = self._failed_starts >= _MOST_FAILED_STARTS
            if not give_up:
                self._start_worker()
                self._deal()
        if give_up:
            self._break(
                RuntimeError(
                    f"{self._failed_starts} worker processes in a row {describe_exit(code)} as they started; "
                    "see their messages above, or use engine 'threads'"
                )
            )
        if tasks and not tasks[0].future.cancelled():
            tasks[0].future.set_exception(WorkerDied(worker.process.pid, code))

    def _break(self, error: BaseException) -> None:
        """Fail all work, now and later: no worker can start."""
        with self._lock:
            self._broken = error
            tasks = [*self._backlog, *(task for worker in self._team for task in worker.tasks)]
            self._backlog.clear()
        for task in tasks:
            if not task.future.cancelled() and not task.future.done():
                task.future.set_exception(error)


def unpack_answer(load: Callable[[], Any]) -> tuple[str, Any]:
    """Return the kind and value of an answer; what can't be unpickled here is an error, too."""
    try:
        kind, value = load()
        if kind in ("error", "unready"):
            return kind, value.restore()
    except Exception as error:  # noqa: BLE001  unpickling runs code of any type
        return "error", RuntimeError(f"a worker's answer can't be unpickled: {type(error).__name__}: {error}")
    return kind, value
