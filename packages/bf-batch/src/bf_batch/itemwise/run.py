"""Running item-wise work where asked: inline, in threads that the caller helps, or in worker processes."""

from __future__ import annotations

import inspect
from typing import Any

from bf_batch.engines import base
from bf_batch.engines.base import check_workers
from bf_batch.itemwise.threads import run_threads
from bf_batch.itemwise.timeouts import run_watched
from bf_batch.itemwise.work import Work


def run_work(work: Work, target: str, workers: int | None, timeout: float | None, action: str) -> list[Any]:
    """Return the results of all items in their order; an item's exception is a ``Failed`` among them."""
    if not len(work):
        return []
    if inspect.iscoroutinefunction(work.function):
        from bf_batch.itemwise.coroutines import run_async  # late: asyncio takes 20 ms of start-up

        return run_async(work, timeout, action)
    if target == "processes" and not base.in_worker:  # workers start no workers of their own
        from bf_batch.itemwise.processes import run_processes  # late: start-up time; few programs ask for it

        return run_processes(work, workers, timeout, action)
    if timeout is not None:
        return run_watched(work, 1 if target != "threads" else check_workers(workers), timeout, action)
    if target == "threads":
        return run_threads(work, check_workers(workers))
    return [work.run(number) for number in range(len(work))]
