"""Sweeps that share a store, lose its server, their workers and their driver: each trial is there once.

Real processes, a real store, SIGKILL. Random kills come from a seed that is printed; BF_STORM_SEED sets it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bf_research.sweep import journal as journals
from bf_research.tracking import kept
from bf_research.tracking.backlog import Backlog, Point
from bf_research.tracking.replay import replay_sweep
from bf_research.tracking.run_scope import SweepContext
from bf_research.tracking.store import Row, choose_tries, experiment_id, open_store
from tests.conftest import group_members, wait_until

STEPS = 10
APP = """
    import os, signal, sys, time
    import hydra
    from hydra.core.config_store import ConfigStore

    sys.argv[1:] = {arguments!r}

    @hydra.main(version_base="1.3", config_path=None, config_name="storm")
    def main(config):
        from bf_research import targets
        from bf_research.launcher import report
        from bf_research.tracking.run_scope import record_run

        with record_run(targets.build(dict(config.tracking), "tracking"), f"n={{config.n}}") as tracker:
            tracker.log_params({{"n": config.n}})
            for step in range(config.steps):
                tracker.log_metric("score", config.n + step, step)
                report(step + 1, config.steps, score=config.n + step)
                time.sleep(config.pause)
        if config.n == config.dies and not os.path.exists("died"):
            open("died", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return {{"score": float(config.n)}}

    if __name__ == "__main__":
        node = {{"n": 0, "dies": -1, "steps": {steps}, "pause": 0.01}}
        tracker = {{"_target_": "bf_research.tracking.MLflowTracker", "uri": None, "experiment": "storm"}}
        node["tracking"] = {{**tracker, "buffering": {{"patience": 30}}}}
        ConfigStore.instance().store(name="storm", node=node)
        main()
"""
SWEEP = ["-m", "hydra/sweeper=domain", "hydra/callbacks=batchflow", "hydra/launcher=gpu"]
SWEEP += ["hydra.launcher.bar=false", "hydra.launcher.retries=20"]
SWEEP += ["hydra.launcher.preload=[mlflow.store.tracking.sqlalchemy_store]"]
TWO = "hydra.launcher.devices=[cpu:0,cpu:1]"


@pytest.fixture(autouse=True)
def no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BF_SWEEP", raising=False)
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")


def app(*arguments: str) -> str:
    return APP.format(arguments=list(arguments), steps=STEPS)


def sweep(count: int, *arguments: str, folder: str = "sweep") -> str:
    return app(*SWEEP, f"hydra.sweep.dir={folder}", f"n=range({count})", *arguments)


def states(folder: Path) -> Counter[str]:
    """How many trials of a sweep are in which state."""
    if not journals.exists(folder):
        return Counter()
    return Counter(record.state.name for record in journals.read(folder).records.values())


def begun(folder: Path) -> int:
    """How often a trial of a sweep was begun."""
    path = folder / journals.JOURNAL
    return path.read_bytes().count(b'"RUNNING"') if path.exists() else 0


def runs_of(uri: str, kind: str) -> list[Any]:
    client = open_store(uri)
    experiment = client.get_experiment_by_name("storm").experiment_id
    return list(client.search_runs([experiment], f"tags.`bf.kind` = '{kind}'", max_results=1000))


def check_once(uri: str, folder: Path, count: int) -> None:
    """Hold the journal of a sweep and its runs against what they have to be."""
    assert states(folder) == Counter(DONE=count)
    (parent,) = (run for run in runs_of(uri, "sweep") if run.data.tags["bf.folder"] == str(folder))
    assert parent.info.status == "FINISHED"
    trials = [
        run
        for run in runs_of(uri, "trial")
        if run.data.tags["mlflow.parentRunId"] == parent.info.run_id and run.info.status == "FINISHED"
    ]
    assert sorted(int(run.data.params["n"]) for run in trials) == list(range(count))
    for run in trials:
        points = open_store(uri).get_metric_history(run.info.run_id, "score")
        assert [(point.step, point.value) for point in points] == [
            (step, int(run.data.params["n"]) + step) for step in range(STEPS)
        ]
    assert "RUNNING" not in {run.info.status for run in runs_of(uri, "trial")}


# Quick: one fault at a moment that is chosen


@pytest.mark.faults("RS33")
def test_a_trial_whose_worker_dies_after_the_end_of_its_run_is_there_once(
    run_script: Callable[..., Any], ready_store: Path, tmp_path: Path
):
    done = run_script(sweep(2, "dies=1", "hydra.launcher.devices=[cpu:0]"))
    assert done.code == 0, done.err
    check_once(f"sqlite:///{ready_store}", tmp_path / "sweep", 2)
    tries = [run for run in runs_of(f"sqlite:///{ready_store}", "trial") if run.data.params["n"] == "1"]
    assert [run.info.status for run in tries] == ["FINISHED"] * 2  # the first one below the one that counts
    parents = {run.data.tags["mlflow.parentRunId"] for run in tries}
    assert len(parents & {run.info.run_id for run in tries}) == 1


def test_the_last_run_of_a_trial_that_finished_counts():
    def row(run_id: str, name: str, status: str, trial: str = "") -> Row:
        return Row(run_id, name, status, {}, {}, 1.0, trial)

    found = [
        row("a", "n=1", "KILLED", "n-1"),
        row("b", "n=1", "FINISHED", "n-1"),
        row("c", "n=1", "FINISHED", "n-1"),
        row("d", "n=1", "KILLED", "n-1"),
        row("e", "n=2", "KILLED", "n-2"),
        row("f", "n=2", "KILLED", "n-2"),
        row("g", "run", "FINISHED"),  # of a program that gives all of its runs one name
        row("h", "run", "FINISHED"),
        row("i", "test", "FINISHED", "n-1"),  # another run of the same trial
    ]
    assert [chosen.run_id for chosen in choose_tries(found)] == ["c", "f", "g", "h", "i"]


@pytest.mark.faults("ML12")
def test_an_mlflow_ui_and_a_run_make_one_store_at_once(run_script: Callable[..., Any]):
    done = run_script(
        """
        import os, time
        import mlflow.store.tracking.sqlalchemy_store
        from mlflow import MlflowClient
        from bf_research.tracking.store import open_store

        def wait(seconds):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                pass

        for turn, late in enumerate((0, 0.2, 0.5)):
            os.mkdir(str(turn))
            os.chdir(str(turn))
            pids = []
            for ours in (True, False):
                pid = os.fork()
                if pid == 0:
                    code = 1
                    try:
                        if ours:
                            wait(late)
                            open_store(f"sqlite:///{os.getcwd()}/mlflow.db")
                        else:  # as mlflow ui does
                            MlflowClient(tracking_uri="sqlite:///mlflow.db").search_experiments(max_results=1)
                        code = 0
                    finally:
                        os._exit(code)
                pids.append(pid)
            print([os.waitpid(pid, 0)[1] for pid in pids], os.listdir())
            os.chdir("..")
        """
    )
    assert done.out.splitlines() == ["[0, 0] ['mlflow.db']"] * 3, done.err


@pytest.mark.faults("ML14")
def test_what_a_trial_kept_is_written_at_the_end_of_its_sweep(ready_store: Path, tmp_path: Path, caplog):
    uri = f"sqlite:///{ready_store}"
    client = open_store(uri)
    number = experiment_id(client, "storm", uri)
    parent = client.create_run(number).info.run_id
    for name, owner in (("ours", parent), ("other", "another sweep")):
        tags = {"bf.kind": "trial", "mlflow.parentRunId": owner}
        head = {"store": uri, "experiment": "storm", "name": name, "tags": tags, "run_id": None}
        backlog = Backlog()
        backlog.extend([Point("score", step / 2, step, 1000 + step) for step in range(3)])
        kept.write(
            tmp_path / f"tracking-{name}.jsonl", head, [("params", {"n": "1"})], backlog, ("FINISHED", 5)
        )
    (tmp_path / "tracking-no.jsonl").write_text("nothing\n")
    # before it one whose run was deleted, and one that is damaged: each is told and stays
    gone = client.create_run(number).info.run_id
    client.delete_run(gone)
    for name, run_id, more in (("a-gone", gone, ""), ("b-damaged", None, "{}\n[]\n")):
        head = {"store": uri, "experiment": "storm", "name": name, "run_id": run_id}
        head["tags"] = {"mlflow.parentRunId": parent}
        kept.write(tmp_path / f"tracking-{name}.jsonl", head, [], Backlog(), ("FINISHED", 5))
        with (tmp_path / f"tracking-{name}.jsonl").open("a") as file:
            file.write(more)
    assert replay_sweep(SweepContext(uri, "storm", parent), [tmp_path, tmp_path]) == []
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == [
        "tracking-a-gone.jsonl",
        "tracking-b-damaged.jsonl",
        "tracking-no.jsonl",
        "tracking-other.jsonl",
    ]
    assert "tracking-a-gone.jsonl are not written" in caplog.text
    assert "tracking-b-damaged.jsonl are not written" in caplog.text
    (run,) = runs_of(uri, "trial")
    assert (run.info.run_name, run.info.status, run.info.end_time) == ("ours", "FINISHED", 5)
    assert (run.data.params, run.data.metrics) == ({"n": "1"}, {"score": 1.0})


# Slow: storms


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Server:
    """MLflow's server, or its pages, on a store; it may be killed and started again on its port."""

    def __init__(self, folder: Path, command: str, store: str) -> None:
        self.folder, self.port, self._command, self._store = folder, free_port(), command, store
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--backend-store-uri", self._store, "--port", str(self.port), "--workers", "1"]
        if self._command == "server":
            options += ["--artifacts-destination", str(self.folder / "artifacts")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", self._command, *options],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait(self) -> None:
        wait_until(self.answers, f"mlflow {self._command}")

    def answers(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def kill(self) -> None:
        if self._process is not None:
            for pid in group_members(self._process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str, str], Server]]:
    servers: list[Server] = []

    def make(command: str, store: str) -> Server:
        servers.append(Server(tmp_path, command, store))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()


@pytest.mark.slow
@pytest.mark.faults("ML12")
def test_two_sweeps_pages_and_a_single_run_share_a_store_that_is_new(
    start_script: Callable[..., Any], serve: Callable[[str, str], Server], tmp_path: Path
):
    pages = serve("ui", "sqlite:///mlflow.db")
    pages.start()
    one = "hydra.launcher.devices=[cpu:0]"
    started = [start_script(sweep(15, one, folder=name)) for name in ("first", "second")]
    started.append(start_script(app("n=1000")))
    pages.wait()
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    while any(script.process.poll() is None for script in started):  # somebody looks at the runs
        ask = json.dumps({"experiment_ids": ["1"], "max_results": 100}).encode()
        request = urllib.request.Request(f"{pages.uri}/api/2.0/mlflow/runs/search", ask)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert isinstance(json.load(answer), dict)
    for script in started:
        done = script.finish()
        assert done.code == 0, done.err
        assert "locked" not in done.err
    for name in ("first", "second"):
        check_once(uri, tmp_path / name, 15)
    (alone,) = runs_of(uri, "run")
    assert (alone.info.status, alone.data.metrics["score"]) == ("FINISHED", 1000.0 + STEPS - 1)
    assert not list(tmp_path.glob("tracking-*"))


@pytest.mark.slow
@pytest.mark.faults("ML13")
def test_a_server_killed_in_the_middle_and_started_again_loses_nothing(
    start_script: Callable[..., Any], serve: Callable[[str, str], Server], tmp_path: Path
):
    server = serve("server", f"sqlite:///{tmp_path}/server.db")
    server.start()
    server.wait()
    waits = "tracking.buffering.patience=280"
    script = start_script(sweep(12, f"tracking.uri={server.uri}", waits, "pause=0.1", TWO))
    folder = tmp_path / "sweep"
    script.wait_until(lambda: states(folder)["DONE"] >= 3, "the third trial")
    server.kill()
    before = begun(folder)
    # those that run now can't end, so that no more than two begin while the server is away
    script.wait_until(lambda: begun(folder) > before or states(folder)["RUNNING"] == 2, "trials that wait")
    server.start()
    done = script.finish()
    assert done.code == 0, done.err
    check_once(server.uri, folder, 12)
    assert not list(tmp_path.glob("tracking-*"))


@pytest.mark.slow
@pytest.mark.faults("ML14")
def test_a_server_that_comes_back_after_the_sweep_gets_all_by_the_same_command(
    start_script: Callable[..., Any],
    run_script: Callable[..., Any],
    serve: Callable[[str, str], Server],
    tmp_path: Path,
):
    server = serve("server", f"sqlite:///{tmp_path}/server.db")
    server.start()
    server.wait()
    command = sweep(6, f"tracking.uri={server.uri}", "tracking.buffering.patience=1", TWO)
    script = start_script(command)
    folder = tmp_path / "sweep"
    script.wait_until(lambda: states(folder)["DONE"] >= 2, "the second trial")
    server.kill()
    done = script.finish()
    assert done.code == 0, done.err
    assert states(folder) == Counter(DONE=6)
    assert "the same command with hydra.sweep.dir=sweep writes it" in done.out + done.err
    assert list(tmp_path.glob("tracking-*"))
    server.start()
    server.wait()
    done = run_script(command)
    assert done.code == 0, done.err
    check_once(server.uri, folder, 6)
    assert not list(tmp_path.glob("tracking-*"))


class Driver:
    """A sweep whose workers and whose own process are killed; it is started again by the same command."""

    def __init__(self, folder: Path, code: str) -> None:
        self.folder, self._path = folder, folder / "sweep.py"
        self._path.write_text(textwrap.dedent(code))
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with open(self.folder / "output.txt", "ab") as output:
            command = [sys.executable, str(self._path)]
            return subprocess.Popen(
                command, cwd=self.folder, stdout=output, stderr=output, start_new_session=True
            )

    def workers(self) -> list[int]:
        """The processes that the driver's fork server has forked."""
        members = {pid: parent_of(pid) for pid in group_members(self.process.pid)}
        servers = {pid for pid, parent in members.items() if parent == self.process.pid}
        return sorted(pid for pid, parent in members.items() if parent in servers)

    def kill_worker(self, rng: random.Random) -> bool:
        workers = self.workers()
        if workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(workers), signal.SIGKILL)
        return bool(workers)

    def kill_and_start(self) -> None:
        former = self.process.pid
        self.process.kill()
        self.process.wait()
        self.process = self._start()
        wait_until(lambda: not group_members(former), "the end of the killed driver's workers")

    def close(self) -> None:
        for pid in group_members(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.mark.slow
@pytest.mark.faults("RS32")
def test_sixty_trials_survive_killed_workers_and_a_driver_killed_three_times(
    ready_store: Path, tmp_path: Path
):
    seed = int(os.environ.get("BF_STORM_SEED") or random.SystemRandom().randrange(10**6))
    sys.stdout.write(f"BF_STORM_SEED={seed}\n")  # pytest shows it when the test fails
    rng = random.Random(seed)
    count, folder = 60, tmp_path / "sweep"
    driver = Driver(tmp_path, sweep(count, TWO, "pause=0.02"))
    deaths, kills = 0, 0
    next_kill = rng.randint(1, 4)
    marks = sorted(rng.sample(range(5, count - 10), 3))

    def moved() -> bool:
        """Whether it is time for a blow, or the sweep is over."""
        due = deaths < 3 and states(folder)["DONE"] >= marks[deaths]
        return due or begun(folder) >= next_kill or driver.process.poll() is not None

    try:
        while driver.process.poll() is None:
            wait_until(moved, "the next trial")
            if deaths < 3 and states(folder)["DONE"] >= marks[deaths]:
                driver.kill_and_start()
                deaths += 1
            elif driver.kill_worker(rng):
                kills += 1
            next_kill = begun(folder) + rng.randint(2, 6)
        assert driver.process.wait() == 0, (tmp_path / "output.txt").read_text()
    finally:
        driver.close()
    assert deaths == 3
    assert kills >= 5
    check_once(f"sqlite:///{ready_store}", folder, count)
