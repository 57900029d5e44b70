"""Fixtures shared by all tests: scripts in processes of their own, and what they may leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# Before any test imports TensorFlow: on CPUs without AVX-512 training is several times faster by it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


@dataclass(frozen=True)
class Finished:
    """How a script ended."""

    code: int
    out: str
    err: str
    seconds: float


def _group_members(group: int) -> list[int]:
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


class Script:
    """A Python script running in a session of its own; leaves nothing behind or the test fails."""

    def __init__(self, code: str, folder: Path, env: dict[str, str]) -> None:
        self._memory = _shared_memory()
        path = folder / f"script{len(list(folder.glob('script*.py')))}.py"
        path.write_text(textwrap.dedent(code))
        self._started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, str(path)],
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, text: str, timeout: float = 60) -> None:
        """Read standard output up to a line that holds the text."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            line = self.process.stdout.readline()
            if text in line:
                return
            if not line:
                break
        self.kill()
        raise AssertionError(f"{text!r} was never printed; stderr:\n{self.process.stderr.read()}")  # type: ignore[union-attr]

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the script's own process, as a service manager does."""
        self.process.send_signal(number)

    def interrupt(self) -> None:
        """Ctrl-C: the terminal sends SIGINT to the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """End the session at once."""
        for pid in _group_members(self.process.pid):
            os.kill(pid, signal.SIGKILL)

    def finish(self, timeout: float = 60, leaves_nothing: bool = True) -> Finished:
        """Wait for the end; a hang, a process or a shared memory file left behind is a failure."""
        try:
            out, err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            out, err = self.process.communicate()
            raise AssertionError(f"hangs: no end in {timeout} s\nstdout:\n{out}\nstderr:\n{err}") from None
        seconds = time.monotonic() - self._started
        if leaves_nothing:
            deadline = time.monotonic() + 5
            while (left := _group_members(self.process.pid)) and time.monotonic() < deadline:
                time.sleep(0.05)
            self.kill()
            assert not left, f"processes left behind: {left}"
            memory = _unclaimed(_shared_memory() - self._memory)
            assert not memory, f"shared memory left behind: {memory}"
        return Finished(self.process.returncode, out, err, seconds)


@pytest.fixture
def start_script(tmp_path: Path) -> Iterator[Callable[..., Script]]:
    """``start_script(code, **env)`` starts a script whose end the test awaits with ``.finish()``."""
    scripts: list[Script] = []

    def start(code: str, **env: str) -> Script:
        scripts.append(Script(code, tmp_path, env))
        return scripts[-1]

    yield start
    for script in scripts:
        script.kill()
        script.process.communicate()


@pytest.fixture
def run_script(start_script: Callable[..., Script]) -> Callable[..., Finished]:
    """``run_script(code, timeout=60, **env)`` runs a script to its end in a process of its own."""

    def run(code: str, timeout: float = 60, **env: str) -> Finished:
        return start_script(code, **env).finish(timeout)

    return run
