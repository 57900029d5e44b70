"""What image code takes from its process: optional libraries when they are used, and threads."""

from __future__ import annotations

import functools
import importlib
import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType


class MissingExtraError(ImportError):
    """A library of the ``images`` extra is not installed."""


@functools.cache
def import_extra(module: str, purpose: str = "images") -> ModuleType:
    """Import a module of an extra of bf-batch; an ImportError names the extra when its library is missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("bf_batch"):
            raise
        raise MissingExtraError(
            f"bf_batch.images needs {error.name!r}, which is not installed: pip install bf-batch[{purpose}]",
            name=error.name,
        ) from error


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count_cores(), thread_name_prefix="bf-images")


os.register_at_fork(after_in_child=_pool.cache_clear)


def spread(n: int, work: Callable[[slice], None], many: bool = True) -> None:
    """Call ``work`` for slices that cover ``n`` items, in threads when called from the main thread.

    A batch that is made in a worker of a prefetching pipeline stays in it: there the other cores have batches
    of their own. Without ``many`` everything is one slice. The first error is raised after all slices ended.
    """
    if not many or n < 2 or threading.current_thread() is not threading.main_thread():
        work(slice(0, n))
        return
    cores = count_cores()
    if cores == 1:
        work(slice(0, n))
        return
    parts = min(n, 4 * cores)  # more parts than cores, since pictures differ in size
    edges = [n * part // parts for part in range(parts + 1)]
    futures = [_pool().submit(work, slice(a, b)) for a, b in itertools.pairwise(edges)]
    errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        raise errors[0]
