"""Objects over a socket between two processes; large buffers go through shared memory that is used again and
again.

Shared memory is anonymous (memfd): it has no name to leave behind and ends with the processes that map it.
"""

from __future__ import annotations

import contextlib
import marshal
import mmap
import os
import pickle
import socket
import struct
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SMALL = 1 << 15
"""Bytes of buffers up to which they go with the message: below, a copy is cheaper than a mapping."""

_ALIGNED = 64
_MOST_LEASES = 16
"""So many buffers of the peer may be in use here at a time; beyond, arrays are copied out and the buffer is
freed.
"""

_PREFIX = struct.Struct("<Q")


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
    """Pickle a value, its large arrays apart and not copied."""
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
        self._socket = connection
        self._lock = threading.Lock()
        self._slots: dict[int, Slot] = {}
        self._made = 0
        self._dropped: list[int] = []
        self._theirs: dict[int, mmap.mmap] = {}
        self._leases: dict[int, weakref.ref[_Lease]] = {}
        self._freed: deque[int] = deque()

    def fileno(self) -> int:
        """Return the socket's descriptor, for select."""
        return self._socket.fileno()

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
        header = marshal.dumps((len(message.data), sizes, place, freed, dropped))
        start = _PREFIX.pack(len(header))
        if slot is not None and not slot.sent:
            slot.sent = True
            socket.send_fds(self._socket, [start], [slot.file])
            os.close(slot.file)
            slot.file = -1
            start = b""
        inline = message.buffers if slot is None else ()
        self._socket.sendall(b"".join([start, header, message.data, *inline]))

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
        length, sizes, place, freed, dropped = marshal.loads(self._read(_PREFIX.unpack(prefix)[0]))
        with self._lock:
            for number in freed:
                self._slots[number].free = True
        for number in dropped:
            del self._theirs[number]
            self._leases.pop(number, None)
        data = self._read(length)
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
        prefix, files, _, _ = socket.recv_fds(self._socket, _PREFIX.size, 1, socket.MSG_CMSG_CLOEXEC)
        if not prefix:
            raise EOFError("the other process is gone")
        return prefix + bytes(self._read(_PREFIX.size - len(prefix))), list(files)

    def _read(self, size: int) -> bytearray:
        return read_exactly(self._socket, size)

    def hang_up(self) -> None:
        """Tell the other end that nothing more comes."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; arrays in shared memory stay valid as long as they are used."""
        self._socket.close()
        with self._lock:
            for slot in self._slots.values():
                if slot.file >= 0:
                    os.close(slot.file)
            self._slots.clear()
        self._theirs.clear()


def read_exactly(connection: socket.socket, size: int) -> bytearray:
    """Return so many bytes of a socket; EOFError when the other end is gone."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        got = connection.recv_into(view)
        if not got:
            raise EOFError("the other process is gone")
        view = view[got:]
    return data
