"""Places that a step writes to: config, data set, each item, values of the batch that are no components."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bf_batch import Batch, Dataset
from bf_pipeline import B, BindError, C, D, I, L, Pipeline, V, build


def test_a_config_that_steps_write_to_is_the_runs_own(dataset):
    pipeline = (
        Pipeline(dataset, {"model": {"lr": 1.0, "name": "net"}})
        .init_variable("seen", init_on_each_run=list)
        .update(C("model/lr"), C("model/lr") / 2)
        .update(V("seen"), C("model/lr"), mode="a")
    )
    for _ in range(2):
        assert pipeline.run(5).v("seen") == [0.5, 0.25]
    assert pipeline.config["model"] == {"lr": 1.0, "name": "net"}


def test_writing_to_a_path_replaces_what_was_there_and_below(dataset):
    written = (
        Pipeline(dataset, {"a": {"b": 1, "c": 2}})
        .init_variable("all")
        .update(C("a"), {"d": 3})
        .update(C("new/path"), 4)
        .update(C("list"), 5, mode="a")
        .update(C("list"), 6, mode="a")
        .update(V("all"), C())
    )
    assert dict(written.run(10).v("all")) == {"a": {"d": 3}, "new/path": 4, "list": [5, 6]}


@pytest.mark.parametrize("ahead", [{}, {"prefetch": 3}, {"prefetch": 2, "engine": "processes", "workers": 1}])
def test_what_reads_a_written_config_waits_for_its_turn(dataset, ahead):
    pipeline = (
        Pipeline(dataset, {"n": 0}).update(C("n"), C("n") + 1).add(C("n") * 100).rebatch(4).add(C("n") * 1000)
    )
    batches = list(pipeline.gen_batch(2, **ahead))
    assert [batch.x[0] // 100 % 10 for batch in batches] == [1, 3, 5]
    assert batches[0].x[0] >= 2000  # the steps after a rebatch see the same config


def test_an_attribute_of_the_data_set_is_written_for_all_who_hold_it(batch_class):
    dataset = Dataset(4, batch_class, preloaded=(np.arange(4.0), np.arange(4)), best=0.0)
    pipeline = Pipeline(dataset).update(D("best"), B("x").attr("max")()).update(D("log"), I(), mode="a")
    pipeline.run(2, prefetch=2)
    assert (dataset.best, dataset.log) == (3.0, [1, 2])


@pytest.mark.parametrize("name", ["index", "train", "split", "_bf_parts"])
def test_words_of_data_sets_can_not_be_written_to(dataset, name):
    with pytest.raises(BindError, match="is a word of data sets themselves"):
        Pipeline(dataset).update(D(name), 1).run(5)


def test_each_item_takes_its_own_value():
    things = [SimpleNamespace(size=n, parts={"a": n}, rows=np.zeros(2)) for n in range(3)]
    pipeline = (
        Pipeline(Dataset(3, Batch))
        .add_components("thing", things)
        .update(L("thing").attr("twice"), L("thing").attr("size"))
        .update(L("thing").attr("parts")["b"], [7, 8, 9])
        .update(L("thing").attr("rows")[B("_at")], [1.5, 2.5, 3.5])
        .update(L("copies"), L("thing"))
        .update(L("thing").attr("parts")["list"], [1, 2, 3])
    )
    pipeline = Pipeline(Dataset(3, Batch)).update(B("_at"), 1) + pipeline
    batch = pipeline.next_batch(3)
    assert [thing.twice for thing in things] == [0, 1, 2]
    assert [thing.parts for thing in things] == [{"a": n, "b": 7 + n, "list": n + 1} for n in range(3)]
    assert [thing.rows.tolist() for thing in things] == [[0, 1.5], [0, 2.5], [0, 3.5]]
    assert batch.copies == things


def test_items_that_get_too_few_values_are_refused():
    pipeline = Pipeline(Dataset(2, Batch)).add_components("thing", [SimpleNamespace(), SimpleNamespace()])
    with pytest.raises(ValueError, match=r"L\('thing'\)\.attr\('a'\): got 3 values for 2 items"):
        pipeline.update(L("thing").attr("a"), [1, 2, 3]).run(2)
    with pytest.raises(TypeError, match="one value for each item is needed, got int"):
        pipeline.update(L("thing").attr("a"), 1).run(2)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (C(), "as a whole; name a part of it"),
        (D(), "as a whole; name a part of it"),
        (L("x").attr("copy")(), "is what a call returns"),
        (V("v", pipeline=Pipeline()), "belongs to another run"),
    ],
)
def test_what_can_not_be_written_to_says_why(dataset, target, reason):
    with pytest.raises(BindError, match=reason):
        Pipeline(dataset).update(target, 1).run(5)


def test_text_reads_config_and_data_but_does_not_write_them(dataset):
    for target in ("=C('model/allow')", "=D('classes')"):
        with pytest.raises(BindError, match="can not be written to by text"):
            build({"steps": [{"update": {"target": target, "value": 1}}]}, dataset).run(5)


# Values of a batch that are no components


@pytest.mark.parametrize("ahead", [{}, {"prefetch": 2}, {"prefetch": 2, "engine": "processes", "workers": 1}])
def test_any_value_travels_with_its_batch(dataset, ahead):
    pipeline = (
        Pipeline(dataset)
        .update(B("loss"), B("x").attr("mean")())
        .update(B("_weights"), {"rows": B("y")})
        .add_attributes(history=None)
        .update(B("history"), [1, 2, 3])
        .update(B("name"), "batch")
    )
    for number, batch in enumerate(pipeline.gen_batch(5, **ahead)):
        assert batch.loss == 2.0 + 5 * number
        assert batch._weights["rows"].tolist() == batch.y.tolist()
        assert (batch.history, batch.name) == ([1, 2, 3], "batch")
        part = batch.subset(slice(0, 2))
        assert (part.loss, part.copy().name) == (batch.loss, "batch")
        assert batch.components == ("x", "y")


def test_a_value_with_items_is_a_component_and_must_fit(dataset):
    assert "z" in Pipeline(dataset).update(B("z"), B("x") + 1).next_batch(5).components
    with pytest.raises(ValueError, match="got 3 values for a batch of 5 items"):
        Pipeline(dataset).update(B("z"), [1, 2, 3]).next_batch(5)


def test_a_value_of_the_batch_is_known_to_later_steps_only_by_its_name(dataset):
    pipeline = Pipeline(dataset).update(B("loss"), 2.0).add(B("loss"))
    assert pipeline.next_batch(5).x.tolist() == [2, 3, 4, 5, 6]
    with pytest.raises(BindError, match="unknown component 'los'"):
        Pipeline(dataset).update(B("loss"), 2.0).add(B("los")).run(5)
