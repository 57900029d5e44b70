"""Running item-wise work where asked: inline, in threads that the caller helps, or in worker processes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

import numpy as np

from bf_batch.engines import base
from bf_batch.engines.base import check_workers
from bf_batch.engines.factory import forget, shared
from bf_batch.engines.threads import THREAD_NAME, ThreadsEngine
from bf_batch.errors import ItemTimeoutError
from bf_batch.work import Work

_TRIAL = 5e-4
"""Seconds that the caller works alone before it asks threads for help."""

_POLL = 0.05
"""Seconds between looks at which items have begun."""

_WORTH = 1e-3
"""Seconds of work left from which on help is worth its cost."""


def run_work(work: Work, target: str, workers: int | None, timeout: float | None, action: str) -> list[Any]:
    """Return the results of all items in their order; an item's exception is a ``Failed`` among them."""
    if not len(work):
        return []
    if target == "processes" and not base.in_worker:  # workers start no workers of their own
        from bf_batch.run_processes import run_processes

        return run_processes(work, workers, timeout, action)
    if timeout is not None:
        return run_watched(work, 1 if target != "threads" else check_workers(workers), timeout, action)
    if target == "threads":
        return run_threads(work, check_workers(workers))
    return [work.run(number) for number in range(len(work))]


def run_threads(work: Work, workers: int) -> list[Any]:
    """Run the items in the caller and in up to ``workers - 1`` threads besides.

    The caller takes part, so that a call from inside a thread can never wait for itself, and works alone as
    long as the items are too cheap to share.
    """
    n = len(work)
    results: list[Any] = [None] * n
    begin = time.perf_counter()
    number = 0
    while number < n:
        results[number] = work.run(number)
        number += 1
        spent = time.perf_counter() - begin
        if spent > _TRIAL and spent / number * (n - number) > _WORTH:
            break
    if number == n or workers == 1:
        for rest in range(number, n):
            results[rest] = work.run(rest)
        return results
    numbers = iter(range(number, n))  # next() of it is atomic under the interpreter lock

    def take() -> None:
        for mine in numbers:
            results[mine] = work.run(mine)

    helpers = [shared("threads", workers).submit(take) for _ in range(min(workers, n - number) - 1)]
    try:
        take()
    finally:
        numbers = iter(())
        waiting = [helper for helper in helpers if not helper.cancel()]
        wait(waiting)
    for helper in waiting:
        helper.result()
    return results


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


def id_of(work: Work, number: int) -> Any:
    """Return the id of an item of the work, its number when the items are not those of the batch."""
    position = work.positions[number]
    if len(work.batch) <= position:
        return position
    id = work.batch.indices[position]
    return id.item() if isinstance(id, np.generic) else id
