"""Sweeps of many trials that do nothing: what a trial costs, the driver's memory, going on after a kill.

``python tools/bench scale`` runs 2,000 trials without a tracker and 200 with MLflow, ``... scale -- 100000``
as many as one says without a tracker, and a hundredth of them, 200 at least, with MLflow. They are in the
folder for temporary files: ``TMPDIR=/dev/shm`` tries another disk.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from common import heading, verdicts

#: Any part is the number of trials.
PARTS = ("2000",)
#: Goals: a trial in ms, going on after a kill and the table in s, the driver's growth in KiB a trial.
TRIAL_MS, RESUME_S, TABLE_S, GROWTH_KIB = 5.0, 5.0, 10.0, 2.0

APP = """
import sys
import hydra
from hydra.core.config_store import ConfigStore

@hydra.main(version_base="1.3", config_path=None, config_name="bench")
def main(config):
    from bf_research import targets
    from bf_research.tracking.run_scope import record_run
    with record_run(targets.build(dict(config.tracking), "tracking"), f"n={config.n}") as tracker:
        tracker.log_metric("score", config.n)
    return {"score": float(config.n)}

if __name__ == "__main__":
    node = {"n": 0, "tracking": {"_target_": "bf_research.tracking." + sys.argv.pop(1)}}
    ConfigStore.instance().store(name="bench", node=node)
    main()
"""
TABLE = """
import sys, time
from pathlib import Path
from bf_research.sweep import journal
from bf_research.sweep.results import Results
began = time.perf_counter()
results = Results.of(journal.read(Path(sys.argv[1])))
rows = len(results.df), len(results.summary("score"))
print(time.perf_counter() - began, *rows)
"""


def start(folder: Path, tracker: str, count: int) -> subprocess.Popen[bytes]:
    """Start a sweep over so many trials, or go on with it."""
    options = ["hydra.sweep.dir=sweep", "hydra/sweeper=domain", "hydra/callbacks=batchflow"]
    options += ["hydra/launcher=gpu", "hydra.launcher.devices=[cpu:0,cpu:1]", "hydra.launcher.bar=false"]
    options += ["hydra.launcher.preload=[]", f"n=range({count})"]
    with open(folder / "output.txt", "ab") as output:
        command = [sys.executable, "app.py", tracker, "-m", *options]
        return subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)


class Tail:
    """The trials that a journal says have ended, counted as it grows."""

    def __init__(self, folder: Path) -> None:
        self._path, self._at, self.ended = folder / "sweep" / "journal.jsonl", 0, 0

    def count(self) -> int:
        """Return how many have ended."""
        if self._path.exists():
            with open(self._path, "rb") as file:
                file.seek(self._at)
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._at += len(whole)
            self.ended += whole.count(b'"state": "DONE"')
        return self.ended


def watch(process: subprocess.Popen[bytes], tail: Tail, until: int) -> list[tuple[int, float, float]]:
    """Return (trials, seconds, MiB of the driver) at points, until so many have ended or the driver has."""
    driver, points, step = psutil.Process(process.pid), [], max(until // 20, 1)
    while process.poll() is None and tail.count() < until:
        if tail.ended >= (points[-1][0] + step if points else step):
            points.append((tail.ended, time.perf_counter(), driver.memory_info().rss / 2**20))
        time.sleep(0.05)
    return points


def spend(pids: list[int]) -> float:
    """Return the seconds of CPU of processes so far."""
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


def report(what: str, value: float, unit: str, goal: float) -> bool:
    """Print a figure beside its goal."""
    held = value <= goal
    print(f"- {what}: {value:.3g} {unit} (goal <= {goal:g}): {verdicts()[held]}")
    return held


def plain(folder: Path, count: int) -> bool:
    """Run a sweep without a tracker, kill its driver near the end, go on, and make the table."""
    process, tail = start(folder, "NoTracker", count), Tail(folder)
    points = watch(process, tail, count - count // 10)
    family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
    driver, everyone = spend(family[:1]), spend(family)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    killed = tail.count()
    (first, began, low), (last, ended, high) = points[len(points) // 5], points[-1]
    began_again = time.perf_counter()
    process = start(folder, "NoTracker", count)
    while process.poll() is None and tail.count() == killed:
        time.sleep(0.02)
    resumed = time.perf_counter() - began_again
    code = process.wait()
    heading(f"{count:,} trials that do nothing, two workers, no tracker")
    print(f"- CPU a trial: driver {driver / killed * 1e3:.2f} ms, all {everyone / killed * 1e3:.2f} ms")
    print(f"- the driver's memory: {low:.0f} MiB after {first:,} trials, {high:.0f} MiB after {last:,}")
    held = report("a trial, wall", (ended - began) / (last - first) * 1e3, "ms", TRIAL_MS)
    alone = disk(next((folder / "sweep").glob("n-*")))
    print(f"- the disk alone, for empty files and folders like a trial's: {alone:.3g} ms")
    held &= report("the driver grows", (high - low) / (last - first) * 1024, "KiB a trial", GROWTH_KIB)
    held &= report(f"from the start to the first trial after {killed:,}", resumed, "s", RESUME_S)
    script = [sys.executable, "-c", TABLE, str(folder / "sweep")]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    seconds, *rows = done.stdout.split()
    held &= report("the table of results and the ranking", float(seconds), "s", TABLE_S)
    lines = (folder / "sweep" / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    states = map(json.loads, lines)
    once = {line["trial"] for line in states if line.get("state") == "DONE"}
    print(f"- {len(once):,} of {count:,} trials are there, exit code {code}")
    return held and rows == [str(count)] * 2 and len(once) == count and code == 0


def disk(trial: Path, count: int = 1000) -> float:
    """Return the ms that empty files and folders like those of a trial take where the trial is."""
    names = [path.relative_to(trial) for path in sorted(trial.rglob("*"))]
    files = {name for name in names if (trial / name).is_file()}
    with tempfile.TemporaryDirectory(dir=trial.parent) as text:
        began = time.perf_counter()
        for number in range(count):
            folder = Path(text) / str(number)
            folder.mkdir()
            for name in names:
                (folder / name).touch() if name in files else (folder / name).mkdir()
        return (time.perf_counter() - began) / count * 1e3


def tracked(folder: Path, count: int) -> None:
    """Time a sweep with MLflow, and MLflow's own calls for as many runs: the least that they cost."""
    process, tail = start(folder, "MLflowTracker", count), Tail(folder)
    points = watch(process, tail, count)
    code = process.wait()
    (first, began, _), (last, ended, _) = points[len(points) // 5], points[-1]
    from mlflow.entities import Metric

    from bf_research.tracking.store import experiment_id, open_store

    store = f"sqlite:///{folder / 'bare.db'}"
    client = open_store(store)
    number, spent = experiment_id(client, "bare", store), [time.perf_counter()]
    for n in range(count):
        run = client.create_run(number, tags={"mlflow.parentRunId": "0"}, run_name=f"n={n}").info.run_id
        client.log_batch(run, metrics=[Metric("score", float(n), 0, 0)])
        client.set_terminated(run, "FINISHED")
    bare = (time.perf_counter() - spent[0]) / count * 1e3
    heading(f"{count:,} trials that do nothing, two workers, MLflow with sqlite")
    print(f"- a trial, wall: {(ended - began) / (last - first) * 1e3:.3g} ms, exit code {code}")
    print(f"- MLflow's own create_run, log_batch and set_terminated, one process: {bare:.3g} ms a run")


def main(count: str = PARTS[0]) -> bool:
    """Run both; True when every goal held."""
    with tempfile.TemporaryDirectory() as text:
        for name in ("plain", "tracked"):
            (Path(text) / name).mkdir()
            (Path(text) / name / "app.py").write_text(APP)
        held = plain(Path(text) / "plain", int(count))
        tracked(Path(text) / "tracked", max(int(count) // 100, 200))
    return held


if __name__ == "__main__":
    sys.exit(not main(*sys.argv[1:]))
