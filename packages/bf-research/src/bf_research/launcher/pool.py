"""The driver's side of the workers: one server process and a worker for every slot, kept warm."""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from bf_research.launcher.devices import Slot
from bf_research.launcher.errors import LauncherError
from bf_research.launcher.gpu_leases import Leases
from bf_research.launcher.server import LARGEST_MESSAGE

log = logging.getLogger(__name__)

#: Ends that ask nobody must be quick; after this the system's own means are used.
STOP_SECONDS = 2.0
# What the server is started with unless the user has set it: TensorFlow reads it when it is imported.
_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1", "OPENBLAS_NUM_THREADS": "1"}


class ServerDied(RuntimeError):
    """The server process ended, and with it all workers."""


@dataclass(eq=False)
class Worker:
    """A worker as the driver knows it; ``pid`` is None until it is forked, ``code`` until it has ended."""

    slot: Slot
    connection: Connection
    serial: int
    pid: int | None = None
    code: int | None = None
    jobs: int = 0
    function: object = None
    lost_at: float | None = None


@dataclass(eq=False)
class Pool:
    """A server and its workers by slot name. Not for two threads at once."""

    preload: tuple[str, ...]
    workers: dict[str, Worker] = field(default_factory=dict)
    import_failures: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._leases = Leases([])
        self._leased: tuple[str, ...] = ()
        self._serial = 0
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._start()

    def _start(self) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "bf_research.launcher.server", str(theirs.fileno()), *self.preload]
        environment = {**_ENVIRONMENT, **os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            process_group=0,  # a Ctrl-C of the terminal is for the driver alone
        )
        theirs.close()
        self._ready = False

    @property
    def lives(self) -> bool:
        """Whether the server is there; it may have been killed between two sweeps."""
        return self._process.poll() is None

    def fit(self, slots: Sequence[Slot], lease: bool = True) -> None:
        """Have a worker for exactly these slots; GPUs are leased first."""
        gpus = tuple(
            sorted({device for slot in slots for device in slot.devices if device.startswith("gpu")})
        )
        if lease and gpus != self._leased:
            self._leases.release()
            self._leased = ()  # should the next line refuse
            self._leases, self._leased = Leases(gpus), gpus
        wanted = {slot.name: slot for slot in slots}
        for name, worker in list(self.workers.items()):
            if wanted.get(name) != worker.slot or worker.code is not None:
                self.end(worker)
        for name, slot in wanted.items():
            if name not in self.workers:
                self.fork(slot)

    def fork(self, slot: Slot) -> Worker:
        """Ask for a worker; it is there when its ``pid`` is."""
        ours, theirs = Pipe()
        self._serial += 1
        request = {
            "do": "fork",
            "serial": self._serial,
            "environment": dict(slot.environment),
            "cores": slot.cores,
            "memory_limit": slot.memory_limit,
        }
        try:
            socket.send_fds(self.control, [json.dumps(request).encode()], [theirs.fileno()])
        except OSError as error:
            raise ServerDied(self._obituary()) from error
        finally:
            theirs.close()
        worker = Worker(slot, ours, self._serial)
        self.workers[slot.name] = worker
        return worker

    def end(self, worker: Worker) -> None:
        """Let an idle worker go: it ends when its connection does."""
        worker.connection.close()
        self.workers.pop(worker.slot.name, None)

    def kill(self, worker: Worker) -> None:
        """End a worker at once, with all that it started."""
        with contextlib.suppress(OSError):
            self.control.send(json.dumps({"do": "kill", "pid": worker.pid}).encode())

    def hear(self) -> None:
        """Read one message of the server; ``ServerDied`` when there will be no more."""
        try:
            data = self.control.recv(LARGEST_MESSAGE)
        except OSError:
            data = b""
        if not data:
            raise ServerDied(self._obituary())
        message = json.loads(data)
        if message["event"] == "ready":
            self._ready = True
            self.import_failures = message["failed"]
            for name, reason in self.import_failures.items():
                log.warning("workers start without the module %s: %s", name, reason)
            return
        for worker in self.workers.values():
            if worker.serial == message["serial"]:
                worker.pid = message["pid"]
                worker.code = message["code"]

    def restart(self) -> None:
        """Start a new server after the old one died; its workers are gone."""
        for worker in list(self.workers.values()):
            self.end(worker)
        self.control.close()
        self._process.wait()
        self._start()

    def _obituary(self) -> str:
        try:
            code: int | None = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        self._log.seek(0)
        tail = self._log.read()[-2000:].decode(errors="replace").strip()
        return f"the process that workers are forked from ended with code {code}\n{tail}".rstrip()

    def close(self) -> None:
        """End the server and all workers; safe to call twice."""
        for worker in list(self.workers.values()):
            self.end(worker)
        self.control.close()
        try:  # a server that still imports hears nothing, and has started nothing that would stay
            self._process.wait(STOP_SECONDS if self._ready else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._leases.release()
        self._log.close()


class _Kept:
    """The pool that stays warm in this process, and whether a sweep uses it now."""

    pool: Pool | None = None
    busy = False
    pid = 0
    lock = threading.Lock()  # held for a moment only, never while a sweep runs


def start_early(preload: Iterable[str]) -> None:
    """Start the server before it is known what it will run; a server that imports the same stays."""
    wanted = tuple(preload)
    with _Kept.lock:
        if not _Kept.busy and not _usable(wanted):
            _discard()
            _Kept.pool, _Kept.pid = Pool(wanted), os.getpid()


def close_kept() -> None:
    """End the warm workers of this process, unless a sweep runs on them; a later sweep starts new ones."""
    with _Kept.lock:
        if not _Kept.busy:
            _discard()


@contextmanager
def pool(
    preload: Sequence[str], slots: Sequence[Slot], *, lease: bool = True, keep: bool = True
) -> Iterator[Pool]:
    """Give a pool with a worker for every slot: the warm one of this process, if it imported the same.

    It is kept for the next sweep in this process, or closed after this one if ``keep`` is False. A sweep that
    runs beside another one gets a pool of its own.
    """
    if not slots:
        raise LauncherError("there is no slot for any worker")
    made, kept = _take(tuple(preload))
    try:
        made.fit(slots, lease)
        yield made
    except ServerDied as error:
        keep = False
        raise LauncherError(f"the workers can't be started: {error}") from error
    except BaseException:
        keep = False
        raise
    finally:
        _give_back(made, kept, keep)


def _take(preload: tuple[str, ...]) -> tuple[Pool, bool]:
    """Return a pool and whether it is the kept one."""
    with _Kept.lock:
        if _Kept.busy and _Kept.pid == os.getpid():
            return Pool(preload), False
        if not _usable(preload):
            _discard()
            _Kept.pool, _Kept.pid = Pool(preload), os.getpid()
        assert _Kept.pool is not None
        _Kept.busy = True
        return _Kept.pool, True


def _give_back(made: Pool, kept: bool, keep: bool) -> None:
    with _Kept.lock:
        if not kept:
            made.close()
            return
        _Kept.busy = False
        if not keep:
            _discard()


def _usable(preload: tuple[str, ...]) -> bool:
    """Whether the kept pool is this process's own, not that of the one it was forked from, lives and fits."""
    kept = _Kept.pool
    return kept is not None and _Kept.pid == os.getpid() and kept.preload == preload and kept.lives


def _discard() -> None:
    if _Kept.pool is not None and _Kept.pid == os.getpid():
        _Kept.pool.close()
    _Kept.pool, _Kept.busy = None, False


atexit.register(_discard)
