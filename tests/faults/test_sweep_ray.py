"""A sweep on a real local Ray of two workers: one is killed in the middle. Runs in the session ``ray``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("ray") is None or find_spec("hydra_plugins.hydra_ray_launcher") is None,
        reason="needs hydra-ray-launcher",
    ),
]

APP = """
import os, pathlib, signal
import hydra
from hydra.core.config_store import ConfigStore

ConfigStore.instance().store(name="sweep", node={"n": 0, "here": os.getcwd()})

@hydra.main(version_base="1.3", config_path=None, config_name="sweep")
def main(config):
    killed = pathlib.Path(config.here, "killed")
    if config.n == 2 and not killed.exists():
        killed.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"score": float(config.n)}

if __name__ == "__main__":
    main()
"""
RAY = ["-m", "n=0,1,2,3", "hydra/sweeper=domain", "hydra/launcher=ray", "hydra.sweep.dir=sweep"]
RAY += [
    f"+hydra.launcher.ray.{knob}" for knob in ("init.num_cpus=2", "remote.num_cpus=1", "remote.max_retries=1")
]


def run(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    (folder / "app.py").write_text(APP)
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return subprocess.run(
        [sys.executable, "app.py", *RAY, *more],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_a_sweep_survives_the_death_of_a_ray_worker(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "killed").exists()
    lines = [json.loads(line) for line in (tmp_path / "sweep" / "journal.jsonl").read_text().splitlines()]
    ended = [line["rows"][0]["score"] for line in lines if line.get("state") == "DONE"]
    assert sorted(ended) == [0, 1, 2, 3]


def test_a_stopping_rule_that_ray_jobs_could_not_ask_is_refused_before_any_begins(tmp_path: Path) -> None:
    done = run(tmp_path, "hydra.sweeper.stopping={rule: asha, metric: score}")
    assert done.returncode != 0
    assert "launch=gpu" in done.stderr
    assert not (tmp_path / "sweep" / "journal.jsonl").exists()
