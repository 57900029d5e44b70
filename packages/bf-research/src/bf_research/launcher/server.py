"""The process that workers are forked from: it has imported the heavy libraries once and run none of them."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

#: What every worker needs, imported before anything that is asked for.
_OWN = ("bf_research.launcher.worker", "bf_research.launcher.hydra_job", "hydra.core.plugins", "numpy")
#: A message on the control socket: JSON, with at most one descriptor.
LARGEST_MESSAGE = 1 << 16
_PR_SET_PDEATHSIG = 1


def main(control_fd: int, preload: list[str]) -> None:
    """Import what is asked for, then fork a worker a request; ends with the driver, with all workers."""
    control = socket.socket(fileno=control_fd)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    began = time.monotonic()
    # an import can't be interrupted by the end of the driver's connection, only by a signal
    _die_with_parent(signal.SIGKILL)
    gc.disable()  # what imports make stays: collecting among it is a quarter of the time
    failed = _preload([*_OWN, *preload])
    gc.freeze()  # and is no matter of the workers' collections, which would copy its pages
    gc.enable()
    _die_with_parent(0)
    _send(control, {"event": "ready", "seconds": time.monotonic() - began, "failed": failed})
    Server(control).serve()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # taking TensorFlow's modules apart would keep the driver waiting for a second


def _preload(names: list[str]) -> dict[str, str]:
    """Import modules; one that fails is reported, and fails again in the job that needs it."""
    failed = {}
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - a module may raise anything; it is told to the driver
            failed[name] = f"{type(error).__name__}: {error}"
    return failed


def _send(control: socket.socket, message: dict[str, Any]) -> None:
    control.send(json.dumps(message).encode())


class Server:
    """Forks workers, reaps them, kills them; single-threaded, so that forking is safe."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._workers: dict[int, int] = {}
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        os.set_blocking(self._woken, False)

    def serve(self) -> None:
        """Answer the driver until it is gone."""
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._waker)
        try:
            while True:
                ready, _, _ = select.select([self._control.fileno(), self._woken], [], [])
                if self._woken in ready:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._woken, 1024)
                    self._reap()
                if self._control.fileno() in ready and not self._answer():
                    break
        except (BrokenPipeError, ConnectionError):
            pass  # the driver is gone, as when its end is read
        finally:
            for pid in self._workers:
                _kill_group(pid)

    def _answer(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, LARGEST_MESSAGE, 1)
        if not data:
            return False
        request = json.loads(data)
        if request["do"] == "fork":
            self._fork(request, descriptors[0])
        elif request["do"] == "kill" and request["pid"] in self._workers:
            _kill_group(request["pid"])
        return True

    def _fork(self, request: dict[str, Any], descriptor: int) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                self._become_worker(request, descriptor, parent)
                code = 0
            finally:
                os._exit(code)
        os.close(descriptor)
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.setpgid(pid, pid)
        self._workers[pid] = request["serial"]
        _send(self._control, {"event": "forked", "serial": request["serial"], "pid": pid, "code": None})

    def _become_worker(self, request: dict[str, Any], descriptor: int, parent: int) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._control.close()
        os.close(self._woken)
        os.close(self._waker)
        with contextlib.suppress(PermissionError):
            os.setpgid(0, 0)
        _die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            return
        from bf_research.launcher.worker import work

        work(Connection(descriptor), request)

    def _reap(self) -> None:
        for pid in list(self._workers):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                serial = self._workers.pop(pid)
                _kill_group(pid)  # what the worker itself had started
                code = os.waitstatus_to_exitcode(status)
                _send(self._control, {"event": "exit", "serial": serial, "pid": pid, "code": code})


def _die_with_parent(number: int) -> None:
    """Have the system send a signal when the parent ends; 0 for none."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
