"""The launcher: who gets which device, leases, composing, and jobs on real workers."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cloudpickle
import psutil
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, run_job
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from bf_batch import engines
from bf_command.schema import register
from bf_research.launcher import JobTimeout, LauncherError, WorkerDied, report, stopping, where
from bf_research.launcher.compose import Composer
from bf_research.launcher.devices import Gpu, Machine, choose, group_devices, mask_gpus, parse, plan, share
from bf_research.launcher.gpu_leases import Leases
from bf_research.launcher.hydra_job import run_composed
from bf_research.launcher.jobs import Job, Policy
from bf_research.launcher.pool import Pool, close_kept, open_pool
from bf_research.launcher.progress import Silent
from bf_research.launcher.scheduler import Scheduler
from hydra_plugins.bf_launcher.gpu_launcher import GpuLauncher, GpuLauncherConf

TWO = Machine((Gpu("0", 8000), Gpu("1", 16000)), (0, 1, 2, 3))


class TestDevices:
    def test_auto_takes_every_gpu(self):
        assert choose("auto", TWO) == ["gpu:0", "gpu:1"]

    def test_auto_without_gpus_makes_places_of_the_cores(self):
        assert choose("auto", Machine((), (0, 1))) == ["cpu:0", "cpu:1"]
        assert choose("auto", Machine((), (0, 1)), workers=3) == ["cpu:0", "cpu:1", "cpu:2"]

    def test_an_existing_mask_renumbers_the_gpus(self):
        found = [("GPU-aa", 1), ("GPU-bb", 2), ("GPU-cc", 3)]
        assert mask_gpus(found, "2,0") == (Gpu("2", 3), Gpu("0", 1))
        assert mask_gpus(found, "GPU-b") == (Gpu("GPU-b", 2),)
        assert mask_gpus(found, "1,7,0") == (Gpu("1", 2),)
        assert mask_gpus(found, "") == ()
        assert mask_gpus(found, None) == (Gpu("0", 1), Gpu("1", 2), Gpu("2", 3))

    def test_workers_see_their_device_through_the_mask_that_is_there(self):
        slots = plan(["gpu:0", "gpu:1"], Machine((Gpu("5"), Gpu("3")), (0, 1)))
        assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["5", "3"]
        assert [slot.environment["BF_DEVICES"] for slot in slots] == ["gpu:0", "gpu:1"]
        assert all(slot.environment["TF_FORCE_GPU_ALLOW_GROWTH"] == "true" for slot in slots)

    def test_cpu_workers_see_no_gpu_and_share_the_cores(self):
        slots = plan(["cpu:0", "cpu:1"], TWO)
        assert [slot.cores for slot in slots] == [(0, 1), (2, 3)]
        assert {slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots} == {"-1"}
        assert {slot.environment["TF_NUM_INTRAOP_THREADS"] for slot in slots} == {"2"}

    def test_several_workers_on_a_device_come_after_one_on_each(self):
        slots = plan("auto", TWO, per_device=2)
        assert [slot.name for slot in slots] == ["gpu:0/0", "gpu:1/0", "gpu:0/1", "gpu:1/1"]
        assert slots[0].memory_limit == 3680

    def test_a_job_may_get_several_devices(self):
        (slot,) = plan("auto", TWO, devices_per_job=2)
        assert slot.devices == ("gpu:0", "gpu:1")
        assert slot.environment["CUDA_VISIBLE_DEVICES"] == "0,1"
        assert plan("auto", TWO, per_device=0.5) == [slot]

    def test_workers_are_at_most_so_many(self):
        assert len(plan("auto", TWO, per_device=3, workers=4)) == 4

    @pytest.mark.parametrize(
        ("devices", "options", "text"),
        [
            (["gpu:x"], {}, "gpu:0 or cpu:0"),
            ([], {}, "empty"),
            (["cpu:0", "cpu:0"], {}, "twice"),
            (["cpu:0"], {"per_device": 0}, "above 0"),
            (["cpu:0"], {"per_device": 1.5}, "whole"),
            (["cpu:0"], {"devices_per_job": 2}, "needs 2 devices, there are 1"),
            (["cpu:0"], {"devices_per_job": 0}, "at least 1"),
            (["cpu:0", "cpu:1"], {"per_device": 0.5, "devices_per_job": 2}, "one of them"),
            (["cpu:0"], {"workers": 0}, "at least 1"),
        ],
    )
    def test_numbers_that_do_not_fit_are_refused(self, devices, options, text):
        with pytest.raises(LauncherError, match=text):
            plan(devices, TWO, **options)

    def test_cores_are_apart_while_there_are_enough(self):
        assert [share(range(5), number, 2) for number in range(2)] == [(0, 1), (2, 3, 4)]
        assert [share((4, 7), number, 3) for number in range(3)] == [(4,), (7,), (4,)]

    def test_a_device_is_kind_and_number(self):
        assert parse(" GPU:1 ") == ("gpu", 1)
        assert group_devices(["a", "b", "c"], 1, 2) == [(("a", "b"), 1)]


class TestLeases:
    def test_a_second_holder_is_told_the_first(self, tmp_path: Path):
        with Leases(["gpu:0"], tmp_path), pytest.raises(LauncherError, match=f"process {os.getpid()}"):
            Leases(["gpu:1", "gpu:0"], tmp_path)

    def test_a_refused_lease_gives_back_the_others(self, tmp_path: Path):
        with Leases(["gpu:0"], tmp_path), pytest.raises(LauncherError):
            Leases(["gpu:1", "gpu:0"], tmp_path)
        with Leases(["gpu:1"], tmp_path):
            assert sorted(path.name for path in tmp_path.iterdir()) == ["gpu-0.lease", "gpu-1.lease"]


OVERRIDES = [
    ["model=vgg7", "seed=1"],
    ["model=vgg7", "seed=2", "n_iters=5"],
    ["model=resnet18", "+model.x={a: 1}", "optimizer.learning_rate=1e-3"],
    ["~schedule", "optimizer=adam"],
    ["hydra.sweep.subdir=abc", "batch_size=3", "++bf.id='x y'"],
    ["schedule={name: constant}"],
    [],
]


@pytest.fixture(scope="module")
def composer() -> Iterator[tuple[Composer, object]]:
    """Our composer and Hydra's, over the project's own configurations."""
    folder = Path(__file__).parents[3] / "conf"
    register(folder)
    with initialize_config_dir(config_dir=str(folder), version_base="1.3"):
        master = compose("train", overrides=["hydra/launcher=gpu"], return_hydra_config=True)
        with open_dict(master):
            master.hydra.job.config_name = "train"
            master.hydra.overrides.hydra = ["hydra/launcher=gpu"]
        loader = GlobalHydra.instance().hydra.config_loader
        yield Composer(loader, master), lambda one: loader.load_sweep_config(master, one)


class TestComposing:
    @pytest.mark.parametrize("overrides", OVERRIDES, ids=lambda one: " ".join(one) or "none")
    def test_a_kept_composition_equals_that_of_hydra(self, composer, overrides):
        made, whole = composer
        for _ in range(2):
            assert OmegaConf.to_yaml(made.compose(overrides)) == OmegaConf.to_yaml(whole(overrides))

    def test_a_wrong_key_is_refused_as_by_hydra(self, composer):
        made, _ = composer
        with pytest.raises(Exception, match="nosuch"):
            made.compose(["model=vgg7", "nosuch=1"])

    @pytest.mark.parametrize("overrides", OVERRIDES, ids=lambda one: " ".join(one) or "none")
    def test_a_check_takes_what_can_be_composed_and_changes_nothing(self, composer, overrides):
        made, whole = composer
        made.check(overrides)
        assert OmegaConf.to_yaml(made.compose(overrides)) == OmegaConf.to_yaml(whole(overrides))

    @pytest.mark.parametrize(
        "overrides", [["nosuch=1"], ["model=nosuch"], ["+batch_size=3"], ["~nosuch"], ["hydra.job.num=text"]]
    )
    def test_a_check_refuses_what_can_not(self, composer, overrides):
        made, _ = composer
        with pytest.raises(Exception) as composed:
            made.compose(overrides)
        with pytest.raises(type(composed.value)) as checked:
            made.check(overrides)
        assert str(checked.value) == str(composed.value)

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("schedule=null", "schedule.name=constant"),
            ("schedule={name: constant}", "schedule={warmup: 1}"),
            ("targets=[]", "targets.0=a"),
            ("targets=[a, b]", "targets=[c]"),
            ("++launch.x=1", "launch.x=2"),
            ("~schedule", "schedule.name=constant"),
            ("batch_size=3", "batch_size=text"),
            ("n_iters=null", "n_iters=5"),
            ("loss=ce", "loss={a: 1}"),
            ("loss={a: 1}", "loss.a=2"),
        ],
    )
    def test_a_check_does_not_depend_on_what_was_checked_before(self, composer, first: str, second: str):
        made, _ = composer
        alone, after = (Composer(made._loader, made._master) for _ in range(2))
        with suppress(Exception):
            after.check([first])
        composed = refusal(alone.compose, [second])
        assert refusal(alone.check, [second]) == composed
        assert refusal(after.check, [second]) == composed

    def test_another_process_composes_no_choice_again(self, composer, monkeypatch: pytest.MonkeyPatch):
        made, whole = composer
        made.compose(["model=vgg7"])
        there: Composer = cloudpickle.loads(cloudpickle.dumps(made))
        monkeypatch.setattr(Composer, "_whole", None)
        overrides = ["model=vgg7", "seed=2"]
        assert OmegaConf.to_yaml(there.compose(overrides)) == OmegaConf.to_yaml(whole(overrides))


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


def refusal(work: Callable[[list[str]], object], overrides: list[str]) -> str:
    """What an error of the work says; nothing when there is none."""
    try:
        work(overrides)
    except Exception as error:  # noqa: BLE001 - any refusal of Hydra's
        return f"{type(error).__name__}: {error}"
    return ""


def servers() -> list[psutil.Process]:
    """The processes of this one that workers would be forked from."""
    return [child for child in psutil.Process().children() if "fork_server" in " ".join(child.cmdline())]


class Noting:
    """Callbacks that note what they are told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_job_start(self, config: DictConfig, task_function: object) -> None:
        """Note the beginning."""
        self.told.append(f"start {OmegaConf.to_yaml(config)} {HydraConfig.get().runtime.output_dir}")

    def on_job_end(self, config: DictConfig, job_return: JobReturn) -> None:
        """Note the end."""
        self.told.append(f"end {OmegaConf.to_yaml(config)} {job_return.status}")


def seen_by(runner: Callable[..., JobReturn], composer: Any, folder: Path, fails: bool) -> dict[str, Any]:
    """Everything that a run of a job shows, its folder called FOLDER."""

    def task(config: DictConfig) -> object:
        seen.update(
            config=OmegaConf.to_yaml(config), struct=OmegaConf.is_struct(config), kind=HydraConfig.get().mode
        )
        logging.getLogger("job").info("a line")
        if fails:
            raise ValueError("bad")
        config.batch_size = 1  # is not seen by callbacks
        return 5

    seen: dict[str, Any] = {}
    config = composer[0].compose(
        [f"hydra.sweep.dir={folder}", "hydra.sweep.subdir=${hydra.job.num}", "seed=3"]
    )
    with open_dict(config):
        config.hydra.job.id, config.hydra.job.num = "4", 4
    before = HydraConfig.instance().cfg
    HydraConfig.instance().cfg = config
    callbacks = Noting()
    loader = GlobalHydra.instance().hydra.config_loader
    try:
        result = runner(task, config, HydraContext(loader, callbacks))  # type: ignore[arg-type]
    finally:
        HydraConfig.instance().cfg = before
        logging.getLogger().handlers.clear()
    for path in sorted(folder.rglob("*")):
        seen[path.relative_to(folder).as_posix()] = path.read_text() if path.is_file() else ""
    seen["told"] = "\n".join(callbacks.told)
    for name in ("overrides", "working_dir", "task_name", "status", "_return_value"):
        seen[name] = repr(getattr(result, name))
    seen |= {"cfg": OmegaConf.to_yaml(result.cfg), "hydra_cfg": OmegaConf.to_yaml(result.hydra_cfg)}
    return {name: str(value).replace(str(folder), "FOLDER") for name, value in seen.items()}


@pytest.mark.parametrize("fails", [False, True])
def test_a_job_shows_the_same_as_one_run_by_hydra(composer, tmp_path: Path, monkeypatch, fails: bool):
    monkeypatch.chdir(tmp_path)

    def hydras(task: Any, config: DictConfig, context: HydraContext) -> JobReturn:
        return run_job(task, config, "hydra.sweep.dir", "hydra.sweep.subdir", context)

    ours = seen_by(run_composed, composer, tmp_path / "ours", fails)
    theirs = seen_by(hydras, composer, tmp_path / "theirs", fails)
    assert ours == theirs
    assert "4/.hydra/hydra.yaml" in ours


def double(work: tuple[str, int]) -> object:
    """The work of the tests below."""
    kind, number = work
    if kind == "raise":
        raise ValueError(f"bad {number}")
    if kind == "die":
        os._exit(7)
    if kind == "sleep":
        time.sleep(30)
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
    scheduler = Scheduler(workers, Policy(**policy), Silent())
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

    def test_jobs_may_depend_on_results(self, workers: Pool):
        results: list[int] = []

        def jobs() -> Iterator[Job | None]:
            for number in range(3):
                while len(results) < number:
                    yield None
                yield Job(number, ("ok", number))

        for done in Scheduler(workers, Policy(), Silent()).run(double, jobs()):
            results.append(done.value[0])
        assert results == [0, 2, 4]

    def test_what_cannot_be_sent_is_refused_before_any_job(self, workers: Pool):
        lock = __import__("threading").Lock()
        with pytest.raises(LauncherError, match="globals"):
            list(Scheduler(workers, Policy(), Silent()).run(lambda work: lock, [Job(0, 1)]))

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
        made._process.wait(10)
        with open_pool([], slots) as made:
            assert ends(made, "ok")[0].value[3] != first
    finally:
        close_kept()
