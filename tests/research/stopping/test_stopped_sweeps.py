"""Sweeps whose bad trials are stopped: in all places where trials run, over kills, and taken up again."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bf_pipeline import C
from bf_research import ASHA, RI, MedianStopping, Option, Research, Results, TrialState
from bf_research.launcher import LauncherError
from bf_research.sweep import journal as journals
from bf_research.sweep.placing import refuse_deaf
from bf_research.sweep.tables import ranking
from tests.sweep_application import prepare, read

QUALITIES = [0.5, 0.6, 0.4, 0.7, 0.3, 0.65, 0.62, 0.9, 0.1]
#: Worked by hand: the value at step n is quality * n, and rungs are at 1 and 3 of 9 steps.
STEPS = [9, 9, 1, 9, 1, 3, 1, 9, 1]


def score(quality: float, iteration: int) -> float:
    return quality * (iteration + 1)


def make_research(domain: Any = None) -> Research:
    research = Research(Option("quality", QUALITIES) if domain is None else domain)
    return research.add_callable(score, C("quality"), RI(), returns="score")


def steps_of(results: Results) -> list[int]:
    return [record.step for record in results.records]


@pytest.mark.parametrize("parallel", [False, True], ids=["here", "worker"])
def test_stopped_trials_are_pruned_and_rank_behind(tmp_path: Path, parallel: bool):
    rule = ASHA(metric="score")
    research = make_research().run(9, name=tmp_path / "sweep", parallel=parallel, stopping=rule)
    trials = research.trials
    assert steps_of(trials) == STEPS
    states = [TrialState.DONE if step == 9 else TrialState.PRUNED for step in STEPS]
    assert [record.state for record in trials.records] == states
    assert [len(record.rows) for record in trials.records] == STEPS
    assert not trials.failures
    assert trials.records[2].reason == "2 of 3 that came to step 1 were better, 1 may go on"
    assert trials.best("score").config["quality"] == 0.9
    order = [row["quality"] for row in trials.summary("score")]
    assert order[:5] == [0.9, 0.7, 0.6, 0.5, 0.65]  # the pruned one that came farthest is the first of them
    lines = ranking(trials, "score").splitlines()
    assert lines[0].split()[-1] == "pruned"
    assert lines[5].endswith("1 at step 3")
    loaded = Research.load(tmp_path / "sweep").trials
    assert steps_of(loaded) == STEPS
    loaded.save(tmp_path / "results.json")
    assert Results.load(tmp_path / "results.json").records == loaded.records


def test_pruned_trials_stay_with_a_rule_and_run_to_their_end_without(tmp_path: Path):
    rule = ASHA(metric="score")
    make_research().run(9, name=tmp_path / "sweep", parallel=False, stopping=rule)
    before = (tmp_path / "sweep/journal.jsonl").read_bytes()
    make_research().run(9, name=tmp_path / "sweep", parallel=False, stopping=rule, resume="missing")
    assert (tmp_path / "sweep/journal.jsonl").read_bytes() == before
    research = make_research().run(9, name=tmp_path / "sweep", parallel=False, resume="missing")
    assert {record.state for record in research.trials.records} == {TrialState.DONE}
    assert {len(record.rows) for record in research.trials.records} == {9}


def test_two_workers_stop_some_and_finish_the_best(tmp_path: Path):
    rule = MedianStopping(metric="score", min_trials=2)
    research = make_research().run(9, name=tmp_path / "sweep", workers=2, stopping=rule)
    states = [record.state for record in research.trials.records]
    assert set(states) == {TrialState.DONE, TrialState.PRUNED}
    assert research.trials.best("score").config["quality"] == 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"stopping": ASHA(metric="scor")},
            "unknown result 'scor' of stopping: metric; did you mean 'score'",
        ),
        ({"stopping": "asha"}, "a rule such as ASHA"),
        ({"stopping": ASHA(), "branches": 2}, "branches=2"),
    ],
)
def test_what_cannot_be_stopped_is_refused_before_the_first_trial(tmp_path: Path, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make_research().run(9, name=tmp_path / "sweep", **options)
    assert not (tmp_path / "sweep").exists()


GPU = ["hydra/launcher=gpu", "hydra.launcher.devices=[cpu:0]", "hydra.launcher.preload=[]"]
SWEPT = f"quality={','.join(map(str, QUALITIES))}"


@pytest.fixture
def start(tmp_path: Path, start_script: Callable[..., Any]) -> Callable[..., Any]:
    """Start a sweep on this machine."""
    return prepare(start_script, tmp_path, waits=0.65)


@pytest.mark.parametrize("launcher", [["hydra/launcher=basic"], GPU], ids=["basic", "gpu"])
def test_any_application_that_reports_is_stopped(start: Callable[..., Any], tmp_path: Path, launcher):
    done = start(*launcher, SWEPT).finish()
    assert done.code == 0, done.err
    results = read(tmp_path)
    assert steps_of(results) == STEPS
    assert results.records[2].rows == [{"score": 0.4}]
    assert "1 at step 3" in done.out + done.err


def test_a_killed_driver_goes_on_with_the_same_decisions(start: Callable[..., Any], tmp_path: Path):
    (tmp_path / "hang").touch()
    driver = start(*GPU, SWEPT)
    driver.wait_until((tmp_path / "hangs").exists, "the trial that hangs")
    driver.send(signal.SIGKILL)
    driver.finish()
    assert steps_of(read(tmp_path)) == [9, 9, 1, 9, 1, 2]
    (tmp_path / "hang").unlink(missing_ok=True)
    done = start(*GPU, SWEPT).finish()
    assert done.code == 0, done.err
    assert steps_of(read(tmp_path)) == STEPS
    told = journals.read(tmp_path / "out").told
    assert len({(one.trial, one.step) for one in told}) == len(told)  # nothing was asked twice


def test_a_trial_that_was_stopped_when_its_driver_died_is_not_run_again(tmp_path: Path):
    rule = ASHA(metric="score")
    make_research().run(9, name=tmp_path / "sweep", parallel=False, stopping=rule)
    path = tmp_path / "sweep/journal.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    assert '"PRUNED"' in lines[-1]
    path.write_text("".join(lines[:-1]))  # the rule had spoken, and the end was not noted yet
    make_research().run(9, name=tmp_path / "sweep", parallel=False, stopping=rule, resume="missing")
    record = journals.read(tmp_path / "sweep").records
    assert [one.state for one in record.values()][-1] is TrialState.PRUNED
    assert path.read_text().count('"RUNNING"') == len(QUALITIES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hydra.sweeper.stopping.rule=ahsa"], "unknown rule 'ahsa' of stopping.rule"),
        (["~hydra.sweeper.stopping.metric"], "hydra.sweeper.stopping.metric: name the metric"),
        (["++hydra.sweeper.stopping.mode=min", "hydra.sweeper.metric=score"], "hydra.sweeper.minimize=true"),
    ],
)
def test_a_wrong_rule_is_an_error_before_any_trial(start, tmp_path: Path, arguments, message):
    done = start(*GPU, SWEPT, *arguments).finish()
    assert done.code == 1
    assert message in done.err
    assert not (tmp_path / "out/journal.jsonl").exists()


def test_a_metric_that_nobody_reports_is_told(start: Callable[..., Any], tmp_path: Path):
    done = start(*GPU, "quality=0.1,0.2", "hydra.sweeper.stopping.metric=skore").finish()
    assert done.code == 0
    assert "stopped nothing: no trial reported skore, whose results are score" in done.out + done.err


class RayAWSLauncher:
    """As the plugin's, which copies folders to a cloud and back."""

    def launch(self, job_overrides: Any, initial_job_idx: int) -> Any: ...


def test_a_launcher_whose_trials_hear_nothing_is_refused():
    with pytest.raises(LauncherError, match="RayAWSLauncher can't ask the sweep whether to go on"):
        refuse_deaf(RayAWSLauncher(), ASHA(metric="score"))
