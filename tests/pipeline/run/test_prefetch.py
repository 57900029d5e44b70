"""Prefetch: the same batches, in the same order, with the same ends and errors, in every engine and depth."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import numpy as np
import pytest

from bf_batch import Batch, Dataset, SkipBatch, StopPipeline, action
from bf_batch.engines import make_engine
from bf_pipeline import B, Pipeline, V

WAYS = [("inline", 0), ("inline", 2), ("threads", 1), ("threads", 4)]
ENDS = {"ValueError": ValueError, "SkipBatch": SkipBatch, "StopPipeline": StopPipeline}
ALIVE: weakref.WeakSet = weakref.WeakSet()


class Watched(Batch):
    """A batch of ten numbers; some raise on the way."""

    components = ("x", "seen")

    @action
    def load_x(self):
        ALIVE.add(self)
        self.x = self.indices + self.rng().normal(size=len(self))
        return self

    @action
    def where(self):
        self.seen = np.full(len(self), threading.current_thread() is threading.main_thread())
        return self

    @action
    def slow(self):
        time.sleep(0.01)
        return self

    @action
    def fail(self, numbers, end):
        if self.place.batch in numbers:
            raise ENDS[end]("bad item")
        return self


def failing(where, numbers, end):
    """A pipeline whose step fails for some batches, ahead or in order."""
    pipeline = Pipeline(Dataset(10, Watched)).init_variable("sum", 0).load_x()
    if where == "in order":
        pipeline = pipeline.update(V("sum"), V("sum") + B("x")[0])
    return pipeline.fail(numbers, end)


def start(pipeline, way=("threads", 3), **options):
    engine, prefetch = way
    return pipeline.gen_batch(2, seed=5, workers=2, engine=engine, prefetch=prefetch, **options)


def outcome(batches):
    """Numbers of the delivered batches, and the error at their end."""
    numbers = []
    try:
        numbers.extend(batch.place.batch for batch in batches)
    except ValueError as error:
        return numbers, error
    return numbers, None


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}-{way[1]}")
def way(request):
    return request.param


@pytest.fixture(params=["ahead", "in order"])
def where(request):
    return request.param


@pytest.mark.faults("RN15a", "RN15b")
def test_batches_and_random_values_are_the_same_in_every_engine_and_depth(way):
    pipeline = failing("in order", [], "ValueError")
    wanted = [batch.x.tolist() for batch in start(pipeline, ("inline", 0), shuffle=True, n_epochs=3)]
    assert [batch.x.tolist() for batch in start(pipeline, way, shuffle=True, n_epochs=3)] == wanted


@pytest.mark.faults("RN02")
def test_an_error_comes_at_its_batch_and_ends_the_run(way, where):
    batches = start(failing(where, [3], "ValueError"), way)
    numbers, error = outcome(batches)
    assert numbers == [0, 1, 2]
    assert isinstance(error, ValueError)
    assert any("'fail'" in note and "batch 3" in note and "6, 7" in note for note in error.__notes__)
    assert next(batches, "end") == "end"


@pytest.mark.faults("RN02b")
def test_run_raises_the_same_error(way, where):
    with pytest.raises(ValueError, match="bad item"):
        failing(where, [3], "ValueError").run(2, engine=way[0], prefetch=way[1])


@pytest.mark.faults("RN13")
def test_a_skipped_batch_is_left_out_in_every_engine(way, where):
    batches = start(failing(where, [0, 3, 4], "SkipBatch"), way)
    assert outcome(batches) == ([1, 2], None)
    assert [(left.batch, left.ids, left.reason) for left in batches.run.left_out] == [
        (0, (0, 1), "SkipBatch"),
        (3, (6, 7), "SkipBatch"),
        (4, (8, 9), "SkipBatch"),
    ]


@pytest.mark.faults("RN14")
def test_stop_pipeline_ends_the_run_in_every_engine(way, where):
    assert outcome(start(failing(where, [2, 3], "StopPipeline"), way)) == ([0, 1], None)


@pytest.mark.faults("RN17")
def test_failed_batches_are_left_out_and_told(way, where):
    batches = start(failing(where, [1, 2], "ValueError"), way, on_error="skip")
    with pytest.warns(UserWarning, match=r"2 batches \(4 items\) failed"):
        assert outcome(batches) == ([0, 3, 4], None)
    assert [left.ids for left in batches.run.left_out] == [(2, 3), (4, 5)]
    assert {left.reason for left in batches.run.left_out} == {"ValueError: bad item"}


def test_a_stop_comes_before_an_error_behind_it():
    pipeline = failing("ahead", [2], "StopPipeline").fail([3], "ValueError")
    assert outcome(start(pipeline)) == ([0, 1], None)


def test_steps_before_the_first_that_needs_the_run_are_elsewhere_the_others_here():
    threads = Pipeline(Dataset(10, Watched)).where().slow()
    assert not all(batch.seen.all() for batch in start(threads))
    here = Pipeline(Dataset(10, Watched)).init_variable("n", 0).update(V("n"), V("n") + 1).where()
    assert all(batch.seen.all() for batch in start(here))


def test_no_update_of_a_variable_is_lost():
    pipeline = Pipeline(Dataset(400, Watched)).init_variable("n", 0).load_x().update(V("n"), V("n") + 1)
    assert pipeline.run(2, prefetch=8, workers=4).v("n") == 200


@pytest.mark.faults("RN19")
def test_a_slow_consumer_finds_at_most_depth_and_one_batches_alive():
    alive = []
    for batch in start(failing("ahead", [], "ValueError"), ("threads", 3), n_epochs=3):
        time.sleep(0.01)
        gc.collect()
        alive.append(len(ALIVE))
        del batch
    assert max(alive) <= 4


@pytest.mark.faults("RN27")
@pytest.mark.parametrize("end", ["exhaust", "close", "break", "error", "never started", "dropped"])
def test_every_end_leaves_no_thread(end):
    before = threading.active_count()
    batches = start(failing("ahead", [3] if end == "error" else [], "ValueError"), ("threads", 4))
    if end == "break":
        del batches
        for _ in start(failing("ahead", [], "ValueError"), ("threads", 4)):
            break
    elif end == "close":
        next(batches)
        batches.close()
        batches.close()
        assert next(batches, "end") == "end"
    elif end == "never started":
        batches.close()
    elif end == "dropped":
        next(batches)
        del batches
    else:
        outcome(batches)
        assert threading.active_count() == before


@pytest.mark.faults("RN32")
def test_two_iterators_of_one_pipeline_do_not_mix():
    pipeline = failing("in order", [], "ValueError")
    first, second = start(pipeline), start(pipeline)
    pairs = [(a.place.batch, b.place.batch) for a, b in zip(first, second, strict=True)]
    assert pairs == [(i, i) for i in range(5)]


def test_next_batch_works_ahead_too_and_reset_ends_it():
    before = threading.active_count()
    pipeline = failing("ahead", [], "ValueError")
    numbers = [pipeline.next_batch(2, prefetch=3, workers=2).place.batch for _ in range(7)]
    assert numbers == [0, 1, 2, 3, 4, 0, 1]
    pipeline.reset()
    assert threading.active_count() == before


@pytest.mark.faults("RN11", "RN12", "RN12b", "RN12c")
@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"prefetch": -3}, ValueError, "-3"),
        ({"prefetch": True}, TypeError, "True"),
        ({"prefetch": 1.5}, TypeError, "1.5"),
        ({"prefetch": 4, "engine": "process"}, ValueError, "did you mean 'processes'.*inline, threads"),
        ({"prefetch": 0, "engine": "process"}, ValueError, "processes"),
        ({"on_error": "ignore"}, ValueError, "raise, skip"),
        ({"prefech": 4}, TypeError, "prefetch"),
        ({"retries": -1}, ValueError, "retries"),
        ({"prefetch": 4, "workers": 0}, ValueError, "workers"),
        ({"prefetch": 4, "workers": 1.5}, TypeError, "workers"),
    ],
)
def test_a_wrong_way_of_running_is_refused_at_the_call(options, error, text):
    pipeline = failing("ahead", [], "ValueError")
    with pytest.raises(error, match=text):
        pipeline.gen_batch(2, **options)
    with pytest.raises(error, match=text):
        pipeline.run(2, **options)


@pytest.mark.parametrize("name", ["inline", "threads", "processes"])
def test_an_engine_that_is_lent_serves_run_after_run_and_stays(name):
    pipeline = failing("ahead", [], "ValueError")
    wanted = [batch.x.tolist() for batch in start(pipeline, ("inline", 0))]
    with make_engine(name, workers=2) as engine:
        for _ in range(3):
            lent = pipeline.gen_batch(2, seed=5, prefetch=3, engine=engine)
            assert [batch.x.tolist() for batch in lent] == wanted
        left = pipeline.gen_batch(2, seed=5, prefetch=3, engine=engine)
        next(left)
        left.close()
        first = pipeline.gen_batch(2, seed=5, prefetch=3, engine=engine)
        second = failing("in order", [], "ValueError").gen_batch(2, seed=5, prefetch=3, engine=engine)
        pairs = [(a.x.tolist(), b.x.tolist()) for a, b in zip(first, second, strict=True)]
        assert pairs == [(values, values) for values in wanted]


def test_workers_of_a_lent_engine_can_not_be_chosen_again():
    with make_engine("threads", workers=2) as engine, pytest.raises(ValueError, match="has 2"):
        failing("ahead", [], "ValueError").gen_batch(2, prefetch=1, engine=engine, workers=3)
