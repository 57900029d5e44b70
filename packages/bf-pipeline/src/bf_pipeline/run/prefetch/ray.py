"""Batches prepared on a Ray cluster: the same small engine, its workers on other machines."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from bf_batch.engines import WorkerDied
from bf_batch.engines.base import Stops

# A place of a batch says all that is needed to prepare it again, so a lost worker costs one repetition.
_RETRIES = 1
_payloads: dict[str, Any] = {}


def _work(key: str, box: list[Any], function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[bool, Any]:
    """Run in a worker: the payload is fetched once a process, an error comes back as a value."""
    if key not in _payloads:
        import ray

        _payloads.clear()
        _payloads[key] = ray.get(box[0])
    try:
        return True, function(_payloads[key], *args)
    except Exception as error:  # noqa: BLE001 - the edge of a process: the caller raises it
        return False, error


class RayWorkerLost(WorkerDied):
    """Workers of a Ray cluster ended in the middle of the same work; ``__cause__`` is what Ray says."""

    def __init__(self, error: BaseException) -> None:
        RuntimeError.__init__(
            self, f"a Ray worker was lost in {_RETRIES + 1} attempts at the same work: {error}"
        )
        self.__cause__ = error
        self.pid, self.code = 0, 0

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.__cause__,)


class RayEngine(Stops):
    """Prepares batches on the Ray cluster that is connected or named by ``RAY_ADDRESS``, else on a local one.

    A worker that dies is replaced and its batch prepared again once; after that the future raises
    ``WorkerDied``. ``stop()`` cancels what is still under way, and ends Ray only if it was started here.
    """

    def __init__(self, workers: int | None = None, payload: Any = None) -> None:
        ray = _ray()
        self._ray = ray
        self._started = not ray.is_initialized()
        if self._started:
            ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
        self.workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._payload = ray.put(payload)
        self._work = ray.remote(max_retries=_RETRIES)(_work)
        self._lock = threading.Lock()
        self._open: dict[Any, Future[Any]] = {}

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Run ``function(payload, *args)`` on the cluster."""
        future: Future[Any] = Future()
        reference = self._work.remote(self._payload.hex(), [self._payload], function, args)
        with self._lock:
            self._open[reference] = future
        reference.future().add_done_callback(lambda done: self._settle(reference, done))
        return future

    def _settle(self, reference: Any, done: Future[Any]) -> None:
        with self._lock:
            future = self._open.pop(reference, None)
        if future is None or not future.set_running_or_notify_cancel():
            return
        error = done.exception()
        if error is not None:
            future.set_exception(RayWorkerLost(error))
            return
        succeeded, value = done.result()
        if succeeded:
            future.set_result(value)
        else:
            future.set_exception(value)

    def abandon(self, future: Future[Any]) -> None:
        """Give up on a future: its work is cancelled, and ended where it runs."""
        with self._lock:
            found = [reference for reference, open_ in self._open.items() if open_ is future]
        future.cancel()
        for reference in found:
            self._ray.cancel(reference, force=True)

    def stop(self) -> None:
        """Cancel what is under way; safe to call twice."""
        with self._lock:
            pending, self._open = self._open, {}
        for reference, future in pending.items():
            future.cancel()
            self._ray.cancel(reference, force=True)
        if self._started and self._ray.is_initialized():
            self._started = False
            self._ray.shutdown()


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ImportError("engine='ray' needs Ray: pip install 'bf-pipeline[ray]'") from error
    return ray
