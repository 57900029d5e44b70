"""The driver's side of the workers: one server process and a worker for every slot, kept warm."""

from __future__ import annotations

import atexit
import logging
import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bf_batch.engines.channel import Channel
from bf_batch.engines.forking import ServerGone, Start, start_own_server
from bf_research.launcher.devices import Slot
from bf_research.launcher.errors import LauncherError
from bf_research.launcher.gpu_leases import Leases

log = logging.getLogger(__name__)

#: Ends that ask nobody must be quick; after this the system's own means are used.
STOP_SECONDS = 2.0
# What the server is started with unless the user has set it: TensorFlow reads it when it is imported.
_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1", "OPENBLAS_NUM_THREADS": "1"}
#: What every worker needs, imported before anything that is asked for.
_OWN = ("bf_research.launcher.worker",)


class ServerDied(RuntimeError):
    """The end of the server process, and with it of all workers."""


@dataclass(eq=False)
class Worker:
    """A worker as the driver knows it; ``pid`` is None until it is forked, ``code`` until it has ended."""

    slot: Slot
    channel: Channel
    serial: int
    pid: int | None = None
    code: int | None = None
    jobs: int = 0
    task: object = None
    lost_at: float | None = None


@dataclass(eq=False)
class Pool:
    """A fork server and its workers by slot name; not for two threads at once."""

    preload: tuple[str, ...]
    workers: dict[str, Worker] = field(default_factory=dict)
    import_failures: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._leases = Leases([])
        self._leased: tuple[str, ...] = ()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._start()

    def _start(self) -> None:
        environment = {**_ENVIRONMENT, **os.environ}
        self.server = start_own_server((*_OWN, *self.preload), environment, self._log)
        self._ready = False

    @property
    def _process(self) -> subprocess.Popen[bytes]:
        assert self.server.process is not None
        return self.server.process

    @property
    def lives(self) -> bool:
        """Whether the server is there; it may have been killed between two sweeps."""
        return self._process.poll() is None

    def fit(self, slots: Sequence[Slot], lease: bool = True) -> None:
        """Fit the workers to exactly these slots; GPUs are leased first."""
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
        """Ask for a worker; it is there once its ``pid`` is."""
        place = {
            "environment": dict(slot.environment),
            "cores": slot.cores,
            "memory_limit": slot.memory_limit,
        }
        start = Start(
            "bf_research.launcher.worker:work",
            (place,),
            environment={**_ENVIRONMENT, **os.environ, **slot.environment},
            output=self._log.fileno(),
            group=True,
        )
        ours, theirs = socket.socketpair()
        try:
            serial = self.server.ask(theirs, start)
        except ServerGone as error:
            ours.close()
            raise ServerDied(self._obituary()) from error
        finally:
            theirs.close()
        worker = Worker(slot, Channel(ours), serial)
        self.workers[slot.name] = worker
        return worker

    def end(self, worker: Worker) -> None:
        """Let an idle worker go: it ends when its connection does."""
        worker.channel.close()
        self.workers.pop(worker.slot.name, None)

    def kill(self, worker: Worker) -> None:
        """End a worker at once, with all that it started."""
        if worker.pid is not None:
            self.server.kill_group(worker.pid)

    def hear(self) -> None:
        """Read one message of the server; ``ServerDied`` when there will be no more."""
        try:
            event, *told = self.server.hear()
        except ServerGone as error:
            raise ServerDied(self._obituary()) from error
        if event == "ready":
            self._ready = True
            self.import_failures = told[0]
            for name, reason in self.import_failures.items():
                log.warning("workers start without the module %s: %s", name, reason)
        elif event == "forked":
            for worker in self.workers.values():
                if worker.serial == told[0]:
                    worker.pid = told[1]
        else:
            for worker in self.workers.values():
                if worker.pid == told[0]:
                    worker.code = told[1]

    def restart(self) -> None:
        """Start a new server after the old one died; its workers are gone."""
        for worker in list(self.workers.values()):
            self.end(worker)
        self.server.close()
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
        self.server.close()
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
def open_pool(
    preload: Sequence[str], slots: Sequence[Slot], *, lease: bool = True, keep: bool = True
) -> Iterator[Pool]:
    """Yield a pool with a worker for every slot: the warm one of this process, if it imported the same.

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
