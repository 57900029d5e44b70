"""One refused, slow or lost record costs no other: a real sqlite store, real locks, pipes and files."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bf_research.launcher.errors import PassingError
from bf_research.tracking import MLflowTracker, SweepContext, recorder
from bf_research.tracking.replay import replay
from bf_research.tracking.store import TrackingError, child_runs, choose_tries, open_store, read_row
from bf_research.tracking.summaries.summary import rank, summarize
from tests.conftest import PATIENCE, wait_until

Work = Callable[[MLflowTracker], None]


@pytest.fixture(autouse=True)
def no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BF_SWEEP", "")  # whatever a test publishes goes when it ends
    monkeypatch.delenv("BF_SWEEP")


@pytest.fixture
def uri(ready_store: Path) -> str:
    return f"sqlite:///{ready_store}"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Give calls under way a second at the end, and the store half of one."""
    monkeypatch.setattr(recorder, "LAST_CALL_SECONDS", 1.0)
    return {"patience": 0.5, "flush_seconds": 0.1}


def record(uri: str, folder: Path, work: Work, **options: Any) -> str:
    """Record a run in which ``work(tracker)`` was done; return its id."""
    tracker = MLflowTracker(uri, folder=str(folder), **options)
    tracker.start("r", {"bad//tag": "1", "good": "2"})
    location = tracker.ready()
    assert location is not None
    wait_for_all(tracker)  # of what the tracker records by itself
    work(tracker)
    tracker.end()
    return location.run_id


def wait_for_all(tracker: MLflowTracker) -> None:
    """Wait until the store has all that was recorded in its database."""
    running: Any = tracker._running()
    wait_until(lambda: not (running._records or running.points or len(running._backlog)), "all records")
    wait_until(lambda: not any(one.kind == "surroundings" for one in running._files), "the surroundings")


def points(uri: str, run: str, name: str = "loss") -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in open_store(uri).get_metric_history(run, name)]


def files(uri: str, run: str) -> dict[str, str]:
    """What the run has of files, but those of its surroundings."""
    root = Path(open_store(uri).get_run(run).info.artifact_uri.removeprefix("file://"))
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {
        name: path.read_text()
        for name, path in found.items()
        if name not in ("environment.txt", "changes.diff")
    }


def test_every_record_that_mlflow_refuses_is_told_once_and_all_else_is_written(
    uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    os.mkfifo(mixed / "pipe")
    (mixed / "broken").symlink_to("nowhere")
    (mixed / "fine.txt").write_text("fine")
    (tmp_path / "one.txt").write_text("one")

    def work(tracker: MLflowTracker) -> None:
        tracker.log_params({f"p{n}": n for n in range(150)} | {"bad//name": "b", "a#b": 1, "a_b": 2})
        tracker.log_params({"p3": "other", "late": "x\0\ud800", "long": "y" * 7000})
        tracker.set_tags({"t#g": "1", "fine": "é", "..": "up", "long": "z" * 9000})
        tracker.set_tags({"fine": "later"})
        for step in range(50):
            tracker.log_metric("loss (mean)", step, step)
            tracker.log_metric("loss _mean_", -step, step)
            tracker.log_metric("loss", step, np.int64(step))  # type: ignore[arg-type]
            tracker.log_metric("loss", step, step + 0.5)  # type: ignore[arg-type]
        tracker.log_metric("loss", 50, 50.0)  # type: ignore[arg-type]
        tracker.log_metric("loss", 1, 2**70)
        tracker.log_metric("loss", 1, None)  # type: ignore[arg-type]
        tracker.log_artifact("not there")
        tracker.log_artifact(str(tmp_path / "one.txt"), "../up//x/")
        tracker.log_artifact(str(mixed), "mixed")
        tracker.log_text("first", "a//b.txt")
        tracker.log_text("second", "a/b.txt")
        tracker.log_text("half \ud800", "/abs")

    with caplog.at_level(logging.WARNING, "bf_research"):
        run = open_store(uri).get_run(record(uri, tmp_path, work))
    assert run.info.status == "FINISHED"
    params, tags = run.data.params, run.data.tags
    assert {name: params[name] for name in ("p3", "p149", "bad/name", "a_b", "late")} == {
        "p3": "3", "p149": "149", "bad/name": "b", "a_b": "2", "late": "x\\x00\\ud800",
    }  # fmt: skip
    assert (len(params), params["long"]) == (155, "y" * 6000)
    assert sorted(value for name, value in params.items() if name.startswith("a_b_")) == ["1"]
    assert (tags["good"], tags["bad/tag"], tags["t_g"], tags["fine"]) == ("2", "1", "1", "later")
    assert (tags["__"], tags["long"]) == ("up", "z" * 8000)
    assert points(uri, run.info.run_id) == [(step, step) for step in range(51)]
    assert points(uri, run.info.run_id, "loss _mean_") == [(step, -step) for step in range(50)]
    (other,) = {name for name in run.data.metrics if name.startswith("loss _mean_")} - {"loss _mean_"}
    assert points(uri, run.info.run_id, other) == [(step, step) for step in range(50)]
    found = files(uri, run.info.run_id)
    (second,) = [name for name in found if name.startswith("a/b_")]
    assert {found["a/b.txt"], found[second]} == {"first", "second"}
    assert (found["__/up/x/one.txt"], found["mixed/fine.txt"], found["abs"]) == (
        "one",
        "fine",
        "half \\ud800",
    )
    assert len(found) == 5
    for told in (
        "parameter 'bad//name' as 'bad/name'", "MLflow refuses parameter 'p3'", "parameter 'long'",
        "'long' of run r is cut to 8000", "metric 'loss' of run r at step", "metric 'loss (mean)' as",
        "'t#g' as 't_g'", "'bad//tag' as 'bad/tag'", "not there is not there", "mixed/pipe", "mixed/broken",
        "file 'a//b.txt' as",
    ):  # fmt: skip
        assert caplog.text.count(told) == 1, told
    assert not list(tmp_path.glob("tracking-*"))


def test_a_slow_file_costs_no_record_and_is_written_by_replay(
    uri: str,
    tmp_path: Path,
    impatient: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow = tmp_path / "slow"
    os.mkfifo(slow)  # nobody writes: reading it never ends

    def work(tracker: MLflowTracker) -> None:
        tracker.log_artifact(str(slow))
        tracker.log_text("after", "after.txt")
        tracker.log_params({"a": 1})
        for step in range(1000):
            tracker.log_metric("loss", step, step)
        wait_for_all(tracker)  # the file that hangs does not hold them up

    monkeypatch.setattr(recorder, "LAST_CALL_SECONDS", 8.0)
    run = record(uri, tmp_path, work, buffering=impatient)
    assert points(uri, run) == [(step, step) for step in range(1000)]
    found = open_store(uri).get_run(run)
    assert (found.info.status, found.data.params) == ("FINISHED", {"a": "1"})
    (kept,) = tmp_path.glob("tracking-r-*.jsonl")
    if "is a named pipe" in caplog.text:
        pytest.skip("an older MLflow refuses a named pipe at once: no file hangs")
    assert f"what is left (1 artifact, 1 text) is in {kept}" in caplog.text
    with slow.open("w") as pipe:  # the thread that hangs goes on, and finds that its work was taken away
        pipe.write("x")
    slow.unlink()
    slow.write_text("quick now")
    location = replay(kept, uri)
    assert location is not None
    assert location.run_id == run
    assert files(uri, run) == {"slow": "quick now", "after.txt": "after"}
    assert open_store(uri).get_run(run).info.end_time == found.info.end_time


@pytest.fixture
def lock(ready_store: Path) -> Iterator[sqlite3.Connection]:
    """A second connection that holds the store of its own accord."""
    connection = sqlite3.connect(ready_store, isolation_level=None, check_same_thread=False)
    yield connection
    connection.close()


def test_a_locked_store_at_the_end_leaves_all_in_a_file(
    uri: str,
    tmp_path: Path,
    lock: sqlite3.Connection,
    impatient: dict[str, float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def work(tracker: MLflowTracker) -> None:
        lock.execute("BEGIN EXCLUSIVE")
        tracker.log_params({"a": 1})
        for step in range(1000):
            tracker.log_metric("loss", step, step)

    run = record(uri, tmp_path, work, buffering=impatient)
    (kept,) = tmp_path.glob("tracking-r-*.jsonl")
    assert "1,000 points" in caplog.text
    assert f"is in {kept} and is written by: python -m bf_research.tracking.replay {kept}" in caplog.text
    lock.execute("ROLLBACK")
    replay(kept, uri)
    found = open_store(uri).get_run(run)
    assert points(uri, run) == [(step, step) for step in range(1000)]
    assert (found.info.status, found.data.params["a"]) == ("FINISHED", "1")


def test_a_store_that_is_busy_at_the_start_is_waited_for(
    uri: str, tmp_path: Path, lock: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    lock.execute("BEGIN EXCLUSIVE")
    tracker = MLflowTracker(uri, folder=str(tmp_path))
    tracker.start("r")
    tracker.log_metric("loss", 1, 1)
    with pytest.raises(TrackingError, match=r"did not answer in 0\.1 s") as caught:
        MLflowTracker.ready(tracker, 0.1)
    assert isinstance(caught.value, PassingError)
    patient = MLflowTracker(uri, folder=str(tmp_path), required=False)
    patient.start("patient")
    assert patient.ready(0.1) is None
    patient.log_metric("loss", 1, 1)
    lock.execute("ROLLBACK")
    location = patient.end()
    assert location is not None
    assert points(uri, location.run_id) == [(1, 1)]
    tracker.end("FAILED")


def test_a_run_that_is_deleted_is_told_and_comes_back_with_its_points(
    uri: str, tmp_path: Path, impatient: dict[str, float], caplog: pytest.LogCaptureFixture
) -> None:
    client = open_store(uri)

    def work(tracker: MLflowTracker) -> None:
        location = tracker.ready()
        assert location is not None
        client.delete_run(location.run_id)
        for step in range(5):
            tracker.log_metric("loss", step, step)

    run = record(uri, tmp_path, work, buffering={**impatient, "patience": 1000.0})  # it does not wait for it
    (kept,) = tmp_path.glob("tracking-r-*.jsonl")
    assert caplog.text.count("run r was deleted in the MLflow store, its records wait") == 1
    assert f"mlflow runs restore --run-id {run} brings it back" in caplog.text
    with pytest.raises(TrackingError, match=f"{run} was deleted: .* restore --run-id {run}"):
        replay(kept, uri)
    client.restore_run(run)
    replay(kept, uri)
    assert points(uri, run) == [(step, step) for step in range(5)]
    assert client.get_run(run).info.status == "FINISHED"


def test_a_run_deleted_with_nothing_left_is_told_and_leaves_no_file(
    uri: str, tmp_path: Path, impatient: dict[str, float], caplog: pytest.LogCaptureFixture
) -> None:
    tracker = MLflowTracker(uri, folder=str(tmp_path), buffering={**impatient, "patience": 1000.0})
    tracker.start("r")
    location = tracker.ready()
    assert location is not None
    wait_for_all(tracker)
    open_store(uri).delete_run(location.run_id)
    tracker.end()
    assert "run r was deleted in the MLflow store" in caplog.text
    assert not list(tmp_path.glob("tracking-*"))


def test_replay_begins_a_run_that_the_store_does_not_have(
    uri: str, tmp_path: Path, lock: sqlite3.Connection, impatient: dict[str, float]
) -> None:
    def work(tracker: MLflowTracker) -> None:
        lock.execute("BEGIN EXCLUSIVE")
        tracker.log_metric("a#b", 1, 1)

    first = record(uri, tmp_path, work, buffering=impatient)
    lock.execute("ROLLBACK")
    (kept,) = tmp_path.glob("tracking-r-*.jsonl")
    other = f"sqlite:///{tmp_path}/other.db"
    location = replay(kept, other)
    assert location is not None
    assert location.run_id != first
    assert points(other, location.run_id, "a_b") == [(1, 1)]
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-20])
    with pytest.warns(RuntimeWarning, match="its last line .* is cut off"):
        replay(kept, uri)
    kept.write_bytes(whole.replace(b'["point"', b'["close"'))
    replay(kept, other)  # a kind that no run has is left out
    kept.write_bytes(b"[1]\n" + whole)
    with pytest.raises(ValueError, match="line 1 is no kept record"):
        replay(kept)


def test_files_that_can_not_be_stored_cost_no_point(
    uri: str,
    tmp_path: Path,
    impatient: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    root: list[Path] = []

    def work(tracker: MLflowTracker) -> None:
        location = tracker.ready()
        assert location is not None
        root.append(Path(open_store(uri).get_run(location.run_id).info.artifact_uri.removeprefix("file://")))
        shutil.rmtree(root[0])
        root[0].write_text("a file where a folder should be")
        tracker.log_text("text", "text.txt")
        tracker.log_metric("loss", 1, 1)
        wait_for_all(tracker)

    monkeypatch.setattr(recorder, "LAST_CALL_SECONDS", PATIENCE)
    run = record(uri, tmp_path, work, buffering=impatient)
    assert points(uri, run) == [(1, 1)]
    assert open_store(uri).get_run(run).info.status == "FINISHED"
    assert "text of run r can't be written now" in caplog.text
    (kept,) = tmp_path.glob("tracking-r-*.jsonl")
    root[0].unlink()
    replay(kept, uri)
    assert files(uri, run) == {"text.txt": "text"}


def test_records_that_no_file_can_keep_are_told_and_raise_nothing(
    uri: str, tmp_path: Path, lock: sqlite3.Connection, impatient: dict[str, float], caplog: Any
) -> None:
    (tmp_path / "file").write_text("no folder")

    def work(tracker: MLflowTracker) -> None:
        lock.execute("BEGIN EXCLUSIVE")
        tracker.log_metric("loss", 1, 1)

    record(uri, tmp_path / "file", work, buffering=impatient)
    lock.execute("ROLLBACK")
    assert "records of run r are lost (1 points)" in caplog.text


def test_infinite_metrics_are_never_best_and_a_cut_tag_costs_no_summary(
    uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parent = record(uri, tmp_path, lambda tracker: None)
    context = SweepContext(uri, "batchflow", parent)
    context.publish()
    for number, score in enumerate([math.inf, 0.5, -math.inf, math.nan, 0.25]):
        tracker = MLflowTracker(folder=str(tmp_path))
        tracker.start(f"n={number}", {"bf.overrides": '{"n": "' + "1" * 9000 if number == 1 else ""})
        tracker.log_params({"n": number})
        tracker.log_metric("x" * 245, score)
        tracker.end()
    SweepContext.withdraw()
    client = open_store(uri)
    experiment = client.get_run(parent).info.experiment_id
    rows = choose_tries([read_row(run) for run in child_runs(client, experiment, parent)])
    for minimize, best in ((False, [0.5, 0.25]), (True, [0.25, 0.5])):
        ranked = rank(rows, "x" * 245, minimize)
        assert [row.metrics["x" * 245] for row in ranked][:2] == best
        text = summarize(context, "x" * 245, minimize)
        assert text.splitlines()[1].split()[1] == f"{best[0]:.4f}"
    metrics = client.get_run(parent).data.metrics
    assert metrics["trials/count"] == 5
    client.delete_run(parent)
    assert summarize(context, "x" * 245, True) == text  # the table is shown all the same
    assert "the summary is not in the sweep's own run" in caplog.text


def test_a_disk_without_room_for_points_that_wait_costs_no_training(tmp_path: Path, monkeypatch, caplog):
    waits = {"points": 10, "flush_seconds": 0.05, "patience": 0.0}
    tracker = MLflowTracker("http://127.0.0.1:9", required=False, folder=str(tmp_path), buffering=waits)
    with open("/dev/full", "r+b", buffering=0) as full:
        monkeypatch.setattr("tempfile.TemporaryFile", lambda **how: full)
        tracker.start("run")
        for step in range(50):
            tracker.log_metric("loss", step, step)
        assert tracker.end() is None
    assert "points of run run that wait are lost: there is no room in" in caplog.text
    (kept,) = tmp_path.glob("tracking-*.jsonl")
    assert kept.read_text().count('["point", ["loss"') == 10
