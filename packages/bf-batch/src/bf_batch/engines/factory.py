"""Engines by name, and those that a process keeps for work inside batches."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from typing import Any

from bf_batch.engines.base import Engine, EngineName, InlineEngine, check_engine, check_workers
from bf_batch.engines.threads import ThreadsEngine


def _inline(workers: int | None, payload: Any) -> Engine:
    check_workers(workers)
    return InlineEngine(payload)


def _processes(workers: int | None, payload: Any) -> Engine:
    from bf_batch.engines.processes import ProcessesEngine  # late: cloudpickle, which only processes need

    return ProcessesEngine(workers, payload)


ENGINES: dict[str, Callable[[int | None, Any], Engine]] = {
    "inline": _inline,
    "threads": ThreadsEngine,
    "processes": _processes,
}


def make_engine(name: EngineName, workers: int | None = None, payload: Any = None) -> Engine:
    """Return a new engine: 'inline', 'threads' or 'processes', with as many workers as processors by default.

    With a payload every function gets it as its first argument; worker processes receive it once.
    Stop the engine when done, or use it in a ``with`` block.

    >>> with make_engine("threads", workers=2, payload=10) as engine:
    ...     engine.submit(max, 3).result()
    10
    """
    return ENGINES[check_engine(name)](workers, payload)


_kept: dict[tuple[int, str, int], Engine] = {}
_lock = threading.Lock()


def shared(name: EngineName, workers: int | None = None) -> Engine:
    """Return the engine that this process keeps for work inside batches, one for each number of workers."""
    key = (os.getpid(), check_engine(name), check_workers(workers))
    engine = _kept.get(key)
    if engine is None:
        with _lock:
            engine = _kept.get(key)
            if engine is None:
                engine = _kept[key] = make_engine(name, workers)
    return engine


def forget(engine: Engine) -> None:
    """Drop a kept engine, one of whose workers hangs; the next call of ``shared`` makes another."""
    with _lock:
        for key in [key for key, kept in _kept.items() if kept is engine]:
            del _kept[key]


@atexit.register
def stop_shared() -> None:
    """Stop the kept engines; runs at the end of the program."""
    with _lock:
        engines = [engine for key, engine in _kept.items() if key[0] == os.getpid()]
        _kept.clear()
    for engine in engines:
        engine.stop()
