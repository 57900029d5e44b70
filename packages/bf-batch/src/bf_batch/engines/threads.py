"""The threads engine: for work that leaves the interpreter lock (numpy, decoding, files)."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

from bf_batch.engines.base import Stops, check_workers

THREAD_NAME = "bf-engine"

_PATIENCE = 2.0
"""Seconds that ``stop`` waits for work under way; daemon threads never hold up the end of the program."""


class _Task(Future[Any]):
    """A future whose reader does the work itself when no thread has come to it: it would only wait."""

    def __init__(self, engine: ThreadsEngine, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        super().__init__()
        self.engine = engine
        self.place: Place = [(self, function, args)]

    def result(self, timeout: float | None = None) -> Any:
        """Return the result, or raise the exception, when the work is done."""
        if timeout is None and self.place:
            self.engine.help(self.place)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the exception, None for none, when the work is done."""
        if timeout is None and self.place:
            self.engine.help(self.place)
        return super().exception(timeout)


Place: TypeAlias = list[tuple[_Task, Callable[..., Any], tuple[Any, ...]]]
"""Where a task waits; whoever pops it does it. The queue holds places, so it keeps no result alive."""


class ThreadsEngine(Stops):
    """A fixed number of threads, started when there is work for them.

    A caller that awaits a task which has not begun does it in the place of a thread; no more than ``workers``
    tasks run at a time.
    """

    def __init__(self, workers: int | None = None, payload: Any = None) -> None:
        self.workers = check_workers(workers)
        self._first = () if payload is None else (payload,)
        self._queue: SimpleQueue[Place | None] = SimpleQueue()
        self._turns: SimpleQueue[None] = SimpleQueue()  # as many as workers: a task needs one to run
        for _ in range(self.workers):
            self._turns.put(None)
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._lock = threading.Lock()
        self._stopped = False

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Queue the function for the next free thread."""
        task = _Task(self, function, args)
        with self._lock:
            if self._stopped:
                raise RuntimeError("the engine is stopped; make another one")
            self._unfinished += 1
            if self._unfinished > len(self._threads) < self.workers:
                thread = threading.Thread(target=self._work, name=THREAD_NAME, daemon=True)
                self._threads.append(thread)
                thread.start()
            self._queue.put(task.place)
        return task

    def _work(self) -> None:
        while (place := self._queue.get()) is not None:
            if place:
                self._turns.get()
                self._run(place)
                self._turns.put(None)

    def help(self, place: Place) -> None:
        """Do a task in the caller, if it has not begun and a thread is idle in its stead."""
        with contextlib.suppress(Empty):
            self._turns.get_nowait()
            try:
                self._run(place)
            finally:
                self._turns.put(None)

    def _run(self, place: Place) -> None:
        try:
            task, function, args = place.pop()
        except IndexError:
            return  # another was quicker
        if not task.set_running_or_notify_cancel():
            self._done()
            return
        try:
            result = function(*self._first, *args)
        except BaseException as error:  # noqa: BLE001  handed to whoever reads the future
            self._done()
            task.set_exception(error)
        else:
            self._done()
            task.set_result(result)

    def _done(self) -> None:
        with self._lock:
            self._unfinished -= 1

    def abandon(self, future: Future[Any]) -> None:
        """Cancel it if it has not begun; a thread can't be ended."""
        future.cancel()

    def stop(self, patience: float = _PATIENCE) -> None:
        """Cancel what waits and let what runs end, for at most two seconds."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            threads = list(self._threads)
        with contextlib.suppress(Empty):
            while (place := self._queue.get_nowait()) is not None:
                for task, _, _ in place:
                    task.cancel()
        for _ in threads:
            self._queue.put(None)
        deadline = time.monotonic() + patience
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
