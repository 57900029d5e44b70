"""Faults of item-wise work in worker processes (BA); each in a process of its own."""

from __future__ import annotations

import signal
import time

import pytest

pytestmark = pytest.mark.slow

HEAD = """
    import os, resource, signal, sys, threading, time
    import numpy as np
    from bf_batch import Batch, Dataset, ItemError, action, inbatch_parallel
    from bf_batch.engines import WorkerDied, shared

    class Numbers(Batch):
        components = ("x",)

        @action
        @inbatch_parallel(init="indices", post="_keep", target="processes", n_workers=2)
        def item_mpc(self, id, fn=None, bad=None):
            if id == bad:
                fn()
            return os.getpid() if fn is None else id

        def _keep(self, results):
            self.x = np.array(results)
            return self

    def hang():
        open("hangs", "w").close()
        time.sleep(10**6)

    def suicide():
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.faults("BA08")
def test_a_failed_item_in_a_process_is_named(run_script):
    done = run_script(
        HEAD
        + """
    try:
        Numbers(20).item_mpc(lambda: open("/nowhere"), bad=7)
    except ItemError as error:
        print(error.id, error.action, type(error.__cause__).__name__)
    batch = Numbers(20).item_mpc(lambda: 1 / 0, bad=7, on_error="skip")
    print(len(batch), batch.skipped[0].id, 7 in batch.indices)
    """
    )
    assert done.out.splitlines() == ["7 Numbers.item_mpc FileNotFoundError", "19 7 False"], done.err


@pytest.mark.faults("BA11")
def test_an_argument_that_can_t_be_pickled_is_named(run_script):
    done = run_script(
        HEAD
        + """
    lock = threading.Lock()
    for arguments in ((lock,), (lambda: lock,)):
        try:
            Numbers(4).item_mpc(*arguments)
        except TypeError as error:
            print(error)
    print(Numbers(4).item_mpc(lambda: 3).x.tolist())
    """
    )
    first, second, third = done.out.splitlines()
    assert "argument fn of Numbers.item_mpc can't be pickled" in first
    assert "argument fn of Numbers.item_mpc's variable lock can't be pickled" in second
    assert third == "[0, 1, 2, 3]"


@pytest.mark.faults("BA12")
def test_a_killed_worker_is_told_with_its_action_and_batch_and_replaced(run_script):
    done = run_script(
        HEAD
        + """
    dataset = Dataset(40, Numbers)
    batches = dataset.gen_batch(20)
    next(batches)
    try:
        next(batches).item_mpc(suicide, bad=27)
    except WorkerDied as error:
        print(error, error.signal)
    print(len(set(Numbers(20).item_mpc().x.tolist())) <= 2)
    zombies = [line for pid in os.listdir("/proc") if pid.isdigit()
               for line in [open(f"/proc/{pid}/stat").read()]
               if f" Z {os.getpid()} " in line]
    print(zombies)
    """
    )
    first, second, third = done.out.splitlines()
    assert "killed by SIGKILL in Numbers.item_mpc, items" in first, done.err
    assert "of batch 1 of epoch 0" in first
    assert (second, third) == ("True", "[]")


@pytest.mark.faults("BA15")
def test_an_item_over_the_timeout_ends_with_its_worker(run_script):
    done = run_script(
        HEAD
        + """
    Numbers(4).item_mpc()
    try:
        Numbers(4).item_mpc(hang, bad=2, timeout=1)
    except TimeoutError as error:
        print(error.id)
    print(Numbers(4).item_mpc(lambda: 1).x.tolist())
    """
    )
    assert done.out.splitlines() == ["2", "[0, 1, 2, 3]"], done.err


@pytest.mark.faults("BA12")
@pytest.mark.parametrize("how", ["interrupt", "terminate", "kill"])
def test_nothing_is_left_when_the_parent_is_ended_in_the_middle(start_script, tmp_path, how):
    script = start_script(
        HEAD
        + """
    Numbers(4).item_mpc()
    Numbers(4).item_mpc(hang, bad=2)
    """
    )
    script.wait_until((tmp_path / "hangs").exists, "the item that hangs")
    if how == "interrupt":
        script.interrupt()
    else:
        script.send(signal.SIGTERM if how == "terminate" else signal.SIGKILL)
    done = script.finish()
    codes = {"interrupt": -signal.SIGINT, "terminate": -signal.SIGTERM, "kill": -signal.SIGKILL}
    assert done.code in (codes[how], 130), done.err


@pytest.mark.faults("RN29")
def test_a_worker_without_memory_fails_its_item_only(run_script):
    done = run_script(
        HEAD
        + """
    def hungry():
        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
        np.ones(2**31)

    try:
        Numbers(4).item_mpc(hungry, bad=2)
    except ItemError as error:
        print(error.id, isinstance(error.__cause__, MemoryError))
    """
    )
    assert done.out.splitlines() == ["2 True"], done.err


@pytest.mark.faults("RN30")
def test_without_shared_memory_arrays_go_through_the_pipe(run_script):
    done = run_script(
        HEAD
        + """
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))
    from bf_batch.engines import make_engine
    with make_engine("processes", 1) as engine:
        for number in range(3):
            print(engine.submit(np.full, 10**6, number).result().sum())
        print(engine.submit(np.sum, np.ones(10**6)).result())
    """
    )
    assert done.out.splitlines() == ["0", "1000000", "2000000", "1000000.0"], done.err


@pytest.mark.faults("BA24")
def test_parallel_work_inside_workers_ends_and_stays_small(run_script):
    done = run_script(
        """
    import os, threading
    import numpy as np
    from bf_batch import Batch, Dataset, action, inbatch_parallel
    from bf_pipeline import Pipeline

    class Numbers(Batch):
        components = "x", "threads"

        @action
        @inbatch_parallel(init="indices", post="_keep", target="threads", n_workers=3)
        def in_threads(self, id):
            sum(range(200_000))
            return threading.active_count()

        @action
        @inbatch_parallel(init="indices", post="_keep", target="processes", n_workers=3)
        def in_processes(self, id):
            return os.getpid()

        def _keep(self, results):
            self.x = np.array(results)
            return self

        @action
        def me(self):
            self.threads = np.full(len(self), os.getpid())
            return self

    pipeline = Pipeline(Dataset(40, Numbers)).in_threads()
    batches = list(pipeline.gen_batch(8, prefetch=3, engine="processes"))
    print(len(batches), max(batch.x.max() for batch in batches) <= 8)
    pipeline = Pipeline(Dataset(40, Numbers)).in_processes().me()
    batches = list(pipeline.gen_batch(8, prefetch=3, engine="processes"))
    print(len(batches), all((batch.x == batch.threads).all() for batch in batches))
    """
    )
    assert done.out.splitlines() == ["5 True", "5 True"], done.err


@pytest.mark.faults("RN28")
def test_a_script_without_a_main_guard_and_with_threads_works(run_script):
    done = run_script(
        HEAD
        + """
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, daemon=True)
    thread.start()
    print(len(set(Numbers(20).item_mpc().x.tolist()) - {os.getpid()}) in (1, 2))
    stop.set()
    """
    )
    assert done.out.splitlines() == ["True"], done.err


@pytest.mark.faults("RN06")
@pytest.mark.parametrize("target", ["inline", "threads", "processes"])
@pytest.mark.parametrize("timeout", ["None", "10**6"])
def test_one_interrupt_ends_slow_items(start_script, tmp_path, target, timeout):
    script = start_script(
        f"""
    import time
    from bf_batch import Batch, inbatch_parallel

    class Slow(Batch):
        @inbatch_parallel(init="indices", target="{target}", n_workers=2, timeout={timeout})
        def sleep(self, id):
            if id > 1:
                open("hangs", "w").close()
                time.sleep(10**7)

    Slow(2).sleep()
    Slow(20).sleep()
    """
    )
    script.wait_until((tmp_path / "hangs").exists, "an item that hangs")
    script.interrupt()
    done = script.finish()
    assert done.code in (-signal.SIGINT, 130), done.err
    assert "KeyboardInterrupt" in done.err


@pytest.mark.faults("RN30")
def test_a_payload_goes_to_disk_when_there_is_no_shared_memory(run_script):
    done = run_script(
        """
    import os
    import numpy as np
    from bf_batch.engines import make_engine

    def none(*args):
        raise OSError(28, "No space left on device")

    os.memfd_create, kept = none, os.memfd_create
    import bf_batch.engines.channel as channel
    payload = np.arange(10**6)
    from bf_batch.engines.channel import Payload
    made = Payload.of(payload)
    os.memfd_create = kept
    print(os.readlink(f"/proc/self/fd/{made._file}").startswith("/dev/shm"))
    with make_engine("processes", 1, payload) as engine:
        print(engine.submit(lambda table: int(table.sum())).result())
    """
    )
    assert done.out.splitlines() == ["False", "499999500000"], done.err


@pytest.mark.faults("RN07")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_parent_ends_while_workers_start(start_script, how):
    script = start_script(
        """
    from bf_batch.engines import make_engine

    print("ready", flush=True)
    make_engine("processes", 2)
    """
    )
    script.wait_for("ready")
    time.sleep(0.1)
    script.send(how)
    script.finish()
