"""What the attacks share: a canary that dies of what must not happen, and a stranger on the same machine."""

from __future__ import annotations

import contextlib
import os
import pickle
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

STRANGER = 12346
"""A user who is nobody here."""


class _Pickled:
    """What runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


@dataclass
class Canary:
    """Payloads for attacks; each leaves the file ``path`` behind, which is a failure at the end of the test::

    net["body"] = {"_target_": "os.system", "command": canary.command}
    with canary.memory(32 << 20), pytest.raises(CorruptModel, match="bomb.zip"):
        load("bomb.zip")
    """

    path: Path
    released: bool = field(default=False, init=False)

    @property
    def command(self) -> str:
        """A command of a shell."""
        return f"touch {self.path}"

    @property
    def expression(self) -> str:
        """An expression of Python."""
        return f"__import__('os').system({self.command!r})"

    @property
    def pickled(self) -> _Pickled:
        """An object that runs the command when it is unpickled."""
        return _Pickled(self.command)

    @property
    def dead(self) -> bool:
        """Whether a payload ran."""
        return self.path.exists()

    def bury(self) -> None:
        """Forget what ran; for tests of the payloads themselves."""
        self.path.unlink()

    @contextlib.contextmanager
    def memory(self, most: int) -> Iterator[None]:
        """Fail where more bytes than that are taken inside, by Python and numpy or by any library."""
        traced = tracemalloc.is_tracing()
        if not traced:
            tracemalloc.start()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        resident = _resident("VmRSS")
        try:
            yield
        finally:
            asked = tracemalloc.get_traced_memory()[1] - before
            touched = _resident("VmHWM") - resident
            if not traced:
                tracemalloc.stop()
        taken = max(asked, touched)
        assert taken <= most, f"{taken:,} bytes were taken, {most:,} are allowed"


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))


@pytest.fixture
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canary]:
    """Return the canary of this test, which must be alive in the end."""
    made = Canary(tmp_path_factory.mktemp("canary") / "ran")
    yield made
    assert not made.dead, f"the canary is dead: something ran {made.command!r}"


@pytest.fixture
def as_stranger() -> Callable[[Callable[[], Any]], Any]:
    """Return ``as_stranger(work)``, which works as another user, and returns or raises what came of it."""
    if os.getuid() != 0:
        pytest.skip("needs root, to be two users")

    def run(work: Callable[[], Any], user: int = STRANGER) -> Any:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            try:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
                told: tuple[bool, Any] = (True, work())
            except BaseException as error:  # noqa: BLE001 - raised in the parent
                told = (False, error)
            with contextlib.suppress(BaseException), os.fdopen(write, "wb") as pipe:
                pickle.dump(told, pipe)
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            done, value = pickle.load(pipe)
        os.waitpid(child, 0)
        if not done:
            raise value
        return value

    return run
