"""What all workers of an engine share: pickled once, its arrays in memory that all of them map."""

from __future__ import annotations

import contextlib
import marshal
import mmap
import os
import pickle
import socket
import tempfile
from typing import Any

from bf_batch.engines.channel import Message, layout, new_memory, pack, read_exactly
from bf_batch.engines.pickling import dumps, refuse_unpicklable


class Payload:
    """A pickled object and its arrays in one anonymous file, which workers map copy-on-write."""

    def __init__(self, message: Message) -> None:
        parts = [memoryview(message.data), *message.buffers]
        sizes = [part.nbytes for part in parts]
        begins, total = layout(sizes)
        self._header = marshal.dumps((sizes, begins, total))
        self._file = _anonymous(total)
        with mmap.mmap(self._file, total) as memory:
            for begin, part in zip(begins, parts):
                memory[begin : begin + part.nbytes] = part

    @classmethod
    def of(cls, value: Any) -> Payload:
        """Pickle a payload; TypeError naming the part that can't be, OSError when there is no room for it."""
        try:
            message = pack(value, dumps)
        except Exception as error:  # noqa: BLE001  pickling runs code of any type
            refuse_unpicklable({"payload": value}, "worker processes", error)
        try:
            return cls(message)
        except (OSError, MemoryError) as error:
            size = message.size + len(message.data)
            raise OSError(
                f"no room for the payload of worker processes, {size} bytes, in memory or in the folder for "
                f"temporary files: {error}; give memory-mapped arrays, or use threads"
            ) from error

    def send(self, connection: socket.socket) -> None:
        """Send it to a worker that has just been started."""
        with contextlib.suppress(OSError):  # it died at once, as the reader will see
            start = len(self._header).to_bytes(8, "little")
            socket.send_fds(connection, [start], [self._file])
            connection.sendall(self._header)

    def close(self) -> None:
        """Give the memory back; workers keep their mappings."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _anonymous(size: int) -> int:
    """Return a file without a name: in memory, or on disk when memory is short."""
    try:
        file, memory = new_memory(size)
        memory.close()
        return file
    except (OSError, MemoryError):
        with tempfile.TemporaryFile() as on_disk:
            os.posix_fallocate(on_disk.fileno(), 0, size)
            return os.dup(on_disk.fileno())


def receive_payload(connection: socket.socket) -> Any:
    """Return the payload; the worker's side of ``Payload.send``."""
    start, files, _, _ = socket.recv_fds(connection, 8, 1, socket.MSG_CMSG_CLOEXEC)
    if not files:
        raise EOFError("the parent is gone")
    sizes, begins, total = marshal.loads(read_exactly(connection, int.from_bytes(start, "little")))
    memory = memoryview(mmap.mmap(files[0], total, access=mmap.ACCESS_COPY))
    os.close(files[0])
    data, *views = [memory[begin : begin + size] for begin, size in zip(begins, sizes)]
    return pickle.loads(data, buffers=views)  # noqa: S301  from the process that started this one
