"""Jobs on real workers: results, deaths, limits, and workers that stay warm."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import psutil
import pytest
from omegaconf import OmegaConf

from bf_batch import engines
from bf_research.launcher import JobTimeout, LauncherError, WorkerDied, report, stopping, where
from bf_research.launcher.devices import Machine, plan
from bf_research.launcher.jobs import Job, Monitor, Policy
from bf_research.launcher.pool import Pool, close_kept, open_pool
from bf_research.launcher.scheduler import Scheduler
from hydra_plugins.bf_launcher.gpu_launcher import GpuLauncher, GpuLauncherConf
from tests.conftest import PATIENCE


def double(work: tuple[str, int]) -> object:
    """The work of the tests below."""
    kind, number = work
    if kind == "raise":
        raise ValueError(f"bad {number}")
    if kind == "die":
        os._exit(7)
    if kind == "sleep":
        time.sleep(10**6)
    if kind == "unpicklable":
        return (part for part in "ab")
    report(1, 1, loss=0.5)
    return number * 2, where(), stopping(), os.getpid()


@pytest.fixture(scope="class")
def workers() -> Iterator[Pool]:
    with open_pool([], plan(["cpu:0", "cpu:1"], Machine((), (0, 1))), keep=False) as made:
        yield made


def ends(workers: Pool, kinds: str, **policy) -> dict[int, object]:
    jobs = [Job(number, (kind, number), kind) for number, kind in enumerate(kinds.split())]
    scheduler = Scheduler(workers, Policy(**policy), Monitor())
    return {done.job.number: done for done in scheduler.run(double, jobs)}


class TestScheduler:
    def test_every_job_gives_its_result(self, workers: Pool):
        done = ends(workers, "ok ok ok ok ok")
        assert [done[number].value[0] for number in range(5)] == [0, 2, 4, 6, 8]
        assert {done[number].value[1] for number in range(5)} <= {"cpu:0", "cpu:1"}

    def test_an_error_comes_back_with_the_traceback_of_the_worker(self, workers: Pool):
        done = ends(workers, "ok raise ok")
        assert [done[number].kind for number in range(3)] == ["ok", "failed", "ok"]
        assert isinstance(done[1].value, ValueError)
        assert "raise ValueError" in done[1].value.__notes__[0]

    def test_a_dead_worker_costs_its_job_one_more_try(self, workers: Pool):
        done = ends(workers, "ok die ok", retries=1)
        assert [done[number].kind for number in range(3)] == ["ok", "crashed", "ok"]
        assert isinstance(done[1].value, WorkerDied)
        assert "exit code 7" in str(done[1].value)
        assert done[1].job.attempt == 2

    def test_the_death_of_a_worker_has_one_class_in_all_packages(self, workers: Pool):
        died = ends(workers, "die", retries=0)[0].value
        assert type(died) is engines.WorkerDied
        assert (died.code, died.signal, died.pid > 0) == (7, None, True)
        again = cloudpickle.loads(cloudpickle.dumps(died))
        assert (str(again), again.code) == (str(died), 7)
        assert str(died).endswith(", attempt 1: its worker ended, with exit code 7")

    def test_a_job_that_takes_too_long_is_ended(self, workers: Pool):
        done = ends(workers, "sleep ok ok", timeout=3)
        assert [done[number].kind for number in range(3)] == ["timeout", "ok", "ok"]
        assert isinstance(done[0].value, JobTimeout)

    def test_a_result_that_cannot_travel_is_an_error_that_says_so(self, workers: Pool):
        done = ends(workers, "unpicklable ok")
        assert "generator, can't be sent back" in str(done[0].value)
        assert done[1].kind == "ok"

    def test_after_the_first_failure_no_job_begins(self, workers: Pool):
        done = ends(workers, "raise raise ok ok ok ok", stop_on_failure=True)
        assert len(done) < 6
        assert "failed" in {one.kind for one in done.values()}

    def test_a_fresh_process_for_every_job_on_request(self, workers: Pool):
        done = ends(workers, "ok ok ok ok", max_jobs_per_worker=1)
        assert len({one.value[3] for one in done.values()}) == 4

    def test_a_worker_with_more_jobs_than_this_sweep_allows_has_one_more_and_ends(self, workers: Pool):
        before = ends(workers, "ok ok")
        done = ends(workers, "ok ok ok ok", max_jobs_per_worker=1)
        assert len({one.value[3] for one in done.values()}) == 4
        assert {one.value[3] for one in before.values()} & {one.value[3] for one in done.values()}

    def test_a_fresh_process_takes_up_a_job_whose_worker_died(self, workers: Pool):
        done = ends(workers, "die ok", max_jobs_per_worker=1, retries=1)
        assert [done[number].kind for number in range(2)] == ["crashed", "ok"]
        assert done[0].job.attempt == 2

    def test_jobs_may_depend_on_results(self, workers: Pool):
        results: list[int] = []

        def jobs() -> Iterator[Job | None]:
            for number in range(3):
                while len(results) < number:
                    yield None
                yield Job(number, ("ok", number))

        for done in Scheduler(workers, Policy(), Monitor()).run(double, jobs()):
            results.append(done.value[0])
        assert results == [0, 2, 4]

    def test_what_cannot_be_sent_is_refused_before_any_job(self, workers: Pool):
        lock = __import__("threading").Lock()
        with pytest.raises(LauncherError, match="globals"):
            list(Scheduler(workers, Policy(), Monitor()).run(lambda work: lock, [Job(0, 1)]))

    @pytest.mark.parametrize("options", [{"retries": -1}, {"timeout": 0}, {"max_jobs_per_worker": -1}])
    def test_a_senseless_policy_is_refused(self, options):
        with pytest.raises(LauncherError, match=next(iter(options))):
            Policy(**options)


def test_workers_stay_warm_for_the_next_sweep_of_the_process():
    slots = plan(["cpu:0"], Machine((), (0,)))
    pids = []
    try:
        for _ in range(2):
            with open_pool([], slots) as made:
                pids.append(ends(made, "ok")[0].value[3])
    finally:
        close_kept()
    assert pids[0] == pids[1]


def test_a_server_that_was_killed_between_two_sweeps_is_replaced():
    slots = plan(["cpu:0"], Machine((), (0,)))
    try:
        with open_pool([], slots) as made:
            first = ends(made, "ok")[0].value[3]
        os.kill(made._process.pid, signal.SIGKILL)
        made._process.wait(PATIENCE)
        with open_pool([], slots) as made:
            assert ends(made, "ok")[0].value[3] != first
    finally:
        close_kept()


def test_the_server_starts_as_soon_as_the_launcher_is_set_up(tmp_path: Path):
    options = OmegaConf.to_container(OmegaConf.structured(GpuLauncherConf(devices=["cpu:0"], preload=[])))
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path / "sweep")}}})
    close_kept()
    assert not servers()
    GpuLauncher(**options).setup(hydra_context=None, task_function=None, config=config)
    try:
        assert len(servers()) == 1
    finally:
        close_kept()
    assert not servers()


def servers() -> list[psutil.Process]:
    """The processes of this one that workers would be forked from."""
    return [child for child in psutil.Process().children() if "fork_server" in " ".join(child.cmdline())]
