"""SIGTERM as a request: the run goes on to the end of a batch, saves, and the process ends with 143."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")
_CODE = 128 + signal.SIGTERM


class Terminated(SystemExit):
    """SIGTERM came; raised between two batches."""

    def __init__(self) -> None:
        super().__init__(_CODE)


class Termination:
    """Inside its ``with`` SIGTERM sets ``asked``, and raises ``Terminated`` from a wait for the next batch.

    Only the main thread can look at signals; elsewhere SIGTERM ends the process as usual.
    """

    _watching: ClassVar[list[Termination]] = []
    _before: ClassVar[Any] = None

    def __init__(self) -> None:
        self.asked = False
        self._honoured = False
        self._waiting = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            if not self._watching:
                Termination._before = signal.signal(signal.SIGTERM, _on_sigterm)
            self._watching.append(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        if self not in self._watching:
            return
        self._watching.remove(self)
        if not self._watching:
            signal.signal(signal.SIGTERM, Termination._before or signal.SIG_DFL)
        if self.asked and not self._honoured and kind in (None, GeneratorExit):
            # The run was left before it could answer: the process still has to end.
            signal.raise_signal(signal.SIGTERM)

    def waiting(self, work: Callable[[T], R]) -> Callable[[T], R]:
        """Let SIGTERM cut short what changes nothing of the run: preparing a batch, or waiting for one."""

        def interruptible(what: T) -> R:
            self._waiting = True
            try:
                if self.asked:
                    raise Terminated
                return work(what)
            finally:
                self._waiting = False

        return interruptible

    def answer(self, save: Callable[[], Any]) -> None:
        """Save if SIGTERM came, and end with ``Terminated``."""
        if self.asked:
            save()
            self._honoured = True
            raise Terminated

    def notice(self) -> bool:
        """Take the signal in; True when the caller only waits and may be interrupted."""
        self.asked = True
        return self._waiting


def _on_sigterm(number: int, frame: Any) -> None:
    interruptible = [watch.notice() for watch in Termination._watching]
    if any(interruptible):
        raise Terminated
