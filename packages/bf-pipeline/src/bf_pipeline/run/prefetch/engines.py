"""Engines that only runs use: one that is lent to a run and outlives it, and the workers of a Ray cluster."""

from __future__ import annotations

import mmap
import os
import pickle
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, NamedTuple

from bf_batch.engines import Engine, WorkerDied
from bf_batch.engines.base import Stops
from bf_batch.engines.channel import layout, new_memory, pack
from bf_batch.engines.pickling import dumps
from bf_batch.engines.processes import ProcessesEngine

_PATIENCE = 0.5
"""Seconds that the end of a run gives to batches under way, before it ends the workers that are at them."""

_KEPT = 2
"""How many payloads a worker remembers: those of a training and a validation run in turn."""

_received: OrderedDict[str, Any] = OrderedDict()

# A place of a batch says all that is needed to prepare it again, so a lost worker costs one repetition.
_RAY_RETRIES = 1
_ray_payloads: dict[str, Any] = {}


class _Ticket(NamedTuple):
    """The place where a worker finds the payload of a run: memory of the parent that it maps once."""

    key: str
    path: str
    total: int
    begins: list[int]
    sizes: list[int]

    def payload(self) -> Any:
        """Return the payload; it was pickled by the process that started this one."""
        if self.key not in _received:
            with open(self.path, "rb") as file:
                memory = memoryview(mmap.mmap(file.fileno(), self.total, access=mmap.ACCESS_COPY))
            data, *buffers = (memory[begin : begin + size] for begin, size in zip(self.begins, self.sizes))
            while len(_received) >= _KEPT:
                _received.popitem(last=False)
            _received[self.key] = pickle.loads(data, buffers=buffers)  # noqa: S301  from our own parent
        _received.move_to_end(self.key)
        return _received[self.key]


def _call_with_payload(ticket: _Ticket, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    return function(ticket.payload(), *args)


class BorrowedEngine(Stops):
    """A running engine that is lent to one run, with the run's payload; the workers outlive the run.

    What each run needs is handed to them once.
    """

    def __init__(self, engine: Engine, payload: Any) -> None:
        self.workers = engine.workers
        self._engine = engine
        self._payload = payload
        self._open: set[Future[Any]] = set()
        self._file = -1
        self._ticket = self._write(payload) if isinstance(engine, ProcessesEngine) else None

    def _write(self, payload: Any) -> _Ticket:
        message = pack(payload, dumps)
        parts = [memoryview(message.data), *message.buffers]
        sizes = [part.nbytes for part in parts]
        begins, total = layout(sizes)
        self._file, memory = new_memory(total)
        for begin, part in zip(begins, parts):
            memory[begin : begin + part.nbytes] = part
        memory.close()
        return _Ticket(secrets.token_hex(8), f"/proc/{os.getpid()}/fd/{self._file}", total, begins, sizes)

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Run ``function(payload, *args)`` in the engine."""
        if self._ticket is None:
            future = self._engine.submit(function, self._payload, *args)
        else:
            future = self._engine.submit(_call_with_payload, self._ticket, function, args)
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        return future

    def abandon(self, future: Future[Any]) -> None:
        """Give up on a future."""
        self._engine.abandon(future)

    def stop(self) -> None:
        """Cancel what this run has under way; a batch that is stuck costs its worker, the engine goes on."""
        left = {future for future in list(self._open) if not future.cancel()}
        for future in wait(left, _PATIENCE).not_done:
            self._engine.abandon(future)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _run_in_ray(
    key: str, box: list[Any], function: Callable[..., Any], args: tuple[Any, ...]
) -> tuple[bool, Any]:
    """Run in a worker: the payload is fetched once a process, an error comes back as a value."""
    if key not in _ray_payloads:
        import ray

        _ray_payloads.clear()
        _ray_payloads[key] = ray.get(box[0])
    try:
        return True, function(_ray_payloads[key], *args)
    except Exception as error:  # noqa: BLE001 - the edge of a process: the caller raises it
        return False, error


class RayWorkerLost(WorkerDied):
    """Workers of a Ray cluster ended in the middle of the same work; ``__cause__`` is what Ray says."""

    def __init__(self, error: BaseException) -> None:
        RuntimeError.__init__(
            self, f"a Ray worker was lost in {_RAY_RETRIES + 1} attempts at the same work: {error}"
        )
        self.__cause__ = error
        self.pid, self.code = 0, 0

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.__cause__,)


class RayEngine(Stops):
    """Workers on the Ray cluster that is connected or named by ``RAY_ADDRESS``, else on a local one.

    A worker that dies is replaced and its batch prepared again once; after that the future raises
    ``WorkerDied``. ``stop()`` cancels what is still under way, and ends Ray only if it was started here.
    """

    def __init__(self, workers: int | None = None, payload: Any = None) -> None:
        ray = _import_ray()
        self._ray = ray
        self._started = not ray.is_initialized()
        if self._started:
            ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
        self.workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._payload = ray.put(payload)
        self._work = ray.remote(max_retries=_RAY_RETRIES)(_run_in_ray)
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


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ImportError("engine='ray' needs Ray: pip install 'bf-pipeline[ray]'") from error
    return ray
