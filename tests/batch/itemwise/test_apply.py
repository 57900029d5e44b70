"""Functions applied to the items of components, merged batches, and data sets of batches."""

from __future__ import annotations

import numpy as np
import pytest

from bf_batch import Batch, ItemError, PerItem, action, apply_parallel

TARGETS = ["inline", "threads", pytest.param("processes", marks=pytest.mark.slow)]


class Pairs(Batch):
    components = "x", "y"

    @apply_parallel(src="x", target="threads")
    def plus(self, value, n):
        return value + n

    @action
    @apply_parallel(src=("x", "y"), dst=("y", "x"))
    def swap(self, x, y):
        return x, y

    @apply_parallel(src="x", dst="level")
    def noise(self, value, rng):
        return rng.random()


@pytest.fixture
def batch():
    return Pairs(4, preloaded=(np.arange(4.0), np.arange(4.0) * 10), seed=3)


@pytest.mark.parametrize("target", TARGETS)
def test_a_function_of_an_item_fills_a_component(batch, target):
    assert batch.apply(lambda value, n: value + n, 5, src="x", target=target).x.tolist() == [5, 6, 7, 8]
    assert batch.apply(np.sqrt, src="y", dst="x", target=target).x[1] == np.sqrt(10)
    assert (
        batch.apply_parallel(lambda value, n: value * n, src="x", dst="y", n=PerItem([1, 0, 1, 0])).y[1] == 0
    )


@pytest.mark.parametrize("target", TARGETS)
def test_several_sources_and_targets(batch, target):
    batch.apply(lambda x, y: (x + y, x - y), src=("x", "y"), dst=("x", "y"), target=target)
    assert batch.x.tolist() == [0, 11, 22, 33]
    assert batch.y.tolist() == [0, -9, -18, -27]
    batch.apply(lambda value: value / 1, src=["x", "y"], target=target)
    batch.apply(lambda x, y: x * y, src=("x", "y"), dst="product", target=target)
    assert batch.product.tolist() == [0, -99, -396, -891]
    with pytest.raises(ValueError, match="item 0 must be 2 values"):
        batch.apply(lambda x: x, src="x", dst=("x", "y"))
    with pytest.raises(ValueError, match="2 src for 1 dst"):
        batch.apply(np.sqrt, src=["x", "y"], dst=["x"])


@pytest.mark.parametrize("target", TARGETS)
def test_items_not_chosen_stay(batch, target):
    batch.apply(lambda value: -1.0, src="x", p=PerItem([True, False, True, False]), target=target)
    assert batch.x.tolist() == [-1, 1, -1, 3]
    batch.apply(lambda x, y: 7.0, src=("x", "y"), dst="y", p=0.0, target=target)
    assert batch.y.tolist() == [-1, 1, -1, 3]


@pytest.mark.parametrize("target", TARGETS)
def test_a_decorated_method_is_an_item_wise_action(batch, target):
    assert Pairs.actions["plus"].itemwise
    assert batch.plus(3, target=target).x.tolist() == [3, 4, 5, 6]
    assert batch.swap(target=target).x.tolist() == [0, 10, 20, 30]
    assert batch.plus(1, src="y", dst="x").x.tolist() == [4, 5, 6, 7]
    first = batch.noise(target=target).level
    assert len(set(first.tolist())) == 4
    again = Pairs(4, preloaded=(np.arange(4.0), None), seed=3)
    again._bf_calls = 3
    assert (again.noise().level == first).all()


@pytest.mark.parametrize("target", TARGETS)
def test_the_generator_of_an_item_is_handed_in(batch, target):
    def draw(value, rng):
        return rng.random()

    one = Pairs(4, preloaded=(np.arange(4), None), seed=3).apply(draw, src="x", target=target).x
    other = Pairs(4, preloaded=(np.arange(4), None), seed=3).apply(draw, src="x").x
    assert (one == other).all()


def test_class_defaults_serve_apply():
    class Defaults(Batch):
        components = "x", "y"
        apply_defaults = {"src": "x", "dst": "y", "target": "threads"}

        @apply_parallel
        def double(self, value):
            return value * 2

    batch = Defaults(2, preloaded=([1, 2], None))
    assert batch.double().y.tolist() == [2, 4]
    assert batch.apply(lambda value: value + 1).y.tolist() == [2, 3]


def test_ragged_results_are_a_list(batch):
    batch.apply(lambda value: np.zeros(int(value)), src="x", dst="y")
    assert batch.kinds()["y"] == "list"
    batch.apply(len, src="y", dst="x")
    assert batch.x.tolist() == [0, 1, 2, 3]


def test_failures_name_the_function_and_the_item(batch):
    def half(value):
        if value == 2:
            raise RuntimeError("no half")
        return value / 2

    with pytest.raises(ItemError, match=r"Pairs.half: item 2 .*no half"):
        batch.apply(half, src="x")
    assert len(batch.apply(half, src="x", on_error="skip")) == 3
    with pytest.raises(AttributeError, match="did you mean 'x'"):
        batch.apply(half, src="xx")
    with pytest.raises(ValueError, match="say which component"):
        batch.apply(half)
    with pytest.raises(AttributeError, match="src='z'"):

        class Wrong(Batch):
            components = ("x",)

            @apply_parallel(src="z")
            def work(self, value):
                return value

    with pytest.raises(TypeError, match="did you mean 'src'"):
        apply_parallel(scr="x")


def test_a_batch_without_components_is_applied_to():
    assert Batch(3, preloaded=np.arange(3)).apply(lambda value: value + 1).data.tolist() == [1, 2, 3]


def test_merged_batches_are_cut_to_size():
    one = Pairs(2, preloaded=(np.array([0, 1]), ["a", "b"]))
    other = Pairs(2, preloaded=(np.array([5, 6]), ["c", "d"]))
    merged, rest = Pairs.merge([one, other])
    assert merged.x.tolist() == [0, 1, 5, 6]
    assert merged.y == ["a", "b", "c", "d"]
    assert merged.indices.tolist() == [0, 1, 2, 3]
    assert rest is None
    merged, rest = Pairs.merge([one, other], batch_size=3)
    assert merged.x.tolist() == [0, 1, 5]
    assert rest.x.tolist() == [6]
    merged, rest = Pairs.merge([one, other], batch_size=4)
    assert (len(merged), rest) == (4, None)
    assert Pairs.merge([one, other], components=["x"])[0].y is None
    assert Batch.merge([Batch(2, preloaded=np.arange(2))] * 2)[0].data.tolist() == [0, 1, 0, 1]


def test_ragged_batches_merge_to_a_list():
    one = Pairs(1, preloaded=(np.zeros((1, 2)), None))
    other = Pairs(1, preloaded=(np.zeros((1, 3)), None))
    assert [len(value) for value in Pairs.merge([one, other])[0].x] == [2, 3]


def test_a_batch_becomes_a_data_set_with_its_data(batch):
    batch.x = batch.x + 1
    part = next(batch.as_dataset().gen_batch(2))
    assert part.x.tolist() == [1, 2]
    assert type(part) is Pairs


def test_any_callable_is_applied(batch):
    import functools

    class Adder:
        __hash__ = None

        def __call__(self, value, rng):
            return value + 1

    assert batch.apply(functools.partial(pow, 2), src="x").x.tolist() == [1, 2, 4, 8]
    assert batch.apply(Adder(), src="x", target="threads").x.tolist() == [2, 3, 5, 9]
    assert batch.apply(int, src="x").x.tolist() == [2, 3, 5, 9]


def test_an_error_of_an_inner_batch_is_wrapped_by_the_outer_item(batch):
    def inner(value):
        Pairs(3, preloaded=([5, 6, 7], None)).apply(lambda one: 1 / (one - 7), src="x")
        return value

    with pytest.raises(ItemError) as caught:
        batch.apply(inner, src="x")
    assert caught.value.position == 0
    assert caught.value.__cause__.position == 2
    chosen = batch.apply(lambda value: {0: 1, 1: 1, 3: 1}[value], src="x", on_error="skip")
    assert chosen.indices.tolist() == [0, 1, 3]


class Scans(Batch):
    components = "images", "masks", "depths"

    @apply_parallel
    def jitter(self, entry, rng):
        return entry + rng.integers(1 << 40)

    @apply_parallel
    def jitter_by_itself(self, entry):
        return entry + self.rng().integers(1 << 40)


@pytest.mark.parametrize("target", ["inline", "threads", "processes"])
@pytest.mark.parametrize("p", [None, 0.5, PerItem([True, False] * 10), PerItem([0.3] * 20)])
def test_all_sources_of_a_call_get_the_same_random_numbers_for_an_item(target, p):
    def draw(seed=1):
        return Scans(20, preloaded=tuple(np.zeros((20, 1), int) for _ in range(3)), seed=seed)

    names = ["images", "masks", "depths"]
    for work in (
        lambda batch: batch.jitter(src=names, p=p, target=target),
        lambda batch: batch.jitter_by_itself(src=names, dst=names, p=p, target=target),
        lambda batch: batch.apply(shift_at_random, src=names, p=p, target=target),
    ):
        batch = work(draw())
        assert batch.images.tolist() == batch.masks.tolist() == batch.depths.tolist()
        moved = np.count_nonzero(batch.images)
        assert len(set(batch.images.ravel().tolist())) == moved + (moved < 20)
        assert (moved == 20) == (p is None)
        again = work(draw())
        assert again.images.tolist() == batch.images.tolist()
        assert work(draw(2)).images.tolist() != batch.images.tolist()
        assert work(batch).images.tolist() != again.images.tolist()  # another call, other numbers


def shift_at_random(entry, rng):
    return entry + rng.integers(1 << 40)
