"""Files by which jobs of a cluster speak with their sweep, written by somebody else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bf_research.clusters import files
from bf_research.clusters.engines import SubmititEngine
from bf_research.clusters.far_job import FarJob
from bf_research.clusters.files import LONGEST, MOST, Tail, append
from bf_research.clusters.listener import Began, Listener
from bf_research.launcher.errors import LauncherError
from bf_research.own_files import StrangeFile
from tests.attacks.conftest import STRANGER
from tests.conftest import wait_until


@pytest.fixture
def listener(tmp_path: Path) -> Listener:
    """The driver's side in ``tmp_path``, with a trial named ``one``."""
    made = Listener(tmp_path, "token")
    made.open("one")
    return made


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"{}",
        b"nonsense",
        b"\xff\xfe",
        b"[" * 2000,
        b'{"ask": 1, "step": 1, "value": 1, "final": false}',
        b'{"ask": "1", "step": true, "value": 1, "final": false}',
        b'{"ask": "1", "step": 1, "value": "1", "final": false}',
        b'{"ask": "' + b"x" * 100 + b'", "step": 1, "value": 1, "final": false}',
        b'{"done": 1, "total": 2, "metrics": {"loss": [1]}}',
        b'{"done": 1, "total": 2, "metrics": {"loss": 1' + b"0" * 400 + b"}}",
        b'{"done": 1' + b"0" * 400 + b', "total": 2, "metrics": {}}',
        b'{"done": 1, "total": 1' + b"0" * 400 + b', "metrics": {}}',
        b'{"ask": "1", "step": 1, "value": 1' + b"0" * 400 + b', "final": false}',
        b'{"ask": "1", "step": 1' + b"0" * 400 + b', "value": 1, "final": false}',
        b'{"began": "' + b"x" * LONGEST + b'"}',
    ],
)
def test_lines_that_no_trial_writes(listener: Listener, caplog, line: bytes):
    with open(listener.folder / "one.up", "ab") as file:
        file.write(line + b"\n" + b'{"began": "here"}\n' + line + b"\n")
    assert listener.hear() == [Began("one", "here")]
    assert len([text for text in caplog.messages if "lines that no trial of ours writes" in text]) == 1


@pytest.mark.parametrize("text", ['{"beat": 1e999, "stop": false}', "[" * 4000, '{"beat": [], "stop": 1}'])
def test_a_driver_that_counts_nonsense(listener: Listener, text: str):
    (listener.folder / files.DRIVER).write_text(text)
    assert files.read_driver(listener.folder) is None


def test_a_file_without_an_end(tmp_path: Path):
    path = tmp_path / "file"
    with open(path, "wb") as file:
        file.truncate(10 * MOST)  # one line of ten pieces
        file.seek(0, os.SEEK_END)
        file.write(b'\n{"a": 1}\n')
    tail = Tail(path)
    reads = [list(tail.read()) for _ in range(12)]
    assert [entry for read in reads for entry in read] == [{"a": 1}]
    assert [bool(read) for read in reads].index(True) >= 10
    assert tail.strange == 1


def test_links_in_the_place_of_files(tmp_path: Path, listener: Listener):
    secret = tmp_path / "secret"
    secret.write_text('{"began": "there"}\n')
    up = listener.folder / "one.up"
    up.unlink()
    up.symlink_to(secret)
    assert listener.hear() == []
    with pytest.raises(StrangeFile):
        append(up, {"a": 1})
    other = tmp_path / "sweep"
    other.mkdir()
    (other / files.FOLDER).symlink_to(tmp_path)
    with pytest.raises(StrangeFile, match="is a link"):
        Listener(other, "token")
    assert secret.exists()


def echo(work: Any) -> Any:
    return work


def test_pickles_of_jobs(tmp_path: Path):
    folder = tmp_path / ".submitit"
    engine = SubmititEngine(FarJob.of(echo), "local", {"submitit_folder": f"{folder}/%j"}, 1)
    jobs = engine.submit(["api_key=hunter2"])
    pickled = wait_until(lambda: list(folder.rglob("*_submitted.pkl")))
    assert folder.stat().st_mode & 0o077 == 0
    (outcome,) = wait_until(lambda: engine.ended(jobs)).values()
    assert outcome[0] == "ok"
    assert not pickled[0].exists()
    assert not list(folder.rglob("*.pkl"))


@pytest.mark.parametrize("name", [".submitit", ".submitit/%j", "jobs/.submitit/%j/log_%j"])
def test_a_folder_of_jobs_that_others_may_write_to(tmp_path: Path, name: str):
    """Results are unpickled from it."""
    shared = Path(*Path(tmp_path, name).parts[: Path(tmp_path, name).parts.index(".submitit") + 1])
    shared.mkdir(parents=True)
    for mode in (0o777, 0o1777, 0o770):
        shared.chmod(mode)
        with pytest.raises(LauncherError, match=rf"submitit_folder=.*others may write to \(mode {mode:o}\)"):
            SubmititEngine(FarJob.of(echo), "local", {"submitit_folder": str(tmp_path / name)}, 1)
    shared.chmod(0o755)
    SubmititEngine(FarJob.of(echo), "local", {"submitit_folder": str(tmp_path / name)}, 1)
    assert shared.stat().st_mode & 0o777 == 0o755  # the person's own choice


def test_a_folder_of_jobs_of_another_user(tmp_path: Path):
    if os.getuid() != 0:
        pytest.skip("needs root, to be two users")
    folder = tmp_path / ".submitit"
    folder.mkdir(mode=0o700)
    os.chown(folder, STRANGER, STRANGER)
    with pytest.raises(LauncherError, match=rf"belongs to user {STRANGER}, not to you"):
        SubmititEngine(FarJob.of(echo), "local", {"submitit_folder": str(folder)}, 1)
