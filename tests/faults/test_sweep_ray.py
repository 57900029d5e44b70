"""Sweeps on a real local Ray of two workers: stopped early, workers and drivers killed. Session ``ray``."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import wait_until
from tests.sweep_application import prepare, read, read_states

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("ray") is None or find_spec("hydra_plugins.hydra_ray_launcher") is None,
        reason="needs hydra-ray-launcher",
    ),
]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cluster of anybody else's, and none of Ray's own tokens in the home folder."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture
def start(tmp_path: Path, start_script: Callable[..., Any]) -> Callable[..., Any]:
    """Start a sweep on Ray."""
    ray = {"init": {"address": None, "num_cpus": 2}, "remote": {"num_cpus": 1, "max_retries": 1}}
    short = {"TMPDIR": "/tmp"}  # the names of Ray's sockets have to be short
    return prepare(start_script, tmp_path, "ray", {"ray": ray}, short, waits=0.9, dies_once=0.7, fails=-1)


def test_bad_trials_are_stopped_and_that_of_a_killed_worker_is_tried_again(start, tmp_path: Path) -> None:
    done = start("quality=0.5,0.4,0.7,0.3,-1", "hydra.sweeper.on_failure=stop").finish()
    assert done.code == 1, done.err
    trials = {record.config["quality"]: record for record in read(tmp_path).records}
    states = {quality: trial.state for quality, trial in trials.items()}
    assert states == {0.5: "DONE", 0.4: "PRUNED", 0.7: "DONE", 0.3: "PRUNED", -1: "FAILED"}
    assert [trials[quality].attempts for quality in (0.5, 0.7)] == [1, 2]
    assert trials[0.4].reason == "1 of 2 that came to step 1 were better, 1 may go on"
    assert trials[0.4].rows == [{"score": 0.4}]
    assert "a bad quality" in trials[-1].error
    assert "in main" in trials[-1].error  # the traceback of the worker
    assert read_states(tmp_path)[:4] == ["RUNNING", "DONE", "RUNNING", "PRUNED"]


def test_two_workers_run_at_once(start, tmp_path: Path) -> None:
    done = start("quality=0.1,0.2,0.3,0.4", "launch.workers=null").finish()
    assert done.code == 0, done.err
    assert {trial.state for trial in read(tmp_path).records} <= {"DONE", "PRUNED"}
    assert read_states(tmp_path)[:2] == ["RUNNING", "RUNNING"]


def test_ctrl_c_lets_trials_end_by_themselves(start, tmp_path: Path) -> None:
    (tmp_path / "hang").touch()
    driver = start("quality=0.9,0.5")
    driver.wait_until((tmp_path / "hangs").exists, "the trial that hangs")
    driver.send(signal.SIGINT)
    done = driver.finish()
    assert done.code != 0
    assert "before the end of the sweep" in done.err
    assert not (tmp_path / "hang").exists()
    assert [trial.state for trial in read(tmp_path).records] == ["KILLED"]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """A cluster that outlives its drivers; its address."""
    ray = str(Path(sys.executable).parent / "ray")
    options = ["--head", "--port=0", "--num-cpus=2", "--include-dashboard=false", "--block"]
    options += ["--object-store-memory=80000000", f"--temp-dir=/tmp/ray-of-{os.getpid()}"]
    with subprocess.Popen([ray, "start", *options], stdout=subprocess.PIPE, text=True) as head:
        try:
            found = None
            while found is None:
                assert head.poll() is None
                found = re.search(r"--address='?([\d.:]+)", head.stdout.readline() if head.stdout else "")
            yield found[1]
        finally:
            head.send_signal(signal.SIGTERM)
            head.wait()


def test_on_a_cluster_a_sweep_goes_on_after_its_driver_was_killed(start, tmp_path: Path, cluster) -> None:
    (tmp_path / "hang").touch()
    on = [f"hydra.launcher.ray.init.address={cluster}", "~hydra.launcher.ray.init.num_cpus"]
    driver = start("quality=0.5,0.9", *on)
    driver.wait_until((tmp_path / "hangs").exists, "the trial that hangs")
    driver.send(signal.SIGKILL)
    driver.process.wait()
    (tmp_path / "hang").unlink(missing_ok=True)
    done = start("quality=0.5,0.9", *on).finish()
    assert done.code == 0, done.err
    assert [(trial.state, trial.rows) for trial in read(tmp_path).records] == [
        ("DONE", [{"score": 4.5}]),
        ("DONE", [{"score": 8.1}]),
    ]
    wait_until(lambda: driver.process.poll() is not None)
