"""What all tests share: patience, scripts in processes of their own, and what they may leave behind."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

# A machine that keeps no bytecode beside sources has it here: TensorFlow loads in 5 seconds, not in 11.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix

# Before any test imports TensorFlow: on CPUs without AVX-512 training is several times faster by it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# A busy machine is no failure of an example either; a session without hypothesis needs nothing.
with contextlib.suppress(ImportError):
    from hypothesis import settings

    settings.register_profile("patient", deadline=None)
    settings.load_profile("patient")

STRETCH = float(os.environ.get("BF_TEST_PATIENCE", "1"))

PATIENCE = 300 * STRETCH
"""Seconds after which a wait is a hang; no test that passes comes near, however busy the machine is."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Stretch the time limit of a whole test as well; a process of pytest-xdist is handed a stretched one."""
    if STRETCH != 1 and not hasattr(config, "workerinput"):
        config.option.timeout = STRETCH * float(config.option.timeout or config.getini("timeout"))


def wait_until(true: Callable[[], Any], what: str = "it") -> Any:
    """Wait until something is true, and return it: what other threads or processes bring about."""
    deadline = time.monotonic() + PATIENCE
    while not (found := true()):
        assert time.monotonic() < deadline, f"{what} never came"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sqlite store of MLflow without a run; MLflow takes seconds to make one."""
    from bf_research.tracking.store import open_store

    path = tmp_path_factory.mktemp("empty store") / "mlflow.db"
    open_store(f"sqlite:///{path}")
    return path


@pytest.fixture
def ready_store(empty_store: Path, tmp_path: Path) -> Path:
    """The store of a program that runs in ``tmp_path``, there already."""
    path = tmp_path / "mlflow.db"
    with (
        contextlib.closing(sqlite3.connect(empty_store)) as source,
        contextlib.closing(sqlite3.connect(path)) as copy,
    ):
        source.backup(copy)
    return path


@contextlib.contextmanager
def heard_interrupts() -> Iterator[None]:
    """Let what is started inside hear SIGINT: a shell starts its background jobs with it ignored for good."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


@dataclass(frozen=True)
class Finished:
    """How a script ended."""

    code: int
    out: str
    err: str


def group_members(group: int) -> list[int]:
    """Living processes of a session, zombies left out."""
    members = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == group and fields[0] != "Z":
            members.append(int(entry.name))
    return members


def _shared_memory() -> set[str]:
    """Names of shared memory files; a semaphore of the interpreter's own goes when it ends."""
    return {name for name in os.listdir("/dev/shm") if not name.startswith("sem.mp")}


def _unclaimed(names: set[str]) -> set[str]:
    """Shared memory that no living process maps: what others on the machine use is theirs."""
    for entry in Path("/proc").iterdir():
        if names and entry.name.isdigit():
            try:
                mapped = (entry / "maps").read_text()
            except OSError:
                continue
            names = {name for name in names if f"/dev/shm/{name}" not in mapped}
    return names


class Output:
    """What a script writes to a stream; read as it comes, so that a full pipe stops nobody."""

    def __init__(self, pipe: IO[str]) -> None:
        self._lines: list[str] = []
        self._ended = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._reader.start()

    def _read(self, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                with self._news:
                    self._lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def holds(self, text: str) -> bool:
        """Wait for a line that holds the text and forget all up to it; False at the end and after a hang."""
        deadline = time.monotonic() + PATIENCE
        with self._news:
            while True:
                for number, line in enumerate(self._lines):
                    if text in line:
                        del self._lines[: number + 1]
                        return True
                if self._ended or not self._news.wait(deadline - time.monotonic()):
                    return False

    def rest(self) -> str:
        """Wait for the end of the stream and give what was not asked for before."""
        self._reader.join(PATIENCE)
        with self._news:
            return "".join(self._lines)


class Script:
    """A Python script running in a session of its own; leaves nothing behind or the test fails."""

    def __init__(self, code: str, folder: Path, env: dict[str, str]) -> None:
        self._memory = _shared_memory()
        path = folder / f"script{len(list(folder.glob('script*.py')))}.py"
        path.write_text(textwrap.dedent(code))
        with heard_interrupts():
            self.process = subprocess.Popen(
                [sys.executable, str(path)],
                cwd=folder,
                env={**os.environ, "TMPDIR": str(folder), **env},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.out, self.err = Output(self.process.stdout), Output(self.process.stderr)

    def wait_for(self, text: str) -> None:
        """Read standard output up to a line that holds the text."""
        if not self.out.holds(text):
            self.kill()
            raise AssertionError(f"{text!r} was never printed; stderr:\n{self.err.rest()}")

    def wait_until(self, true: Callable[[], Any], what: str = "it") -> Any:
        """Wait until something is true that the script brings about; its end before that is a failure."""

        def seen() -> Any:
            ended = self.process.poll() is not None
            found = true()
            assert found or not ended, f"the script ended before {what} came; stderr:\n{self.err.rest()}"
            return found

        return wait_until(seen, what)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the script's own process, as a service manager does."""
        self.process.send_signal(number)

    def interrupt(self) -> None:
        """Ctrl-C: the terminal sends SIGINT to the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """End the session at once."""
        for pid in group_members(self.process.pid):
            os.kill(pid, signal.SIGKILL)

    def finish(self) -> Finished:
        """Wait for the end; a hang, a process or a shared memory file left behind is a failure."""
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            told = f"stdout:\n{self.out.rest()}\nstderr:\n{self.err.rest()}"
            raise AssertionError(f"hangs: no end in {PATIENCE:g} s\n{told}") from None
        wait_until(lambda: not group_members(self.process.pid), "the end of all its processes")
        left = _unclaimed(_shared_memory() - self._memory)  # or another test's, about to map or remove it
        wait_until(lambda: not _unclaimed(left & _shared_memory()), f"the removal of shared memory {left}")
        return Finished(self.process.returncode, self.out.rest(), self.err.rest())

    def close(self) -> None:
        """End what is left of it, and read its streams to their ends."""
        self.kill()
        self.process.wait()
        self.out.rest()
        self.err.rest()


@pytest.fixture
def start_script(tmp_path: Path) -> Iterator[Callable[..., Script]]:
    """``start_script(code, **env)`` starts a script whose end the test awaits with ``.finish()``."""
    scripts: list[Script] = []

    def start(code: str, **env: str) -> Script:
        scripts.append(Script(code, tmp_path, env))
        return scripts[-1]

    yield start
    for script in scripts:
        script.close()


@pytest.fixture
def run_script(start_script: Callable[..., Script]) -> Callable[..., Finished]:
    """``run_script(code, **env)`` runs a script to its end in a process of its own."""

    def run(code: str, **env: str) -> Finished:
        return start_script(code, **env).finish()

    return run
