"""Tracking: what a run in MLflow holds, what a sweep adds, and what it costs the loop."""

from __future__ import annotations

import json
import math
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bf_research.tracking import MLflowTracker, NoTracker, SweepContext, Tracker, flatten
from bf_research.tracking.backlog import Backlog, Point
from bf_research.tracking.callback import close_abandoned, trials_of
from bf_research.tracking.lane import next_pause
from bf_research.tracking.run_scope import process_mark, record_run
from bf_research.tracking.store import (
    Row,
    TrackingError,
    child_runs,
    choose_tries,
    experiment_id,
    open_store,
    read_row,
)
from bf_research.tracking.summaries.plots import draw
from bf_research.tracking.summaries.summary import aggregates, console, markdown, rank, summarize, varying


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One sqlite store for the module: creating one takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.fixture(autouse=True)
def no_sweep(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BF_SWEEP", "")  # whatever a test publishes goes when it ends
    monkeypatch.delenv("BF_SWEEP")


def client_of(store: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=store)


@pytest.fixture(params=["none", "mlflow"])
def tracker(request: pytest.FixtureRequest, store: str, tmp_path: Path) -> Tracker:
    """Every tracker there is: they share one contract."""
    return NoTracker() if request.param == "none" else MLflowTracker(store, folder=str(tmp_path))


class TestTrackerContract:
    def test_takes_everything_between_start_and_end(self, tracker: Tracker, tmp_path: Path):
        assert isinstance(tracker, Tracker)
        tracker.start("contract")
        tracker.ready()
        tracker.log_params({"model.lr": 0.1})
        tracker.set_tags({"mine": "yes"})
        tracker.log_metric("loss", 0.5, 1)
        tracker.log_text("text", "notes/a.txt")
        (tmp_path / "file.txt").write_text("content")
        tracker.log_artifact(str(tmp_path / "file.txt"), "files")
        first = tracker.end()
        assert tracker.end() == first

    @pytest.mark.parametrize(
        ("error", "status"), [(None, "FINISHED"), (ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
    )
    def test_a_recorded_work_ends_its_run_whatever_happens(self, tracker: Tracker, error, status):
        def work() -> None:
            with record_run(tracker, "work"):
                if error is not None:
                    raise error

        if error is None:
            work()
        else:
            with pytest.raises(error):
                work()
        location = tracker.end()
        if location is not None:
            assert client_of(location.store).get_run(location.run_id).info.status == status


class TestMLflowTracker:
    def test_a_run_holds_params_curves_tags_and_files(self, store: str, tmp_path: Path):
        tracker = MLflowTracker(store, experiment="one/two", folder=str(tmp_path))
        tracker.start("run", {"bf.model": "net"})
        tracker.log_params({f"p{number}": number for number in range(150)})
        for step in range(2500):
            tracker.log_metric("train/loss", 1 / (step + 1), step)
        tracker.log_text("hello", "notes/hello.txt")
        location = tracker.end()
        assert location is not None
        client = client_of(store)
        run = client.get_run(location.run_id)
        assert run.info.status == "FINISHED"
        assert len(run.data.params) == 150
        assert run.data.tags["bf.model"] == "net"
        history = client.get_metric_history(location.run_id, "train/loss")
        assert [(metric.step, metric.value) for metric in history] == [(s, 1 / (s + 1)) for s in range(2500)]
        folder = Path(run.info.artifact_uri.removeprefix("file://"))
        assert (folder / "notes/hello.txt").read_text() == "hello"
        assert location.command.endswith(f"-m mlflow ui --backend-store-uri {store}")
        assert location.run_id in location.page

    def test_a_tracker_is_good_for_one_run(self, store: str):
        tracker = MLflowTracker(store)
        with pytest.raises(RuntimeError, match="call start"):
            tracker.log_params({})
        tracker.start("once")
        with pytest.raises(RuntimeError, match="for every run"):
            tracker.start("twice")
        tracker.end()

    def test_names_that_mlflow_refuses_are_made_fit(self, store: str, tmp_path: Path):
        tracker = MLflowTracker(store, folder=str(tmp_path))
        tracker.start("names")
        tracker.log_metric("loss (mean) %", 1.0)
        location = tracker.end()
        assert list(client_of(store).get_run(location.run_id).data.metrics) == ["loss _mean_ _"]

    def test_a_trial_stands_below_its_sweep(self, store: str, tmp_path: Path):
        parent = MLflowTracker(store, experiment="sweeps", folder=str(tmp_path))
        parent.start("parent")
        location = parent.end()
        SweepContext(store, "sweeps", location.run_id, {"bf.sweep": "s"}).publish()
        child = MLflowTracker("sqlite:///elsewhere.db", experiment="other", folder=str(tmp_path))
        child.start("child")
        tags = client_of(store).get_run(child.end().run_id).data.tags
        assert tags["mlflow.parentRunId"] == location.run_id
        assert (tags["bf.kind"], tags["bf.sweep"]) == ("trial", "s")


class TestBacklog:
    def test_keeps_order_in_bounded_memory(self):
        backlog = Backlog(limit=10)
        points = [Point("loss", float(number), number, 0) for number in range(95)]
        backlog.extend(points[:60])
        assert backlog.in_memory <= 10
        assert len(backlog) == 60
        out = []
        for turn in range(40):
            if turn == 2:
                backlog.extend(points[60:])
            batch = backlog.peek(7)
            out += batch
            backlog.drop(len(batch))
            assert backlog.in_memory <= 10
        assert out == points
        assert not len(backlog)
        backlog.close()

    def test_what_has_no_room_on_the_disk_is_lost_and_nothing_else(self, monkeypatch):
        points = [Point("loss", float(number), number, 0) for number in range(30)]
        backlog = Backlog(limit=10)
        with open("/dev/full", "r+b", buffering=0) as full:
            with monkeypatch.context() as patched:
                patched.setattr("tempfile.TemporaryFile", lambda **how: full)
                backlog.extend(points[:15])
            assert (len(backlog), backlog.lost) == (10, 5)
            backlog._file = None
        backlog.extend(points[15:])  # there is room again
        out = []
        while batch := backlog.peek(4):
            out += batch
            backlog.drop(len(batch))
        assert out == points[:10] + points[15:]
        backlog.close()

    def test_a_limit_below_one_is_refused(self):
        with pytest.raises(ValueError, match="limit=0"):
            Backlog(0)


class TestFlatten:
    def test_secrets_are_left_out_and_long_values_cut(self):
        flat = flatten({"db": {"password": "x", "user": "me"}, "text": "y" * 9000, "api-key": 1, "apikey": 2})
        assert flat["db.password"] == flat["apikey"] == "***"
        assert flat["db.user"] == "me"
        assert len(flat["text"]) == 6000

    def test_lists_of_mappings_get_numbers(self):
        flat = flatten({"augment": [{"rotate": {"angle": 5}}, "flip"], "empty": {}, "none": None})
        assert flat == {"augment.0.rotate.angle": "5", "augment.1": "flip", "empty": "{}", "none": "None"}


def rows(*values: tuple[dict[str, str], float | None]) -> list[Row]:
    return [
        Row(str(number), f"run {number}", "FINISHED", params, {} if value is None else {"acc": value}, 1.0)
        for number, (params, value) in enumerate(values)
    ]


class TestSummary:
    SWEEP = rows(
        ({"model": "a", "repetition": "0", "same": "1"}, 0.5),
        ({"model": "b", "repetition": "0", "same": "1"}, 0.9),
        ({"model": "a", "repetition": "1", "same": "1"}, 0.7),
        ({"model": "b", "repetition": "1", "same": "1"}, 0.7),
        ({"model": "c", "repetition": "0", "same": "1"}, None),
        ({"model": "d", "repetition": "0", "same": "1"}, math.nan),
    )

    def test_what_differs_makes_the_columns_repetitions_last(self):
        assert varying(self.SWEEP) == ["model", "repetition"]

    def test_nan_and_missing_values_are_never_best(self):
        best = [row.metrics.get("acc") for row in rank(self.SWEEP, "acc", minimize=False)]
        assert best[:4] == [0.9, 0.7, 0.7, 0.5]
        assert rank(self.SWEEP, "acc", minimize=True)[0].metrics["acc"] == 0.5

    def test_best_last_mean_and_deviation(self):
        numbers = aggregates(self.SWEEP, ["model", "repetition"], "acc", minimize=False)
        assert numbers["acc.best"] == 0.9
        assert numbers["acc.last"] == 0.7
        assert numbers["acc.mean"] == pytest.approx(0.8)
        assert numbers["acc.std"] == pytest.approx(math.sqrt(0.02))
        assert numbers["trials/count"] == 6

    def test_a_sweep_without_values_has_no_best(self):
        assert aggregates(rows(({}, None)), [], "acc", minimize=False) == {"trials/count": 1}

    def test_tables_show_all_columns(self):
        written = markdown(self.SWEEP[:1], ["model"], "acc").splitlines()
        assert written[2] == "| 1 | 0.5000 | a | FINISHED | 1 s |"
        shown = console(self.SWEEP[:1], ["model"], "acc").splitlines()
        assert shown[1].split() == ["1", "0.5000", "a", "FINISHED", "1", "s"]


def test_a_process_is_known_by_number_and_start():
    assert process_mark(os.getpid()).startswith(f"{os.getpid()}:")
    assert process_mark(2**22 + 1) == ""


def test_a_context_survives_the_environment(monkeypatch: pytest.MonkeyPatch):
    context = SweepContext("sqlite:////x.db", "e", "id", {"a": "b"})
    context.publish()
    assert SweepContext.current() == context
    assert json.loads(os.environ["BF_SWEEP"])["run_id"] == "id"
    SweepContext.withdraw()
    assert SweepContext.current() is None


def test_a_run_tells_data_environment_and_signature_and_keeps_its_model(store: str, tmp_path: Path):
    import keras

    network = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    tracker = MLflowTracker(store, folder=str(tmp_path), register="small")
    tracker.start("model")
    tracker.log_data("Digits", "a" * 64, 100, "train")
    tracker.log_model(network)
    location = tracker.end()
    assert location is not None
    client = client_of(store)
    run = client.get_run(location.run_id)
    assert [(item.dataset.name, item.dataset.digest) for item in run.inputs.dataset_inputs] == [
        ("Digits", "a" * 36)
    ]
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    assert "numpy==" in (folder / "environment.txt").read_text()
    assert "[-1, 4, 4, 1]" in json.loads((folder / "signature.json").read_text())["inputs"]
    assert (folder / "model/MLmodel").exists()
    (version,) = client.search_model_versions("name='small'")
    assert version.run_id == location.run_id


@pytest.mark.parametrize("waits", [{"flush_seconds": 0}, {"points": 0}, {"patience": -1}])
def test_senseless_buffering_is_refused(waits):
    with pytest.raises(ValueError, match=r"tracking\.buffering"):
        MLflowTracker(buffering=waits)


@pytest.mark.parametrize("trials", [2, 14], ids=["named", "banded"])
def test_pictures_of_a_sweep_are_drawn_from_its_store(store: str, tmp_path: Path, trials: int) -> None:
    rows = []
    for number in range(trials):
        tracker = MLflowTracker(store)
        with record_run(tracker, f"n={number}") as run:
            for step in range(3):
                run.log_metric("train/loss", (number + 1) / (step + 1), step)
        location = tracker.ready()
        assert location is not None
        params = {"n": str(number), "kind": ("a", r"$\x^$0")[number % 2]}
        rows.append(Row(location.run_id, f"n={number}", "FINISHED", params, {"score": float(number)}, 1.0))
    draw(client_of(store), tmp_path, rows, ["kind", "n"], "score")
    pictures = {path.stem: Image.open(path) for path in tmp_path.glob("*.png")}
    assert set(pictures) == {"learning_curves", "parallel_coordinates", "by_option"}
    for picture in pictures.values():
        colours = picture.convert("RGB").getcolors(picture.width * picture.height)
        assert picture.size == (900, 500)
        assert len(colours) > 50  # more than an empty frame has


def test_a_picture_that_can_not_be_drawn_costs_no_table(store: str, caplog: pytest.LogCaptureFixture) -> None:
    parent = MLflowTracker(store)
    with record_run(parent, "sweep"):
        location = parent.ready()
        assert location is not None
        context = SweepContext(store, "batchflow", location.run_id)
        context.publish()
        for number, score in enumerate([1.7e308, -1.7e308]):
            with record_run(MLflowTracker(store), f"n={number}") as run:
                run.log_params({"n": number})
                run.log_metric("score", score)
        SweepContext.withdraw()
    summarize(context, "score", minimize=False)
    assert "can't be drawn" in caplog.text
    found = {artifact.path for artifact in client_of(store).list_artifacts(location.run_id, "sweep")}
    assert {"sweep/table.md", "sweep/table.json"} <= found


def test_a_sweep_of_more_trials_than_a_page_is_seen_and_closed_whole(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bf_research.tracking.store.RUNS_A_PAGE", 3)
    client = client_of(store)
    number = experiment_id(client, "pages", store)
    parent = client.create_run(number).info.run_id
    marks = {"mlflow.parentRunId": parent, "bf.host": socket.gethostname(), "bf.process": "1:0"}
    runs = {client.create_run(number, tags=marks, run_name=f"n={n}").info.run_id for n in range(8)}
    assert set(trials_of(client, parent)) == runs
    assert set(close_abandoned(client, number, parent)) == runs
    assert {
        row.status for row in choose_tries([read_row(run) for run in child_runs(client, number, parent)])
    } == {"KILLED"}
    assert len(choose_tries([read_row(run) for run in child_runs(client, number, parent)])) == len(runs)


def test_a_trial_of_an_experiment_that_was_deleted_tells_how_to_bring_it_back(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = open_store(uri)
    number = experiment_id(client, "gone", uri)
    client.delete_experiment(number)
    SweepContext(uri, "gone", "none", experiment_id=number).publish()
    tracker = MLflowTracker()
    SweepContext.withdraw()
    tracker.start("trial")
    with pytest.raises(TrackingError, match="experiments restore"):
        tracker.ready()


def test_a_store_that_is_away_is_asked_more_and_more_seldom() -> None:
    pauses = [0.0]
    for _ in range(5):
        pauses.append(next_pause(pauses[-1], 1.0))
    assert pauses == [0.0, 1.0, 2.0, 4.0, 5.0, 5.0]
