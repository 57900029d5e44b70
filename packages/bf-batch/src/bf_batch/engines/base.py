"""The protocol of engines, what all engines share, and the simplest one: the caller itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeAlias, get_args, runtime_checkable

from bf_index.errors import unknown

EngineName: TypeAlias = Literal["inline", "threads", "processes"]
in_worker = False
"""Whether this process is a worker of a processes engine: work inside batches then stays in it."""

NAMES: tuple[str, ...] = get_args(EngineName)
UNKNOWN_EXIT = 255
"""The exit code of a worker that ended when nobody was there to take it."""


@runtime_checkable
class Engine(Protocol):
    """A place where functions run; it returns futures.

    An engine made with a payload calls ``function(payload, *args)``, without one ``function(*args)``. An
    exception of the function arrives at ``future.result()``.
    """

    @property
    def workers(self) -> int:
        """How many functions can run at the same time."""
        ...

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Start a function as soon as a worker is free; RuntimeError after ``stop``."""
        ...

    def abandon(self, future: Future[Any]) -> None:
        """Give up on a future: not started, it is cancelled; in a worker process, that process is ended."""
        ...

    def stop(self) -> None:
        """End all workers within a few seconds; what has not begun is cancelled. Again: does nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None: ...


class Stops:
    """A mixin that makes an engine a context manager which stops it at the end."""

    def stop(self) -> None:
        """End all workers."""
        raise TypeError(f"{type(self).__name__} has no stop()")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self.stop()


class InlineEngine(Stops):
    """The caller itself: a function runs when it is submitted, its exception waits in the future."""

    workers = 1

    def __init__(self, payload: Any = None) -> None:
        self._first = () if payload is None else (payload,)
        self._stopped = False

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Run the function now."""
        if self._stopped:
            raise RuntimeError("the engine is stopped; make another one")
        future: Future[Any] = Future()
        try:
            future.set_result(function(*self._first, *args))
        except Exception as error:  # noqa: BLE001  handed to whoever reads the future
            future.set_exception(error)
        return future

    def abandon(self, future: Future[Any]) -> None:
        """Do nothing: the work is done."""

    def stop(self) -> None:
        """Take no more work."""
        self._stopped = True


class WorkerDied(RuntimeError):
    """The end of a worker process in the middle of its work: by a signal, an exit, or for lack of memory.

    ``code`` is its exit code, negative for a signal, 255 when nobody knows it; ``message`` takes
    the place of the usual text.
    """

    def __init__(self, pid: int, code: int, where: str = "", message: str = "") -> None:
        at = f"in {where}" if where else "in the middle of its work"
        usual = f"worker process {pid} {describe_exit(code)} {at}; the pool starts another. {_advice(code)}"
        super().__init__(message or usual)
        self.pid = pid
        self.code = code
        self.where = where

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.pid, self.code, self.where, str(self))

    @property
    def signal(self) -> str | None:
        """Name of the signal that ended it, None when it exited by itself."""
        return _signal_name(-self.code) if self.code < 0 else None


def describe_exit(code: int) -> str:
    """Return a phrase for how a process ended, from its exit code."""
    return f"was killed by {_signal_name(-code)}" if code < 0 else f"exited with code {code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _advice(code: int) -> str:
    if -code == signal.SIGKILL:
        return "SIGKILL often means that memory ran out: use fewer workers or smaller batches"
    if -code in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT):
        return "A crash like this comes from compiled code: run it with engine 'inline' to find the item"
    return "Run it with engine 'inline' to see where"


def default_workers() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_engine(name: str, argument: str = "engine") -> str:
    """Return the name of an engine; ValueError with the known ones for another."""
    if name not in NAMES:
        raise ValueError(unknown(argument, name, NAMES))
    return name


def check_workers(workers: int | None) -> int:
    """Return the number of workers, as many as processors for None; ValueError below 1."""
    if workers is None:
        return default_workers()
    if isinstance(workers, bool) or not isinstance(workers, int):
        raise TypeError(f"workers must be an integer >= 1 or None, got {workers!r}")
    if workers < 1:
        raise ValueError(f"workers must be an integer >= 1 or None, got {workers}")
    return workers
