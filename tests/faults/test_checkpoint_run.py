"""Faults of runs with checkpoints: SIGTERM, kills, resume in another engine, folders without rights."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import warnings

import pytest

from bf_pipeline.run.checkpoint.files import latest

# Random batches, variables and a model whose steps depend on all that came before.
HEAD = """
    import hashlib, json, os, sys, time
    import numpy as np
    from bf_batch import Batch, Dataset, action
    from bf_pipeline import B, P, Pipeline, R, V

    class Numbers(Batch):
        components = ("x",)

        @action
        def make(self, scale):
            self.x = self.indices + self.rng().normal(size=len(self)) * np.asarray(scale)
            # later batches are so slow that a signal comes before the last one, however late it comes
            time.sleep(float(os.environ.get("SLOW", 0)) * (50 if self.place.batch > 30 else 1))
            return self

    class Line:
        def __init__(self, config):
            self.state = [1.0, 0.0]

        def train(self, inputs=None, targets=None, *, fetches=None, feed_dict=None, **kwargs):
            weight, momentum = self.state
            momentum = 0.9 * momentum + float(np.sum(inputs)) * 0.1
            self.state = [weight - momentum, momentum]
            return self.state[0]

        def predict(self, inputs=None, targets=None, *, fetches=None, feed_dict=None, **kwargs):
            return inputs

        def save(self, path):
            with open(path, "w") as file:
                json.dump(self.state, file)

        @classmethod
        def load(cls, path):
            made = cls(None)
            with open(path) as file:
                made.state = json.load(file)
            return made

    def template():
        return (
            Pipeline(Dataset(400, Numbers))
            .init_variable("history", list)
            .init_variable("loss", 0.0)
            .init_model("dynamic", Line, "line")
            .make(P(R("uniform", 1, 2)))
            .train_model("line", B("x"), fetches="loss", save_to=V("loss"))
            .update(V("history"), V("loss"), mode="a")
        )

    OPTIONS = dict(batch_size=4, shuffle=True, n_epochs=2)

    def told(done):
        return json.dumps([done.v("history"), done.m("line").state, len(done.v("history"))])
"""

WHOLE = (
    HEAD
    + """
    print(told(template().run(seed=3, **OPTIONS)))
"""
)

START = (
    HEAD
    + """
    print("running", flush=True)
    pipeline = template().checkpoint("saved", every=int(os.environ["EVERY"]))
    engine, prefetch = os.environ["ENGINE"].split("-")
    done = pipeline.run(
        seed=3, resume="saved", engine=engine, prefetch=int(prefetch), workers=2, **OPTIONS
    )
    print(told(done))
"""
)


@pytest.fixture(scope="module")
def whole():
    """What a run that was never interrupted ends with."""
    import textwrap

    code = textwrap.dedent(WHOLE)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def wait_for_checkpoint(folder, script, name="checkpoint-*"):
    """Wait until the run has written something."""
    script.wait_until(lambda: list(folder.glob(f"saved/{name}")), "a checkpoint")


@pytest.mark.faults("RN25", "CK10", "RN24")
@pytest.mark.parametrize("engine", ["inline-0", "threads-3", "processes-3"])
def test_sigterm_writes_the_state_and_ends_with_143_and_the_rest_is_the_same(
    start_script, run_script, tmp_path, whole, engine
):
    started = start_script(START, ENGINE=engine, EVERY="20", SLOW="0.02")
    wait_for_checkpoint(tmp_path, started)
    started.send(signal.SIGTERM)
    done = started.finish()
    assert (done.code, done.out) == (143, "running\n" if "running" in done.out else ""), done.err
    state = latest(tmp_path / "saved").state
    assert 20 <= state["delivered"] < 200
    again = run_script(START, ENGINE="threads-2", EVERY="20")
    assert json.loads(again.out.splitlines()[1]) == whole


@pytest.mark.faults("RN25")
@pytest.mark.parametrize("engine", ["inline-0", "threads-2", "processes-2"])
def test_sigterm_does_not_wait_for_a_batch_that_is_stuck(start_script, tmp_path, engine):
    body = """
    class Stuck(Numbers):
        @action
        def stick(self):
            if self.place.batch == 3:
                time.sleep(10**6)
            return self

    engine, prefetch = os.environ["ENGINE"].split("-")
    pipeline = Pipeline(Dataset(400, Stuck)).make(1).stick().checkpoint("saved", every=1)
    pipeline.run(4, engine=engine, prefetch=int(prefetch), workers=2)
    """
    started = start_script(HEAD + body, ENGINE=engine)
    wait_for_checkpoint(tmp_path, started, "checkpoint-000003")
    started.send(signal.SIGTERM)
    assert started.finish().code == 143
    assert latest(tmp_path / "saved").state["delivered"] == 3


@pytest.mark.slow
@pytest.mark.faults("CK02")
@pytest.mark.parametrize("engine", ["threads-3", "processes-3"])
def test_a_killed_run_goes_on_from_its_last_checkpoint(start_script, run_script, tmp_path, whole, engine):
    for _ in range(3):
        started = start_script(START, ENGINE=engine, EVERY="3", SLOW="0.01")
        started.wait_for("running")
        wait_for_checkpoint(tmp_path, started)
        started.kill()
        started.finish()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert latest(tmp_path / "saved").state["delivered"] % 3 == 0
    again = run_script(START, ENGINE="inline-0", EVERY="50")
    assert json.loads(again.out.splitlines()[1]) == whole


@pytest.mark.faults("CK12")
def test_a_folder_that_can_not_be_written_is_told_before_training(run_script, tmp_path):
    (tmp_path / "saved").write_text("a file")
    done = run_script(START, ENGINE="inline-0", EVERY="5")
    assert done.code == 1
    assert "checkpoints cannot be written" in done.err
    assert "saved" in done.err


@pytest.mark.faults("RN25")
def test_sigterm_between_batches_of_a_loop_is_answered_at_the_next(start_script, tmp_path):
    body = """
    pipeline = template().checkpoint("saved")
    for batch in pipeline.gen_batch(seed=3, prefetch=2, **OPTIONS):
        if batch.place.batch == 5:
            print("running", flush=True)
            while not os.path.exists("sent"):
                time.sleep(0.01)
            print("body done", flush=True)
    """
    started = start_script(HEAD + body)
    started.wait_for("running")
    started.send(signal.SIGTERM)
    (tmp_path / "sent").touch()
    done = started.finish()
    assert (done.code, done.out) == (143, "body done\n")
    assert latest(tmp_path / "saved").state["delivered"] == 6


@pytest.mark.faults("RN25")
def test_sigterm_before_a_break_still_ends_the_process(start_script, tmp_path):
    body = """
    pipeline = template().checkpoint("saved")
    for batch in pipeline.gen_batch(seed=3, **OPTIONS):
        print("running", flush=True)
        while not os.path.exists("sent"):
            time.sleep(0.01)
        break
    print("still here", flush=True)
    """
    started = start_script(HEAD + body)
    started.wait_for("running")
    started.send(signal.SIGTERM)
    (tmp_path / "sent").touch()
    done = started.finish()
    assert done.code == -signal.SIGTERM
    assert "still here" not in done.out
