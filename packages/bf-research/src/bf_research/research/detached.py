"""A run that goes on in a thread of its own, while a notebook does other things."""

from __future__ import annotations

import threading

from bf_research.research.run import PreparedRun
from bf_research.sweep.results import Results


class DetachedRun:
    """A run in a thread; its workers are processes, so it takes no time from this one.

    A program that ends waits for it.
    """

    def __init__(self, prepared: PreparedRun) -> None:
        self._prepared = prepared
        self._error: BaseException | None = None
        self._results: Results | None = None
        self._asked = False
        self._thread = threading.Thread(target=self._work, name="bf-research")
        self._thread.start()

    def _work(self) -> None:
        try:
            self._results = self._prepared.run()
        except BaseException as error:  # noqa: BLE001 - raised where somebody waits for the end
            self._error = error

    @property
    def is_finished(self) -> bool:
        """Whether it has ended, in whatever way."""
        return not self._thread.is_alive()

    def results(self) -> Results:
        """Return the results so far."""
        return self._prepared.sweep.results() if self._results is None else self._results

    def stop(self, kill: bool) -> None:
        """Have it stop as after Ctrl-C; with ``kill`` running trials are ended at once."""
        self._asked = True
        for _ in range(2 if kill else 1):
            self._prepared.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end, seconds at most; return whether it has ended, or raise what it ended by."""
        self._thread.join(timeout)
        error = self._error
        if error is not None and not (self._asked and isinstance(error, KeyboardInterrupt)):
            self._error = None
            raise error
        return self.is_finished
