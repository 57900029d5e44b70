"""Faults of the store of runs: storms, absence, killed writers; a real sqlite store and a real server."""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bf_research.tracking import MLflowTracker
from bf_research.tracking.callback import close_abandoned
from bf_research.tracking.replay import replay
from bf_research.tracking.run_scope import record_run
from bf_research.tracking.store import TrackingError, experiment_id, open_store
from tests.conftest import PATIENCE, wait_until

# One import of MLflow serves all processes: they are forked before any of them opens the store.
STORM = """
    import os, sys
    import mlflow
    import mlflow.store.tracking.sqlalchemy_store
    from bf_research.tracking import MLflowTracker

    def child(sweep, number):
        waits = {{"patience": {patience}}}
        tracker = MLflowTracker("sqlite:///store/mlflow.db", f"sweep {{sweep}}", buffering=waits)
        tracker.start(f"{{sweep}}-{{number}}")
        tracker.ready({patience})
        for step in range({points}):
            tracker.log_metric("loss", step, step)
        tracker.end()

    pids = []
    for sweep in range({sweeps}):
        for number in range(8):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    child(sweep, number)
                    code = 0
                finally:
                    os._exit(code)
            pids.append(pid)
    print([os.waitpid(pid, 0)[1] for pid in pids])
"""


@pytest.fixture(autouse=True)
def no_sweep(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("BF_SWEEP", raising=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


def history(store: str, run_id: str, name: str = "loss") -> list[tuple[int, float]]:
    found = open_store(store).get_metric_history(run_id, name)
    return [(metric.step, metric.value) for metric in found]


@pytest.mark.slow
@pytest.mark.faults("ML01")
def test_two_sweeps_of_eight_processes_lose_nothing(run_script, tmp_path: Path):
    done = run_script(STORM.format(points=2000, sweeps=2, patience=PATIENCE))
    assert done.out.strip() == str([0] * 16), done.err
    assert "database is locked" not in done.err
    client = open_store(f"sqlite:///{tmp_path}/store/mlflow.db")
    for sweep in range(2):
        experiment = client.get_experiment_by_name(f"sweep {sweep}")
        runs = client.search_runs([experiment.experiment_id])
        assert len(runs) == 8
        for run in runs:
            points = client.get_metric_history(run.info.run_id, "loss")
            assert [point.step for point in points] == list(range(2000))


@pytest.mark.faults("ML02")
def test_eight_processes_create_one_fresh_store(run_script, tmp_path: Path):
    done = run_script(STORM.format(points=3, sweeps=1, patience=PATIENCE))
    assert done.out.strip() == str([0] * 8), done.err
    client = open_store(f"sqlite:///{tmp_path}/store/mlflow.db")
    experiment = client.get_experiment_by_name("sweep 0")
    assert {run.info.status for run in client.search_runs([experiment.experiment_id])} == {"FINISHED"}


@pytest.mark.faults("ML03")
def test_a_required_store_that_is_down_stops_before_the_training(tmp_path: Path):
    tracker = MLflowTracker(f"http://127.0.0.1:{free_port()}", folder=str(tmp_path))
    tracker.start("run")
    with pytest.raises(TrackingError, match=r"does not answer.*tracking\.required=false"):
        tracker.ready()
    tracker.end("FAILED")


@pytest.mark.faults("ML03")
def test_an_unusable_sqlite_store_is_named(tmp_path: Path):
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    tracker = MLflowTracker(f"sqlite:///{tmp_path}/mlflow.db", folder=str(tmp_path))
    tracker.start("run")
    with pytest.raises(TrackingError, match=r"mlflow\.db can't be used"):
        tracker.ready()
    tracker.end("FAILED")


@pytest.mark.faults("ML03")
def test_a_store_that_is_not_required_leaves_its_records_in_a_file(store: str, tmp_path: Path):
    tracker = MLflowTracker(f"http://127.0.0.1:{free_port()}", required=False, folder=str(tmp_path))
    tracker.start("a run/with lr=0.1: 'x'", {"mine": "yes"})
    assert tracker.ready() is None
    tracker.log_params({"lr": 0.1})
    for step in range(10):
        tracker.log_metric("loss", step / 2, step)
    tracker.end()
    (kept,) = tmp_path.glob("tracking-a_run_with_lr=0.1_x_-*.jsonl")
    assert json.loads(kept.read_text().splitlines()[0])[0] == "start"
    location = replay(kept, store)
    assert location is not None
    run = open_store(store).get_run(location.run_id)
    assert (run.data.params, run.data.tags["mine"]) == ({"lr": "0.1"}, "yes")
    assert history(store, location.run_id) == [(step, step / 2) for step in range(10)]


class Proxy:
    """A port that passes connections on to a server, or refuses them while it is 'down'."""

    def __init__(self, target: int) -> None:
        self.target, self.up = target, True
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return
            if not self.up:
                caller.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.target))
            for pair in ((caller, server), (server, caller)):
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while self.up and (data := source.recv(65536)):
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                end.close()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Proxy]:
    """A real MLflow server behind a proxy that can go down."""
    port = free_port()
    options = [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/server.db",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--artifacts-destination",
            str(tmp_path / "art"),
            *options,
        ],
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=tmp_path,
    )
    proxy = Proxy(port)
    try:
        wait_until(lambda: answers(port), "the MLflow server")
        yield proxy
    finally:
        proxy.close()
        os.killpg(process.pid, 15)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


@pytest.mark.slow
@pytest.mark.faults("ML04")
def test_records_wait_in_bounded_memory_while_the_store_is_away(server: Proxy, tmp_path: Path):
    uri = f"http://127.0.0.1:{server.port}"
    waits = {"points": 100, "flush_seconds": 0.2, "patience": PATIENCE}
    tracker = MLflowTracker(uri, folder=str(tmp_path), buffering=waits)
    tracker.start("run")
    location = tracker.ready(PATIENCE)
    tracker.log_metric("loss", 0, 0)
    wait_until(lambda: history(uri, location.run_id), "the first point")
    server.up = False
    for step in range(1, 2001):
        tracker.log_metric("loss", step, step)
        if step % 400 == 0:
            time.sleep(0.5)
    recorder: Any = tracker._recorder
    wait_until(lambda: recorder._down_since is not None, "a try that failed")
    wait_until(lambda: recorder._backlog.in_memory <= 100, "room in memory")
    server.up = True
    tracker.end()
    client = open_store(uri)
    assert client.get_run(location.run_id).info.status == "FINISHED"
    points: dict[int, float] = dict(history(uri, location.run_id))
    assert points == {step: float(step) for step in range(2001)}
    assert not list(tmp_path.glob("tracking-*.jsonl"))


@pytest.mark.faults("ML05")
def test_nan_and_inf_are_kept_and_tagged(store: str, tmp_path: Path):
    tracker = MLflowTracker(store, folder=str(tmp_path))
    tracker.start("odd")
    for step, value in enumerate([0.5, math.nan, math.inf]):
        tracker.log_metric("loss", value, step)
    location = tracker.end()
    assert location is not None
    run = open_store(store).get_run(location.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["bf.nonfinite"] == "loss"
    assert len(history(store, location.run_id)) == 3


@pytest.mark.faults("ML07")
def test_the_run_of_a_killed_process_is_closed_by_the_next_driver(store: str, run_script, tmp_path: Path):
    done = run_script(
        f"""
        import os, signal
        from bf_research.tracking import MLflowTracker
        from bf_research.tracking.run_scope import record_run

        tracker = MLflowTracker({store!r}, experiment="killed")
        with record_run(tracker, "run"):
            print(tracker.ready().run_id, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    run_id = done.out.strip()
    client = open_store(store)
    number = experiment_id(client, "killed", store)
    assert client.get_run(run_id).info.status == "RUNNING"
    alive = MLflowTracker(store, experiment="killed", folder=str(tmp_path))
    with record_run(alive, "alive"):
        mine = alive.ready()
        assert close_abandoned(client, number) == [run_id]
        assert client.get_run(mine.run_id).info.status == "RUNNING"
    assert client.get_run(run_id).info.status == "KILLED"


@pytest.mark.faults("ML09")
def test_a_deleted_experiment_is_an_error_with_the_way_out(store: str, tmp_path: Path):
    client = open_store(store)
    client.delete_experiment(experiment_id(client, "deleted", store))
    tracker = MLflowTracker(store, experiment="deleted", folder=str(tmp_path))
    tracker.start("run")
    with pytest.raises(TrackingError, match=r"'deleted' was deleted .* experiments restore --experiment-id"):
        tracker.ready()
    tracker.end("FAILED")


@pytest.mark.faults("ML11")
def test_trackers_of_several_threads_do_not_meet(store: str, tmp_path: Path):
    import mlflow

    locations: dict[int, Any] = {}

    def work(number: int) -> None:
        tracker = MLflowTracker(store, folder=str(tmp_path))
        tracker.start(f"thread {number}")
        for step in range(300):
            tracker.log_metric("loss", number, step)
        locations[number] = tracker.end()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mlflow.active_run() is None
    for number, location in locations.items():
        assert history(store, location.run_id) == [(step, number) for step in range(300)]


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
