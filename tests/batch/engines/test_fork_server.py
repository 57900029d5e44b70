"""The fork server: what it tells, whom it takes with it, and who takes it along."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bf_batch.engines import forking
from bf_batch.engines.channel import Channel
from bf_batch.engines.forking import ForkServer, ServerGone, Start, start_own_server
from bf_batch.engines.processes import ProcessesEngine
from tests.conftest import PATIENCE, wait_until

PROGRAM = """
import os, pickle, socket, subprocess, sys, time
from bf_batch.engines.channel import Channel, pack

def run(file, parent, *arguments):
    channel = Channel(socket.socket(fileno=file))
    other = subprocess.Popen(["sleep", "1000000"], pass_fds=[file])
    told = (parent, other.pid, os.getpgid(0), os.environ.get("BF_TEST"), os.getcwd(), arguments)
    channel.send(pack(told, pickle.dumps))
    print("printed by a worker", flush=True)
    channel.receive()
    os._exit(7)
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkServer]:
    """A server of its own that has begun, and a program of its workers."""
    (tmp_path / "bf_test_program.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with started(tmp_path, "json", "there_is_no_such_module") as made:
        yield made


@contextmanager
def started(folder: Path, *modules: str) -> Iterator[ForkServer]:
    with open(folder / "log", "w+b") as log:
        made = start_own_server(list(modules), {**os.environ}, log)
        yield made
        made.close()
        assert made.process is not None
        made.process.wait(PATIENCE)


def start(server: ForkServer, **options: Any) -> tuple[Channel, int]:
    """Ask for a worker and wait for it; return the channel and the pid."""
    ours, theirs = socket.socketpair()
    with theirs:
        serial = server.ask(theirs, Start("bf_test_program:run", group=True, **options))
    while (message := server.hear())[0] != "forked":
        assert message[0] == "ready"
    assert message[1] == serial
    return Channel(ours), message[2]


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_the_server_tells_what_it_could_not_import(server: ForkServer):
    kind, failed = server.hear()
    assert kind == "ready"
    assert list(failed) == ["there_is_no_such_module"]
    assert failed["there_is_no_such_module"].startswith("ModuleNotFoundError: ")


def test_asking_does_not_wait_for_the_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    long = "import os, time\nwhile not os.path.exists('go'):\n    time.sleep(0.01)\n"
    (tmp_path / "bf_test_import.py").write_text(long)
    (tmp_path / "bf_test_program.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    ours, theirs = socket.socketpair()
    with started(tmp_path, "bf_test_import") as server:
        with theirs:
            server.ask(theirs, Start("bf_test_program:run", group=True))
        assert not select.select([server], [], [], 0)[0]
        (tmp_path / "go").touch()
        (ready, *_), (forked, _, pid) = server.hear(), server.hear()
        assert (ready, forked) == ("ready", "forked")
        assert Channel(ours).receive()()[2] == pid


def test_a_worker_begins_with_what_it_is_given(server: ForkServer, tmp_path: Path):
    with open(tmp_path / "output", "wb") as output:
        environment = {**os.environ, "BF_TEST": "given"}
        channel, pid = start(server, arguments=(1, ["a"]), environment=environment, output=output.fileno())
    parent, _, group, seen, folder, arguments = channel.receive()()
    assert (parent, group, seen, folder, arguments) == (os.getpid(), pid, "given", str(tmp_path), (1, ["a"]))
    wait_until(lambda: (tmp_path / "output").read_text() == "printed by a worker\n")


def test_paths_among_the_modules_folders_hurt_nobody(server: ForkServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [*sys.path, Path("/nowhere")])
    channel, pid = start(server)
    assert channel.receive()()[2] == pid


def test_the_end_of_a_worker_is_told_and_takes_along_what_it_started(server: ForkServer):
    channel, pid = start(server)
    other = channel.receive()()[1]
    channel.hang_up()
    assert server.hear() == ("exit", pid, 1)  # EOFError
    wait_until(lambda: ended(other))


def test_a_group_is_killed_as_a_whole(server: ForkServer):
    channel, pid = start(server)
    other = channel.receive()()[1]
    server.kill_group(pid)
    assert server.hear() == ("exit", pid, -signal.SIGKILL)
    wait_until(lambda: ended(other))


def test_a_server_that_is_left_ends_with_all_groups(server: ForkServer):
    channel, pid = start(server)
    other = channel.receive()()[1]
    server.close()
    assert server.process is not None
    assert server.process.wait(PATIENCE) == 0
    wait_until(lambda: ended(pid) and ended(other))


def test_a_killed_server_is_noticed_and_takes_its_workers_along(server: ForkServer):
    _, pid = start(server)
    assert server.process is not None
    server.process.kill()
    with pytest.raises(ServerGone):
        server.hear()
    wait_until(lambda: ended(pid))
    with pytest.raises(ServerGone):
        start(server)


def test_a_stranger_is_not_served(server: ForkServer):
    server.hear()
    name = server._socket.getpeername()
    code = f"""
import os, socket
pid = os.fork()
if pid == 0:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link.connect({name!r})
    os._exit(len(link.recv(100)))
os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0


def test_modules_of_a_worker_are_imported_once_before_it_is_forked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bf_test_dear.py").write_text("import os\nwhere = os.getpid()\n")
    (tmp_path / "bf_test_broken.py").write_text("raise ValueError('broken module')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(forking, "_address", (0, b""))
    look = "(__import__('sys').modules.get('bf_test_dear'), __import__('os').getppid())"
    with ProcessesEngine(2) as plain:
        assert plain.submit(eval, look).result(60)[0] is None
        for modules in (("bf_test_dear", "bf_test_broken"), ("bf_test_dear",), ()):
            with ProcessesEngine(1, None, modules) as engine:
                where = engine.submit(eval, f"{look}[0].where, {look}[1]").result(60)
                assert where[0] == where[1]  # in the server, where it stays
        assert plain.submit(eval, look).result(60)[0] is None


def test_a_module_that_can_t_be_imported_is_an_error_of_the_worker_that_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bf_test_broken.py").write_text("raise ValueError('broken module')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(forking, "_address", (0, b""))
    with ProcessesEngine(1, None, ("bf_test_broken",)) as engine:
        assert engine.submit(abs, -3).result(60) == 3
        with pytest.raises(ValueError, match="broken module"):
            engine.submit(__import__, "bf_test_broken").result(60)
