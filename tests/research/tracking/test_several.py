"""Several trackers at once, and trackers chosen by name."""

from __future__ import annotations

import csv
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from bf_index.names import TargetError
from bf_pipeline import C
from bf_programs.showing import show
from bf_research import Option, Research
from bf_research.report.report import write_report
from bf_research.tracking import CSVTracker, MLflowTracker, NoTracker, SeveralTrackers, TensorBoardTracker
from bf_research.tracking.choice import make_tracker, read_tracking
from bf_research.tracking.run_ids import choose_id, split_ids
from bf_research.tracking.run_scope import SweepContext, goes_on, record_run
from bf_research.tracking.store import TrackingError, child_runs, open_store
from bf_research.tracking.summaries.places import read_memory, read_places, sync_command
from bf_research.tracking.tracker import Location
from bf_research.training.folder import RunFolder

sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("notf"))
accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def store_in(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


def table(path: str | Path) -> list[tuple[str, int, float]]:
    with open(path, newline="") as file:
        return [(row["metric"], int(row["step"]), float(row["value"])) for row in csv.DictReader(file)]


def events(folder: str | Path) -> list[tuple[str, int, float]]:
    found = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    names = found.Tags()["scalars"]
    return [(name, point.step, point.value) for name in names for point in found.Scalars(name)]


class Broken(NoTracker):
    """A tracker of somebody else that fails after so many points."""

    def __init__(self, points: int = 0, at_start: bool = False) -> None:
        self.left, self.at_start, self.ended = points, at_start, ""

    def start(self, name, tags=None, run_id=None):
        if self.at_start:
            raise TrackingError("no place to record")

    def log_metric(self, name, value, step=0):
        if not self.left:
            raise RuntimeError("the wire is cut")
        self.left -= 1

    def end(self, status="FINISHED"):
        self.ended = status


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_records_all_under_one_id_and_goes_on_with_it(here: Path):
    def make():
        return SeveralTrackers(MLflowTracker(store_in(here)), CSVTracker(), TensorBoardTracker("events"))

    several = make()
    with record_run(several, "net", {"a": "1"}):
        several.log_params({"lr": 0.5})
        for step in range(4):
            several.log_metric("loss", step / 2, step)
        several.flush()
        location = several.ready()
    mlflow, table_place, events_place = location.parts
    assert [place.tracker for place in location.parts] == ["mlflow", "csv", "tensorboard"]
    assert split_ids(location.run_id) == {place.tracker: place.run_id for place in location.parts}
    assert str(location) == "\n".join(map(str, location.parts))
    again = make()
    assert goes_on(again, location.run_id)
    with record_run(again, "net", None, location.run_id):
        for step in range(2, 6):
            again.log_metric("loss", step / 2, step)
    wanted = [("loss", step, step / 2) for step in range(6)]
    assert table(table_place.page) == wanted
    assert events(events_place.page) == wanted
    client = open_store(store_in(here))
    points = client.get_metric_history(mlflow.run_id, "loss")
    assert sorted((point.key, point.step, point.value) for point in points) == wanted
    assert client.get_run(mlflow.run_id).info.status == "FINISHED"
    assert json.loads(Path(table_place.page).with_suffix(".json").read_text())["params"] == {"lr": "0.5"}
    # one of them alone goes on with its own part
    alone = CSVTracker()
    with record_run(alone, "net", None, location.run_id):
        alone.log_metric("loss", 3.0, 6)
    assert table(table_place.page) == [*wanted, ("loss", 6, 3.0)]


def test_a_tracker_that_is_new_to_a_run_begins_its_own():
    first = CSVTracker("a")
    with record_run(first, "net"):
        run_id = json.dumps({"csv": first.ready().run_id})
    several = SeveralTrackers(CSVTracker("a"), TensorBoardTracker("events"))
    assert not goes_on(several, run_id)
    with record_run(several, "net", None, run_id):
        place, events_place = several.ready().parts
    assert place.run_id == first.ready().run_id
    assert events_place.run_id != place.run_id
    assert choose_id(run_id, "tensorboard") is None


def test_one_that_fails_is_told_once_and_costs_the_others_nothing(caplog):
    broken, good = Broken(2), CSVTracker()
    several = SeveralTrackers(broken, good)
    with caplog.at_level(logging.WARNING), record_run(several, "net"):
        for step in range(5):
            several.log_metric("loss", 1.0, step)
    assert [step for _, step, _ in table(good.path)] == list(range(5))
    assert [record.message for record in caplog.records] == [
        "the tracker broken is left out from here on, the others record: log_metric: "
        "RuntimeError: the wire is cut"
    ]
    assert broken.ended == "FINISHED"


def test_what_all_refuse_is_the_error_of_the_caller():
    several = SeveralTrackers(CSVTracker("a"), CSVTracker("b"))
    with record_run(several, "net"):
        with pytest.raises(ValueError, match="could not convert"):
            several.log_metric("loss", "no number", 1)
        several.log_metric("loss", 1.0, 1)
    assert all(table(place.page) == [("loss", 1, 1.0)] for place in several.end().parts)
    assert list(several.trackers) == ["csv", "csv#2"]


def test_when_the_last_one_fails_the_error_is_raised():
    several = SeveralTrackers(Broken(1), Broken(3))
    several.start("net")
    for step in range(3):
        several.log_metric("loss", 1.0, step)
    with pytest.raises(RuntimeError, match="the wire is cut"):
        several.log_metric("loss", 1.0, 3)


def test_one_that_cannot_begin_is_an_error_and_leaves_no_run_open():
    good = CSVTracker()
    with pytest.raises(TrackingError, match="no place"):
        SeveralTrackers(good, Broken(at_start=True)).start("net")
    assert json.loads(good.path.with_suffix(".json").read_text())["status"] == "FAILED"


def test_the_end_of_one_that_is_interrupted_ends_the_others():
    class Interrupted(Broken):
        def end(self, status="FINISHED"):
            raise KeyboardInterrupt

    good = CSVTracker()
    several = SeveralTrackers(Interrupted(9), good)
    several.start("net")
    several.log_metric("loss", 1.0, 1)
    with pytest.raises(KeyboardInterrupt):
        several.end("KILLED")
    assert json.loads(good.path.with_suffix(".json").read_text())["status"] == "KILLED"


@pytest.mark.parametrize(
    ("overrides", "kinds"),
    [
        (["tracking=csv"], ["csv"]),
        (["tracking=none"], []),
        (
            ["tracking=[mlflow,csv]", "tracking.experiment=digits", "tracking.csv.folder=t"],
            ["mlflow", "csv"],
        ),
        (["tracking=[csv,none]"], ["csv"]),
        (["tracking=[csv,tensorboard]"], ["csv", "tensorboard"]),
    ],
)
def test_a_configuration_chooses_one_or_several(configure, overrides, kinds):
    from omegaconf import OmegaConf

    config = OmegaConf.to_container(configure(*overrides).tracking)
    tracker = make_tracker(config)
    own = (
        tracker.trackers if isinstance(tracker, SeveralTrackers) else {getattr(tracker, "kind", ""): tracker}
    )
    assert [kind for kind in own if kind] == kinds
    if "mlflow" in own:
        assert own["mlflow"].options.experiment == "digits"
        assert own["csv"].folder == Path("t")


def test_a_tracker_of_a_stranger_is_refused_beside_others_too():
    with pytest.raises(TargetError, match=r"tracking\.mine"):
        make_tracker(
            {"mine": {"_target_": "os.system"}, "csv": {"_target_": "bf_research.tracking.CSVTracker"}}
        )


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ("cvs", ValueError, "did you mean 'csv'"),
        (["csv", "mlfow"], ValueError, "did you mean 'mlflow'"),
        ({"csv": {}, "experiment": "a"}, ValueError, "experiment"),
        ({"csv": "metrics"}, TypeError, "mapping of options"),
        (3, TypeError, "a name such as 'csv'"),
    ],
)
def test_what_is_no_tracker_is_refused(given, error, match):
    with pytest.raises(error, match=match):
        read_tracking(given)


# Sweeps of a Research


def double(lr):
    return 2 * lr


def test_a_sweep_is_recorded_by_all_and_each_finds_its_trials(here: Path, capsys):
    research = Research(Option("lr", [0.1, 0.2, 0.3])).add_callable(double, C("lr"), returns="value")
    research.run(
        n_iters=2,
        name="s",
        parallel=False,
        tracking={"mlflow": {"uri": store_in(here)}, "csv": {}, "tensorboard": {}},
    )
    assert SweepContext.current() is None
    told = capsys.readouterr().out
    assert "tensorboard --logdir" in told
    assert "tables  metrics" in told
    client, memory = open_store(store_in(here)), read_memory(here / "s")
    parent = client.get_run(memory["run_id"])
    runs = {run.info.run_name: run for run in child_runs(client, parent.info.experiment_id, memory["run_id"])}
    assert {run.data.metrics["value"] for run in runs.values()} == {0.2, 0.4, 0.6}
    for record in research.trials.records:
        wanted = 2 * record.config["lr"]
        assert runs[record.id].data.metrics["value"] == wanted
        found = events(here / "s" / "trials" / record.id)
        assert [(name, step) for name, step, _ in found] == [("value", 0), ("value", 1)]
        assert found[0][2] == pytest.approx(wanted, rel=1e-6)
    tables = {
        path: json.loads(path.with_suffix(".json").read_text()) for path in Path("metrics").glob("*.csv")
    }
    assert {about["name"] for about in tables.values()} == set(runs)
    for path, about in tables.items():
        value = 2 * float(about["params"]["lr"])
        assert table(path) == [("value", 0, value), ("value", 1, value)]
        assert about["status"] == "FINISHED"
        assert about["tags"]["bf.folder"] == str(here / "s" / "trials" / about["name"])
    show(Path("s"))
    told = capsys.readouterr().out
    assert f"open      tensorboard --logdir {here / 's'}" in told
    assert "csv       in metrics" in told
    assert re.search(r"^MLflow    run [0-9a-f]{32}, in sqlite:///\S+$", told, re.MULTILINE)
    page = write_report(Path("s"), None, None, None, store_in(here)).read_text()
    assert f"tensorboard --logdir {here / 's'}" in page
    assert "In MLflow: " in page


SWEEP = """
import os, sys, time
from pathlib import Path
from bf_pipeline import C
from bf_research import Option, Research

def work(lr):
    if lr == 0.2 and not Path("killed").exists():
        Path("killed").touch()
        os.kill(os.getpid(), 9)
    if lr == 0.3 and not Path("go").exists():
        Path("waiting").touch()
        time.sleep(10**6)
    return 2 * lr

research = Research(Option("lr", [0.1, 0.2, 0.3])).add_callable(work, C("lr"), returns="value")
research.run(n_iters=3, name="s", resume="missing", tracking=["csv", "tensorboard"])
"""


def test_trials_and_a_driver_that_are_killed_leave_each_point_once(here: Path):
    (here / "sweep.py").write_text(SWEEP)
    command = [sys.executable, "sweep.py"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    driver = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while not (here / "waiting").exists():
        assert driver.poll() is None, driver.stderr.read()
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    assert (here / "killed").exists()
    (here / "go").touch()
    subprocess.run(command, env=environment, check=True)
    research = Research.load("s")
    assert [str(record.state) for record in research.trials.records] == ["DONE"] * 3
    assert research.results.groupby("lr")["value"].last().to_dict() == {0.1: 0.2, 0.2: 0.4, 0.3: 0.6}
    for record in research.trials.records:
        assert [step for _, step, _ in events(here / "s" / "trials" / record.id)] == [0, 1, 2]
    ended = {}
    for path in Path("metrics").glob("*.csv"):
        about = json.loads(path.with_suffix(".json").read_text())
        ended.setdefault(about["params"]["lr"], []).append((about["status"], len(table(path))))
    assert all(("FINISHED", 3) in tries for tries in ended.values())
    assert sum(status == "FINISHED" for tries in ended.values() for status, _ in tries) == 3


def test_the_places_of_a_sweep_are_told_as_data(here: Path, capsys):
    """A folder may come from somebody else: what it names is shown, and asked nothing."""
    from bf_programs.recorded import tell_places, tell_runs

    assert tell_places({"tensorboard": "a; rm -rf ~"}) == ["open      tensorboard --logdir 'a; rm -rf ~'"]
    record = {"run_id": "x", "runs": {"csv\x1b[2J": {"run_id": "a\nb", "page": "p\x07"}, "bad": 3}}
    (line,) = tell_runs(record)
    assert line.isprintable()
    assert tell_runs({"run_id": "0" * 32}) == [f"MLflow    run {'0' * 32}"]
    (here / "s").mkdir()
    (here / "s" / "tracking.json").write_text('{"places": {"csv": 3, "other": "x"}, "store": 1}')
    assert read_places(here / "s") == {}


# Ids


class LinesTracker(NoTracker):
    """A tracker as docs/architecture.md has one: its place says nothing of its kind."""

    def __init__(self) -> None:
        self.params, self.run_id = {}, "RUN7"

    def start(self, name, tags=None, run_id=None):
        self.run_id = run_id or "RUN7"

    def ready(self, timeout=120.0):
        return Location("", "", "", self.run_id, "net", "", "lines")

    def log_params(self, params):
        self.params |= params


def test_a_folder_notes_a_run_by_the_kinds_that_it_goes_on_with(here: Path):
    with RunFolder(here / "own") as folder:
        folder.begin({})
        lines = LinesTracker()
        folder.note_run(lines.ready(), lines)
        assert choose_id(folder.run_id, "lines") == "RUN7"
        assert goes_on(LinesTracker(), folder.run_id)

    def make():
        return SeveralTrackers(CSVTracker("a"), CSVTracker("b"), LinesTracker())

    with RunFolder(here / "twice") as folder:
        folder.begin({})
        first = make()
        with record_run(first, "net"):
            first.log_metric("loss", 1.0, 1)
            folder.note_run(first.ready(), first)
        again = make()
        with record_run(again, "net", None, folder.run_id):
            again.log_metric("loss", 2.0, 2)
    for name in "ab":
        (path,) = (here / name).glob("*.csv")
        assert table(path) == [("loss", 1, 1.0), ("loss", 2, 2.0)]


@pytest.mark.parametrize(
    ("run_id", "owner"),
    [("0123456789abcdef" * 2, "mlflow"), ("2026-01-02_03-04-05_LeNet_0123abcd", "csv"), ("RUN7", "lines")],
)
def test_a_run_of_version_0_2_goes_on_in_the_tracker_that_wrote_it(here: Path, run_id: str, owner: str):
    (here / "net").mkdir()
    (here / "net" / "run.json").write_text(json.dumps({"settings": {}, "state": "running", "run_id": run_id}))
    with RunFolder(here / "net") as folder:
        given = folder.run_id
    for kind in ("mlflow", "csv", "tensorboard", "wandb", "lines"):
        assert choose_id(given, kind) == (run_id if kind == owner else None)
    assert not goes_on(SeveralTrackers(CSVTracker(), TensorBoardTracker()), given)
    events_tracker = TensorBoardTracker("events")
    with record_run(events_tracker, "net", None, given):
        assert events_tracker.ready().run_id != run_id


def test_several_read_an_id_of_mlflow_as_that_of_mlflow(here: Path):
    client = open_store(store_in(here))
    run_id = client.create_run(client.create_experiment("older")).info.run_id
    several = SeveralTrackers(MLflowTracker(store_in(here), experiment="older"), CSVTracker())
    assert not goes_on(several, run_id)
    with record_run(several, "net", None, run_id):
        mlflow, own = several.ready().parts
    assert (mlflow.run_id, own.run_id == run_id) == (run_id, False)


def test_a_research_whose_tracker_cannot_open_fails_before_its_first_iteration(here: Path, monkeypatch):
    def refuse(self):
        raise OSError("the library is broken")

    monkeypatch.setattr(TensorBoardTracker, "open_run", refuse)
    research = Research(Option("lr", [0.1])).add_callable(touch, returns="value")
    research.run(n_iters=2, name="s", parallel=False, tracking="tensorboard")
    (record,) = research.trials.records
    assert str(record.state) == "FAILED"
    assert "the library is broken" in str(record)
    assert not (here / "touched").exists()


def touch():
    Path("touched").touch()
    return 1


def test_a_place_that_cannot_be_looked_at_is_told_all_the_same():
    assert sync_command("x" * 5000).endswith("/*/wandb")
    assert sync_command("a\0b").endswith("/*/wandb")
