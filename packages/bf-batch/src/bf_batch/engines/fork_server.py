"""The fork server: a process that worker processes are forked from, so that they start in milliseconds.

It has imported what workers need, runs nothing of it, and has no thread of ours when it forks. It ends with
the process that started it, or some time after the last connection to it was closed. This is the server's
own side; ``forking`` is that of those who ask it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import marshal
import os
import select
import signal
import socket
import struct
import sys
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LARGEST_MESSAGE = 1 << 16
"""Bytes that a message of the server or to it may have; it comes with four descriptors at most."""

_OWN = ("numpy.random", "bf_batch.engines.worker")
_LONGEST_REASON = 1000
_PR_SET_PDEATHSIG = 1


def preload(names: list[str]) -> dict[str, str]:
    """Import modules; return why some can't be: they fail again in the worker that needs them.

    ``module:function`` is called, too: it does once what each worker would have to do, and starts no thread.
    """
    gc.disable()  # what imports make stays: collecting among it is a quarter of the time
    failed = {}
    for name in (*_OWN, *names):
        try:
            module, _, function = name.partition(":")
            loaded = importlib.import_module(module)
            if function:
                getattr(loaded, function)()
        except Exception as error:  # noqa: BLE001  a module may raise anything
            failed[name] = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
    gc.freeze()  # and is no matter of the workers' collections, which would copy its pages
    gc.enable()
    return failed


def serve(listener: int, parent_file: int, parent: int, failed: dict[str, str], linger: int) -> None:
    """Be the fork server for those who connect to a socket; does not return."""
    _Server(socket.socket(fileno=listener), parent_file, parent, failed).serve(linger)


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """Return the process and user that connected, or began to listen, at the other end."""
    pid, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, user


@dataclass(eq=False, slots=True)
class _Link:
    """A connection of somebody who has workers forked; holds None when it is closed."""

    connection: socket.socket | None

    def send(self, *message: Any, files: Sequence[int] = ()) -> None:
        if self.connection is not None:
            with contextlib.suppress(OSError):  # it has hung up, as is found when it is read
                socket.send_fds(self.connection, [marshal.dumps(message)], files)


@dataclass(frozen=True, slots=True)
class _Child:
    """A worker process; ``group``: it leads a group of processes, which ends with it and with the server."""

    pid: int
    group: bool
    link: _Link


@dataclass(eq=False)
class _Server:
    """A loop that forks workers and reports their ends; single-threaded, so that forking is safe."""

    listener: socket.socket
    parent_file: int
    parent: int
    failed: dict[str, str]
    _links: dict[int, _Link] = field(default_factory=dict)
    _children: dict[int, _Child] = field(default_factory=dict)

    def serve(self, linger: int) -> None:
        """Answer until the parent ends or nobody was connected for some milliseconds; does not return."""
        code = 1
        self._poll = select.poll()
        for file in (self.listener.fileno(), self.parent_file):
            self._poll.register(file, select.POLLIN)
        try:
            while ready := self._poll.poll(None if self._links else linger):
                files = [file for file, _ in ready]
                if self.parent_file in files:
                    break
                for file in files:
                    self._attend(file)
            code = 0
        except BaseException:  # noqa: BLE001  the edge of the process
            traceback.print_exc()
        finally:
            for child in self._children.values():
                _kill_group(child)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # taking the modules apart would take long, with TensorFlow a second

    def _attend(self, file: int) -> None:
        if file in self._children:
            self._take_in(file)
        elif file in self._links:
            if not self._answer(self._links[file]):
                self._hang_up(file)
        elif file == self.listener.fileno():
            connection, _ = self.listener.accept()
            ours = (self.parent, os.getuid())
            if peer_of(connection) != ours:  # a stranger could have code run as this user
                connection.close()
                return
            link = self._links[connection.fileno()] = _Link(connection)
            self._poll.register(connection, select.POLLIN)
            link.send("ready", self.failed)

    def _answer(self, link: _Link) -> bool:
        """Do what a request asks for; return False when the other end has hung up."""
        assert link.connection is not None
        try:
            flags = socket.MSG_CMSG_CLOEXEC
            request, files, _, _ = socket.recv_fds(link.connection, LARGEST_MESSAGE, 4, flags)
        except OSError:
            return False
        if not request:
            return False
        kind, number, group, modules = marshal.loads(request)
        if kind == "fork":
            if missing := [name for name in modules if name not in sys.modules]:
                preload(missing)
            try:
                self._fork(link, number, group, list(files))
            except OSError:  # such as too many processes: there is no worker, and nobody to be told of it
                traceback.print_exc()
                return False
        else:
            for child in self._children.values():
                if child.pid == number and child.link is link:
                    _kill_group(child)
        return True

    def _fork(self, link: _Link, serial: int, group: bool, files: list[int]) -> None:
        server = os.getpid()
        with warnings.catch_warnings():  # of threads: those of numpy's linear algebra know how to be forked
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            ours = [self.listener.fileno(), self.parent_file, *self._links, *self._children]
            _become_worker(files, ours, server if group else None)
        for file in files:
            os.close(file)
        if group:
            with contextlib.suppress(PermissionError, ProcessLookupError):
                os.setpgid(pid, pid)
        file = os.pidfd_open(pid)
        self._children[file] = _Child(pid, group, link)
        self._poll.register(file, select.POLLIN)
        link.send("forked", serial, pid, files=() if group else [file])

    def _take_in(self, file: int) -> None:
        """Reap a worker that has ended, end what it had started, and report its exit code."""
        child = self._children.pop(file)
        self._poll.unregister(file)
        os.close(file)
        _kill_group(child)
        code = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
        child.link.send("exit", child.pid, code)

    def _hang_up(self, file: int) -> None:
        """Forget a connection: workers that lead a group end with it, others see its end by themselves."""
        link = self._links.pop(file)
        self._poll.unregister(file)
        assert link.connection is not None
        link.connection.close()
        link.connection = None
        for child in self._children.values():
            if child.link is link:
                _kill_group(child)


def _kill_group(child: _Child) -> None:
    """End all processes of a worker's group, if it leads one; its number is its own until it is reaped."""
    if child.group:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)


def _become_worker(files: list[int], not_ours: list[int], server: int | None) -> None:
    """Be a worker, the leader of a group that ends with the server if that is given; does not return."""
    code = 1
    try:
        if server is not None:
            with contextlib.suppress(PermissionError):
                os.setpgid(0, 0)
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != server:
                return
        for number in not_ours:
            os.close(number)
        connection, out, err, start = files
        with os.fdopen(start, "rb") as file:
            parent, folder, environment, sys.path[:], sys.argv[:], program, arguments = marshal.load(file)
        for number, given in ((1, out), (2, err)):
            os.dup2(given, number)
            os.close(given)
        with contextlib.suppress(OSError):
            os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        np.random.seed()  # or all workers would draw the same numbers
        module, _, name = program.partition(":")
        getattr(importlib.import_module(module), name)(connection, parent, *arguments)
        atexit._run_exitfuncs()
        sys.stdout.flush()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001  the edge of the process
        traceback.print_exc()
    finally:
        os._exit(code)
