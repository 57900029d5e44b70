"""Objects over a socket between two processes; large buffers go through shared memory that is used again.

Shared memory is anonymous (memfd): it has no name to leave behind and ends with the processes that map it.
"""

from __future__ import annotations

import contextlib
import marshal
import mmap
import os
import pickle
import select
import socket
import struct
import sys
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bf_batch.engines.pickling import dumps, refuse_unpicklable

SMALL = 1 << 15
"""Bytes of buffers up to which they go with the message: below, a copy is cheaper than a mapping."""

_ALIGNED = 64
_MOST_LEASES = 16
"""So many buffers of the peer may be in use here at a time; beyond, arrays are copied out and the buffer is
freed.
"""

_PREFIX = struct.Struct("<QQ")
"""Bytes of the header, bytes of the pickle that follows it."""

_ONE_FILE = socket.CMSG_LEN(struct.calcsize("i"))
"""Room for the descriptor that may come with a message."""


class _Lease(np.ndarray):
    """The memory of one buffer; it is free again when no array refers to it."""


@dataclass(slots=True)
class Slot:
    """A piece of shared memory that this side writes and the other side reads."""

    number: int
    size: int
    file: int
    memory: mmap.mmap
    free: bool = False
    sent: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """A pickled object and its buffers, ready to be sent."""

    data: bytes
    buffers: Sequence[memoryview]

    @property
    def size(self) -> int:
        """Bytes of all buffers."""
        return sum(buffer.nbytes for buffer in self.buffers)


def pack(value: Any, dumps: Callable[..., bytes]) -> Message:
    """Return the pickle of a value, its large arrays apart and not copied."""
    buffers: list[pickle.PickleBuffer] = []
    data = dumps(value, protocol=5, buffer_callback=buffers.append)
    return Message(data, [buffer.raw() for buffer in buffers])


def new_memory(size: int) -> tuple[int, mmap.mmap]:
    """Return a file of shared memory and its mapping; OSError when there is no room for it."""
    file = os.memfd_create("bf-batch", os.MFD_CLOEXEC)
    try:
        os.posix_fallocate(file, 0, size)  # now, since writing to memory that is not there is a SIGBUS
        return file, mmap.mmap(file, size)
    except BaseException:
        os.close(file)
        raise


def layout(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Return where each buffer begins and how much memory all of them need."""
    begins, end = [], 0
    for size in sizes:
        begins.append(end)
        end += -(-size // _ALIGNED) * _ALIGNED
    return begins, max(end, 1)


class Channel:
    """One end of a connection. One thread may send while another receives."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._lock = threading.Lock()
        self._slots: dict[int, Slot] = {}
        self._made = 0
        self._dropped: list[int] = []
        self._theirs: dict[int, mmap.mmap] = {}
        self._leases: dict[int, weakref.ref[_Lease]] = {}
        self._freed: deque[int] = deque()

    def fileno(self) -> int:
        """Return the socket's descriptor, for select."""
        return self.connection.fileno()

    def has_message(self) -> bool:
        """Whether something can be received at once, be it that the other end is gone."""
        return bool(self._poll.poll(0))

    # Sending

    def send(self, message: Message) -> None:
        """Send a message; large buffers go through shared memory as long as there is room."""
        sizes = [buffer.nbytes for buffer in message.buffers]
        slot = None
        begins: list[int] = []
        with self._lock:
            if sum(sizes) > SMALL:
                begins, total = layout(sizes)
                slot = self._take_slot(total)
            dropped, self._dropped = self._dropped, []
        if slot is not None:
            for begin, buffer in zip(begins, message.buffers):
                slot.memory[begin : begin + buffer.nbytes] = buffer
        freed = []
        while self._freed:
            freed.append(self._freed.popleft())
        place = None if slot is None else (slot.number, slot.size, begins)
        header = marshal.dumps((sizes, place, freed, dropped))
        start = _PREFIX.pack(len(header), len(message.data))
        if slot is not None and not slot.sent:
            slot.sent = True
            socket.send_fds(self.connection, [start], [slot.file])
            os.close(slot.file)
            slot.file = -1
            start = b""
        inline = message.buffers if slot is None else ()
        self.connection.sendall(b"".join([start, header, message.data, *inline]))

    def _take_slot(self, size: int) -> Slot | None:
        """Return free memory of a fitting size, or new memory; None when there is none to be had."""
        free = [slot for slot in self._slots.values() if slot.free]
        if fitting := [slot for slot in free if size <= slot.size]:
            slot = min(fitting, key=lambda slot: slot.size)
            slot.free = False
            return slot
        for slot in free:  # too small for what is sent now: give the memory back
            del self._slots[slot.number]
            self._dropped.append(slot.number)
        size = -(-(size + size // 8) // mmap.PAGESIZE) * mmap.PAGESIZE
        try:
            file, memory = new_memory(size)
        except (OSError, MemoryError):
            return None
        self._made += 1
        slot = self._slots[self._made] = Slot(self._made, size, file, memory)
        return slot

    # Receiving

    def receive(self) -> Callable[[], Any]:
        """Wait for a message and return what unpickles it; EOFError when the other end is gone."""
        prefix, files = self._read_prefix()
        length, rest = _PREFIX.unpack(prefix)
        body = memoryview(self._read(length + rest))
        sizes, place, freed, dropped = marshal.loads(body[:length])
        data = body[length:]
        with self._lock:
            for number in freed:
                self._slots[number].free = True
        for number in dropped:
            del self._theirs[number]
            self._leases.pop(number, None)
        if place is None:
            held: list[Any] = [self._read(size) for size in sizes]
            return lambda: pickle.loads(data, buffers=held)  # noqa: S301  from our own process
        number, size, begins = place
        if files:
            self._theirs[number] = mmap.mmap(files[0], size)
            os.close(files[0])
        memory = memoryview(self._lease(number))  # type: ignore[arg-type]
        views = [memory[begin : begin + length] for begin, length in zip(begins, sizes)]
        if sum(1 for ref in self._leases.values() if ref() is not None) > _MOST_LEASES:
            views = [memoryview(bytearray(view)) for view in views]
        del memory
        return lambda: pickle.loads(data, buffers=views)  # noqa: S301  from our own process

    def _lease(self, number: int) -> _Lease:
        lease = np.frombuffer(self._theirs[number], np.uint8).view(_Lease)
        freed = self._freed
        self._leases[number] = weakref.ref(lease, lambda _: freed.append(number))
        return lease

    def _read_prefix(self) -> tuple[bytes, list[int]]:
        # like socket.recv_fds but without its arrays, which small messages would feel
        prefix, ancillary, _, _ = self.connection.recvmsg(_PREFIX.size, _ONE_FILE, socket.MSG_CMSG_CLOEXEC)
        if not prefix:
            raise EOFError("the other process is gone")
        if len(prefix) < _PREFIX.size:
            prefix += self._read(_PREFIX.size - len(prefix))
        return prefix, [int.from_bytes(data, sys.byteorder) for _, _, data in ancillary]

    def _read(self, size: int) -> bytearray:
        return read_exactly(self.connection, size)

    def hang_up(self) -> None:
        """Tell the other end that nothing more comes."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; arrays in shared memory stay valid as long as they are used."""
        self.connection.close()
        with self._lock:
            for slot in self._slots.values():
                if slot.file >= 0:
                    os.close(slot.file)
            self._slots.clear()
        self._theirs.clear()


def read_exactly(connection: socket.socket, size: int) -> bytearray:
    """Return that many bytes of a socket; EOFError when the other end is gone."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        got = connection.recv_into(view)
        if not got:
            raise EOFError("the other process is gone")
        view = view[got:]
    return data


# What all workers share ------------------------------------------------------------------------------------


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
        """Return the payload of a value; TypeError names what can't be pickled, OSError is a lack of room."""
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

    def send(self, channel: Channel) -> None:
        """Send it to a worker, which asks for it by ``receive_payload``."""
        with contextlib.suppress(OSError):  # it died at once, as the reader will see
            start = len(self._header).to_bytes(8, "little")
            socket.send_fds(channel.connection, [start], [self._file])
            channel.connection.sendall(self._header)

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


def receive_payload(channel: Channel) -> Callable[[], Any]:
    """Wait for a payload and return what unpickles it; the worker's side of ``Payload.send``."""
    start, files, _, _ = socket.recv_fds(channel.connection, 8, 1, socket.MSG_CMSG_CLOEXEC)
    if not files:
        raise EOFError("the parent is gone")
    length = int.from_bytes(start, "little")
    sizes, begins, total = marshal.loads(read_exactly(channel.connection, length))
    memory = memoryview(mmap.mmap(files[0], total, access=mmap.ACCESS_COPY))
    os.close(files[0])
    data, *views = [memory[begin : begin + size] for begin, size in zip(begins, sizes)]
    return lambda: pickle.loads(data, buffers=views)  # noqa: S301  from the process that started this one
