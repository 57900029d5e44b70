"""The inline engine: work is done by the caller, at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from bf_batch.engines.base import Stops


class InlineEngine(Stops):
    """Runs a function when it is submitted; its exception waits in the future."""

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
