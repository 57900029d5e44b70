"""Faults of the launcher: dead workers, dead drivers, stops, devices; real processes, real signals."""

from __future__ import annotations

import itertools
import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bf_research.launcher.devices import Gpu, Machine, plan
from bf_research.launcher.errors import LauncherError
from tests.conftest import group_members

APP = """
    import json, os, signal, sys, time
    from pathlib import Path

    from bf_command import command
    from bf_research.launcher import report, stopping, where

    sys.argv[1:] = {arguments!r}


    class ResourceExhaustedError(Exception):
        pass


    @command("conf", "train")
    def main(config):
        began = time.monotonic()
        log = Path(config.log) / f"{{config.n}}-{{os.getpid()}}-{{time.time_ns()}}.json"
        log.write_text(json.dumps([where(), began, None]))
        print("output of job", config.n)
        if config.n == 2:
            if config.kind == "import":
                import there_is_no_such_module
            if config.kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if config.kind == "memory":
                raise ResourceExhaustedError("OOM when allocating a tensor")
            if config.kind == "exit":
                sys.exit(3)
        for step in range(config.steps):
            time.sleep(0.05)
            report(step + 1, config.steps, loss=0.5)
            if stopping():
                (Path(config.log) / f"{{config.n}}.asked").touch()
                if config.polite:
                    raise KeyboardInterrupt
        log.write_text(json.dumps([where(), began, time.monotonic()]))
        return config.n


    if __name__ == "__main__":
        main()
"""
CONF = """
n: 0
kind: ok
steps: 4
polite: true
log: {log}
hydra:
  sweep: {{dir: {log}/sweep}}
  launcher: {{preload: []}}
"""
GPU = ["hydra/launcher=gpu", "hydra.launcher.devices=[cpu:0,cpu:1]"]
ENDLESS = "steps=1000000000"


@pytest.fixture
def app(tmp_path: Path) -> Callable[..., str]:
    """``app("kind=kill", "n=1,2")`` gives the text of a program that runs a sweep with our launcher."""
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "train.yaml").write_text(CONF.format(log=tmp_path / "log"))
    (tmp_path / "log").mkdir()

    def make(*arguments: str) -> str:
        return APP.format(arguments=["-m", *GPU, *arguments])

    return make


def jobs(tmp_path: Path) -> dict[int, list[list[Any]]]:
    """What the jobs wrote: by number, the device, the begin and the end of every attempt."""
    found: dict[int, list[list[Any]]] = {}
    for path in sorted((tmp_path / "log").glob("*.json"), key=lambda path: path.name.rpartition("-")[2]):
        if text := path.read_text():  # empty in the moment before it is written
            found.setdefault(int(path.name.partition("-")[0]), []).append(json.loads(text))
    return found


def finished(tmp_path: Path) -> set[int]:
    return {number for number, tries in jobs(tmp_path).items() if tries[-1][2] is not None}


@pytest.mark.faults("LA01")
def test_five_jobs_on_two_devices_never_share_one(app, run_script, tmp_path: Path):
    done = run_script(app("n=1,2,3,4,5"))
    assert done.code == 0, done.err
    tries = [attempt for attempts in jobs(tmp_path).values() for attempt in attempts]
    assert finished(tmp_path) == {1, 2, 3, 4, 5}
    for device in ("cpu:0", "cpu:1"):
        spans = sorted(attempt[1:] for attempt in tries if attempt[0] == device)
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))


@pytest.mark.faults("LA02")
def test_a_device_that_is_not_there_is_refused_before_any_start(app, run_script, tmp_path: Path):
    done = run_script(app("n=1,2", "hydra.launcher.devices=[gpu:9]"))
    assert done.code == 1
    assert "gpu:9 is not on this machine" in done.err
    assert jobs(tmp_path) == {}
    with pytest.raises(LauncherError, match=r"gpu:9 .* there is gpu:0, gpu:1"):
        plan(["gpu:0", "gpu:9"], Machine((Gpu("0"), Gpu("1"))))


@pytest.mark.faults("LA04")
def test_a_job_whose_module_fails_at_import_fails_alone(app, run_script, tmp_path: Path):
    done = run_script(app("n=1,2,3", "kind=import"))
    assert done.code == 1
    assert "there_is_no_such_module" in done.err
    assert finished(tmp_path) == {1, 3}
    assert "there_is_no_such_module" in (tmp_path / "log/sweep/1/stdout.txt").read_text()


@pytest.mark.faults("LA04")
def test_a_preloaded_module_that_is_not_there_costs_no_worker(app, run_script, tmp_path: Path):
    done = run_script(app("n=1,3", "hydra.launcher.preload=[there_is_no_such_module]"))
    assert done.code == 0, done.err
    assert "without the module there_is_no_such_module" in done.out + done.err
    assert finished(tmp_path) == {1, 3}


@pytest.mark.faults("LA06")
def test_workers_end_with_a_killed_driver(app, start_script, tmp_path: Path):
    script = start_script(app("n=1,2", ENDLESS))
    script.wait_until(lambda: len(jobs(tmp_path)) == 2, "the second job")
    script.send(signal.SIGKILL)
    assert script.finish().code == -signal.SIGKILL


@pytest.mark.faults("LA06")
def test_workers_end_with_a_driver_killed_while_they_import(app, start_script):
    script = start_script(app("n=1,2", "hydra.launcher.preload=[tensorflow]"))
    script.wait_until(lambda: any(map(imports_tensorflow, group_members(script.process.pid))), "the import")
    script.send(signal.SIGKILL)
    assert script.finish().code == -signal.SIGKILL


def imports_tensorflow(pid: int) -> bool:
    """Whether a process has the library of TensorFlow in its memory, which is the begin of a long import."""
    try:
        return "tensorflow" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


HOLDER = """
    import sys, time
    from pathlib import Path
    from bf_research.launcher.gpu_leases import Leases

    with Leases(["gpu:0"], Path("leases")):
        print("holds", flush=True)
        time.sleep(10**6)
"""


@pytest.mark.faults("LA07")
def test_a_leased_gpu_is_refused_and_a_dead_holders_lease_taken_over(start_script, run_script):
    holder = start_script(HOLDER)
    holder.wait_for("holds")
    second = run_script(HOLDER)
    assert second.code == 1
    assert f"gpu:0 is used by process {holder.process.pid}" in second.err
    holder.send(signal.SIGKILL)
    holder.finish()
    third = start_script(HOLDER)
    third.wait_for("holds")
    third.kill()
    assert third.finish().code == -signal.SIGKILL


@pytest.mark.faults("LA08")
def test_a_job_out_of_device_memory_is_tried_once_more_alone(app, run_script, tmp_path: Path):
    done = run_script(app("n=1,2,3,4,5,6", "kind=memory"))
    assert done.code == 1
    assert "once more, alone" in done.err
    assert "ResourceExhaustedError" in done.err
    tries = jobs(tmp_path)
    assert len(tries[2]) == 2
    assert finished(tmp_path) == {1, 3, 4, 5, 6}
    again = tries.pop(2)[1][1]
    assert not any(began <= again <= end for attempts in tries.values() for _, began, end in attempts)


@pytest.mark.faults("LA10")
def test_the_plugin_loads_neither_tensorflow_nor_mlflow(run_script):
    done = run_script(
        """
        import sys
        import hydra_plugins.bf_launcher.gpu_launcher
        heavy = {"tensorflow", "mlflow", "keras", "pandas", "matplotlib", "numba", "cloudpickle", "numpy"}
        print(sorted(heavy & set(sys.modules)))
        """
    )
    assert done.out.strip() == "[]", done.err


@pytest.mark.faults("RS02", "RS03")
def test_a_killed_worker_costs_its_job_one_retry_and_no_other_job(app, run_script, tmp_path: Path):
    done = run_script(app("n=1,2,3,4", "kind=kill"))
    assert done.code == 1
    assert "killed by SIGKILL" in done.err
    assert "attempt 2" in done.err
    assert finished(tmp_path) == {1, 3, 4}
    assert len(jobs(tmp_path)[2]) == 2


@pytest.mark.faults("RS21")
def test_a_job_over_its_time_is_ended_and_the_next_begins(app, run_script, tmp_path: Path):
    done = run_script(app("n=1,2,3", ENDLESS, "hydra.launcher.timeout=1"))
    assert done.code == 1
    for number in range(3):  # each had begun: its time counts from there
        assert re.search(rf"job {number} .*took longer than 1 s", done.err), done.err


@pytest.mark.faults("RS19")
def test_ctrl_c_lets_jobs_stop_at_their_next_iteration(app, start_script, tmp_path: Path):
    script = start_script(app("n=1,2,3,4", ENDLESS, "hydra.launcher.stop_grace=3600"))
    script.wait_until(lambda: len(jobs(tmp_path)) == 2, "the second job")
    script.interrupt()
    done = script.finish()
    assert done.code == 130, done.err
    assert "stopped at an iteration" in done.err
    assert set(jobs(tmp_path)) == {1, 2}


@pytest.mark.faults("RS19")
def test_ctrl_c_ends_jobs_that_do_not_listen(app, start_script, tmp_path: Path):
    script = start_script(app("n=1,2", ENDLESS, "polite=false", "hydra.launcher.stop_grace=1"))
    script.wait_until(lambda: len(jobs(tmp_path)) == 2, "the second job")
    script.interrupt()
    assert script.finish().code == 130


@pytest.mark.faults("RS19")
def test_a_second_ctrl_c_ends_jobs_at_once(app, start_script, tmp_path: Path):
    arguments = ["n=1,2", ENDLESS, "polite=false", "hydra.launcher.stop_grace=3600"]
    script = start_script(app(*arguments))
    script.wait_until(lambda: len(jobs(tmp_path)) == 2, "the second job")
    script.interrupt()
    script.wait_until(lambda: len(list(tmp_path.glob("log/*.asked"))) == 2, "the first Ctrl-C at the jobs")
    script.interrupt()
    assert script.finish().code == 130


@pytest.mark.faults("RS18")
def test_sigterm_ends_the_workers_too(app, start_script, tmp_path: Path):
    script = start_script(app("n=1,2", ENDLESS))
    script.wait_until(lambda: len(jobs(tmp_path)) == 2, "the second job")
    script.send(signal.SIGTERM)
    assert script.finish().code == 143


def test_a_job_that_exits_is_a_failed_job(app, run_script, tmp_path: Path):
    done = run_script(app("n=1,2,3", "kind=exit"))
    assert done.code == 1
    assert "sys.exit(3)" in done.err
    assert finished(tmp_path) == {1, 3}


def test_the_output_of_a_job_goes_to_its_folder(app, run_script, tmp_path: Path):
    done = run_script(app("n=1,3"))
    assert "output of job" not in done.out
    assert (tmp_path / "log/sweep/1/stdout.txt").read_text() == "output of job 3\n"


@pytest.mark.faults("CF11")
@pytest.mark.parametrize("folder", ["a/../../b", "x" * 300, "/proc/nowhere/sweep"])
def test_a_sweep_folder_that_cannot_be_is_refused_before_any_start(app, run_script, tmp_path: Path, folder):
    done = run_script(app("n=1,2", f"hydra.sweep.dir={folder}"))
    assert done.code == 1
    assert "hydra.sweep.dir" in done.err
    assert jobs(tmp_path) == {}
