"""Sweeps of 40 short trials that need TensorFlow: whole commands, two at a time, against other launchers."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import Target, Timing, have, judge, table

TRIALS, SECONDS, WORKERS = 40, 0.05, 2
#: A process a trial takes minutes for all: so many are measured and scaled up.
SHELL_TRIALS = 3
#: The most that a trial of a second sweep in a warm process may cost beside its own work.
WARM_OVERHEAD = 0.030

APP = """
import time
import hydra

@hydra.main(version_base="1.3", config_path=None, config_name="bench")
def main(config):
    import tensorflow
    time.sleep(config.seconds)
    return float(config.n)

if __name__ == "__main__":
    from hydra.core.config_store import ConfigStore
    ConfigStore.instance().store(name="bench", node={"n": 0, "seconds": 0.05})
    main()
"""
WARM = f"""
import statistics, sys, time
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra import initialize

def task(config):
    import tensorflow
    from bf_research import targets
    from bf_research.tracking.run_scope import record_run
    with record_run(targets.build(dict(config.tracking), "tracking"), f"n={{config.n}}") as tracker:
        tracker.log_params({{"n": config.n}})
        time.sleep(config.seconds)
        for step in range(20):
            tracker.log_metric("train/loss", 1 / (step + 1), step)
        tracker.log_metric("score", config.n)
    return float(config.n)

if __name__ == "__main__":
    name = sys.argv.pop(1)
    tracking = {{"_target_": "bf_research.tracking." + name}}
    node = {{"n": 0, "seconds": {SECONDS}, "tracking": tracking}}
    ConfigStore.instance().store(name="bench", node=node)
    spent = []
    for turn in range(6):
        began = time.perf_counter()
        with initialize(version_base="1.3", config_path=None):
            GlobalHydra.instance().hydra.multirun(
                "bench",
                task,
                ["n=range({TRIALS})", f"hydra.sweep.dir={{name}}{{turn}}", *sys.argv[1:]],
                with_log_configuration=False,
            )
        spent.append(time.perf_counter() - began)
    print("warm", statistics.median(spent[1:]))
"""
OURS = ["hydra/launcher=gpu", "hydra.launcher.devices=[cpu:0,cpu:1]", "hydra.launcher.bar=false"]
OURS += ["hydra.launcher.preload=[tensorflow]"]
LAUNCHERS = {
    "bf gpu launcher": OURS,
    "hydra joblib": ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={WORKERS}"],
    "hydra ray": ["hydra/launcher=ray", f"+hydra.launcher.ray.init.num_cpus={WORKERS}"],
}
MODULES = {
    "hydra joblib": "hydra_plugins.hydra_joblib_launcher",
    "hydra ray": "hydra_plugins.hydra_ray_launcher",
}


def command(folder: Path, script: str, *arguments: str) -> tuple[float, str]:
    """Run a script to its end; returns the seconds it took and what it printed."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, script, *arguments],
        cwd=folder,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - began, done.stdout


def main() -> bool:
    """Time whole commands in turn, then the second sweep of a process."""
    contenders = [name for name in LAUNCHERS if name not in MODULES or installed(MODULES[name])]
    timings = {name: Timing() for name in [*contenders, "a process a trial"]}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "app.py").write_text(APP)
        (folder / "warm.py").write_text(WARM)
        for _ in range(3):
            for name in contenders:
                seconds, _ = command(
                    folder, "app.py", "-m", f"n=range({TRIALS})", "hydra.sweep.dir=sweep", *LAUNCHERS[name]
                )
                timings[name].wall.append(seconds)
                timings[name].cpu.append(seconds)
            began = time.perf_counter()
            for number in range(SHELL_TRIALS):
                command(folder, "app.py", f"n={number}", "hydra.run.dir=run")
            scaled = (time.perf_counter() - began) / SHELL_TRIALS * TRIALS
            timings["a process a trial"].wall.append(scaled)
            timings["a process a trial"].cpu.append(scaled)
        warm = {
            name: command(
                folder, "warm.py", name, *OURS, "hydra/sweeper=domain", "hydra/callbacks=batchflow"
            )[1]
            for name in ("NoTracker", "MLflowTracker")
        }
    table(
        f"{TRIALS} trials of {SECONDS} s with TensorFlow, {WORKERS} workers",
        timings,
        TRIALS,
        "trial",
        "bf gpu launcher",
    )
    held = judge(
        timings,
        [
            Target("bf gpu launcher", "hydra joblib", 1.5),
            Target("bf gpu launcher", "hydra ray", 1.5),
            Target("bf gpu launcher", "a process a trial", 10),
        ],
    )
    for name, printed in warm.items():
        overhead = (float(printed.rpartition("warm")[2]) - TRIALS * SECONDS / WORKERS) / TRIALS
        good = overhead <= WARM_OVERHEAD
        held &= good
        verdict = f"(goal <= {WARM_OVERHEAD * 1e3:g}): {'holds' if good else 'FALLS SHORT'}"
        print(f"- second sweep, {name}: {overhead * 1e3:.1f} ms a trial over the work {verdict}")
    return held


def installed(module: str) -> bool:
    """Whether a launcher is there; Hydra's plugins share one name space."""
    return have("hydra_plugins") and (
        subprocess.run(
            [sys.executable, "-c", f"import {module}"], capture_output=True, check=False
        ).returncode
        == 0
    )


if __name__ == "__main__":
    sys.exit(not main())
