"""Requests to a fork server for worker processes, and how these end."""

from __future__ import annotations

import contextlib
import marshal
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from bf_batch.engines.base import UNKNOWN_EXIT
from bf_batch.engines.fork_server import LARGEST_MESSAGE, peer_of

_LINGER_MS = 3000
"""Milliseconds that the shared server waits for another engine after the last one."""

_PRELOADED = ("numba", "bf_pipeline", "bf_batch.images")
"""Modules that the shared server imports, too, when the parent has."""

_lock = threading.Lock()
_address: tuple[int, bytes] = (0, b"")
"""The process that started the latest shared server, and the name of its socket."""


class ServerGone(RuntimeError):
    """The end of the fork server."""


@dataclass(frozen=True)
class Start:
    """The beginning of a worker process: a program, called with a socket, this pid and the arguments.

    It takes over what this process has at that moment: folder, module path, environment, standard output.
    ``group``: it leads a group of processes, which ends with it, with the server and with the connection.
    ``modules``: what the server imports before, so that this worker and those after it have it at once.
    """

    program: str = "bf_batch.engines.worker:main"
    arguments: tuple[Any, ...] = ()
    environment: Mapping[str, str] | None = None
    output: int | None = None
    group: bool = False
    modules: tuple[str, ...] = ()

    def write(self) -> IO[bytes]:
        """Return a file in memory that the worker reads."""
        file = os.fdopen(os.memfd_create("bf-start", os.MFD_CLOEXEC), "w+b")
        try:
            folder = os.getcwd()
        except FileNotFoundError:  # it was removed
            folder = "/"
        environment = dict(os.environ if self.environment is None else self.environment)
        own = (os.getpid(), folder, environment, _module_path(), [str(argument) for argument in sys.argv])
        marshal.dump((*own, self.program, self.arguments), file)
        file.seek(0)
        return file


class ForkServer:
    """A connection to a fork server; ``process`` is the server if it is this process's own child.

    Who must not wait asks, and hears later: ``("ready", failed)`` first, with the modules that could not be
    imported, ``("forked", serial, pid)`` and ``("exit", pid, code)``.
    """

    def __init__(self, connection: socket.socket, process: subprocess.Popen[bytes] | None = None) -> None:
        self.process = process
        self._socket = connection
        self._serial = 0
        self._lock = threading.Lock()
        self._codes: dict[int, int] = {}

    def fileno(self) -> int:
        """Return the socket's descriptor, for select."""
        return self._socket.fileno()

    def ask(self, connection: socket.socket, start: Start) -> int:
        """Ask for a worker at the other end of a socket; return the number under which it is announced."""
        self._serial += 1
        request = marshal.dumps(("fork", self._serial, start.group, start.modules))
        with start.write() as told, contextlib.ExitStack() as stack:
            outputs = (1, 2) if start.output is None else (start.output, start.output)
            out, err = (
                number if _is_open(number) else stack.enter_context(open(os.devnull, "wb")).fileno()
                for number in outputs
            )
            try:
                socket.send_fds(self._socket, [request], [connection.fileno(), out, err, told.fileno()])
            except OSError as error:
                raise ServerGone(f"the fork server has ended: {error}") from error
        return self._serial

    def hear(self) -> tuple[Any, ...]:
        """Return the next message, waiting for it; ``ServerGone`` when there will be none."""
        try:
            message, files, _, _ = socket.recv_fds(self._socket, LARGEST_MESSAGE, 1, socket.MSG_CMSG_CLOEXEC)
        except OSError as error:
            raise ServerGone(f"the fork server has ended: {error}") from error
        if not message:
            raise ServerGone("the fork server has ended; see its messages above")
        return (*marshal.loads(message), *files)

    def kill_group(self, pid: int) -> None:
        """End a worker at once, with all that it started."""
        with contextlib.suppress(OSError):
            self._socket.send(marshal.dumps(("kill", pid, True, ())))

    def fork(self, connection: socket.socket, start: Start) -> Child:
        """Return a worker, after waiting for it to be forked."""
        with self._lock:
            serial = self.ask(connection, start)
            while True:
                kind, *told = self._note(self.hear())
                if kind == "forked" and told[0] == serial:
                    return Child(told[1], told[2], self)

    def wait_code(self, pid: int) -> int:
        """Return the exit code of a worker that ends; 255 when the server is gone."""
        with self._lock:
            try:
                while pid not in self._codes:
                    self._note(self.hear())
            except ServerGone:
                return UNKNOWN_EXIT
            return self._codes.pop(pid)

    def _note(self, message: tuple[Any, ...]) -> tuple[Any, ...]:
        if message[0] == "exit":
            self._codes[message[1]] = message[2]
        return message

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class Child:
    """A worker process, known by its pid and by a descriptor that tells its end."""

    def __init__(self, pid: int, file: int, server: ForkServer) -> None:
        self.pid = pid
        self._file = file
        self._server = server
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
                self._code = self._server.wait_code(self.pid)
                os.close(self._file)
            return self._code


# Servers --------------------------------------------------------------------------------------------------


class SharedForkServer:
    """The server that all engines of this process share; another is started when it has ended, being idle."""

    def __init__(self) -> None:
        self._server: ForkServer | None = None
        with contextlib.suppress(OSError):  # it ended at once: fork() tries again and tells
            self._server = _connect()

    def fork(self, connection: socket.socket, start: Start | None = None) -> Child:
        """Start a worker that serves the other end of a socket."""
        start = start or Start()
        if self._server is not None:
            with contextlib.suppress(ServerGone):
                return self._server.fork(connection, start)
            self._server.close()
        try:
            self._server = _connect(anew=True)
            return self._server.fork(connection, start)
        except (OSError, ServerGone) as error:
            raise RuntimeError(
                f"worker processes can't be started with {sys.executable}: {error}; see its messages "
                "above, or use threads"
            ) from error

    def close(self) -> None:
        """Hang up; the server ends some seconds after the last engine has."""
        if self._server is not None:
            self._server.close()


def _connect(anew: bool = False) -> ForkServer:
    """Return a connection to the shared server of this process, which is started if there is none."""
    global _address  # noqa: PLW0603  one shared server a process
    with _lock:
        parent, name = _address
        if parent == os.getpid() and not anew:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with contextlib.suppress(OSError):  # it has ended, being idle for long
                connection.connect(name)
                ours = (parent, os.getuid())
                if peer_of(connection) == ours:  # this process listened before the server did
                    return ForkServer(connection)
            connection.close()
        with _listen() as listener:
            name = listener.getsockname()
            preload = [module for module in _PRELOADED if module in sys.modules]
            # as a grandchild: it leaves no zombie when it ends by itself
            command = ["/bin/sh", "-c", '"$0" "$@" &', *_command(listener, preload, _LINGER_MS)]
            subprocess.run(command, pass_fds=[listener.fileno()], stdin=subprocess.DEVNULL, check=True)
            connection = _dial(name)  # while the name can't be another's
        _address = os.getpid(), name
        return ForkServer(connection)


def start_own_server(preload: Sequence[str], environment: Mapping[str, str], output: IO[bytes]) -> ForkServer:
    """Start a server for one connection alone, with which it ends, and do not wait for its imports.

    It is a child of this process in a group of its own: a Ctrl-C of the terminal is for this process.
    """
    with _listen() as listener:
        process = subprocess.Popen(
            _command(listener, preload, 0),
            pass_fds=[listener.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        )
        return ForkServer(_dial(listener.getsockname()), process)


def _listen() -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(b"\0bf-fork-server-" + secrets.token_hex(16).encode())
    listener.listen(64)
    return listener


def _dial(name: bytes) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(name)
    return connection


_PROGRAM = """
import os, select, signal, sys, threading
signal.signal(signal.SIGINT, signal.SIG_IGN)
try:
    parent = os.pidfd_open({parent})
except ProcessLookupError:
    sys.exit()
woken, waker = os.pipe()
def watch():
    poll = select.poll()
    poll.register(parent, select.POLLIN)
    poll.register(woken, select.POLLIN)
    if parent in dict(poll.poll()):
        os._exit(1)
watcher = threading.Thread(target=watch, daemon=True)
watcher.start()
sys.path[:] = {path!r}
from bf_batch.engines import fork_server
failed = fork_server.preload({preload!r})
os.close(waker)
watcher.join()
os.close(woken)
fork_server.serve({listener}, parent, {parent}, failed, {linger})
"""
"""The server's program: it looks after the parent while it is still importing, which may take seconds."""


def _command(listener: socket.socket, preload: Sequence[str], linger: int) -> list[str]:
    """Return the command that starts a server for a socket that listens already."""
    code = _PROGRAM.format(
        parent=os.getpid(),
        path=_module_path(),
        listener=listener.fileno(),
        preload=list(preload),
        linger=linger,
    )
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [sys.executable, *flags, "-c", code]


def _module_path() -> list[str]:
    return [str(entry) for entry in sys.path]  # some put in paths, which don't count and don't hurt


def _is_open(file: int) -> bool:
    try:
        os.fstat(file)
    except OSError:
        return False
    return True
