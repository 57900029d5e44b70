"""Ctrl-C and SIGTERM while jobs run: counted, so that the loop can stop them in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Counts signals instead of being thrown out by them; the former handlers return at the end."""

    def __init__(self) -> None:
        self.count = 0
        self.last: int | None = None
        self._former: dict[int, Callable[..., Any] | int | None] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # Python lets no other thread do this
            for number in _SIGNALS:
                self._former[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former.clear()

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.last = number

    def reraise(self) -> None:
        """Do now what the signal would have done: KeyboardInterrupt, or exit with 143."""
        if self.last == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        if self.last is not None:
            raise KeyboardInterrupt
