"""Ahead or in its turn: the faster way is found by a clock, and whatever it says changes no batch."""

import itertools
import threading
import weakref

import numpy as np
import pytest

from bf_batch import Batch, Dataset, ImagesBatch, SkipBatch, StopPipeline, action
from bf_pipeline import B, P, Pipeline, R, V
from bf_pipeline.run.prefetch import ahead
from bf_pipeline.run.prefetch.turns import choose_ways

# Which way: a clock that the test advances


def choices(cost, batches, depth=2):
    """The ways of so many batches, each of which takes ``cost(number, ahead)`` seconds."""
    now, seen = [0.0], []
    ways = choose_ways(depth, lambda: now[0])
    for number in range(batches):
        seen.append(next(ways))
        now[0] += cost(number, seen[-1])
    return seen


@pytest.mark.parametrize("depth", [1, 2, 16, 40])
@pytest.mark.parametrize("better", [False, True])
def test_a_run_takes_hardly_longer_than_the_better_way_throughout(depth, better):
    seen = choices(lambda _, ahead: 2e-4 if ahead == better else 3e-4, 10_000, depth)
    assert seen[0]
    assert seen[-1] == better
    missed = seen.count(not better)
    assert missed * 3e-4 + (len(seen) - missed) * 2e-4 < 1.04 * len(seen) * 2e-4


def test_ways_that_are_as_good_leave_it_at_what_was_asked_for():
    jitter = itertools.cycle([0.98, 1.0, 1.02])
    seen = choices(lambda _, ahead: (1e-3 if ahead else 0.98e-3) * next(jitter), 6000)
    assert sum(seen) > 0.94 * len(seen)


def test_long_batches_are_never_tried_in_their_turn():
    assert all(choices(lambda _, ahead: 0.02 if ahead else 0.01, 4000))


def test_batches_that_become_long_are_worked_on_ahead_again():
    seen = choices(lambda number, ahead: 0.01 if number > 2000 else 3e-4 if ahead else 2e-4, 9000)
    assert not any(seen[1000:1050])
    assert all(seen[-2000:])


def test_the_way_follows_what_changes_in_the_middle_of_a_run():
    def cost(number, ahead):
        return 2e-4 if ahead == (number > 5000) else 3e-4

    seen = choices(cost, 20_000)
    assert sum(seen[1000:5000]) < 0.06 * 4000
    assert sum(seen[-5000:]) > 0.94 * 5000


def test_a_try_of_a_far_slower_way_is_broken_off():
    in_turn = choices(lambda _, ahead: 1e-3 if ahead else 1.0, 600, depth=3).count(False)
    assert 0 < in_turn <= 2 * (3 + 1)


def test_one_pause_decides_nothing():
    for pause in range(60):
        seen = choices(lambda n, ahead, pause=pause: 0.05 if n == pause else 2e-4 if ahead else 3e-4, 900)
        assert seen[-1], f"a pause at batch {pause}"


# Whatever the way, the same batches

PATTERNS = {
    "ahead": lambda: itertools.repeat(True),
    "in turn": lambda: itertools.repeat(False),
    "changing": lambda: itertools.cycle([True, False]),
    "now and then": lambda: itertools.cycle([True] * 3 + [False] * 5 + [True] + [False] * 2),
    "in turn at first": lambda: itertools.chain([False] * 4, itertools.repeat(True)),
    "ahead at first": lambda: itertools.chain([True] * 3, itertools.repeat(False)),
}
DEPTHS = [1, 2, 5, 16]
ENDS = {"ValueError": ValueError, "SkipBatch": SkipBatch, "StopPipeline": StopPipeline}


class Numbers(Batch):
    """Numbers with noise; some batches raise."""

    components = "x", "here"

    @action
    def draw(self):
        self.x = self.indices + self.rng().normal(size=len(self))
        self.here = np.full(len(self), threading.current_thread() is threading.main_thread())
        return self

    @action
    def fail(self, numbers, end):
        if self.place.batch in numbers:
            raise ENDS[end]("bad batch")
        return self


@pytest.fixture(params=PATTERNS)
def ways(request, monkeypatch):
    """Every run is told the ways of a pattern, from its beginning."""
    monkeypatch.setattr(ahead, "choose_ways", lambda depth: PATTERNS[request.param]())
    return request.param


@pytest.fixture(params=DEPTHS)
def depth(request):
    return request.param


def numbers(numbers_that_fail=(), end="ValueError"):
    pipeline = Pipeline(Dataset(40, Numbers)).init_variable("sum", 0).draw().fail(numbers_that_fail, end)
    return pipeline.update(V("sum"), V("sum") + B("x")[0])


def pictures(batch_class=ImagesBatch, draw=None):
    images = np.random.default_rng(0).integers(0, 256, (80, 12, 12), dtype=np.uint8)
    steps = Pipeline().rotate(angle=P(R(draw) if draw else R("uniform", -30, 30)), p=0.8).flip("lr", p=0.5)
    return steps.to_array("float32", scale=1 / 255) << Dataset(80, batch_class, preloaded={"images": images})


KINDS = {"prepared": (numbers, "x"), "recorded": (pictures, "images")}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def test_the_batches_are_those_of_a_run_without_work_ahead(ways, depth, kind):
    make, name = kind
    options = {"shuffle": True, "seed": 4, "n_epochs": 3}
    wanted = [getattr(batch, name) for batch in make().gen_batch(4, **options)]
    got = [getattr(batch, name) for batch in make().gen_batch(4, prefetch=depth, workers=2, **options)]
    assert len(wanted) == len(got)
    assert all(np.array_equal(a, b) for a, b in zip(wanted, got))


def test_variables_change_in_the_order_of_batches(ways, depth):
    plain, other = numbers().run(4, seed=1), numbers().run(4, seed=1, prefetch=depth)
    assert other.v("sum") == plain.v("sum")


def test_an_error_comes_at_its_batch(ways, depth):
    stream = numbers([6]).gen_batch(4, prefetch=depth)
    assert [next(stream).place.batch for _ in range(6)] == list(range(6))
    with pytest.raises(ValueError, match="bad batch") as caught:
        next(stream)
    assert any("'fail'" in note and "batch 6" in note for note in caught.value.__notes__)
    assert next(stream, "end") == "end"


def test_an_error_of_recording_comes_at_its_batch(ways, depth):
    count = itertools.count()

    def draw(size, rng):
        if next(count) == 6:
            raise ValueError("bad draw")
        return rng.uniform(-10, 10, size)

    stream = pictures(draw=draw).gen_batch(4, prefetch=depth, seed=0)
    for _ in range(6):
        next(stream)
    with pytest.raises(ValueError, match="bad draw"):
        next(stream)


def test_what_fails_or_is_skipped_is_left_out(ways, depth):
    stream = numbers([0, 5, 6], "SkipBatch").gen_batch(4, prefetch=depth)
    assert [batch.place.batch for batch in stream] == [1, 2, 3, 4, 7, 8, 9]
    assert [place.batch for place in stream.run.left_out] == [0, 5, 6]
    stream = numbers([0, 5, 6]).gen_batch(4, prefetch=depth, on_error="skip")
    with pytest.warns(UserWarning, match="3 batches"):
        assert [batch.place.batch for batch in stream] == [1, 2, 3, 4, 7, 8, 9]


def test_stop_ends_the_run(ways, depth):
    stream = numbers([5, 6], "StopPipeline").gen_batch(4, prefetch=depth)
    assert [batch.place.batch for batch in stream] == [0, 1, 2, 3, 4]


def test_a_run_goes_on_from_its_state(ways, depth, kind):
    make, name = kind
    options = {"shuffle": True, "n_epochs": 2}
    wanted = [getattr(batch, name) for batch in make().gen_batch(4, seed=4, **options)]
    stream = make().gen_batch(4, seed=4, prefetch=depth, **options)
    got = [getattr(next(stream), name).copy() for _ in range(7)]
    state = stream.state()
    stream.close()
    rest = make().gen_batch(4, prefetch=depth, resume=state, **options)
    got += [getattr(batch, name) for batch in rest]
    assert len(wanted) == len(got)
    assert all(np.array_equal(a, b) for a, b in zip(wanted, got))


def test_no_more_batches_are_alive_than_were_asked_for(ways, depth):
    alive, most = weakref.WeakSet(), 0

    class Counted(ImagesBatch):
        @classmethod
        def _bf_at(cls, *args, **kwargs):
            batch = super()._bf_at(*args, **kwargs)
            alive.add(batch)
            return batch

    for _ in pictures(Counted).gen_batch(4, prefetch=depth, n_epochs=2):
        most = max(most, len(alive))
    assert 1 <= most <= depth + 1


def test_every_end_leaves_no_thread(ways, depth, kind):
    before = threading.active_count()
    for leave_after in (0, 3, 100):
        for number, _ in enumerate(kind[0]().gen_batch(4, prefetch=depth)):
            if number == leave_after:
                break
        assert threading.active_count() == before


def test_batches_in_their_turn_are_made_by_the_caller(monkeypatch):
    for name, made_here in (("in turn", True), ("ahead", False)):
        monkeypatch.setattr(ahead, "choose_ways", lambda depth, name=name: PATTERNS[name]())
        seen = [batch.here.all() for batch in numbers().gen_batch(4, prefetch=4, workers=2)]
        assert all(seen) if made_here else not all(seen)


@pytest.mark.parametrize("engine", ["inline", "processes"])
def test_other_engines_are_asked_nothing(engine, monkeypatch):
    monkeypatch.setattr(ahead, "choose_ways", lambda depth: pytest.fail("it was asked for the way"))
    assert len(list(numbers().gen_batch(4, prefetch=2, engine=engine, workers=1))) == 10
