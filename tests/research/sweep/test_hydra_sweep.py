"""``hydra/sweeper=domain`` through Hydra itself."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from bf_research import Option, Results
from bf_research.sweep import journal as journals
from bf_research.sweep.settings import keep_decisive
from bf_research.sweep.trial import Trial

APPLICATION = """
import os
import sys
import time

import hydra


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config):
    with open(os.environ["RAN"], "a") as file:
        if "w" in config:
            file.write(f"{config.w and list(config.w)}\\n")
            return 1
        file.write(f"{config.model} {config.lr} {config.repetition}\\n")
    if config.model == "slow" and not os.path.exists("slow.txt"):
        open("slow.txt", "w").close()
        time.sleep(10**6)
    if config.model == "tracked":
        from bf_research.tracking import MLflowTracker

        tracker = MLflowTracker(open("store.txt").read())
        tracker.start("trial")
        tracker.ready()
        tracker.end()
    if config.model == "lossy":
        return {"loss": config.lr}
    if config.model == "bad":
        raise ValueError("a bad model")
    return {"score": 2 * config.lr + config.repetition}


if __name__ == "__main__":
    sys.argv[1:1] = ARGUMENTS
    main()
"""


CONFIG = """
defaults:
  - override hydra/sweeper: domain
  - _self_
model: vgg7
lr: 0.1
repetition: 0
hydra:
  output_subdir: null
"""


GPU = ["hydra/launcher=gpu", "hydra.launcher.devices=[cpu:0,cpu:1]", "hydra.launcher.preload=[]"]


@pytest.fixture
def start_sweep(tmp_path: Path, start_script: Callable[..., Any]) -> Callable[..., Any]:
    """Start a Hydra application with overrides; what runs is noted in ran.txt."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "train.yaml").write_text(CONFIG)

    def start(*arguments: str) -> Any:
        (tmp_path / "ran.txt").write_text("")
        code = APPLICATION.replace("ARGUMENTS", repr(["-m", "hydra.sweep.dir=out", *arguments]))
        return start_script(code, RAN=str(tmp_path / "ran.txt"))

    return start


@pytest.fixture
def sweep(tmp_path: Path, start_sweep: Callable[..., Any]) -> Callable[..., Any]:
    """Run a Hydra application with overrides; gives how it ended, its results and what ran."""

    def run(*arguments: str) -> tuple[Any, Results, list[str]]:
        done = start_sweep(*arguments).finish()
        ran = (tmp_path / "ran.txt").read_text().splitlines()
        return done, Results.of(journals.read(tmp_path / "out")), ran

    return run


@pytest.mark.parametrize("launcher", [[], GPU], ids=["basic", "gpu"])
def test_command_line_runs_records_and_resumes(sweep: Callable[..., Any], launcher: list[str]) -> None:
    done, results, ran = sweep(*launcher, "model=vgg7,resnet18", "lr=.1,.01")
    assert done.code == 0, done.err
    assert len(ran) == 4
    domain = Option("model", ["vgg7", "resnet18"]) * Option("lr", [0.1, 0.01])
    assert [record.id for record in results.records] == [Trial(config).id for config in domain]
    assert sorted(results.last("score", record) for record in results.records) == [0.02, 0.02, 0.2, 0.2]
    if launcher:
        assert {record.device for record in results.records} <= {"cpu:0", "cpu:1"}
    done, results, ran = sweep(*launcher, "model=vgg7,resnet18", "lr=.1,.01,.5")
    assert done.code == 0
    assert sorted(ran) == ["resnet18 0.5 0", "vgg7 0.5 0"]
    assert "holds 4 that are finished already" in done.out + done.err
    assert len(results) == 6


@pytest.mark.faults("CL05")
def test_failed_trial_gives_code_1_and_a_table_and_is_tried_again_when_asked(
    sweep: Callable[..., Any],
) -> None:
    done, results, ran = sweep("model=bad,vgg7")
    assert done.code == 1
    assert "FAILED  model=bad" in done.err + done.out
    assert "ValueError: a bad model" in done.err
    assert len(ran) == 2
    assert len(results.failures) == 1
    assert sweep("model=bad,vgg7")[2] == []
    done, _, ran = sweep("model=bad,vgg7", "hydra.sweeper.resume=failed")
    assert done.code == 1
    assert ran == ["bad 0.1 0"]
    done, results, ran = sweep("model=vgg7,resnet18")  # without the bad one
    assert done.code == 0, done.err
    assert ran == ["resnet18 0.1 0"]
    assert len(results.failures) == 1


@pytest.mark.faults("RS04c")
@pytest.mark.parametrize("launcher", [[], GPU], ids=["basic", "gpu"])
def test_killed_driver_of_a_command_line_sweep_goes_on(
    start_sweep: Callable[..., Any], sweep: Callable[..., Any], tmp_path: Path, launcher: list[str]
) -> None:
    arguments = [*launcher, "model=vgg7,resnet18,slow,late"]
    driver = start_sweep(*arguments)
    driver.wait_until((tmp_path / "slow.txt").exists, "the slow trial")
    driver.wait_until(lambda: len(list((tmp_path / "out").glob("*/result.json"))) >= 2, "two results")
    driver.send(signal.SIGKILL)
    driver.finish()
    done, results, ran = sweep(*arguments)
    assert done.code == 0, done.err
    assert {"slow 0.1 0"} <= set(ran) <= {"slow 0.1 0", "late 0.1 0"}
    assert [str(record.state) for record in results.records] == ["DONE"] * 4
    assert {results.last("score", record) for record in results.records} == {0.2}


def test_a_second_sweep_in_a_folder_leaves_what_the_first_is_resumed_by(
    start_sweep: Callable[..., Any], tmp_path: Path
) -> None:
    first = start_sweep("model=slow,vgg7")
    first.wait_until((tmp_path / "slow.txt").exists, "the slow trial")
    told = (tmp_path / "out/multirun.yaml").read_text()
    assert "model=slow,vgg7" in told
    second = start_sweep("model=resnet18,lenet").finish()
    assert second.code == 1
    assert "is running the sweep of this folder" in second.err
    assert (tmp_path / "out/multirun.yaml").read_text() == told
    first.send(signal.SIGINT)
    first.finish()


def test_ctrl_c_costs_no_trial_that_is_finished(
    start_sweep: Callable[..., Any], sweep: Callable[..., Any], tmp_path: Path
) -> None:
    """Hydra's own launcher hands back all trials at once, or none."""
    arguments = ["model=vgg7,resnet18,slow,late"]
    driver = start_sweep(*arguments)
    driver.wait_until((tmp_path / "slow.txt").exists, "the slow trial")
    driver.send(signal.SIGINT)
    driver.finish()
    stopped = Results.of(journals.read(tmp_path / "out"))
    assert [str(record.state) for record in stopped.records] == ["DONE", "DONE", "KILLED", "KILLED"]
    assert [stopped.last("score", record) for record in stopped.records[:2]] == [0.2, 0.2]
    done, results, ran = sweep(*arguments)
    assert done.code == 0, done.err
    assert ran == ["slow 0.1 0", "late 0.1 0"]
    assert [str(record.state) for record in results.records] == ["DONE"] * 4


@pytest.mark.parametrize("launcher", [[], GPU], ids=["basic", "gpu"])
def test_trial_that_failed_by_its_store_is_tried_again_by_missing(
    sweep: Callable[..., Any], tmp_path: Path, ready_store: Path, launcher: list[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "store.txt").write_text(f"http://127.0.0.1:{port}")  # nobody answers there
    done, results, _ = sweep(*launcher, "model=tracked,vgg7,bad")
    assert done.code == 1
    assert "StoreAway: the MLflow server" in done.err + done.out
    assert [str(record.state) for record in results.records] == ["FAILED", "DONE", "FAILED"]
    (tmp_path / "store.txt").write_text(f"sqlite:///{ready_store}")
    done, results, ran = sweep(*launcher, "model=tracked,vgg7,bad")
    assert ran == ["tracked 0.1 0"], done.err
    assert [str(record.state) for record in results.records] == ["DONE", "DONE", "FAILED"]
    assert sweep(*launcher, "model=tracked,vgg7,bad")[2] == []


def test_stop_starts_no_trial_after_the_first_failure(sweep: Callable[..., Any]) -> None:
    stop = ["hydra.sweeper.on_failure=stop", *GPU[:1], "hydra.launcher.devices=[cpu:0]", *GPU[2:]]
    done, _, ran = sweep("model=bad,vgg7,resnet18", *stop)
    assert done.code == 1
    assert ran == ["bad 0.1 0"]


def test_yaml_text_and_command_line_are_multiplied_and_repeated(sweep: Callable[..., Any]) -> None:
    domain = "hydra.sweeper.domain=\"Option('model', ['a', 'b'])\""
    done, results, ran = sweep(domain, "lr=1,2", "hydra.sweeper.n_reps=2")
    assert done.code == 0, done.err
    assert ran[:5] == ["a 1 0", "a 2 0", "b 1 0", "b 2 0", "a 1 1"]
    assert len(results.records) == 8
    assert results.summary("score")[0]["count"] == 2


def test_function_of_the_results_gives_the_next_domain(sweep: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "finder.py").write_text(
        "def closer(results):\n    return {'lr': [results.best('score').config['lr'] + 1]}\n"
    )
    update = ["hydra.sweeper.update=finder.closer", "hydra.sweeper.n_updates=2", "+targets=[finder]"]
    done, results, ran = sweep("lr=1,2", *update)
    assert done.code == 0, done.err
    assert [record.config["lr"] for record in results.records] == [1, 2, 3, 4]
    done, _, ran = sweep("lr=1,2", *update[:2])
    assert "refused" in done.err
    assert ran == []


def test_updates_of_the_domain_at_several_moments(sweep: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "finder.py").write_text(
        "def closer(results):\n    return {'lr': [results.best('score').config['lr'] + 1]}\n"
    )
    moments = ["hydra.sweeper.update_when=['#2',last]", "hydra.sweeper.update_n_reps=2"]
    done, results, _ = sweep("lr=1,2", "hydra.sweeper.update=finder.closer", "+targets=[finder]", *moments)
    assert done.code == 0, done.err
    assert [record.config["lr"] for record in results.records] == [1, 2, 3, 3, 4, 4]
    assert [record.repetition for record in results.records] == [0, 0, 0, 1, 0, 1]


def test_random_draws_go_on_with_the_seed_of_the_journal(sweep: Callable[..., Any]) -> None:
    draws = ["lr=interval(0,1)", "hydra.sweeper.n_iters=3"]
    _, first, ran = sweep(*draws)
    assert len(ran) == 3
    _, again, ran = sweep(*draws[:1], "hydra.sweeper.n_iters=4")
    assert len(ran) == 1
    assert [record.id for record in again.records][:3] == [record.id for record in first.records]


def test_other_settings_in_the_same_folder_are_refused(sweep: Callable[..., Any]) -> None:
    assert sweep("model=a,b", "lr=3")[0].code == 0
    done, _, ran = sweep("model=a,b", "lr=4")
    assert done.code == 1
    assert "began with lr=3" in done.err
    assert ran == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["modle=a,b"], "modle"),
        (["hydra.sweeper.domain={modle: [a, b]}"], "modle"),
        (["lr=interval(0,1)"], "never ends"),
        (["hydra.sweeper.resume=yes", "lr=1,2"], "unknown resume"),
        (["hydra.sweeper.n_rep=2", "lr=1,2"], "n_rep"),
        (["hydra.sweep.dir=../up", "lr=1,2"], "leads upwards"),
        (["hydra/launcher=ray", "lr=1,2"], "hydra/launcher"),
    ],
)
def test_wrong_sweep_is_an_error_before_any_trial(
    sweep: Callable[..., Any], arguments: list[str], message: str
) -> None:
    done, _, ran = sweep(*arguments)
    assert done.code == 1
    assert message in done.err
    assert ran == []


MAPPINGS = """
defaults: [_self_, {override hydra/sweeper: domain}]
w: null
model: m
lr: 0
repetition: 0
hydra: {output_subdir: null, sweeper: {domain: DOMAIN}}
"""


@pytest.mark.parametrize(
    ("domain", "arguments", "keys"),
    [
        ("null", ["w={0:1,1:5},null"], [0, 1]),
        ("{w: [{0: 1.0, 1: 5.0}, null]}", [], [0, 1]),
        ("{w: [{'layer1.*': 0.1, 'a(b)[0-9]+': 1}, null]}", [], ["layer1.*", "a(b)[0-9]+"]),
        ("{w: [{inner: {0.5: 1}}, null]}", [], ["inner"]),
    ],
)
def test_mappings_are_swept_with_keys_that_are_numbers_or_patterns(
    sweep: Callable[..., Any], tmp_path: Path, domain: str, arguments: list[str], keys: list[Any]
) -> None:
    (tmp_path / "conf/train.yaml").write_text(MAPPINGS.replace("DOMAIN", domain))
    done, results, ran = sweep(*arguments)
    assert done.code == 0, done.err
    assert sorted(ran) == sorted([str(keys), "None"])
    assert [str(record.state) for record in results.records] == ["DONE", "DONE"]
    assert sweep(*arguments)[2] == []  # the ids are the same in every start


def test_a_mapping_that_no_override_can_hold_is_refused_before_any_trial(
    sweep: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "conf/train.yaml").write_text(MAPPINGS.replace("DOMAIN", "{w: [{'^a': 1}, null]}"))
    done, _, ran = sweep()
    assert done.code == 1
    assert "can't hold the key '^a'" in done.err
    assert ran == []


@pytest.mark.parametrize(
    ("arguments", "order"),
    [
        (["model=lossy"], ["1", "2", "3"]),
        (["model=lossy", "hydra.sweeper.minimize=false"], ["3", "2", "1"]),
        (["model=vgg7"], ["3", "2", "1"]),
        (["model=vgg7", "hydra.sweeper.minimize=true"], ["1", "2", "3"]),
    ],
)
def test_the_best_of_a_loss_is_the_smallest_unless_somebody_says_otherwise(
    sweep: Callable[..., Any], arguments: list[str], order: list[str]
) -> None:
    done, results, _ = sweep(*arguments, "lr=2,3,1")
    assert [line.split()[1] for line in done.out.splitlines() if line[:2] in ("1 ", "2 ", "3 ")] == order
    metric = results.ranking.choose(results.returns)  # who reads the folder later ranks so too
    first = results.best(metric, results.ranking.order(metric))
    assert str(first.config["lr"]) == order[0]


MINE = "bf_research.tracking.callback.SweepTracking"
PROGRAMS = {
    "an application": {"hydra": {}},
    "one that is recorded": {"hydra": {"callbacks": {"tracking": {"_target_": MINE}}}},
    "a training": {"hydra": {}, "pipeline": {"metrics": ["accuracy"]}},
}
ALWAYS = ["launch=gpu", "++launch.workers=2", "~stopping", "stopping@x=asha"]
GIVEN = [*ALWAYS, "tracking=[csv,mlflow]", "tracking.uri=x", "bar=false", "engine=inline", "+prefetch=0"]


@pytest.mark.parametrize(
    ("program", "left"), list(zip(PROGRAMS, [GIVEN[4:], GIVEN[6:], GIVEN[4:6]], strict=True))
)
def test_where_trials_run_and_what_shows_them_are_no_settings_of_a_sweep(
    program: str, left: list[str]
) -> None:
    decisive = ["launcher=3", "lr=.1", "trackings=1", "search=tpe"]
    config = OmegaConf.create(PROGRAMS[program])
    assert keep_decisive([*GIVEN, *decisive], config) == [*left, *decisive]


def test_a_sweep_goes_on_with_another_tracking(sweep: Callable[..., Any], tmp_path: Path) -> None:
    with (tmp_path / "conf/train.yaml").open("a") as file:
        file.write(f"  callbacks: {{tracking: {{_target_: {MINE}}}}}\n")
        file.write("tracking: {_target_: bf_research.tracking.NoTracker}\n")
    assert sweep("model=a,b", "+tracking.csv={_target_: bf_research.tracking.CSVTracker}")[0].code == 0
    done, results, ran = sweep("model=a,b,c")
    assert done.code == 0, done.err
    assert ran == ["c 0.1 0"]
    assert len(results) == 3
