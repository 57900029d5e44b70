"""Variables and what may be written to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bf_batch import Batch, Dataset, action
from bf_pipeline import B, BindError, F, I, Pipeline, V


def test_each_run_starts_with_fresh_values(dataset):
    shared = []
    pipeline = (
        Pipeline(dataset)
        .init_variable("a", shared)
        .init_variable("b", list)
        .init_variable("c", init_on_each_run=list)
        .init_variable("d", F(list))
        .init_variable("e", init_on_each_run=None)
        .update(V("a"), 1, "a")
        .update(V("b"), 1, mode="a")
        .update(V("c"), 1, "a")
        .update(V("d"), 1, "a")
        .update(V("e"), 1, "a")
    )
    for _ in range(2):
        done = pipeline.run(5)
        assert [done.v(name) for name in "abcde"] == [[1, 1]] * 5
    assert shared == []


def test_defaults_may_be_made_from_other_variables(dataset):
    pipeline = Pipeline(dataset, {"k": 3}).init_variable("b", V("a") * 2).init_variable("a", F(max)(1, 5))
    assert pipeline.run(5).v("b") == 10


@pytest.mark.parametrize(
    ("start", "mode", "value", "expected"),
    [
        (0, "w", 5, 5),
        (None, "a", 5, [5, 5]),
        (None, "e", [1, 2], [1, 2, 1, 2]),
        (None, "u", {"a": 1}, {"a": 1}),
        ([0], "a", 5, [0, 5, 5]),
        ([0], "e", (5, 6), [0, 5, 6, 5, 6]),
        ({"k": 0}, "a", {"a": 1}, {"k": 0, "a": 1}),
        ({"k": 0}, "u", {"a": 1}, {"k": 0, "a": 1}),
        ({0}, "a", 5, {0, 5}),
        ({0}, "u", {5, 6}, {0, 5, 6}),
        (np.zeros(1), "a", 5, [0, 5, 5]),
        (np.zeros(1), "e", [5, 6], [0, 5, 6, 5, 6]),
    ],
    ids=str,
)
def test_modes_of_assignment(dataset, start, mode, value, expected):
    done = Pipeline(dataset).init_variable("v", start).update(V("v"), value, mode).run(5)
    found = done.v("v")
    assert (found.tolist() if isinstance(found, np.ndarray) else found) == expected


def test_the_mode_may_stand_in_the_target(dataset):
    assert Pipeline(dataset).init_variable("v", list).update(V("v", mode="a"), 1).run(5).v("v") == [1, 1]
    done = Pipeline(dataset).init_variable("v", list).call(len, B(), save_to=V("v"), mode="a").run(5)
    assert done.v("v") == [5, 5]


def test_a_mode_that_the_value_does_not_know_names_both(dataset):
    pipeline = Pipeline(dataset).init_variable("v", 3).update(V("v"), 1, "a")
    with pytest.raises(TypeError, match=r"V\('v'\): mode 'a' needs a value with .append\(\), it holds int"):
        pipeline.run(5)


def test_parts_of_variables_and_components_can_be_written(dataset):
    done = (
        Pipeline(dataset)
        .init_variable("d", {"k": [1, 2], "n": 0})
        .update(V("d")["k"][0], 100)
        .update(V("d")["k"][1:], [7, 8])
        .update(V("d")["n"], V("d")["n"] + 1)
        .update(V("d")["new"], B("x")[0], "a")
        .update(B("x")[1:3], 50)
        .update(B("y"), B("x") * 2)
    )
    batches = list(done.gen_batch(5))
    assert batches[0].x.tolist() == [0, 50, 50, 3, 4]
    assert batches[1].y.tolist() == [10, 100, 100, 16, 18]
    assert done.v("d") == {"k": [100, 7, 8, 8], "n": 2, "new": [0, 5]} or done.v("d")["n"] == 2


def test_a_component_that_is_saved_to_is_added(dataset):
    pipeline = Pipeline(dataset).update(B("z"), B("x") * 2).update(B("x"), B("z") + 1)
    assert next(pipeline.gen_batch(5)).z.tolist() == [0, 2, 4, 6, 8]


def test_results_go_to_lists_dicts_arrays_and_attributes(dataset):
    array, holder = np.zeros(5), type("Holder", (), {"x": None})()
    pipeline = (
        Pipeline(dataset)
        .init_variable("a", 0)
        .init_variable("b", 0)
        .init_variable("c", 0)
        .init_variable("holder", F(lambda: holder))
        .call(lambda: (1, 2), save_to=[V("a"), V("b")])
        .call(lambda: {"left": 5, "right": 6}, save_to={"left": V("c")})
        .call(lambda: (3, 4), save_to=V("holder").attr("x"))
        .call(np.add, B("x"), 1, save_to=array)
    )
    done = pipeline.run(5)
    assert (done.v("a"), done.v("b"), done.v("c")) == (1, 2, 5)
    assert holder.x == (3, 4)
    assert array.tolist() == [6, 7, 8, 9, 10]


@pytest.mark.parametrize(
    ("result", "save_to", "message"),
    [
        ((1, 2, 3), [V("a"), V("b")], "2 targets, got 3 values"),
        (5, [V("a"), V("b")], "2 targets, got one int"),
        ({"left": 1}, {"right": V("a")}, "no output 'right'"),
    ],
)
def test_results_that_do_not_fit_their_targets_are_errors(dataset, result, save_to, message):
    pipeline = Pipeline(dataset).init_variable("a").init_variable("b").call(lambda: result, save_to=save_to)
    with pytest.raises((ValueError, KeyError), match=message):
        pipeline.run(5)


def test_wrong_targets_and_modes_are_found_at_bind(dataset):
    pipeline = (
        Pipeline(dataset).init_variable("a").update(5, 1).update(V("a"), 1, "append").update(V("a") + 1, 2)
    )
    with pytest.raises(BindError) as caught:
        pipeline.run(5)
    texts = [mistake.text for mistake in caught.value.mistakes]
    assert len(texts) == 3
    assert "can not be written to" in texts[0]
    assert "mode must be one of" in texts[1]


def test_no_update_is_lost_under_prefetch(dataset):
    pipeline = Pipeline(dataset).init_variable("n", 0).init_variable("order", list).add(1)
    pipeline = pipeline.update(V("n"), V("n") + 1).update(V("order"), B("x")[0], "a")
    done = pipeline.run(1, n_epochs=20, prefetch=8, engine="threads", workers=4)
    assert done.v("n") == 200
    assert done.v("order") == [i + 1 for i in range(10)] * 20


def test_a_variable_that_changes_keeps_its_readers_in_order(dataset):
    pipeline = Pipeline(dataset).init_variable("k", 0).init_variable("fixed", 7).add(V("fixed")).add(V("k"))
    pipeline = pipeline.update(V("k"), V("k") + 100)
    bound = pipeline.bind()
    assert [step.name for step in bound.ahead] == ["add"]
    assert [step.name for step in bound.rest] == ["add", "update"]
    plain = [batch.x.tolist() for batch in pipeline.gen_batch(2)]
    assert plain == [batch.x.tolist() for batch in pipeline.gen_batch(2, prefetch=4)]


def test_a_list_that_a_function_could_change_stays_in_the_parent(dataset):
    done = Pipeline(dataset).init_variable("h", list).call(list.append, V("h"), B("x")[0])
    assert done.bind().ahead == ()
    assert done.run(2, prefetch=3).v("h") == [0, 2, 4, 6, 8]


def test_a_function_of_a_namespace_saves_in_the_order_of_batches(dataset):
    pipeline = (
        Pipeline(dataset)
        .add_namespace(SimpleNamespace(total=np.sum))
        .init_variable("last", 0)
        .total(B("x"), save_to=V("last"))
    )
    assert pipeline.bind().ahead == ()
    assert pipeline.run(5, prefetch=2, engine="processes").v("last") == 35


class Declared(Batch):
    """Places for values of many kinds that are no components."""

    components = ("x",)
    loss: float
    scores: list
    kept: Any = None
    _hidden: int

    @action
    def use(self):
        return self


class Heir(Declared):
    more: dict


@pytest.mark.parametrize("ahead", [{}, {"prefetch": 2}, {"prefetch": 2, "engine": "processes"}])
@pytest.mark.parametrize("kind", [Declared, Heir])
def test_values_are_saved_to_whatever_the_class_declares_and_to_private_names(kind, ahead):
    names = ["loss", "scores", "kept", "_hidden", "_other", *(["more"] if kind is Heir else [])]
    pipeline = Pipeline(Dataset(4, kind)).init_variable("n", 0)
    for number, name in enumerate(names):
        pipeline = pipeline.call(give, I() * 10 + number, save_to=B(name))
    pipeline = pipeline.call(give, [I(), 7], save_to=[B("fresh"), B("_last")]).call(
        give, 5, save_to=B("_list"), mode="a"
    )
    for turn, batch in enumerate(pipeline.gen_batch(2, **ahead), 1):
        for number, name in enumerate(names):
            assert getattr(batch, name) == turn * 10 + number
            assert name not in batch.components
        assert (batch._last, batch._list) == (7, [5])


def give(value):
    return [[value[0]] * 2, value[1]] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "name", ["use", "load", "index", "seed", "place", "dataset", "components", "rng", "data"]
)
def test_words_of_the_class_are_no_targets(name):
    for target in (B(name), [B("kept"), B(name)], {"a": B(name)}):
        with pytest.raises(BindError, match=rf"{name!r} is a word of Declared itself"):
            Pipeline(Dataset(4, Declared)).call(give, 1, save_to=target).bind()
