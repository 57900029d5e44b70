"""engine='ray' on a real local Ray: the same batches, also when a worker is killed."""

from __future__ import annotations

import tempfile

import pytest

pytest.importorskip("ray", reason="the ray extra is not installed: pip install 'bf-pipeline[ray]'")

SCRIPT = """
    import os, signal, time
    import numpy as np
    from bf_batch import Batch, Dataset, SkipBatch, action
    from bf_pipeline import B, P, Pipeline, R, V

    class Numbers(Batch):
        components = ("x", "pid")

        @action
        def make(self, scale):
            self.x = self.indices + self.rng().normal(size=len(self)) * np.asarray(scale)
            self.pid = np.full(len(self), os.getpid())
            time.sleep(0.02)
            return self

        @action
        def at(self, number, function):
            if self.place.batch == number:
                function()
            return self

    def skip():
        raise SkipBatch

    def fail():
        raise ValueError("bad item")

    pipeline = (
        Pipeline(Dataset(80, Numbers))
        .init_variable("n", 0)
        .make(P(R("uniform", 1, 2)))
        .at(5, skip)
        .update(V("n"), V("n") + 1)
    )
    options = dict(batch_size=4, seed=9, shuffle=True)
    ahead = dict(prefetch=4, engine="ray", workers=2)
    wanted = [batch.x.tolist() for batch in pipeline.gen_batch(**options)]

    import ray
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)

    batches = pipeline.gen_batch(**options, **ahead)
    got, pids = [], set()
    for batch in batches:
        got.append(batch.x.tolist())
        pids.add(int(batch.pid[0]))
        if len(got) == 3:
            os.kill(int(batch.pid[0]), signal.SIGKILL)
    print("same after a kill:", got == wanted, len(got), batches.v("n"))
    print("elsewhere:", os.getpid() not in pids)

    try:
        list(pipeline.at(7, fail).gen_batch(**options, **ahead))
    except ValueError as error:
        print("error:", error, error.__notes__)

    def die():
        os._exit(3)

    try:
        list((Pipeline(Dataset(80, Numbers)).at(2, die)).gen_batch(**options, **ahead))
    except RuntimeError as error:
        print("died:", type(error).__name__, error.__notes__)

    for batch in pipeline.gen_batch(**options, **ahead):
        break
    state = None
    first = pipeline.gen_batch(**options, **ahead)
    for _ in range(6):
        next(first)
    state = first.state()
    first.close()
    rest = [batch.x.tolist() for batch in pipeline.gen_batch(resume=state, batch_size=4, shuffle=True)]
    print("resumed:", rest == wanted[6:])
    print("still there:", ray.is_initialized())
    ray.shutdown()
"""


@pytest.mark.slow
@pytest.mark.faults("RN08", "RN24")
def test_a_ray_cluster_gives_the_same_batches_and_bears_the_death_of_a_worker(run_script):
    # Ray's sockets need a short path.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        done = run_script(SCRIPT, TMPDIR=folder)
    assert done.code == 0, done.err
    assert "same after a kill: True 19 19" in done.out
    assert "elsewhere: True" in done.out
    assert "error: bad item" in done.out
    assert "batch 7" in done.out
    assert "died: RayWorkerLost" in done.out
    assert "batch 2 of epoch 0" in done.out
    assert "resumed: True" in done.out
    assert "still there: True" in done.out
