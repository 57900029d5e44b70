"""The nursery: a small process that worker processes are forked from, so that they start in milliseconds.

It has imported what workers need and nothing of the user's, runs no threads of ours, and ends by itself: with
the parent, or a few seconds after the last engine was stopped.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import warnings
from typing import IO

from bf_batch.engines.base import UNKNOWN_EXIT

_LINGER_MS = 3000
"""Milliseconds that the nursery waits for another engine after the last one."""

_PRELOADED = ("numba", "bf_pipeline", "bf_batch.images")
"""Modules that the nursery imports, too, when the parent has."""

_lock = threading.Lock()
_address: tuple[int, bytes] = (0, b"")
"""The process that started the latest nursery, and the name of its socket."""


class Child:
    """A worker process, known by its pid and by a descriptor that tells its end."""

    def __init__(self, pid: int, nursery: Nursery) -> None:
        self.pid = pid
        self._nursery = nursery
        self._file = os.pidfd_open(pid)
        self._code: int | None = None
        self._lock = threading.Lock()  # the engine's reader and its stop() may both wait

    def kill(self) -> None:
        """End it at once."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self._code is None:
                signal.pidfd_send_signal(self._file, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int | None:
        """Return its exit code, negative for a signal; None when it has not ended in so many seconds."""
        with self._lock:
            if self._code is None:
                poll = select.poll()
                poll.register(self._file, select.POLLIN)
                if not poll.poll(None if timeout is None else timeout * 1000):
                    return None
                self._code = self._nursery.reap(self.pid)
                os.close(self._file)
            return self._code


class Nursery:
    """A connection to the nursery; each engine has its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        try:
            self._socket = _connect()
        except OSError:  # it ended at once: birth() tries again and tells
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def birth(self, connection: socket.socket) -> Child:
        """Start a worker that serves the other end of a socket."""
        with self._lock, _world() as world, open(os.devnull, "wb") as nowhere:
            out, err = (number if _is_open(number) else nowhere.fileno() for number in (1, 2))
            files = [connection.fileno(), out, err, world.fileno()]
            with contextlib.suppress(OSError, EOFError):  # it has just ended, being idle for long
                return self._birth(files)
            self._socket.close()
            try:
                self._socket = _connect(anew=True)
                return self._birth(files)
            except (OSError, EOFError) as error:
                raise RuntimeError(
                    f"worker processes can't be started with {sys.executable}: {error}; see its messages "
                    "above, or use threads"
                ) from error

    def _birth(self, files: list[int]) -> Child:
        socket.send_fds(self._socket, [b"birth"], files)
        return Child(int(self._answer()), self)

    def reap(self, pid: int) -> int:
        """Return the exit code of a worker that has ended; 255 when the nursery is gone."""
        with self._lock:
            try:
                self._socket.send(b"reap %d" % pid)
                return int(self._answer())
            except (OSError, EOFError):
                return UNKNOWN_EXIT

    def _answer(self) -> bytes:
        if answer := self._socket.recv(64):
            return answer
        raise EOFError("the nursery of worker processes has ended; see its messages above")

    def close(self) -> None:
        """Hang up; the nursery ends some seconds after the last engine has."""
        self._socket.close()


def _world() -> IO[bytes]:
    """Return a file that tells what a worker takes over from this process at this moment."""
    file = os.fdopen(os.memfd_create("bf-world", os.MFD_CLOEXEC), "w+b")
    try:
        folder = os.getcwd()
    except FileNotFoundError:  # it was removed
        folder = "/"
    marshal.dump((os.getpid(), folder, dict(os.environ), sys.path, sys.argv), file)
    file.seek(0)
    return file


def _is_open(file: int) -> bool:
    try:
        os.fstat(file)
    except OSError:
        return False
    return True


def _connect(anew: bool = False) -> socket.socket:
    """Return a connection to the nursery of this process, which is started if there is none."""
    global _address  # noqa: PLW0603  one nursery a process
    with _lock:
        parent, name = _address
        if parent == os.getpid() and not anew:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with contextlib.suppress(OSError):  # it has ended, being idle for long
                connection.connect(name)
                if _peer(connection) == (parent, os.getuid()):  # this process listened before the nursery did
                    return connection
            connection.close()
        name = b"\0bf-nursery-" + secrets.token_hex(16).encode()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(name)
            listener.listen(64)
            _start(listener.fileno())
        _address = os.getpid(), name
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.connect(name)
        return connection


def _peer(connection: socket.socket) -> tuple[int, int]:
    """Return the process and user that connected, or that began to listen, at the other end."""
    pid, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, user


_PROGRAM = """
import os, select, signal, sys
try:
    parent = os.pidfd_open({parent})
except ProcessLookupError:
    sys.exit()
watch = select.poll()
watch.register(parent, select.POLLIN)
signal.signal(signal.SIGALRM, lambda *_: watch.poll(0) and os._exit(1))
signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
sys.path[:] = {path!r}
from bf_batch.engines.fork_server import main
main({listener}, parent, {parent}, {preload!r})
"""
"""The nursery's program: it looks after the parent while it is still importing, which may take seconds."""


def _start(listener: int) -> None:
    """Start the nursery as a grandchild: it leaves no zombie when it ends by itself."""
    preload = [module for module in _PRELOADED if module in sys.modules]
    code = _PROGRAM.format(parent=os.getpid(), path=sys.path, listener=listener, preload=preload)
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    command = ["/bin/sh", "-c", '"$0" "$@" &', sys.executable, *flags, "-c", code]
    subprocess.run(command, pass_fds=[listener], stdin=subprocess.DEVNULL, check=True)


# In the nursery


def main(listener_file: int, parent_file: int, parent: int, preload: list[str]) -> None:
    """Fork workers on request until the parent ends or nobody is connected for a while."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listener = socket.socket(fileno=listener_file)
    _preload(preload)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    poll = select.poll()
    for file in (listener_file, parent_file):
        poll.register(file, select.POLLIN)
    connections: dict[int, socket.socket] = {}
    while ready := poll.poll(None if connections else _LINGER_MS):
        for file, _ in ready:
            if file == parent_file:
                return
            if file == listener_file:
                connection, _ = listener.accept()
                if _peer(connection) != (parent, os.getuid()):  # a stranger could have code run as this user
                    connection.close()
                    continue
                connections[connection.fileno()] = connection
                poll.register(connection, select.POLLIN)
            elif not _serve(connections[file], [listener, *connections.values()], parent_file):
                poll.unregister(file)
                connections.pop(file).close()
        _reap_all(bool(connections))


def _preload(modules: list[str]) -> None:
    import importlib

    for module in ("numpy.random", "bf_batch.engines.worker", *modules):
        with contextlib.suppress(ImportError):  # a worker that needs it says so
            importlib.import_module(module)


def _serve(connection: socket.socket, ours: list[socket.socket], parent_file: int) -> bool:
    """Do what a request asks for; False when the engine has hung up."""
    try:
        request, files, _, _ = socket.recv_fds(connection, 64, 4, socket.MSG_CMSG_CLOEXEC)
        if not request:
            return False
        if request == b"birth":
            with (
                warnings.catch_warnings()
            ):  # of threads: those of numpy's linear algebra know how to be forked
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                _grow_up(list(files), [*(one.fileno() for one in ours), parent_file])
            for file in files:
                os.close(file)
            connection.send(b"%d" % pid)
        else:
            connection.send(b"%d" % _code(int(request.split()[1])))
    except OSError:
        return False
    return True


def _code(pid: int) -> int:
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return UNKNOWN_EXIT


def _reap_all(asked: bool) -> None:
    """Take in workers that nobody asks for: their engine has hung up."""
    with contextlib.suppress(ChildProcessError):
        while not asked and os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _grow_up(files: list[int], not_ours: list[int]) -> None:
    """Be a worker; does not return."""
    import atexit

    code = 1
    try:
        import numpy as np

        from bf_batch.engines import worker

        for number in not_ours:
            os.close(number)
        connection, out, err, world = files
        with os.fdopen(world, "rb") as file:
            parent, folder, environment, sys.path[:], sys.argv[:] = marshal.load(file)
        for number, given in ((1, out), (2, err)):
            os.dup2(given, number)
            os.close(given)
        with contextlib.suppress(OSError):
            os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        np.random.seed()  # or all workers would draw the same numbers
        worker.main(connection, parent)
        atexit._run_exitfuncs()
        sys.stdout.flush()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001  the edge of the process
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)
