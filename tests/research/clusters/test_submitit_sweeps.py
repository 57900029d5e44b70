"""Sweeps through submitit on this machine: heard, stopped early, over kills of trials and of the driver."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from bf_research import TrialState
from bf_research.clusters.far_job import FarJob
from bf_research.clusters.launchers import make_engine
from bf_research.launcher.errors import LauncherError
from bf_research.sweep import journal as journals
from tests.sweep_application import prepare, read, read_states


@pytest.fixture
def start(tmp_path: Path, start_script: Callable[..., Any]) -> Callable[..., Any]:
    """Start a sweep of jobs of submitit."""
    return prepare(start_script, tmp_path, "submitit_local", waits=0.9, dies=0.2, dies_once=0.7)


def test_bad_trials_are_stopped_and_dead_ones_tried_again(start: Callable[..., Any], tmp_path: Path):
    done = start("quality=0.5,0.4,0.7,0.2").finish()
    assert done.code == 1
    trials = read(tmp_path).records
    states = [TrialState.DONE, TrialState.PRUNED, TrialState.DONE, TrialState.CRASHED]
    assert [trial.state for trial in trials] == states
    assert [trial.step for trial in trials] == [9, 1, 9, 0]
    assert [trial.attempts for trial in trials] == [1, 1, 2, 2]
    assert trials[1].rows == [{"score": 0.4}]
    assert trials[1].reason == "1 of 2 that came to step 1 were better, 1 may go on"
    assert "ended without a result" in trials[3].reason
    assert "is tried again: job" in done.err
    assert read_states(tmp_path)[:4] == ["RUNNING", "DONE", "RUNNING", "PRUNED"]  # each is noted when it ends
    assert "a line of 0.5" in (tmp_path / "out" / trials[0].id / "stdout.txt").read_text()
    left = [path.suffix for path in (tmp_path / "out/.submitit").rglob("*_*")]
    assert set(left) == {".out", ".err"}  # pickles with the whole configuration are gone
    assert (tmp_path / "out/.submitit").stat().st_mode & 0o077 == 0
    assert not (tmp_path / "out/.link").exists()


def test_a_trial_outlives_its_driver_until_another_takes_over(start: Callable[..., Any], tmp_path: Path):
    (tmp_path / "hang").touch()
    driver = start("quality=0.9")
    driver.wait_until((tmp_path / "hangs").exists, "the trial that hangs")
    driver.send(signal.SIGKILL)
    driver.process.wait()
    assert (tmp_path / "hang").exists()
    done = start("quality=0.9").finish()
    assert done.code == 0, done.err
    driver.finish()  # the trial of the first has ended by itself
    trials = read(tmp_path).records
    assert [(trial.state, trial.step) for trial in trials] == [(TrialState.DONE, 9)]
    told = journals.read(tmp_path).told
    assert len({(one.trial, one.step) for one in told}) == len(told)  # nothing was asked twice


def test_ctrl_c_lets_trials_end_by_themselves(start: Callable[..., Any], tmp_path: Path):
    (tmp_path / "hang").touch()
    driver = start("quality=0.9,0.5")
    driver.wait_until((tmp_path / "hangs").exists, "the trial that hangs")
    driver.send(signal.SIGINT)  # to the driver alone
    done = driver.finish()
    assert done.code == -signal.SIGINT, done.err
    assert not (tmp_path / "hang").exists()
    trials = read(tmp_path).records
    assert [trial.state for trial in trials] == [TrialState.KILLED]


def double(work: int) -> int:
    if work == 13:
        raise ValueError("no thirteen")
    return 2 * work


def test_a_job_brings_its_folder_and_module_path_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "own_module_of_far_jobs.py").write_text("def name():\n    return __name__\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    job = FarJob.of(double)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path.parent)
    kept = list(sys.path), list(sys.argv)
    try:
        assert job(21)[0] == "ok"
        assert Path.cwd() == tmp_path
        assert str(tmp_path) in sys.path
        verdict, data = job(13)
        assert verdict == "failed"
        assert b"no thirteen" in data
    finally:
        sys.path[:], sys.argv[:] = kept


def test_what_cannot_be_sent_is_refused_with_its_name():
    lock = threading.Lock()
    with pytest.raises(LauncherError, match="can't be sent to the cluster"):
        FarJob.of(lambda work: lock)


@pytest.mark.parametrize("workers", [0, "four", True, 2.5])
def test_workers_that_cannot_be_are_refused(workers: Any):
    launcher = SimpleNamespace(config=OmegaConf.create({"launch": {"workers": workers}}), params={})
    with pytest.raises(LauncherError, match=r"launch\.workers must be a whole number of at least 1, got"):
        make_engine(launcher, FarJob.of(double))
