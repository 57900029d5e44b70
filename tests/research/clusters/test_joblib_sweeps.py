"""Sweeps through joblib's launcher, which takes all trials at once: they are heard and stopped meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sweep_application import prepare, read, read_states

pytest.importorskip("hydra_plugins.hydra_joblib_launcher")


@pytest.fixture
def start(tmp_path: Path, start_script: Callable[..., Any]) -> Callable[..., Any]:
    """Start a sweep on two processes of joblib."""
    return prepare(start_script, tmp_path, "joblib", {"n_jobs": 2}, dies=0.2)


def test_bad_trials_are_stopped_and_answers_come_while_others_run(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    done = start("quality=0.9,0.5,0.4,0.3").finish()
    assert done.code == 0, done.err
    trials = {trial.config["quality"]: trial for trial in read(tmp_path).records}
    assert (str(trials[0.9].state), trials[0.9].step) == ("DONE", 9)
    assert (str(trials[0.3].state), trials[0.3].step) == ("PRUNED", 1)
    assert trials[0.3].rows == [{"score": 0.3}]
    assert "that came to step 1 were better" in trials[0.3].reason
    assert not (tmp_path / "out/.link").exists()


def test_a_worker_that_dies_ends_the_sweep_and_costs_no_trial_that_is_finished(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    arguments = ["hydra.sweeper.stopping=null", "quality=0.9,0.8,0.7,0.2"]
    done = start(*arguments).finish()
    assert done.code == 1
    assert "TerminatedWorkerError" in done.err
    states = read_states(tmp_path)
    finished = states.count("DONE")
    assert finished >= 2
    configuration = tmp_path / "conf/train.yaml"
    configuration.write_text(configuration.read_text().replace('"dies": 0.2', '"dies": null'))
    done = start(*arguments).finish()
    assert done.code == 0, done.err
    assert [str(trial.state) for trial in read(tmp_path).records] == ["DONE"] * 4
    assert read_states(tmp_path)[len(states) :].count("RUNNING") == 4 - finished
