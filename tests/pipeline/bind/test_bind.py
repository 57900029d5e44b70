"""Binding tells every mistake before the first batch."""

from __future__ import annotations

import inspect

import pytest

from bf_batch import Batch, Dataset, ImagesBatch, action
from bf_pipeline import B, BindError, C, D, I, L, M, P, Pipeline, R, V


def mistakes(pipeline):
    with pytest.raises(BindError) as caught:
        pipeline.gen_batch(5)
    return [mistake.text for mistake in caught.value.mistakes]


def test_one_error_lists_everything_with_its_line(dataset, net_class):
    line = inspect.currentframe().f_lineno
    pipeline = (
        Pipeline(dataset)
        .init_variable("loss")
        .init_model("dynamic", net_class, "net")
        .add(B("xx"))
        .add(vale=1)
        .update(V("los"), C("lr"))
        .train_model("nett")
        .train_model("net", B("x"), tate=3)
        .multiply(M("ne"))
        .call(len, D("clases"))
        .multiply(P(R("uniform", V("low"), 1)))
    )
    with pytest.raises(BindError) as caught:
        pipeline.run(5)
    text = str(caught.value)
    assert text.startswith("9 mistakes in the pipeline for Points:")
    for number, words in [
        (5, "add: unknown component 'xx' of Points"),
        (6, "unknown argument 'vale' of action 'add' of Points; did you mean 'value'?"),
        (7, "update: unknown config path 'lr'"),
        (7, "update: unknown variable 'los'; did you mean 'loss'?"),
        (8, "train_model: unknown model 'nett'; did you mean 'net'?"),
        (9, "unknown argument 'tate' of train_model('net'); did you mean 'rate'?"),
        (10, "multiply: unknown model 'ne'; did you mean 'net'?"),
        (11, "call: unknown attribute 'clases' of the dataset; did you mean 'classes'?"),
        (12, "multiply: unknown variable 'low'"),
    ]:
        assert any(f"{__file__}:{line + number}: {words}" in row for row in text.splitlines()), (words, text)


def test_an_unknown_action_is_refused_at_its_own_line_when_the_dataset_is_known(dataset):
    with pytest.raises(AttributeError, match="unknown action 'ad' of Points; did you mean 'add'"):
        Pipeline(dataset).ad(1)


def test_actions_are_checked_when_the_dataset_comes(dataset):
    template = Pipeline().add(1).rotate(30)
    with pytest.raises(BindError, match=r"test_bind.py:\d+: unknown action 'rotate' of Points"):
        template << dataset


def test_missing_and_superfluous_arguments_are_found(dataset):
    assert mistakes(Pipeline(dataset).add()) == [
        "action 'add' of Points: missing a required argument: 'value'"
    ]
    assert mistakes(Pipeline(dataset).add(1, 2, 3)) == [
        "action 'add' of Points: too many positional arguments"
    ]
    assert "did you mean 'by'" in mistakes(Pipeline(dataset).shift(bye=1))[0]


def test_a_method_without_the_mark_is_named_as_such(dataset):
    with pytest.raises(
        AttributeError, match="'plain' of Points is a method but not an action; mark it with @action"
    ):
        Pipeline(dataset).plain()


def test_nested_steps_are_checked_too(dataset):
    assert len(mistakes((Pipeline(dataset).add(B("a")) * 2 + Pipeline().add(B("b"))) @ V("c"))) == 3


def test_expressions_of_a_batch_are_refused_where_there_is_none(dataset, net_class):
    pipeline = (
        Pipeline(dataset, {"k": 1})
        .init_variable("a", B("x"))
        .init_variable("b", C("k"))
        .init_model("static", net_class, "net", config={"n": L("x")})
        .before.call(len, B())
        .after.update(V("a"), I())
        .main.add(1)
    )
    texts = mistakes(pipeline)
    assert len(texts) == 4
    assert all("needs a batch, and there is none here" in text for text in texts)
    with pytest.raises(BindError, match="before has no batch: action 'add'"):
        Pipeline(dataset).before.add(1).run(5)


def test_a_component_that_a_step_adds_is_known(dataset):
    assert (
        Pipeline(dataset)
        .add_components("z", init=None)
        .update(B("q"), 1)
        .call(len, B("z"))
        .call(len, B("q"))
        .bind()
    )
    assert Pipeline() << Dataset(3, ImagesBatch)


def test_declared_attributes_of_the_batch_are_known(dataset, batch_class):
    class Noted(batch_class):
        note: str = "none"

        @action
        def take(self, text):
            return self

    done = Pipeline(Dataset(3, Noted)).take(B("note")).take(B("index")).take(B("_private"))
    assert done.bind().steps


def test_variables_that_need_each_other_are_an_error(dataset):
    pipeline = Pipeline(dataset).init_variable("a", V("b") + 1).init_variable("b", V("a"))
    assert mistakes(pipeline) == ["variables need each other: a -> b -> a"]


def test_double_declarations_name_both_lines(dataset, net_class):
    pipeline = Pipeline(dataset).init_variable("a", 1)
    assert "declared twice, first at" in mistakes(pipeline.init_variable("a", 2))[0]
    one = Pipeline(dataset).init_model("dynamic", net_class, "net")
    assert "declared twice, first at" in mistakes(one.init_model("static", net_class, "net"))[0]
    assert (pipeline + pipeline).run(5).v("a") == 1


def test_the_order_of_init_model_is_told(dataset, net_class):
    text = mistakes(Pipeline(dataset).init_model("net", net_class, "dynamic"))[0]
    assert "mode must be 'dynamic' or 'static', got 'net'" in text
    assert "init_model(mode, model_class, name, config)" in text


def test_a_run_needs_a_dataset_and_a_batch_size(dataset):
    with pytest.raises(TypeError, match="no dataset"):
        Pipeline().add(1).run(5)
    with pytest.raises(TypeError, match="batch_size is missing"):
        Pipeline(dataset).run()


def test_wrong_things_are_refused_by_the_pipeline_itself(dataset):
    with pytest.raises(TypeError, match="first argument is a Dataset"):
        Pipeline([1, 2, 3])
    with pytest.raises(TypeError, match="give the module itself"):
        Pipeline().add_namespace("math")
    assert mistakes(Pipeline(dataset).add(1, p=1.5)) == ["add: p must be from 0 to 1, got 1.5"]
    assert "p must be a number" in mistakes(Pipeline(dataset).add(1, p="half"))[0]
    assert (
        "the coin is thrown for the whole batch" in mistakes(Pipeline(dataset).add(1, p=P(R("uniform"))))[0]
    )
    assert "a function is needed, got 'name'" in mistakes(Pipeline(dataset).call("name"))[0]
    assert "a class of models is needed" in mistakes(Pipeline(dataset).init_model("static", 3, "net"))[0]
    assert (
        "save_to=V(name) is missing"
        in mistakes(Pipeline(dataset).gather_metrics(dict, 1, 2, save_to=None))[0]
    )


def test_actions_of_the_base_class_are_actions(dataset):
    class Empty(Batch):
        pass

    assert Pipeline(Dataset(3, Empty)).add_components("x").run(3)
