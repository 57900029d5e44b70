"""What every engine promises. A new engine is tested by naming itself here."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from bf_batch.engines import ENGINES, Engine, WorkerDied, make_engine, shared
from bf_batch.engines.factory import stop_shared
from tests.conftest import PATIENCE, wait_until


def stay(sign: Path) -> None:
    """Put up a sign and work until somebody takes it away."""
    sign.touch()
    while sign.exists():
        time.sleep(0.01)


class EngineContract:
    """Tests of one engine; a subclass gives its name."""

    name: str
    ends_workers = False

    @pytest.fixture
    def engine(self):
        with make_engine(self.name, 2) as engine:
            yield engine

    def test_it_is_an_engine(self, engine):
        assert isinstance(engine, Engine)
        assert engine.workers >= 1

    def test_results_arrive_at_their_futures(self, engine):
        futures = [engine.submit(divmod, number, 3) for number in range(20)]
        assert [future.result(PATIENCE) for future in futures] == [divmod(number, 3) for number in range(20)]

    def test_an_error_arrives_at_its_future_and_the_next_task_runs(self, engine):
        failing = engine.submit(int, "x")
        with pytest.raises(ValueError, match="invalid literal"):
            failing.result(PATIENCE)
        assert engine.submit(int, "3").result(PATIENCE) == 3

    def test_an_error_of_a_script_s_own_type_keeps_it(self, engine):
        class Special(Exception):
            pass

        def fail():
            raise Special("mine")

        with pytest.raises(Special, match="mine"):
            engine.submit(fail).result(PATIENCE)

    def test_a_payload_is_the_first_argument(self):
        payload = {"scale": 3, "table": np.arange(100_000.0)}
        with make_engine(self.name, 2, payload) as engine:
            futures = [
                engine.submit(lambda shared, n: shared["table"][n] * shared["scale"], n) for n in range(5)
            ]
            assert [future.result(PATIENCE) for future in futures] == [0, 3, 6, 9, 12]

    def test_arrays_come_back_whole_and_writable(self, engine):
        def make(number):
            return {
                "images": np.full((64, 64, 3), number, np.float32),
                "ids": list(range(number)),
                "none": None,
            }

        held = [engine.submit(make, number).result(PATIENCE) for number in range(1, 40)]
        for number, result in enumerate(held, 1):
            assert (result["images"] == number).all()
            assert result["ids"] == list(range(number))
            result["images"] += 1
        assert [result["images"][0, 0, 0] for result in held] == list(range(2, 41))

    def test_arrays_that_are_held_are_never_overwritten(self, engine):
        def make(number):
            return np.full(100_000, number)

        first = engine.submit(make, -1).result(PATIENCE)
        part = engine.submit(make, -2).result(PATIENCE)[10:20]
        for number in range(30):
            assert (engine.submit(make, number).result(PATIENCE) == number).all()
        assert (first == -1).all()
        assert (part == -2).all()

    def test_large_arguments_arrive(self, engine):
        arrays = [np.random.default_rng(k).random((50, 1000)) for k in range(8)]
        futures = [engine.submit(np.sum, array) for array in arrays]
        assert [future.result(PATIENCE) for future in futures] == [array.sum() for array in arrays]

    def test_stop_cancels_what_has_not_begun_and_does_not_wait_for_what_never_ends(self, tmp_path):
        engine = make_engine(self.name, 1)
        if self.name != "inline":
            futures = [engine.submit(stay, tmp_path / "sign") for _ in range(10)]
            wait_until((tmp_path / "sign").exists, "the first task")
        engine.stop()
        engine.stop()
        if self.name != "inline":
            assert futures[-1].cancelled()
            (tmp_path / "sign").unlink()
            wait_until(lambda: all(future.done() for future in futures), "the end of all tasks")
        with pytest.raises(RuntimeError, match="stopped"):
            engine.submit(int)

    def test_nothing_is_left_after_stop(self):
        threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            with make_engine(self.name, 2) as engine:
                for future in [engine.submit(np.zeros, 50_000) for _ in range(6)]:
                    future.result(PATIENCE)
            del future
        assert threading.active_count() == threads
        assert len(os.listdir("/proc/self/fd")) == files

    def test_many_threads_may_submit(self, engine):
        results: list[int] = []

        def use():
            results.extend(engine.submit(abs, -number).result(PATIENCE) for number in range(20))

        users = [threading.Thread(target=use) for _ in range(4)]
        for user in users:
            user.start()
        for user in users:
            user.join()
        assert sorted(results) == sorted(list(range(20)) * 4)

    def test_a_cancelled_task_harms_nobody(self, engine):
        futures = [engine.submit(time.sleep, 0.02) for _ in range(12)]
        for future in futures[1::2]:
            future.cancel()
        for future in futures[::2]:
            future.result(PATIENCE)
        assert engine.submit(abs, -1).result(PATIENCE) == 1


class TestInline(EngineContract):
    name = "inline"


class TestThreads(EngineContract):
    name = "threads"

    def test_no_more_tasks_run_at_a_time_than_there_are_workers(self):
        for workers in (1, 3):
            running, most, lock = [0], [0], threading.Lock()
            all_at_once = threading.Barrier(workers, timeout=PATIENCE)

            def work(running=running, most=most, lock=lock, all_at_once=all_at_once):
                with lock:
                    running[0] += 1
                    most[0] = max(most[0], running[0])
                all_at_once.wait()
                with lock:
                    running[0] -= 1

            with make_engine("threads", workers) as engine:
                for future in [engine.submit(work) for _ in range(42)]:
                    future.result()
            assert most[0] == workers

    def test_a_reader_does_what_no_thread_has_begun(self):
        with make_engine("threads", 1) as engine:
            done = [engine.submit(threading.get_ident).result() for _ in range(2000)]
        assert threading.get_ident() in done

    def test_an_interrupt_of_the_reader_s_own_work_reaches_it(self):
        def interrupt():
            raise KeyboardInterrupt

        with make_engine("threads", 1) as engine:
            for _ in range(50):
                with pytest.raises(KeyboardInterrupt):
                    engine.submit(interrupt).result()

    def test_an_idle_thread_holds_no_result(self):
        import gc
        import weakref

        class Big:
            pass

        with make_engine("threads", 1) as engine:
            seen = weakref.ref(engine.submit(Big).result())
            wait_until(lambda: (gc.collect(), seen() is None)[1], "the end of the result")


@pytest.mark.slow
class TestProcesses(EngineContract):
    name = "processes"

    def test_workers_are_other_processes_that_last(self, engine):
        ids = {engine.submit(os.getpid).result(PATIENCE) for _ in range(10)}
        assert os.getpid() not in ids
        assert len(ids) <= 2

    def test_a_killed_worker_is_named_and_replaced(self, engine):
        future = engine.submit(lambda: os.kill(os.getpid(), signal.SIGKILL))
        with pytest.raises(WorkerDied, match="killed by SIGKILL") as caught:
            future.result(PATIENCE)
        assert caught.value.signal == "SIGKILL"
        assert engine.submit(abs, -3).result(PATIENCE) == 3

    def test_a_worker_that_exits_is_named(self, engine):
        with pytest.raises(WorkerDied, match="exited with code 7"):
            engine.submit(os._exit, 7).result(PATIENCE)

    def test_tasks_behind_a_killed_worker_are_done_by_another(self, engine):
        futures = [engine.submit(time.sleep, 0.05) for _ in range(10)]
        fatal = engine.submit(os._exit, 3)
        futures += [engine.submit(abs, -number) for number in range(10)]
        with pytest.raises(WorkerDied):
            fatal.result(PATIENCE)
        assert [future.result(PATIENCE) for future in futures[10:]] == list(range(10))

    def test_an_abandoned_task_ends_its_worker_only(self, engine):
        future = engine.submit(time.sleep, 10**6)
        wait_until(future.running, "the task")
        engine.abandon(future)
        with pytest.raises(WorkerDied):
            future.result(PATIENCE)
        assert engine.submit(abs, -3).result(PATIENCE) == 3

    def test_errors_carry_the_worker_s_traceback(self, engine):
        def inner():
            raise KeyError("deep")

        with pytest.raises(KeyError) as caught:
            engine.submit(inner).result(PATIENCE)
        assert "in inner" in caught.value.__notes__[0]

    def test_an_error_that_can_t_travel_is_told_as_text(self, engine):
        class Stubborn(Exception):
            def __init__(self, one, two):
                super().__init__(f"{one} {two}")

        def fail():
            raise Stubborn("a", "b")

        with pytest.raises(RuntimeError, match="Stubborn: a b"):
            engine.submit(fail).result(PATIENCE)

    def test_what_can_t_be_pickled_is_refused_at_once_and_named(self, engine):
        lock = threading.Lock()
        with pytest.raises(TypeError, match=r"argument 1\['a'\]\[1\] can't be pickled"):
            engine.submit(print, 1, {"a": [0, lock]})
        with pytest.raises(TypeError, match=r"function's variable lock can't be pickled"):
            engine.submit(lambda: lock)
        with pytest.raises(TypeError, match=r"payload\['lock'\] can't be pickled"):
            make_engine("processes", 1, {"lock": lock})

    def test_a_payload_that_fails_in_the_worker_fails_all_work(self):
        class Breaks:
            def __reduce__(self):
                return int, ("no number",)

        with make_engine("processes", 1, Breaks()) as engine, pytest.raises(ValueError, match="no number"):
            engine.submit(abs, -3).result(PATIENCE)

    def test_a_payload_s_arrays_can_be_changed_by_each_worker_for_itself(self):
        table = np.zeros(100_000)

        def change(table):
            table += 1
            return float(table[0])

        with make_engine("processes", 1, table) as engine:
            assert [engine.submit(change).result(PATIENCE) for _ in range(3)] == [1, 2, 3]
        assert table[0] == 0

    def test_workers_do_not_repeat_each_other_s_global_random_numbers(self, engine, tmp_path):
        import random

        def draw():
            (tmp_path / str(os.getpid())).touch()
            while len(os.listdir(tmp_path)) < 2:
                time.sleep(0.01)
            return os.getpid(), float(np.random.random()), random.random()

        drawn = [future.result(PATIENCE) for future in [engine.submit(draw) for _ in range(8)]]
        assert len({pid for pid, _, _ in drawn}) == 2
        assert len({number for _, number, _ in drawn}) == 8
        assert len({number for _, _, number in drawn}) == 8

    def test_workers_live_in_the_world_of_the_moment(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("BF_TEST", "now")
        with make_engine("processes", 1) as engine:
            assert engine.submit(os.getcwd).result(PATIENCE) == str(tmp_path)
            assert engine.submit(os.getenv, "BF_TEST").result(PATIENCE) == "now"

    def test_the_fork_server_is_replaced_when_it_is_gone(self):
        with make_engine("processes", 1) as engine:
            server = engine.submit(os.getppid).result(PATIENCE)
            os.kill(server, signal.SIGKILL)
            assert engine.submit(abs, -3).result(PATIENCE) == 3
            with pytest.raises(WorkerDied):
                engine.submit(os._exit, 3).result(PATIENCE)
            assert engine.submit(abs, -3).result(PATIENCE) == 3
            assert engine.submit(os.getppid).result(PATIENCE) != server
        with make_engine("processes", 1) as engine:
            assert engine.submit(abs, -3).result(PATIENCE) == 3

    @pytest.mark.parametrize("program", ["/bin/false", "/nowhere/python"])
    def test_workers_that_can_t_be_started_are_told_at_once(self, program, monkeypatch):
        from bf_batch.engines import forking

        monkeypatch.setattr(forking, "_address", (0, b""))
        monkeypatch.setattr("sys.executable", program)
        with pytest.raises(RuntimeError, match=rf"can't be started with {program}"):
            make_engine("processes", 1)

    def test_the_fork_server_ends_soon_after_the_last_engine(self):
        stop_shared()
        with make_engine("processes", 1) as engine:
            server = engine.submit(os.getppid).result(PATIENCE)
        command = Path(f"/proc/{server}/cmdline")
        wait_until(lambda: not (command.is_file() and command.read_bytes()), "the end of the fork server")

    def test_memory_is_used_again(self, engine):
        def make(number):
            return np.full(1_000_000, number, np.uint8)

        for number in range(20):
            assert engine.submit(make, number).result(PATIENCE)[0] == number
        mapped = [
            line for line in Path("/proc/self/maps").read_text().splitlines() if "memfd:bf-batch" in line
        ]
        assert len(mapped) <= 6


def test_all_engines_have_a_contract():
    tested = {cls.name for cls in EngineContract.__subclasses__()}
    assert tested == set(ENGINES)


def test_an_unknown_engine_is_refused_with_the_known_ones():
    with pytest.raises(
        ValueError, match=r"unknown engine 'process'; did you mean 'processes'.*inline, threads"
    ):
        make_engine("process")
    for workers in (0, -1):
        with pytest.raises(ValueError, match="workers must be an integer >= 1"):
            make_engine("threads", workers)
    with pytest.raises(TypeError, match="workers"):
        make_engine("threads", 1.5)


def test_the_shared_engine_is_one():
    assert shared("threads", 2) is shared("threads", 2)
    assert shared("threads", 2) is not shared("threads", 3)
