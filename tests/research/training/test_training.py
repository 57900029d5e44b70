"""The training loop: events in their rhythm, the best kept, and the same end after any interruption."""

from __future__ import annotations

import contextlib
import json
import random
import re
import resource
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bf_batch import Batch, Dataset
from bf_index.errors import StateError
from bf_pipeline import B, Pipeline, V
from bf_research.training.checkpoints import MODEL, Checkpoints, read_model_record
from bf_research.training.folder import RunFolder, RunLocked, open_unfinished, read_record
from bf_research.training.rates import ReduceOnPlateau
from bf_research.training.state import Event, Every, TrainingState, is_better, read_seconds
from bf_research.training.stopping import EarlyStopping, TimeLimit
from bf_research.training.training import Training
from bf_research.training.validation import IterationLog, Validation

ROOT = Path(__file__).parents[3]


class Points(Batch):
    components = "x", "y"


class Line:
    """A line that is fitted by steps of gradient descent: y = w x."""

    def __init__(self, config: Any = None) -> None:
        self.weight, self.iterations, self.rate_factor = 0.0, 0, 1.0

    def train(self, inputs: Any, targets: Any, **options: Any) -> float:
        wrong = self.weight * inputs - targets
        self.weight -= 0.1 * float((wrong * inputs).mean())
        self.iterations += 1
        return float((wrong**2).mean())

    def predict(self, inputs: Any, targets: Any = None, **options: Any) -> Any:
        return self.weight * inputs

    def save(self, path: Path) -> None:
        Path(path).write_text(json.dumps([self.weight, self.iterations]))

    @classmethod
    def load(cls, path: Path) -> Line:
        model = cls()
        model.weight, model.iterations = json.loads(Path(path).read_text())
        return model


class Failing(Event):
    """An event that ends the program after an iteration."""

    def __init__(self, at: int = 0) -> None:
        self.at = at

    def after_iteration(self, state: TrainingState) -> None:
        if state.iteration == self.at:
            raise RuntimeError("the machine is gone")


class Distance:
    """A metric: how far predictions are from the targets."""

    def __init__(self, targets: Any, predictions: Any) -> None:
        self.sums = [float(np.abs(targets - predictions).sum()), len(targets)]

    def update(self, other: Distance) -> None:
        self.sums = [a + b for a, b in zip(self.sums, other.sums)]

    def evaluate(self, name: str) -> float:
        if name != "mae":
            raise KeyError(f"unknown metric {name!r}; known: mae")
        return self.sums[0] / self.sums[1]


X = np.linspace(-1, 1, 40)
DATA = Dataset(40, Points, preloaded={"x": X, "y": 3 * X})


def trains() -> Any:
    steps = Pipeline().init_variable("loss", 0.0).init_model("static", Line, "net")
    return steps.train_model("net", B("x"), B("y"), fetches="loss", save_to=V("loss")) << DATA


def validates(training: Any) -> Any:
    steps = Pipeline().init_variable("predictions").init_variable("metrics").import_model("net", training)
    steps = steps.predict_model("net", B("x"), save_to=V("predictions"))
    measured = steps.gather_metrics(
        Distance, targets=B("y"), predictions=V("predictions"), save_to=V("metrics")
    )
    return measured << DATA


def run(folder: Path, *more: Event, n_epochs: int = 6, **options: Any) -> Any:
    pipeline = trains()
    events = [
        IterationLog(),
        Validation(validates(pipeline), metrics=["mae"], batch_size=16),
        Checkpoints(every=3, best="validation/mae"),
        *more,
    ]
    training = Training(pipeline, folder=folder, events=events, settings={"n": "1"})
    return training.run(8, shuffle=True, n_epochs=n_epochs, seed=1, **options)


@pytest.mark.parametrize("given", ["epochs", 0, -1, True, 1.5, "10", "0 s", None])
def test_a_rhythm_that_is_none_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="checkpoint: every must be"):
        Every.of(given, "checkpoint")


@pytest.mark.parametrize(
    ("given", "seconds"), [(5, 5), ("90s", 90), ("1h30m", 5400), ("1.5m", 90), ("2d", 172800)]
)
def test_times_are_read(given: Any, seconds: float) -> None:
    assert read_seconds(given, "max_time") == seconds


@pytest.mark.parametrize("given", [0, -1, "0s", "1 h", "soon", True, None])
def test_a_time_that_is_none_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="max_time must be"):
        TimeLimit(given)


@pytest.mark.parametrize(
    ("value", "best", "metric", "mode", "better"),
    [
        (0.9, 0.8, "validation/accuracy", "auto", True),
        (0.9, 0.8, "validation/loss", "auto", False),
        (0.7, 0.8, "validation/rmse", "auto", True),
        (0.7, 0.8, "validation/score", "min", True),
        (0.7, None, "validation/loss", "auto", True),
        (float("nan"), None, "validation/loss", "auto", False),
    ],
)
def test_what_is_better_follows_the_name_of_a_metric(value, best, metric, mode, better) -> None:
    assert is_better(value, best, metric, mode) is better


@pytest.mark.parametrize(
    "options", [{"patience": 0}, {"patience": 1.5}, {"min_delta": -1}, {"mode": "up"}, {"start": -1}]
)
def test_senseless_early_stopping_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        EarlyStopping(**options)


def test_events_see_each_iteration_and_each_epoch(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Watch(Event):
        def after_iteration(self, state: TrainingState) -> None:
            seen.append(state.iteration)

        def after_epoch(self, state: TrainingState) -> None:
            seen.append(f"epoch {state.epoch}")

    run(tmp_path, Watch(), n_epochs=2)
    assert seen == [1, 2, 3, 4, 5, "epoch 1", 6, 7, 8, 9, 10, "epoch 2"]


def test_the_best_model_is_kept_and_not_the_last(tmp_path: Path) -> None:
    class Spoil(Event):
        def after_iteration(self, state: TrainingState) -> None:
            if state.iteration > 20:
                state.model.weight = -5.0

    done = run(tmp_path, Spoil())
    record = read_model_record(tmp_path)
    assert record["metric"] == "validation/mae"
    assert record["iteration"] == 20
    assert done.metrics["validation/mae"] > record["value"]
    kept = Line.load(tmp_path / MODEL)
    assert np.abs(kept.weight * X - 3 * X).mean() == pytest.approx(record["value"])


@pytest.mark.parametrize("at", [1, 3, 4, 5, 17, 29])
def test_a_training_that_was_cut_off_ends_as_one_that_was_not(tmp_path: Path, at: int) -> None:
    whole = run(tmp_path / "whole", Failing())
    with pytest.raises(RuntimeError, match="machine is gone"):
        run(tmp_path / "cut", Failing(at))
    again = run(tmp_path / "cut", Failing(), prefetch=2)
    assert again.model.weight == whole.model.weight
    assert again.metrics == {**whole.metrics, **{k: again.metrics[k] for k in again.metrics if "second" in k}}
    assert again.iterations == whole.iterations == 30
    assert read_model_record(tmp_path / "cut") == read_model_record(tmp_path / "whole")


@pytest.mark.parametrize("every", ["epoch", 7, "1h"])
def test_the_best_model_is_kept_whenever_it_was_measured(tmp_path: Path, every: Any) -> None:
    pipeline = trains()
    events = [
        Validation(validates(pipeline), every=4, metrics=["mae"], batch_size=16),
        Checkpoints(every=every, best="validation/mae"),
    ]
    Training(pipeline, folder=tmp_path, events=events).run(8, shuffle=True, n_iters=10, seed=1)
    assert read_model_record(tmp_path)["iteration"] == 10
    assert json.loads((tmp_path / MODEL).read_text())[1] == 10
    other = trains()
    events = [
        Validation(validates(other), every=4, metrics=["mae"], batch_size=16),
        Checkpoints(every=every, best="validation/mae"),
        Failing(9),
    ]
    with pytest.raises(RuntimeError, match="the machine is gone"):
        Training(other, folder=tmp_path / "cut", events=events).run(8, shuffle=True, n_iters=10, seed=1)
    assert read_model_record(tmp_path / "cut")["iteration"] == 8


class Cut(Event):
    """An event that is asked to end the program when the training is at its end."""

    def __init__(self, cuts: bool) -> None:
        self.cuts = cuts

    def after(self, state: TrainingState) -> None:
        if self.cuts:
            raise KeyboardInterrupt


@pytest.mark.parametrize("best", ["validation/mae", None])
@pytest.mark.parametrize("place", [0, 1])
def test_an_end_that_was_cut_off_is_made_up_for(tmp_path: Path, best: str | None, place: int) -> None:
    def train(folder: Path, cuts: bool) -> Any:
        pipeline = trains()
        events = [
            Validation(validates(pipeline), every=4, metrics=["mae"], batch_size=16),
            Checkpoints(every=5, best=best),  # the last one is of the last iteration, and nothing is left
        ]
        events.insert(place, Cut(cuts))
        return Training(pipeline, folder=folder, events=events).run(8, shuffle=True, n_iters=10, seed=1)

    whole = train(tmp_path / "whole", False)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", True)
    again = train(tmp_path / "cut", False)
    assert again.metrics == whole.metrics
    assert read_model_record(tmp_path / "cut") == read_model_record(tmp_path / "whole")
    assert (tmp_path / "cut" / MODEL).read_text() == (tmp_path / "whole" / MODEL).read_text()


def test_early_stopping_remembers_over_an_interruption(tmp_path: Path) -> None:
    def stop() -> list[Event]:
        return [EarlyStopping("validation/mae", patience=3, min_delta=0.5)]

    whole = run(tmp_path / "whole", *stop(), Failing(), n_epochs=50)
    assert whole.stopped is not None
    assert "validation/mae did not become better in 3 measurements" in whole.stopped
    with pytest.raises(RuntimeError):
        run(tmp_path / "cut", *stop(), Failing(whole.iterations - 6), n_epochs=50)
    again = run(tmp_path / "cut", *stop(), Failing(), n_epochs=50)
    assert (again.iterations, again.stopped) == (whole.iterations, whole.stopped)


class Falling(Event):
    """A metric that becomes better for some epochs, and then never again."""

    def check(self, state: TrainingState) -> None:
        state.metrics["own/loss"] = 0.0

    def after_epoch(self, state: TrainingState) -> None:
        state.log("own/loss", float(max(3 - state.epoch, 0)))


@pytest.mark.parametrize("at", [0, 22, 33, 46])
def test_the_rate_falls_when_a_metric_does_not(tmp_path: Path, at: int) -> None:
    seen: dict[int, float] = {}

    class Look(Event):
        def after_iteration(self, state: TrainingState) -> None:
            seen[state.iteration] = state.model.rate_factor

    def train() -> None:
        plateau = ReduceOnPlateau("own/loss", factor=0.1, patience=2, cooldown=1, least=0.02)
        run(tmp_path, Falling(), plateau, Look(), Failing(at), n_epochs=12)

    if at:
        with pytest.raises(RuntimeError, match="the machine is gone"):
            train()
        at = 0
    train()
    # better at the ends of epochs 1 to 3; two that are not; one that rests; two that are not
    assert [seen[5 * epoch + 1] for epoch in range(12)] == pytest.approx([1.0] * 5 + [0.1] * 3 + [0.02] * 4)


@pytest.mark.parametrize(
    "options",
    [{"patience": 0}, {"cooldown": -1}, {"factor": 1.0}, {"least": 0}, {"min_delta": -1}, {"mode": "less"}],
)
def test_a_plateau_that_is_none_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"plateau: {next(iter(options))} must be"):
        ReduceOnPlateau(**options)


def test_a_training_stops_when_its_time_is_over(tmp_path: Path) -> None:
    done = run(tmp_path, TimeLimit(1e-6))
    assert done.iterations == 1
    assert done.stopped == "max_time=1e-06 s is over"


def test_a_metric_that_nobody_measures_is_told_in_the_first_iteration(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'validation/mae'"):
        run(tmp_path, EarlyStopping("validation/mea"))
    assert not list((tmp_path / "checkpoints").glob("checkpoint-*"))


def test_other_settings_in_a_folder_are_refused_and_named(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(StateError, match=r"n was '1' and is '2'"):
        Training(trains(), folder=tmp_path, settings={"n": "2"}).run(8, n_epochs=1)


def test_never_begins_anew_beside_it(tmp_path: Path) -> None:
    run(tmp_path / "one")
    done = run(tmp_path / "one", resume="never")
    assert done.folder == tmp_path / "one-2"
    assert done.iterations == 30


def test_two_trainings_in_one_folder_are_refused(tmp_path: Path) -> None:
    with RunFolder(tmp_path), pytest.raises(RunLocked, match="another process trains in this folder"):
        RunFolder(tmp_path)


def test_a_record_that_goes_while_folders_are_looked_through(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone/run.json").symlink_to(tmp_path / "nowhere")
    with RunFolder(tmp_path / "one") as folder:
        folder.begin({"n": "1"})
    found = open_unfinished(tmp_path, {"n": "1"})
    assert found is not None
    assert found.path == tmp_path / "one"
    found.close()


class Buildable(Line):
    """A model that can predict before it has learnt."""

    def build(self) -> None:
        pass


@pytest.mark.parametrize(("model", "iterations"), [(Line, 1), (Buildable, 0)])
def test_events_are_tried_before_the_first_iteration_if_the_model_can(model: Any, iterations: int) -> None:
    seen = []

    class Look(Event):
        def check(self, state: TrainingState) -> None:
            seen.append(state.model.iterations)

    steps = Pipeline().init_variable("loss", 0.0).init_model("static", model, "net")
    pipeline = steps.train_model("net", B("x"), B("y"), fetches="loss", save_to=V("loss")) << DATA
    Training(pipeline, events=[Look()]).run(8, n_iters=3)
    assert seen == [iterations]


def test_a_validation_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    value = run(tmp_path, n_epochs=1).metrics["validation/mae"]
    assert f"validation after 5 iterations: mae {value:.4g}" in caplog.text


def test_the_newest_unfinished_training_of_the_same_settings_is_found(tmp_path: Path) -> None:
    for name, settings, state in [("a", "1", "running"), ("b", "1", "finished"), ("c", "2", "running")]:
        with RunFolder(tmp_path / "day" / name) as folder:
            folder.begin({"n": settings})
            folder.note(state=state)
    found = open_unfinished(tmp_path, {"n": "1"})
    assert found is not None
    assert found.path.name == "a"
    assert open_unfinished(tmp_path, {"n": "1"}) is None, "this process trains in it"
    found.close()
    assert open_unfinished(tmp_path, {"n": "3"}) is None


class Full(Event):
    """The disk takes no more than a few bytes a file after an iteration."""

    def __init__(self, at: int) -> None:
        self.at = at

    def after_iteration(self, state: TrainingState) -> None:
        if state.iteration == self.at:
            limit_files(50)


def limit_files(size: int) -> None:
    """Let the system refuse to make files longer than so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_disk_that_is_full_costs_no_training_and_no_earlier_checkpoint(tmp_path: Path, caplog) -> None:
    try:
        with pytest.raises(RuntimeError, match="the machine is gone"):
            run(tmp_path, Full(10), Failing(20))
    finally:
        limit_files(resource.RLIM_INFINITY)
    assert "could not be written, earlier ones stay and the training goes on" in caplog.text
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir() if path.is_dir()) == [
        "checkpoint-000002", "checkpoint-000003",
    ]  # fmt: skip
    again, whole = (run(folder, Full(-1), Failing()).metrics for folder in (tmp_path, tmp_path / "whole"))
    assert again["validation/mae"] == whole["validation/mae"]
    assert (tmp_path / MODEL).read_text() == (tmp_path / "whole" / MODEL).read_text()


def test_a_record_that_is_damaged_or_foreign_is_none(tmp_path: Path) -> None:
    good = {"settings": {}, "metrics": {"a": 1.0}, "run_id": "x", "iteration": 3}
    (tmp_path / "run.json").write_text(json.dumps(good))
    assert read_record(tmp_path) == good
    for field, value in [
        ("metrics", {"a": "b"}),
        ("metrics", 3),
        ("run_id", 1),
        ("iteration", "9"),
        ("settings", 1),
    ]:
        (tmp_path / "run.json").write_text(json.dumps({**good, field: value}))
        assert read_record(tmp_path) == {}, field
    for text in ("", "{", "[" * 100_000, json.dumps({**good, "more": "x" * 10_000_000})):
        (tmp_path / "run.json").write_text(text)
        assert read_record(tmp_path) == {}


@pytest.mark.parametrize("name", ["run.lock", ".run.json.tmp", "run.json"])
def test_links_in_a_folder_lead_nowhere(tmp_path: Path, name: str) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("years of work")
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / name).symlink_to(precious)
    with contextlib.suppress(PermissionError), RunFolder(tmp_path / "sent") as folder:
        folder.begin({"n": 1})
    assert precious.read_text() == "years of work"


def command(folder: Path, *settings: str) -> subprocess.Popen[str]:
    arguments = ["model=mlp", "n_epochs=3", "bar=false", "checkpoint.every=10", "+model.deterministic=true"]
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *arguments, *settings],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.usefixtures("ready_store")
def test_the_same_command_goes_on_after_a_kill_and_ends_the_same(tmp_path: Path) -> None:
    whole = command(tmp_path, "name=whole", "tracking=none")
    told = whole.communicate()[0]
    assert whole.returncode == 0, told
    killed = command(tmp_path, "name=killed")
    checkpoints = tmp_path / "outputs" / "killed" / "checkpoints"
    while killed.poll() is None and len(list(checkpoints.glob("checkpoint-*"))) < 2:
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    run_id = read_record(checkpoints.parent)["run_id"]
    again = command(tmp_path, "name=killed", "prefetch=0", "engine=inline")
    told = again.communicate()[0]
    assert again.returncode == 0, told
    assert re.search(r"going on after \d+ of 168 iterations", told)
    records = [read_record(tmp_path / "outputs" / name) for name in ("whole", "killed")]
    assert records[0]["metrics"] == records[1]["metrics"]
    assert records[1]["run_id"] == run_id
    from bf_research.tracking.store import open_store

    client = open_store(f"sqlite:///{tmp_path}/mlflow.db")
    steps = [point.step for point in client.get_metric_history(run_id, "train/loss")]
    assert sorted(steps) == list(range(1, 169)), "each point once"
    assert client.get_run(run_id).info.status == "FINISHED"
    finished = command(tmp_path, "name=killed")
    told = finished.communicate()[0]
    assert finished.returncode == 0
    assert "this training is finished" in told
    other = command(tmp_path, "name=killed", "batch_size=32")
    told = other.communicate()[0]
    assert other.returncode == 1
    assert "batch_size was '64' and is '32'" in told


@pytest.mark.slow
@pytest.mark.timeout(3600)  # twenty-two starts of TensorFlow
def test_twenty_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    """Optimizer, schedule, averages and early stopping go on as if nothing had been, in any engine."""
    settings = ["n_epochs=12", "checkpoint.every=7", "+model.ema=0.99", "optimizer=adam"]
    settings += ["early_stopping={metric: validation/loss, patience: 20}", "tracking=none"]
    whole = command(tmp_path, "name=whole", *settings)
    told = whole.communicate()[0]
    assert whole.returncode == 0, told
    checkpoints = tmp_path / "outputs" / "killed" / "checkpoints"
    rng, kills = random.Random(7), 0
    while kills < 20:
        engine, prefetch = rng.choice(["inline", "threads", "processes"]), rng.randrange(4)
        one = command(tmp_path, "name=killed", *settings, f"engine={engine}", f"prefetch={prefetch}")
        before = set(checkpoints.glob("checkpoint-*"))
        while one.poll() is None and set(checkpoints.glob("checkpoint-*")) <= before:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.1))
        if one.poll() is not None:
            break
        one.kill()
        one.communicate()
        kills += 1
    assert kills >= 10, "the training ended too soon to say anything"
    last = command(tmp_path, "name=killed", *settings)
    told = last.communicate()[0]
    assert last.returncode == 0, told
    folders = [tmp_path / "outputs" / name for name in ("whole", "killed")]
    records = [read_record(folder) for folder in folders]
    assert records[0]["metrics"] == records[1]["metrics"]
    first, second = (zipfile.ZipFile(folder / MODEL).read("weights.safetensors") for folder in folders)
    assert first == second
