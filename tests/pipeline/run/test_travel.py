"""What differs in other processes: numpy's global generator is watched from outside."""

import time
import warnings

import numpy as np
import pytest

from bf_batch import Batch, Dataset, action
from bf_batch.actions import find_lock
from bf_pipeline import Pipeline
from bf_pipeline.run.options import RunOptions
from bf_pipeline.run.prefetch.travel import (
    GlobalRandomness,
    global_draws,
    in_other_processes,
    warn_of_global_randomness,
)


@pytest.mark.parametrize("draw", [np.random.rand, lambda: np.random.permutation(3)])
def test_a_draw_from_the_global_generator_is_seen(draw):
    for _ in range(700):  # more than the generator keeps at once
        before = global_draws()
        assert global_draws() == before
        draw()
        assert global_draws() != before


def test_generators_of_ones_own_are_not_taken_for_it():
    before = global_draws()
    np.random.default_rng(0).normal(size=1000)
    assert global_draws() == before


def test_a_warning_says_what_to_use():
    with pytest.warns(GlobalRandomness, match="batch.rng"), warn_of_global_randomness():
        np.random.rand()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with warn_of_global_randomness():
            pass


@pytest.mark.parametrize(
    ("engine", "elsewhere"), [("threads", False), ("inline", False), ("processes", True), ("ray", True)]
)
def test_engines_of_other_processes_are_known_by_name(engine, elsewhere):
    assert in_other_processes(RunOptions(prefetch=1, engine=engine)) is elsewhere


class Locked(Batch):
    components = ("x",)
    most = 0
    inside = 0

    @action(use_lock=True)
    def one(self):
        kind = type(self)
        kind.inside += 1
        kind.most = max(kind.most, kind.inside)
        time.sleep(0.002)
        kind.inside -= 1
        self.x = np.full(len(self), kind.most)
        return self


def make_local():
    class Local(Batch):
        components = ("x",)

        @action(use_lock=True)
        def one(self):
            self.x = np.ones(len(self))
            return self

    return Local


def test_a_locked_action_goes_to_processes_and_is_locked_in_threads():
    for engine in ("threads", "processes"):
        batches = list(Pipeline(Dataset(40, Locked)).one().gen_batch(2, prefetch=4, engine=engine))
        assert [batch.indices.tolist() for batch in batches] == [[n, n + 1] for n in range(0, 40, 2)]
        assert {int(batch.x.max()) for batch in batches} == {1}
    lock = find_lock(Locked.one.__wrapped__)
    assert find_lock(Locked.one.__wrapped__) is lock


def test_a_locked_action_of_a_class_that_is_sent_whole_goes_to_processes():
    batches = Pipeline(Dataset(4, make_local())).one().gen_batch(2, prefetch=2, engine="processes")
    assert [batch.x.tolist() for batch in batches] == [[1, 1], [1, 1]]
