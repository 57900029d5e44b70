"""Item-wise work under a time limit: the caller watches how long each item takes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from bf_batch.engines.factory import forget, shared
from bf_batch.engines.threads import THREAD_NAME, ThreadsEngine
from bf_batch.errors import ItemTimeoutError
from bf_batch.itemwise.work import Work, id_of

_POLL = 0.05
"""Seconds between looks at which items have begun."""


def run_watched(work: Work, workers: int, timeout: float, action: str) -> list[Any]:
    """Run the items in threads while the caller watches the time of each.

    A thread can't be ended: the one that hangs is left behind with its engine, and goes with the program.
    """
    own = threading.current_thread().name == THREAD_NAME  # a pool must not wait for itself
    engine = ThreadsEngine(workers) if own else shared("threads", workers)
    assert isinstance(engine, ThreadsEngine)
    started: dict[int, float] = {}

    def run(number: int) -> Any:
        started[number] = time.monotonic()
        return work.run(number)

    try:
        futures = [engine.submit(run, number) for number in range(len(work))]
        return await_all(futures, started, work, timeout, action)
    except BaseException:
        forget(engine)
        engine.stop(patience=0)
        raise
    finally:
        if own:
            engine.stop()


def await_all(
    futures: list[Future[Any]], started: dict[int, float], work: Work, timeout: float, action: str
) -> list[Any]:
    """Return the results of the futures; ItemTimeoutError for one that runs longer than ``timeout`` seconds.

    ``started`` says when the work of a future began; one that is seen running for the first time is added.
    """
    pending = dict(enumerate(futures))
    while pending:
        now = time.monotonic()
        for number in [number for number, future in pending.items() if future.done()]:
            del pending[number]
        for number, future in pending.items():
            if number not in started and future.running():
                started[number] = now
        running = [started[number] for number in pending if number in started]
        if running and min(running) + timeout <= now:
            late = next(number for number in pending if started.get(number, now) + timeout <= now)
            raise ItemTimeoutError(
                id_of(work, late), action, work.positions[late], f"took longer than timeout={timeout} s"
            )
        left = min(running) + timeout - now if running else timeout
        wait(pending.values(), min(left, _POLL), FIRST_COMPLETED)
    return [future.result() for future in futures]
