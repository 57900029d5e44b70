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
from bf_research.own_files import StrangeFile
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
        b'{"began": "' + b"x" * LONGEST + b'"}',
    ],
)
def test_lines_that_no_trial_writes(listener: Listener, caplog, line: bytes):
    with open(listener.folder / "one.up", "ab") as file:
        file.write(line + b"\n" + b'{"began": "here"}\n' + line + b"\n")
    assert listener.hear() == [Began("one", "here")]
    assert len([text for text in caplog.messages if "lines that no trial of ours writes" in text]) == 1


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
