"""A thread that writes what waits to a store, again and again until the store has taken it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

#: What waits is written this long after it was put, at the latest, also in a busy loop.
LONGEST_PAUSE = 5.0


@dataclass(frozen=True, eq=False)
class Operation:
    """A record that waits: its kind, what ``Writer`` takes, and the names that it writes."""

    kind: str
    payload: Any

    @property
    def names(self) -> frozenset[tuple[str, str]]:
        """Names in the store: an operation waits for an earlier one that writes the same."""
        if isinstance(self.payload, Mapping):
            return frozenset((self.kind, str(name)) for name in self.payload)
        return frozenset({(self.kind, str(self.payload[-1] if self.kind == "text" else self.payload))})


class Lane:
    """A thread with one task: ``flush`` writes what waits and returns whether the store has taken all of it.

    ``begin`` comes first; nothing is written when it returns False. After ``end`` the thread writes what is
    left and calls ``finish``, again and again until both have returned True or the time is over.
    """

    def __init__(
        self,
        name: str,
        pause: float,
        flush: Callable[[], bool],
        begin: Callable[[], bool],
        finish: Callable[[], bool] = lambda: True,
    ) -> None:
        self._usual, self._flush, self._begin, self._finish = pause, flush, begin, finish
        self._wake = threading.Event()
        self._ending = False
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread still writes what comes."""
        return self._thread.is_alive()

    @property
    def ended(self) -> bool:
        """Whether the end was asked for."""
        return self._ending

    def end(self, deadline: float) -> None:
        """Ask the thread to write what is left; it tries until this time of the monotonic clock."""
        self._deadline, self._ending = deadline, True
        self._wake.set()

    def hurry(self) -> None:
        """Have what waits written now."""
        self._wake.set()

    def join(self, until: float) -> bool:
        """Wait for the end of the thread until a time of the monotonic clock; return whether it has ended."""
        self._thread.join(max(until - time.monotonic(), 0.0))
        return not self._thread.is_alive()

    def _work(self) -> None:
        pause = 0.0  # what was put while the store opened is written at once
        if not self._begin():
            return
        while True:
            if not self._ending:
                self._wake.wait(pause)
                self._wake.clear()
            ending = self._ending
            done = self._flush()
            late = time.monotonic() > self._deadline
            if ending and (done or late) and (self._finish() or late):
                return
            pause = self._usual if done else next_pause(pause, self._usual)
            if ending:
                time.sleep(min(pause, 0.5))


def next_pause(pause: float, usual: float) -> float:
    """Return how long to wait for a store that did not take the records after a pause."""
    return min(max(pause * 2, usual), LONGEST_PAUSE)
