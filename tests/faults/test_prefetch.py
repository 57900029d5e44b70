"""Faults of prefetch (RN): errors, breaks, signals and deaths of workers; each in a process of its own."""

from __future__ import annotations

import signal

import pytest

ENGINES = ["threads", "processes"]

# A pipeline over 40 numbers in batches of 4, with a step that can do harm at a batch.
HEAD = """
    import os, signal, sys, threading, time
    import numpy as np
    from bf_batch import Batch, Dataset, SkipBatch, StopPipeline, action
    from bf_pipeline import B, P, Pipeline, R, V

    class Numbers(Batch):
        components = ("x",)

        @action
        def make(self, scale=1):
            self.x = self.indices + self.rng().normal(size=len(self)) * np.asarray(scale)
            return self

        @action
        def slow(self, seconds):
            time.sleep(seconds)
            return self

        @action
        def stick(self):
            hang()

        @action
        def ones(self, width):
            self.x = np.ones((len(self), width))
            return self

        @action
        def legacy(self):
            self.x = np.random.normal(size=len(self))
            return self

        @action
        def at(self, number, function):
            if self.place.batch == number:
                function()
            return self

    def fail():
        raise ValueError("bad item")

    def hang():
        open("hangs", "w").close()
        time.sleep(10**6)

    def pipeline(n=40):
        return Pipeline(Dataset(n, Numbers)).make(P(R("uniform", 1, 2)))

    def numbers(batches):
        return [batch.place.batch for batch in batches]
"""


def script(body):
    """The common head and a body of the same indentation."""
    return HEAD + body


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


@pytest.mark.faults("RN01", "RN02", "RN02b", "RN03")
@pytest.mark.parametrize("prefetch", [0, 4])
def test_an_action_that_raises_is_told_with_step_batch_and_ids(run_script, engine, prefetch):
    done = run_script(
        script(f"""
    seen = []
    try:
        for batch in pipeline().at(3, fail).gen_batch(4, prefetch={prefetch}, engine="{engine}", workers=2):
            seen.append(batch.place.batch)
    except ValueError as error:
        print(seen, error, error.__notes__)
    pipeline().at(3, fail).run(4, prefetch={prefetch}, engine="{engine}", workers=2)
    """)
    )
    assert "[0, 1, 2] bad item" in done.out
    assert "'at'" in done.out
    assert "batch 3" in done.out
    assert "12, 13, 14, 15" in done.out
    assert done.code == 1
    assert "ValueError: bad item" in done.err
    if engine == "processes" and prefetch:
        assert "in fail" in done.err, "the worker's own traceback is told"


@pytest.mark.faults("RN05")
def test_a_break_ends_everything(run_script, engine):
    done = run_script(
        script(f"""
    for batch in pipeline(4000).slow(0.01).gen_batch(4, prefetch=4, engine="{engine}", workers=2):
        break
    print("after", time.monotonic() > 0)
    """)
    )
    assert (done.code, done.out) == (0, "after True\n")


LONG = """
    count = 0
    for batch in pipeline(400_000).slow(0.02).gen_batch(4, prefetch={prefetch}, engine="{engine}", workers=2):
        count += 1
        if count == 3:
            print("running", flush=True)
"""


@pytest.mark.faults("RN06", "RN06b", "RN07")
@pytest.mark.parametrize(("engine", "prefetch"), [("threads", 0), ("threads", 4), ("processes", 4)])
def test_one_ctrl_c_ends_everything_with_130(start_script, engine, prefetch):
    started = start_script(script(LONG.format(engine=engine, prefetch=prefetch)))
    started.wait_for("running")
    started.interrupt()
    done = started.finish()
    assert done.code in (130, -signal.SIGINT), done.err
    assert "KeyboardInterrupt" in done.err


@pytest.mark.faults("RN06", "RN07")
def test_one_ctrl_c_while_waiting_for_a_stuck_batch(start_script, tmp_path, engine):
    started = start_script(
        script(f"""
    pipeline().stick().run(4, prefetch=2, engine="{engine}", workers=2)
    """)
    )
    started.wait_until((tmp_path / "hangs").exists, "a stuck batch")
    started.interrupt()
    done = started.finish()
    assert done.code in (130, -signal.SIGINT), done.err


@pytest.mark.faults("RN08")
def test_a_killed_worker_is_an_error_that_names_signal_and_batch(run_script):
    done = run_script(
        script("""
    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    seen = []
    try:
        for batch in pipeline().at(3, die).gen_batch(4, prefetch=2, engine="processes", workers=2):
            seen.append(batch.place.batch)
    except RuntimeError as error:
        print(seen, type(error).__name__, error, error.__notes__)
    """)
    )
    assert "[0, 1, 2] WorkerDied" in done.out
    assert "SIGKILL" in done.out
    assert "batch 3 of epoch 0, ids [12, 13, 14, 15]" in done.out


@pytest.mark.faults("RN08", "RN17")
def test_with_on_error_skip_a_killed_worker_costs_one_batch(run_script):
    done = run_script(
        script("""
    def die():
        os._exit(3)

    batches = pipeline().at(3, die).gen_batch(4, prefetch=3, engine="processes", workers=2, on_error="skip")
    print(numbers(batches))
    print(batches.run.left_out)
    """)
    )
    assert "[0, 1, 2, 4, 5, 6, 7, 8, 9]" in done.out
    assert "ids=(12, 13, 14, 15)" in done.out
    assert "exited with code 3" in done.out


@pytest.mark.faults("RN08")
def test_a_batch_whose_worker_was_killed_is_retried_if_asked(run_script):
    done = run_script(
        script("""
    def die_once():
        if not os.path.exists("died"):
            open("died", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)

    def values(batches):
        return [batch.x.tolist() for batch in batches]

    wanted = values(pipeline().gen_batch(4, seed=1))
    dying = pipeline().at(3, die_once)
    ahead = dict(prefetch=2, engine="processes", workers=2)
    print(values(dying.gen_batch(4, seed=1, retries=1, **ahead)) == wanted)
    try:
        pipeline().at(3, lambda: os._exit(3)).run(4, retries=2, **ahead)
    except RuntimeError as error:
        print(type(error).__name__)
    """)
    )
    assert done.out == "True\nWorkerDied\n"


@pytest.mark.faults("RN10")
def test_lambdas_go_to_workers_and_what_can_not_is_named_at_the_call(run_script):
    done = run_script(
        script("""
    print(numbers(pipeline().at(1, lambda: None).gen_batch(4, prefetch=2, engine="processes", workers=1)))
    try:
        pipeline().at(1, function=threading.Lock()).gen_batch(4, prefetch=2, engine="processes")
    except TypeError as error:
        print(error)
    """)
    )
    assert "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]" in done.out
    assert "'at'" in done.out
    assert "argument 'function' can't be pickled" in done.out
    assert "script0.py:" in done.out


@pytest.mark.faults("RN15a", "RN15c")
def test_processes_give_the_same_batches_as_no_prefetch(run_script):
    done = run_script(
        script("""
    def values(**ahead):
        batches = pipeline().gen_batch(4, shuffle=True, n_epochs=2, seed=9, **ahead)
        return [(batch.indices.tolist(), batch.x.tolist()) for batch in batches]

    wanted = values()
    for workers, prefetch in (1, 1), (2, 5):
        print(values(engine="processes", workers=workers, prefetch=prefetch) == wanted)
    """)
    )
    assert done.out == "True\nTrue\n"


@pytest.mark.faults("RN13", "RN14")
def test_skip_and_stop_in_workers_are_the_same_as_here(run_script):
    done = run_script(
        script("""
    def skip():
        raise SkipBatch

    def stop():
        raise StopPipeline

    steps = pipeline().at(0, skip).at(2, skip).at(6, stop)
    print(numbers(steps.gen_batch(4)))
    print(numbers(steps.gen_batch(4, prefetch=3, engine="processes", workers=2)))
    """)
    )
    assert done.out == "[1, 3, 4, 5]\n[1, 3, 4, 5]\n"


@pytest.mark.faults("RN16")
def test_np_random_in_workers_never_repeats_and_is_warned_of(run_script):
    done = run_script(
        script("""
    drawn = pipeline(64).legacy()
    values = [tuple(b.x) for b in drawn.gen_batch(4, prefetch=4, engine="processes", workers=2)]
    print(len(set(values)))
    """)
    )
    assert done.out == "16\n"
    assert "np.random" in done.err
    assert "batch.rng()" in done.err


@pytest.mark.faults("RN28")
def test_threads_that_hold_locks_in_the_parent_do_not_hang_workers(run_script):
    done = run_script(
        script("""
    import logging
    logging.basicConfig()
    lock = logging.getLogger().handlers[0].lock

    held, done = threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            done.wait()

    threading.Thread(target=hold, daemon=True).start()
    held.wait()
    warned = pipeline().at(2, lambda: logging.getLogger().warning("from a worker"))
    print(numbers(warned.gen_batch(4, prefetch=2, engine="processes", workers=2)))
    done.set()
    """)
    )
    assert done.out == "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
    assert "from a worker" in done.err


@pytest.mark.slow
@pytest.mark.faults("RN28")
def test_tensorflow_in_the_parent_does_not_hang_workers(run_script):
    done = run_script(
        script("""
    import tensorflow as tf
    tf.reduce_sum(tf.random.normal((64, 64)) @ tf.random.normal((64, 64))).numpy()
    print(numbers(pipeline().gen_batch(4, prefetch=2, engine="processes", workers=2)))
    """)
    )
    assert done.out == "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n"


@pytest.mark.faults("RN29")
def test_a_worker_without_memory_is_an_error_of_its_batch(run_script):
    done = run_script(
        script("""
    import resource

    def hog():
        # What the worker has now and a little more.
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))
        np.ones(2**30)

    try:
        pipeline().at(2, hog).run(4, prefetch=2, engine="processes", workers=1)
    except (MemoryError, RuntimeError) as error:
        print(type(error).__name__, error.__notes__)
    print(numbers(pipeline().gen_batch(4)))
    """)
    )
    assert "batch 2 of epoch 0" in done.out
    assert "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]" in done.out


@pytest.mark.faults("RN30")
def test_little_shared_memory_is_no_obstacle(run_script):
    done = run_script(
        script("""
    # Arrays go through anonymous memory, so neither a full /dev/shm nor a file size limit may matter.
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    big = Pipeline(Dataset(8, Numbers)).ones(500_000)
    print([batch.x.shape for batch in big.gen_batch(4, prefetch=2, engine="processes", workers=1)])
    """)
    )
    assert done.out == "[(4, 500000), (4, 500000)]\n"


@pytest.mark.faults("RN05", "RN32")
def test_a_stuck_batch_costs_a_lent_engine_one_worker_and_the_next_run_nothing(run_script):
    done = run_script(
        script("""
    from bf_batch.engines import make_engine

    with make_engine("processes", workers=2) as engine:
        stuck = pipeline().at(2, hang).gen_batch(4, prefetch=3, engine=engine)
        print(next(stuck).place.batch)
        while not os.path.exists("hangs"):
            time.sleep(0.01)
        stuck.close()
        print(numbers(pipeline().gen_batch(4, prefetch=3, engine=engine)))
    """)
    )
    assert done.out == "0\n[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n"


@pytest.mark.faults("RN32")
def test_two_iterators_at_once_do_not_mix(run_script, engine):
    done = run_script(
        script(f"""
    template = pipeline()
    first = template.gen_batch(4, prefetch=2, engine="{engine}", workers=1)
    second = template.gen_batch(4, prefetch=2, engine="{engine}", workers=1)
    print([(a.place.batch, b.place.batch) for a, b in zip(first, second)] == [(i, i) for i in range(10)])
    """)
    )
    assert done.out == "True\n"


@pytest.mark.slow
@pytest.mark.faults("RN27")
def test_a_hundred_prefetched_runs_leave_threads_descriptors_and_memory_where_they_were(run_script):
    done = run_script(
        script("""
    import gc

    def now():
        gc.collect()
        memory = int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE")
        return threading.active_count(), len(os.listdir("/proc/self/fd")), memory

    def runs(count, engine):
        big = Pipeline(Dataset(40, Numbers)).ones(100_000)
        for number in range(count):
            batches = big.gen_batch(4, prefetch=3, engine=engine, workers=2)
            for _ in range(3):
                next(batches)
            if number % 2:
                batches.close()

    for engine, count in ("threads", 100), ("processes", 10):
        runs(4, engine)
        before = now()
        runs(count, engine)
        after = now()
        print(engine, after[0] - before[0], after[1] - before[1], after[2] - before[2] < 2**25)
    """)
    )
    assert done.out == "threads 0 0 True\nprocesses 0 0 True\n"
