"""The threads engine: for work that leaves the interpreter lock (numpy, decoding, files)."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

from bf_batch.engines.base import Stops, check_workers

THREAD_NAME = "bf-engine"

_PATIENCE = 2.0
"""Seconds that ``stop`` waits for work under way; daemon threads never hold up the end of the program."""


class ThreadsEngine(Stops):
    """A fixed number of threads, started when there is work for them."""

    def __init__(self, workers: int | None = None, payload: Any = None) -> None:
        self.workers = check_workers(workers)
        self._first = () if payload is None else (payload,)
        self._queue: SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None] = (
            SimpleQueue()
        )
        self._threads: list[threading.Thread] = []
        self._waiting = 0
        self._lock = threading.Lock()
        self._stopped = False

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Queue the function for the next free thread."""
        future: Future[Any] = Future()
        with self._lock:
            if self._stopped:
                raise RuntimeError("the engine is stopped; make another one")
            self._waiting += 1
            if self._waiting > len(self._threads) < self.workers:
                thread = threading.Thread(target=self._work, name=THREAD_NAME, daemon=True)
                self._threads.append(thread)
                thread.start()
            self._queue.put((future, function, args))
        return future

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            future, function, args = task
            if future.set_running_or_notify_cancel():
                try:
                    result = function(*self._first, *args)
                except BaseException as error:  # noqa: BLE001  handed to whoever reads the future
                    self._done()
                    future.set_exception(error)
                else:
                    self._done()
                    future.set_result(result)
                    del result
            else:
                self._done()
            del task, future, function, args  # or an idle thread would keep the last batch alive

    def _done(self) -> None:
        with self._lock:
            self._waiting -= 1

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
            while (task := self._queue.get_nowait()) is not None:
                task[0].cancel()
        for _ in threads:
            self._queue.put(None)
        deadline = time.monotonic() + patience
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
