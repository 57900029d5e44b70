"""Actions on items: inbatch_parallel with its init, post and targets."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from bf_batch import (
    Batch,
    Dataset,
    ItemError,
    PerItem,
    SkipBatch,
    action,
    any_action_failed,
    inbatch_parallel,
)
from bf_index import DatasetIndex
from tests.conftest import PATIENCE, wait_until

TARGETS = ["inline", "threads", pytest.param("processes", marks=pytest.mark.slow)]


class Numbers(Batch):
    components = "x", "y"

    def _pairs(self):
        return list(zip(self.x, self.y))

    def _named(self, *args, **kwargs):
        return [{"item": value} for value in self.x]

    def _both(self, *args, **kwargs):
        return [((value,), {"times": 2}) for value in self.x]

    def _store(self, results):
        self.x = np.array(results)
        return self

    def _collect(self, results, *args, **kwargs):
        self.y = results
        self._arguments = args, kwargs
        return self

    @action
    @inbatch_parallel(init="x", post="_store", target="inline")
    def add(self, item, n):
        return item + n

    @action
    @inbatch_parallel(init=("x", "y"), post="_store")
    def multiply(self, x, y):
        return x * y

    @action
    @inbatch_parallel(init="_pairs", post="_store")
    def multiply_pairs(self, x, y):
        return x * y

    @action
    @inbatch_parallel(init="_named", post="_collect")
    def times(self, item, times=1):
        return item * times

    @action
    @inbatch_parallel(init="_both", post="_collect")
    def twice(self, item, times=1):
        return item * times

    @action
    @inbatch_parallel(init="indices", post="_collect", target="threads")
    def fail_at(self, id, bad):
        if id in bad:
            raise OSError(f"no file for {id}")
        return id

    @action
    @inbatch_parallel(init="x", post="_collect")
    def noise(self, item, rng):
        return item + rng.random()

    @action
    @inbatch_parallel(init="x", post="_collect")
    def own_noise(self, item):
        return self.rng().random(), self.rng().random()

    @action
    @inbatch_parallel(init="x", post="_collect")
    def sum_all(self, item):
        return float(self.x.sum() + item)


@pytest.fixture
def batch():
    return Numbers(DatasetIndex(list("abcdef")), preloaded=(np.arange(6.0), np.arange(6.0)), seed=7)


@pytest.mark.parametrize("target", TARGETS)
def test_items_are_those_of_a_component(batch, target):
    assert batch.add(10, target=target).x.tolist() == [10, 11, 12, 13, 14, 15]


@pytest.mark.parametrize("target", TARGETS)
def test_items_of_several_components_and_of_a_method(batch, target):
    assert batch.copy().multiply(target=target).x.tolist() == [0, 1, 4, 9, 16, 25]
    assert batch.multiply_pairs(target=target).x.tolist() == [0, 1, 4, 9, 16, 25]


@pytest.mark.parametrize("target", TARGETS)
def test_an_init_method_gives_keyword_arguments(batch, target):
    assert batch.times(times=3, target=target).y == [0, 3, 6, 9, 12, 15]
    assert batch._arguments == ((), {"times": 3})
    assert batch.twice(target=target).y == [0, 2, 4, 6, 8, 10]


@pytest.mark.parametrize("target", TARGETS)
def test_per_item_arguments_are_dealt_out(batch, target):
    assert batch.add(PerItem([6, 5, 4, 3, 2, 1]), target=target).x.tolist() == [6] * 6
    assert batch.times(times=PerItem(np.arange(6)), target=target).y == [0, 6, 12, 18, 24, 30]
    with pytest.raises(ValueError, match="argument 0 has 2 per-item values for 6 items"):
        batch.add(PerItem([1, 2]))


@pytest.mark.parametrize("target", TARGETS)
def test_p_chooses_items_and_the_others_stay(batch, target):
    chosen = batch.copy().add(100, p=PerItem([True, False] * 3), target=target)
    assert chosen.x.tolist() == [100, 1, 102, 3, 104, 5]
    some = batch.copy().add(100, p=0.5, target=target).x
    assert (some == batch.copy().add(100, p=0.5).x).all()
    assert batch.copy().add(100, p=0, target=target).x.tolist() == batch.x.tolist()
    by_item = batch.add(PerItem([1, 2, 3, 4, 5, 6]), p=PerItem([False, True] * 3), target=target)
    assert by_item.x.tolist() == [0, 3, 2, 7, 4, 11]


def test_p_is_a_share_of_the_items():
    batch = Numbers(2000, preloaded=(np.zeros(2000), None))
    assert 1300 < batch.add(1, p=0.7).x.sum() < 1500
    for wrong, error in ((1.5, ValueError), (-0.1, ValueError), ("half", TypeError)):
        with pytest.raises(error, match="p must be"):
            batch.add(1, p=wrong)


@pytest.mark.parametrize("target", TARGETS)
def test_an_item_draws_the_same_for_every_target(batch, target):
    def draw(target):
        fresh = batch.copy()
        first = fresh.noise(target=target).y
        second = fresh.own_noise(target=target).y
        fresh.step = 3
        return first, second, fresh.noise(target=target).y

    assert draw(target) == draw("inline")
    first, second, third = draw(target)
    assert len({*first, *third, *(number for pair in second for number in pair)}) == 24


@pytest.mark.parametrize("target", TARGETS)
def test_an_item_method_may_read_the_batch(batch, target):
    assert batch.sum_all(target=target).y == [15.0, 16.0, 17.0, 18.0, 19.0, 20.0]


@pytest.mark.parametrize("target", TARGETS)
def test_a_failed_item_is_named(batch, target):
    with pytest.raises(
        ItemError, match=r"Numbers.fail_at: item 'c' \(number 2 of the batch\): OSError: no file"
    ) as caught:
        batch.fail_at("ce", target=target)
    assert (caught.value.id, caught.value.position) == ("c", 2)
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("target", TARGETS)
def test_failed_items_are_left_out_when_asked(batch, target):
    result = batch.fail_at("ce", target=target, on_error="skip")
    assert result is batch
    assert batch.indices.tolist() == list("abdf")
    assert batch.y == list("abdf")
    assert batch.x.tolist() == [0, 1, 3, 5]
    assert [error.id for error in batch.skipped] == ["c", "e"]


def test_when_all_items_fail_the_batch_is_skipped(batch):
    with pytest.raises(SkipBatch, match="all 6 items failed"):
        batch.fail_at("abcdef", on_error="skip")


def test_post_may_ask_for_the_errors(batch):
    batch.fail_at("c", on_error="collect")
    assert any_action_failed(batch.y)
    assert isinstance(batch.y[2], ItemError)
    assert batch.y[3] == "d"


def test_signals_of_an_item_are_signals_of_the_batch():
    class Signals(Batch):
        components = ("x",)

        @inbatch_parallel(init="x")
        def stop(self, item):
            raise SkipBatch("no use")

    with pytest.raises(SkipBatch, match="no use"):
        Signals(2, preloaded=([1, 2],)).stop()


def test_without_post_the_batch_is_returned(batch):
    class Quiet(Batch):
        components = ("x",)
        seen: list

        @inbatch_parallel(init="x", target="inline")
        def look(self, item):
            self.seen.append(item)

    quiet = Quiet(2, preloaded=([1, 2],))
    quiet.seen = []
    assert quiet.look() is quiet
    assert quiet.seen == [1, 2]


def test_post_must_return_something():
    class Forgets(Batch):
        components = ("x",)

        @inbatch_parallel(init="x", post="_post")
        def work(self, item):
            return item

        def _post(self, results):
            self.x = results

    with pytest.raises(TypeError, match=r"post '_post' returned None.*return self"):
        Forgets(2, preloaded=([1, 2],)).work()


def test_functions_serve_as_init_and_post():
    class Functions(Batch):
        components = ("x",)

        @inbatch_parallel(
            init=lambda batch, *args, **kwargs: range(len(batch)), post=lambda results, n: sum(results) + n
        )
        def square(self, number, n):
            return number**2

    assert Functions(4).square(100) == 114


def test_an_empty_component_is_named():
    with pytest.raises(ValueError, match=r"Numbers.x is empty; load it first"):
        Numbers(2).add(1)


def test_unknown_targets_and_policies_are_refused_with_hints(batch):
    with pytest.raises(ValueError, match="did you mean 'threads'"):
        batch.add(1, target="thread")
    with pytest.raises(ValueError, match="unknown on_error 'ignore'"):
        batch.add(1, on_error="ignore")
    with pytest.raises(ValueError, match="timeout"):
        batch.add(1, timeout=-1)
    with pytest.raises(ValueError, match="workers"):
        batch.add(1, n_workers=0)
    with pytest.raises(ValueError, match="unknown target 'mpc'"):
        inbatch_parallel(init="x", target="mpc")
    with pytest.raises(TypeError, match="rename 'p'"):

        @inbatch_parallel(init="x")
        def clash(self, item, p):
            return item


def test_threads_share_the_work_of_slow_items():
    names: set[str] = set()

    class Slow(Batch):
        components = ("x",)

        @inbatch_parallel(init="x", post="_post", target="threads", n_workers=3)
        def meet(self, item):
            names.add(threading.current_thread().name)
            if item == 0:
                time.sleep(0.02)  # help is asked for when an item was slow
            else:
                wait_until(lambda: len(names) > 1, "another thread")
            return threading.current_thread().name

        def _post(self, results):
            self.x = results
            return self

    assert len(set(Slow(12, preloaded=(list(range(12)),)).meet().x)) > 1


def test_parallel_actions_can_be_nested():
    class Nested(Batch):
        components = ("x",)

        @inbatch_parallel(init="x", post="_post", target="threads", n_workers=2)
        def outer(self, item):
            inner = Nested(4, preloaded=([item] * 4,))
            return sum(inner.inner().x)

        @inbatch_parallel(init="x", post="_post", target="threads", n_workers=2)
        def inner(self, item):
            time.sleep(0.002)
            return item

        def _post(self, results):
            self.x = results
            return self

    assert Nested(6, preloaded=(list(range(6)),)).outer().x == [0, 4, 8, 12, 16, 20]


class Fetched(Batch):
    components = ("x",)

    @inbatch_parallel(init="indices", post="_post", timeout=PATIENCE)
    async def fetch(self, id, slow=None, bad=None):
        import asyncio

        self._at_once = max(getattr(self, "_at_once", 0), len(asyncio.all_tasks()))
        await asyncio.sleep(10**6 if id == slow else 0.02 if slow is None else 0)
        if id == bad:
            raise OSError("gone")
        return id, self.rng().random()

    def _post(self, results):
        self.x = results
        return self


def test_coroutines_are_awaited_all_at_once():
    batch = Fetched(50).fetch()
    assert batch._at_once > 50
    assert [id for id, _ in batch.x] == list(range(50))
    assert len({number for _, number in batch.x}) == 50
    assert Fetched(50).fetch().x == batch.x
    with pytest.raises(ItemError, match=r"item 3 .*gone"):
        Fetched(5).fetch(bad=3)
    with pytest.raises(TimeoutError, match="item 4"):
        Fetched(5).fetch(slow=4, timeout=0.2)


def test_coroutines_are_awaited_where_a_loop_runs():
    import asyncio

    async def notebook():
        return Fetched(5).fetch()

    assert len(asyncio.run(notebook()).x) == 5


def test_an_item_keeps_its_address_after_nested_work():
    class Nested(Batch):
        components = ("x",)

        @inbatch_parallel(init="x", post="_post", target="inline")
        def outer(self, item):
            first = self.rng().random()
            Nested(2, preloaded=([1, 2],)).inner()
            return first, self.rng().random()

        @inbatch_parallel(init="x", post="_post", target="inline")
        def inner(self, item):
            return self.rng().random()

        def _post(self, results):
            self.x = results
            return self

    drawn = [Nested(4, preloaded=([0] * 4,)).outer(target=target).x for target in ("inline", "threads")]
    assert drawn[0] == drawn[1]
    assert len({number for pair in drawn[0] for number in pair}) == 8


class Scaled(Batch):
    components = "x", "y"

    @action
    @inbatch_parallel(init="x", post="take", target="processes")
    def scale(self, entry):
        return entry * self.dataset.unit + len(self.dataset.index) + len(self.dataset.train)

    @action
    @inbatch_parallel(init="x", post="take", target="processes")
    def mix(self, entry):
        return entry * self.dataset.unit + self.y.sum()

    @action
    @inbatch_parallel(init="x", post="take", target="processes")
    def peek_at_all(self, entry):
        return self.dataset.rows("x", slice(0, 4)).sum()

    def take(self, results):
        self.x = np.array(results)
        return self


@pytest.mark.parametrize("target", ["inline", "threads", "processes"])
def test_item_methods_see_the_data_set_for_every_target(target):
    dataset = Dataset(4, Scaled, preloaded=(np.arange(4), np.arange(4)), unit=10).split(0.5)
    for _ in range(2):
        assert dataset.create_batch([1, 3]).scale(target=target).x.tolist() == [16, 36]
        assert dataset.create_batch([1, 3]).mix(target=target).x.tolist() == [14, 34]
    alone = Scaled([1], preloaded=(np.arange(1), np.arange(1)))
    with pytest.raises(ItemError, match="'NoneType' object has no attribute 'unit'"):
        alone.scale(target=target)


def test_the_values_of_other_items_are_told_to_stay_behind():
    dataset = Dataset(4, Scaled, preloaded=(np.arange(4), np.arange(4)))
    assert dataset.create_batch([1]).peek_at_all(target="threads").x.tolist() == [6]
    with pytest.raises(ItemError, match="preloaded x: the data of other items are not sent"):
        dataset.create_batch([1]).peek_at_all()
