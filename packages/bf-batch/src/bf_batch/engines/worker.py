"""The program of a worker process: take a task, run it, send the result; end when the parent does."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import socket
import threading
import time
import traceback
from typing import Any

import cloudpickle

from bf_batch.engines import base
from bf_batch.engines.channel import Channel, Message, pack, receive_payload

_PATIENCE = 0.5
"""Seconds between the end of the parent and the end of a worker that is in the middle of a task."""


class Remote:
    """An exception on its way to the parent: pickled with its cause, and as text for when that fails."""

    def __init__(self, error: BaseException) -> None:
        where = "".join(traceback.format_exception(error)).rstrip()
        self._text = f"{type(error).__name__}: {error}"
        self._note = f"In worker process {os.getpid()}:\n{where}"
        try:
            self._error = cloudpickle.dumps((error, error.__cause__))
        except Exception:  # noqa: BLE001  pickling runs code of any type
            self._error = b""

    def restore(self) -> BaseException:
        """Return the exception with the worker's traceback as a note; a RuntimeError when it can't travel."""
        error: BaseException
        try:
            error, cause = pickle.loads(self._error)  # noqa: S301  from our own worker
            error.__cause__ = cause
        except Exception:  # noqa: BLE001  unpickling runs code of any type
            error = RuntimeError(self._text)
        error.add_note(self._note)
        return error


def main(file: int, parent: int) -> None:
    """Serve the parent on the other end of a socket until it hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C ends
    base.in_worker = True
    connection = socket.socket(fileno=file)
    threading.Thread(target=_watch, args=(file, parent), daemon=True).start()
    with contextlib.suppress(EOFError, OSError):  # the parent is gone or wants no more
        _serve(Channel(connection))


def _serve(channel: Channel) -> None:
    load = receive_payload(channel)
    try:
        payload = load()
    except BaseException as error:  # noqa: BLE001  told to the parent
        channel.send(pack(("unready", Remote(error)), pickle.dumps))
        return
    del load
    first = () if payload is None else (payload,)
    channel.send(pack(("ready", None), pickle.dumps))
    while True:
        load = channel.receive()
        answer = _work(load, first)
        del load  # frees the memory of the arguments before the parent hears of the result
        channel.send(answer)
        del answer


def _work(load: Any, first: tuple[Any, ...]) -> Message:
    """Run one task and return its answer."""
    try:
        function, args = load()
        del load
        result = function(*first, *args)
        del function, args
        try:
            return pack(("result", result), pickle.dumps)
        except Exception:  # noqa: BLE001  such as an object of a class of the parent's script
            return pack(("result", result), cloudpickle.dumps)
    except BaseException as error:  # noqa: BLE001  told to the parent
        return pack(("error", Remote(error)), pickle.dumps)


def _watch(file: int, parent: int) -> None:
    """End the process soon after the parent: the main thread may be busy, or wait for something else."""
    poll = select.poll()
    poll.register(file, select.POLLRDHUP | select.POLLHUP)
    with contextlib.suppress(ProcessLookupError):
        poll.register(os.pidfd_open(parent), select.POLLIN)
        poll.poll()
    time.sleep(_PATIENCE)
    os._exit(1)
