"""What all workers of an engine share: pickled once, its arrays in memory that all of them map."""

from __future__ import annotations

import marshal
import mmap
import os
import pickle
import socket
from typing import Any

from bf_batch.engines.channel import Message, layout, new_memory, pack, read_exactly
from bf_batch.engines.picklable import refuse
from bf_batch.engines.pickling import dumps


class Payload:
    """A pickled object and the memory of its arrays, which workers map copy-on-write."""

    def __init__(self, message: Message) -> None:
        self._data = message.data
        self._sizes = [buffer.nbytes for buffer in message.buffers]
        self._begins, self._total = layout(self._sizes)
        self._file = -1
        if self._sizes:
            self._file, memory = new_memory(self._total)
            for begin, buffer in zip(self._begins, message.buffers):
                memory[begin : begin + buffer.nbytes] = buffer
            memory.close()

    @classmethod
    def of(cls, value: Any) -> Payload:
        """Pickle a payload; TypeError naming the part that can't be, OSError when memory is short."""
        try:
            return cls(pack(value, dumps))
        except (OSError, MemoryError) as error:
            raise OSError(f"no shared memory for the payload of worker processes: {error}") from error
        except Exception as error:  # noqa: BLE001  pickling runs code of any type
            refuse({"payload": value}, "worker processes", error)

    def send(self, connection: socket.socket) -> None:
        """Send it to a worker that has just been started."""
        header = marshal.dumps((len(self._data), self._sizes, self._begins, self._total))
        start = len(header).to_bytes(8, "little")
        if self._file >= 0:
            socket.send_fds(connection, [start], [self._file])
        else:
            connection.send(start)
        try:
            connection.sendall(header + self._data)
        except OSError:
            return  # it died at once; the reader will see that

    def close(self) -> None:
        """Give the memory back; workers keep their mappings."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def receive_payload(connection: socket.socket) -> Any:
    """Return the payload; the worker's side of ``Payload.send``."""
    start, files, _, _ = socket.recv_fds(connection, 8, 1)
    header = read_exactly(connection, int.from_bytes(start, "little"))
    length, sizes, begins, total = marshal.loads(header)
    data = read_exactly(connection, length)
    views: list[memoryview] = []
    if files:
        memory = memoryview(mmap.mmap(files[0], total, access=mmap.ACCESS_COPY))
        os.close(files[0])
        views = [memory[begin : begin + size] for begin, size in zip(begins, sizes)]
    return pickle.loads(data, buffers=views)  # noqa: S301  from the process that started this one
