"""An engine that outlives a run: its workers stay warm, what each run needs is handed to them once."""

from __future__ import annotations

import mmap
import os
import pickle
import secrets
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, NamedTuple

from bf_batch.engines import Engine
from bf_batch.engines.base import Stops
from bf_batch.engines.channel import layout, new_memory, pack
from bf_batch.engines.pickling import dumps
from bf_batch.engines.processes import ProcessesEngine

_PATIENCE = 0.5
"""Seconds that the end of a run gives to batches under way, before it ends the workers that are at them."""

_KEPT = 2
"""So many runs' payloads a worker remembers: a training and a validation run in turn."""

_received: OrderedDict[str, Any] = OrderedDict()


class _Ticket(NamedTuple):
    """Where a worker finds the payload of a run: memory of the parent that it maps once."""

    key: str
    path: str
    total: int
    begins: list[int]
    sizes: list[int]

    def payload(self) -> Any:
        """Give the payload; pickled by the process that started this one."""
        if self.key not in _received:
            with open(self.path, "rb") as file:
                memory = memoryview(mmap.mmap(file.fileno(), self.total, access=mmap.ACCESS_COPY))
            data, *buffers = (memory[begin : begin + size] for begin, size in zip(self.begins, self.sizes))
            while len(_received) >= _KEPT:
                _received.popitem(last=False)
            _received[self.key] = pickle.loads(data, buffers=buffers)  # noqa: S301  from our own parent
        _received.move_to_end(self.key)
        return _received[self.key]


def _with_payload(ticket: _Ticket, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    return function(ticket.payload(), *args)


class Lent(Stops):
    """A running engine lent to one run, with the run's payload: its end leaves the workers as they are."""

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
            future = self._engine.submit(_with_payload, self._ticket, function, args)
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
