"""The main command trains on real digits, in this process and as a program."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from bf_command.schema import register
from bf_index.names import TargetError
from bf_models.errors import NonFiniteLoss
from bf_research.recipe.names import shorten
from bf_research.recipe.pipelines import seed_of
from bf_research.tracking.store import open_store
from bf_research.train import train

ROOT = Path(__file__).parents[2]
SMALL = ["model=lenet", "n_iters=3", "batch_size=32", "bar=false"]


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., DictConfig]]:
    """``configure("model=vgg7")`` composes the project's own configuration for a short training."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BF_SWEEP", raising=False)
    register(ROOT / "conf")
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        yield lambda *overrides: compose("train", overrides=[*SMALL, *overrides])


@pytest.mark.usefixtures("ready_store")
def test_a_training_is_recorded_whole(configure, tmp_path: Path):
    outcome = train(configure())
    assert outcome.iterations == 3
    assert set(outcome.metrics) == {
        *("train/loss", "validation/accuracy", "validation/loss", "test/accuracy", "test/loss")
    }
    assert 0 <= outcome.metrics["test/accuracy"] <= 1
    location = outcome.location
    assert location is not None
    assert location.store == f"sqlite:///{tmp_path}/mlflow.db"
    assert all(text in str(outcome) for text in ("test/accuracy", "mlflow ui", location.run_id))
    client = open_store(location.store)
    run = client.get_run(location.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["model._target_"] == "bf_models.LeNet"
    assert run.data.params["pipeline.augment.0.rotate.angle"] == "${P:${R:uniform,-10,10}}"
    losses = client.get_metric_history(location.run_id, "train/loss")
    assert [metric.step for metric in losses] == [1, 2, 3]
    assert run.data.metrics["test/accuracy"] == outcome.metrics["test/accuracy"]
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    assert "batch_size: 32" in (folder / "config.yaml").read_text()


def test_a_training_is_recorded_in_a_table_without_a_store(configure, tmp_path: Path):
    outcome = train(configure("tracking=csv"))
    rows = Path(outcome.location.page).read_text().splitlines()
    losses = [row for row in rows if row.split(",")[1] == "train/loss"]
    assert [row.split(",")[0] for row in losses] == ["1", "2", "3"]
    assert float(losses[-1].split(",")[2]) == outcome.metrics["train/loss"]
    about = json.loads(Path(outcome.location.page).with_suffix(".json").read_text())
    assert about["params"]["model._target_"] == "bf_models.LeNet"
    assert about["status"] == "FINISHED"
    assert not (tmp_path / "mlflow.db").exists()


def test_equal_seeds_give_equal_trainings(configure):
    first, again = (train(configure("tracking=none", "seed=7")) for _ in range(2))
    other = train(configure("tracking=none", "seed=8"))
    assert first.metrics == again.metrics
    assert other.metrics != first.metrics


def test_augmentation_is_replaced_from_the_command_line(configure):
    config = configure("tracking=none", "pipeline.augment=[{flip: {p: 0.5}}]")
    assert list(config.pipeline.augment) == [{"flip": {"p": 0.5}}]
    assert train(config).iterations == 3


def test_a_list_of_steps_that_nothing_takes_is_named(configure):
    message = "unknown list of steps .agument. of pipeline; did you mean .augment"
    with pytest.raises(ValueError, match=message):
        train(configure("tracking=none", "+pipeline.agument=[{flip: {p: 0.5}}]"))


def test_epochs_count_when_iterations_are_not_given(configure):
    config = configure("tracking=none", "n_iters=null", "n_epochs=1", "batch_size=1800")
    assert train(config).iterations == 2


@pytest.mark.parametrize("schedule", ["plateau", "one_cycle"])
def test_schedules_of_the_command(configure, schedule: str):
    config = configure("tracking=none", "model=mlp", f"schedule={schedule}")
    assert train(config).iterations == 3


def test_a_plateau_of_what_is_not_measured_is_refused_ahead(configure):
    with pytest.raises(ValueError, match=r"unknown metric 'validation/lost' of schedule.metric"):
        train(configure("tracking=none", "schedule=plateau", "schedule.metric=validation/lost"))
    with pytest.raises(ValueError, match=r"unknown setting 'patiens' of schedule; did you mean 'patience'"):
        train(configure("tracking=none", "schedule=plateau", "+schedule.patiens=3"))


OWN_EVENT = """
from bf_research import Event

class Halving(Event):
    def __init__(self, after):
        self.stop_after = after

    def after_iteration(self, state):
        state.log("own/iterations", state.iteration)
        if state.iteration == self.stop_after:
            state.stop("half is enough")
"""


def test_an_event_of_a_users_own_is_named_in_the_configuration(configure, tmp_path: Path, monkeypatch):
    (tmp_path / "my_events.py").write_text(OWN_EVENT)
    monkeypatch.syspath_prepend(tmp_path)
    mine, trusted = "+events.mine={_target_: my_events.Halving, after: 2}", "targets=[my_events]"
    with pytest.raises(TargetError, match=r"events.mine: .*my_events.*targets=\[my_events\]"):
        train(configure("tracking=none", mine))
    outcome = train(configure("tracking=none", mine, trusted))
    assert outcome.iterations == outcome.metrics["own/iterations"] == 2
    assert outcome.stopped == "half is enough"
    with pytest.raises(TypeError, match=r"'later' of events.mine my_events.Halving; did you mean 'after'"):
        train(configure("tracking=none", mine.replace("after", "later"), trusted))
    other = "+events.mine={_target_: bf_research.training.folder.RunFolder, path: x}"
    with pytest.raises(TargetError, match=r"events.mine"):
        train(configure("tracking=none", other))


def test_a_training_whose_loss_is_not_finite_is_stopped_if_that_is_asked(configure):
    wild = ["tracking=none", "model=mlp", "optimizer=sgd", "optimizer.learning_rate=1e30"]
    with pytest.raises(NonFiniteLoss, match="at iteration 1"):
        train(configure(*wild))
    outcome = train(configure(*wild, "+model.non_finite=stop"))
    assert outcome.iterations == 1
    assert "MLP: the loss is nan at iteration 1" in str(outcome.stopped)


def test_all_mistakes_of_a_configuration_are_told_at_once(configure):
    wrong = ["pipeline.augment=[{rotat: {angle: 3}}]", "early_stopping={patience: 0}", "max_time=soon"]
    wrong += ["checkpoint.every=often", "schedule=plateau", "schedule.metric=validation/lost"]
    with pytest.raises(ValueError, match="5 mistakes in the configuration") as caught:
        train(configure("tracking=none", *wrong))
    for told in ("'rotat'", "patience must be", "max_time must be", "every must be", "of schedule.metric"):
        assert told in str(caught.value)


def test_a_share_that_leaves_a_class_out_is_refused(configure):
    with pytest.raises(ValueError, match=r"share=0.002 of 4000 items leaves classes out .*class 8"):
        train(configure("tracking=none", "validation.share=0.002"))


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("resume=nosuch", r"resume=nosuch: there is no run.json in '.*nosuch'; give the folder of a run"),
        ("name=a/b", r"name='a/b': a name of letters, numbers and any of"),
    ],
)
def test_a_run_that_there_is_not_or_cannot_be_is_named(run_script, tmp_path: Path, setting: str, told: str):
    done = run_script(program(*SMALL, "tracking=none", setting))
    assert done.code == 1
    assert re.search(told, done.err)
    assert not (tmp_path / "nosuch").exists()


def test_a_training_of_nothing_is_refused(configure):
    with pytest.raises(ValueError, match="n_iters=0: nothing is trained"):
        train(configure("tracking=none", "n_iters=0"))


@pytest.mark.usefixtures("ready_store")
def test_a_stop_of_the_sweep_ends_the_training_at_an_iteration(configure, monkeypatch: pytest.MonkeyPatch):
    calls = iter([False, True])
    monkeypatch.setattr("bf_research.training.training.stopping", lambda: next(calls))
    with pytest.raises(KeyboardInterrupt):
        train(configure())


def test_tracking_of_a_sweep_that_cannot_be_is_refused_before_any_trial(run_script):
    done = run_script(program("-m", *SMALL, "model=lenet,mlp", "tracking.uri=http://127.0.0.1:1"))
    assert done.code == 1
    assert "does not answer" in done.err
    assert "iterations" not in done.out


def program(*arguments: str) -> str:
    return f"""
        import runpy, sys
        sys.argv = ["train.py", *{list(arguments)!r}]
        runpy.run_path({str(ROOT / "train.py")!r}, run_name="__main__")
    """


def test_repetitions_differ_and_the_first_is_the_single_run() -> None:
    seeds = [seed_of(OmegaConf.create({"seed": 7, "repetition": number})) for number in range(3)]
    assert seeds[0] == 7
    assert len(set(seeds)) == 3
    assert seeds == [seed_of(OmegaConf.create({"seed": 7, "repetition": number})) for number in range(3)]


def test_runs_of_a_sweep_have_short_names_that_tell_them_apart() -> None:
    own = {"model": "mlp", "optimizer.learning_rate": "0.01", "repetition": "1"}
    assert shorten(own, {"model"}) == "mlp learning_rate=0.01 #1"
    assert shorten({"a.lr": "1", "b.lr": "2"}, ()) == "a.lr=1 b.lr=2"


@pytest.mark.parametrize(
    ("number", "code", "told"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_training_cut_off_tells_how_far_it_was(start_script, number, code: int, told: str) -> None:
    script = start_script(program("model=mlp", "n_iters=100000", "bar=true", "tracking=none"))
    assert script.err.holds("/100000"), "the bar is there from the begin of the first iteration"
    script.send(number)
    done = script.finish()
    assert done.code == code
    assert re.search(
        rf"^{told} after \d+ of 100000 iterations; saved in .*: the same command goes on$",
        done.err,
        re.MULTILINE,
    ), done.err


def test_a_sweep_cut_off_tells_the_way_on(start_script) -> None:
    settings = ["model=mlp,lenet", "n_iters=100000", "bar=false", "tracking=none", "hydra.sweep.dir=cut"]
    script = start_script(program("-m", *settings))
    script.wait_for("100000 iterations on")
    script.interrupt()
    done = script.finish()
    assert done.code == 130
    assert "the same command with hydra.sweep.dir=cut runs what is left of it" in done.err


@pytest.mark.usefixtures("ready_store")
def test_what_follows_from_other_settings_is_recorded(configure) -> None:
    location = train(configure("n_epochs=3")).location
    run = open_store(location.store).get_run(location.run_id)
    assert run.data.params["schedule.steps"] == "3"
    assert run.data.params["n_epochs"] == "None"
    text = (Path(run.info.artifact_uri.removeprefix("file://")) / "config.yaml").read_text()
    assert "???" not in text


@pytest.mark.usefixtures("ready_store")
@pytest.mark.parametrize(("sweeper", "state"), [("domain", "FINISHED"), ("basic", "FAILED")])
def test_a_trial_that_fails_before_it_begins_has_a_run(run_script, tmp_path: Path, sweeper, state) -> None:
    settings = ["loss=ce,nosuch", "hydra.sweep.dir=sweep", f"hydra/sweeper={sweeper}"]
    done = run_script(program("-m", *SMALL[1:], "model=mlp", *settings))
    assert done.code == 1
    client = open_store(f"sqlite:///{tmp_path}/mlflow.db")
    runs: list[Any] = client.search_runs(["1"], "tags.`bf.kind` = 'trial'")
    ends = {run.data.params["loss"]: run.info.status for run in runs}
    assert ends == {"ce": "FINISHED", "nosuch": "FAILED"}
    assert {run.info.run_name for run in runs} == {"loss=ce", "loss=nosuch"}
    (parent,) = client.search_runs(["1"], "tags.`bf.kind` = 'sweep'")
    assert parent.info.status == state  # a basic sweeper raises, of which Hydra 1.3 tells callbacks nothing


@pytest.mark.parametrize(
    ("launch", "wrong", "told"),
    [
        ("gpu", "+launch.wokers=2", "unknown option 'wokers' of launch; did you mean 'workers'?"),
        ("gpu", "launch.wokers=2", "unknown config key 'wokers' of launch; did you mean 'workers'?"),
        ("gpu", "launch.workers=two", "launch.workers"),
        (None, "+launch.wokers=2", "unknown option 'wokers' of launch; did you mean 'workers'?"),
        ("local", "+launch.tries=2", "unknown option 'tries' of launch; did you mean 'retries'?"),
        (
            None,
            "+launch.timeout=2",
            "launch.timeout: the launcher in use takes no options; choose one that does, launch=gpu",
        ),
    ],
)
def test_a_wrong_knob_of_a_launcher_is_refused_before_anything_starts(
    run_script, tmp_path, launch, wrong, told
):
    done = run_script(program("-m", *SMALL, *([f"launch={launch}"] if launch else []), wrong))
    assert done.code == 1
    assert done.err.startswith(f"error: {told}") or told in done.err.splitlines()[0]
    if launch != "gpu" and "unknown" in told:
        assert "choose one as well, launch=gpu|joblib|ray|slurm" in done.err
    assert "Warning" not in done.err
    assert not (tmp_path / "mlflow.db").exists()


WARM = ["hydra/launcher=gpu", "hydra.launcher.devices=[cpu:0,cpu:1]"]


@pytest.mark.usefixtures("ready_store")
@pytest.mark.parametrize("launcher", [[], pytest.param(WARM, marks=pytest.mark.slow)], ids=["basic", "gpu"])
def test_a_sweep_is_one_run_with_a_child_a_trial(run_script, tmp_path: Path, launcher):
    sweep = ["-m", *SMALL, "model=lenet,mlp", "hydra.sweep.dir=sweep", *launcher]
    done = run_script(program(*sweep))
    assert done.code == 0, done.err
    store = f"sqlite:///{tmp_path}/mlflow.db"
    client = open_store(store)
    number = client.get_experiment_by_name("batchflow").experiment_id
    runs: list[Any] = client.search_runs([number])
    parents = [run for run in runs if run.data.tags["bf.kind"] == "sweep"]
    children = [run for run in runs if run.data.tags["bf.kind"] == "trial"]
    (parent,) = parents
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    assert {child.data.params["model"] for child in children} == {"lenet", "mlp"}
    assert {child.info.run_name for child in children} == {"lenet", "mlp"}
    assert not any("launch" in name for child in children for name in child.data.params)
    assert {child.info.status for child in runs} == {"FINISHED"}
    best = max(child.data.metrics["test/accuracy"] for child in children)
    assert parent.data.metrics["test/accuracy.best"] == best
    names = {f"test/accuracy.{kind}" for kind in ("last", "mean", "std")}
    assert names <= set(parent.data.metrics)
    assert parent.data.params in (
        {"model": "lenet, mlp"},
        {"model": "mlp, lenet"},
    )  # which of two began first
    folder = Path(parent.info.artifact_uri.removeprefix("file://")) / "sweep"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "table.md",
        "table.json",
        "learning_curves.png",
        "parallel_coordinates.png",
        "by_option.png",
    }
    assert len(json.loads((folder / "table.json").read_text())) == 2
    assert all(word in done.out for word in ("charts", "compare", "compareRunsMode=CHART", "mlflow ui"))
    trials = [path for path in (tmp_path / "sweep").iterdir() if path.is_dir()]
    assert len(trials) == 2
    for trial in trials:  # nothing goes on with what is finished
        kept = {path.name for path in trial.iterdir()}
        assert {"model.bf", "run.json"} <= kept
        assert "checkpoints" not in kept
    devices = {child.data.tags["bf.device"] for child in children}
    assert devices == ({"cpu:0", "cpu:1"} if launcher else {""})
    refused = run_script(program(*sweep, "batch_size=16"))
    assert refused.code == 1
    assert "began with" in refused.err
    after = client.get_run(parent.info.run_id)
    assert (after.info.status, after.info.end_time) == ("FINISHED", parent.info.end_time)
    misspelt = run_script(program(*sweep, "hydra.sweeper.metric=test/acuracy"))
    assert misspelt.code == 0, misspelt.err
    assert "unknown result 'test/acuracy'" in misspelt.out + misspelt.err


IDLE = """
import time

import numpy as np

class Idle:
    '''A model without a network: TensorFlow need not be loaded for it.'''

    def __init__(self, config=None):
        self.iterations = 0

    def train(self, inputs=None, targets=None, **options):
        time.sleep(0.01)
        self.iterations += 1
        return 1.0

    def predict(self, inputs=None, targets=None, **options):
        return [np.zeros(len(inputs), int), 1.0]

    def save(self, path):
        path.write_text("")
"""


@pytest.mark.usefixtures("ready_store")
def test_a_second_driver_leaves_the_run_of_the_first_alone(run_script, start_script, tmp_path: Path):
    (tmp_path / "idle.py").write_text(IDLE)
    idle = ["model=mlp", "model._target_=idle.Idle", "targets=[idle]"]
    sweep = ["-m", *SMALL[1:], *idle, "n_iters=100000", "seed=1,2", "hydra.sweep.dir=sweep"]
    first = start_script(program(*sweep))
    first.wait_for("100000 iterations on")
    second = run_script(program(*sweep))
    assert second.code == 1
    assert f"process {first.process.pid} is running the sweep" in second.err
    client = open_store(f"sqlite:///{tmp_path}/mlflow.db")
    (parent,) = client.search_runs(["1"], "tags.`bf.kind` = 'sweep'")
    assert parent.info.status == "RUNNING"
    first.interrupt()
    assert first.finish().code == 130


def test_the_range_test_of_the_command_suggests_a_rate(configure):
    outcome = train(configure("model=mlp", "debug=learning_rate", "n_iters=12"))
    assert 1e-6 <= outcome.metrics["rate_test/learning_rate"] <= 1.0
