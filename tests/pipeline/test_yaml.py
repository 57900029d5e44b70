"""Pipelines as YAML, and back."""

from __future__ import annotations

import operator
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from bf_pipeline import B, BindError, C, F, P, Pipeline, R, V, W, Where, build
from bf_pipeline.context import Context, Scope
from bf_pipeline.expressions.base import evaluate
from bf_pipeline.expressions.text import read_expression
from bf_pipeline.yaml import register_resolvers

TEXT = """
config: {step: 3, deep: {rate: 2}}
before:
  - print: go
steps:
  - init_variable: {name: history, default: []}
  - init_model:
      {mode: dynamic, model: Net, name: net, config: {shape: "=B('x').attr('shape')", depth: 3}}
  - add: {value: "${C:step}", p: 1.0}
  - add: "=B('y') / 2 + 1"
  - shift: {by: "${P:${R:uniform,0,1}}", p: 0.8}
  - repeat:
      times: 2
      steps:
        - multiply: ["${C:deep/rate}"]
        - sometimes: {p: 0.5, steps: [noise]}
  - train_model: {name: net, inputs: "${B:x}", fetches: loss, save_to: "${V:history}", mode: a}
  - update: {target: "=V('history')", value: 1, mode: a}
after:
  - update: ["=V('history')", 2, a]
run: {batch_size: 5, n_epochs: 1, seed: 1}
"""


def test_resolvers_are_registered_again_without_a_warning():
    with warnings.catch_warnings(action="error"):
        register_resolvers()
    assert OmegaConf.to_container(OmegaConf.create({"a": "${B:x}"}), resolve=True)["a"]["_args_"] == ["x"]


def test_steps_of_yaml_are_those_of_python(dataset, net_class, capsys):
    pipeline = build(OmegaConf.create(TEXT), dataset, names={"Net": net_class})
    step = Pipeline(dataset, {"step": 3, "deep": {"rate": 2}})
    code = (
        step.before.print("go")
        .main.init_variable(name="history", default=[])
        .init_model(
            mode="dynamic",
            name="net",
            model_class=net_class,
            config={"shape": B("x").attr("shape"), "depth": 3},
        )
        .add(value=C("step"), p=1.0)
        .add(B("y") / 2 + 1)
        .shift(by=P(R("uniform", 0, 1)), p=0.8)
    )
    code = code + (Pipeline().multiply(C("deep/rate")) + Pipeline().noise() @ 0.5) * 2
    code = code.train_model("net", inputs=B("x"), fetches="loss", save_to=V("history"), mode="a")
    code = code.update(V("history"), 1, mode="a").after.update(V("history"), 2, "a").main
    done = pipeline.run()
    assert capsys.readouterr().out == "go\n"
    assert done.v("history") == code.run(5, seed=1).v("history")
    assert len(done.v("history")) == 5
    assert done.m("net").config == {"shape": (5,), "depth": 3}


def test_a_pipeline_goes_to_yaml_and_back(dataset):
    pipeline = (
        Pipeline(config={"lr": 0.1, "deep": {"a": [1, 2]}})
        .before.init_variable("v", 0)
        .main.add(P(R("uniform", -10, 10)), p=0.8)
        .add(value=(B("y") + C("lr")) * 2)
        .update(V("v"), V("v") + 1)
        .update(V("v"), Where(V("v") > 3, W(B("x")), B("x")[1:, 0]), mode="w")
        .print("done", B("x").attr("shape")[0])
        .call("describe", B("x"), unit="m", save_to=V("v"))
        .noise()
    )
    pipeline = ((pipeline * 2) @ 0.25 + Pipeline().multiply(2) * V("v")).run_later(
        5, shuffle=True, n_epochs=2
    )
    text = pipeline.to_yaml()
    again = build(OmegaConf.create(text))
    assert again.to_yaml() == text
    assert repr(again).count("R('uniform', -10, 10)") == 1
    assert again.config == pipeline.config
    assert again.options == pipeline.options
    plain = Pipeline(config={"k": 2}).add(C("k")).noise() * 2
    rebuilt = build(OmegaConf.create(plain.to_yaml()), dataset)
    assert np.array_equal(rebuilt.next_batch(5, seed=3).x, (plain << dataset).next_batch(5, seed=3).x)


@pytest.mark.parametrize(
    ("pipeline", "key"),
    [
        (Pipeline().call(print, 1), "steps[0].call[0]"),
        (Pipeline().add(1) * 2 + Pipeline().add(value=np.zeros(2)), "steps[1].add.value"),
        (Pipeline().add({"a": [F(len)]}), "steps[0].add[0].a[0]"),
        (Pipeline().add({1: 2}), "steps[0].add[0]"),
    ],
)
def test_what_is_not_plain_data_is_named_by_its_key(pipeline, key):
    with pytest.raises(TypeError) as caught:
        pipeline.to_yaml()
    assert str(caught.value).startswith(f"{key}: ")


@pytest.mark.parametrize(
    ("data", "key", "words"),
    [
        ({"steps": [{"ad": 1}]}, "steps[0].ad", "unknown step 'ad'; did you mean 'add'"),
        (
            {"steps": ["noise", {"add": {"vale": 1}}]},
            "steps[1].add",
            "unknown argument 'vale' of action 'add'",
        ),
        (
            {"steps": [{"train_model": {"nam": "net"}}]},
            "steps[0].train_model",
            "missing a required argument: 'name'; got nam",
        ),
        ({"step": []}, "step", "unknown key 'step' of a pipeline; did you mean 'steps'"),
        ({"steps": [{"add": 1, "noise": None}]}, "steps[0]", "a mapping with one name"),
        ({"steps": [{"repeat": {"n": 2, "steps": []}}]}, "steps[0].repeat", "needs the keys times and steps"),
        (
            {"steps": [{"repeat": {"times": 2, "steps": ["nois"]}}]},
            "steps[0].repeat.steps[0].nois",
            "mean 'noise'",
        ),
        ({"steps": [{"add": "=B('x'"}]}, "steps[0].add", "is not an expression"),
        ({"steps": [{"add": {"value": "=__import__('os')"}}]}, "steps[0].add", "unknown name '__import__'"),
        ({"steps": [{"add": "=V('a')"}]}, "steps[0].add", "unknown variable 'a'"),
        ({"steps": "add"}, "steps", "a list of steps is needed"),
        (
            {"steps": [{"repeat": {"times": -1, "steps": []}}]},
            "steps[0].repeat",
            "n must be an integer >= 0, got -1",
        ),
        (
            {"steps": [{"sometimes": {"p": 2, "steps": []}}]},
            "steps[0].sometimes",
            "p must be from 0 to 1, got 2",
        ),
        (
            {"steps": [], "run": {"prefech": 2}},
            "run.prefech",
            "unknown option 'prefech'; did you mean 'prefetch'",
        ),
    ],
)
def test_mistakes_name_the_yaml_key(dataset, data, key, words):
    with pytest.raises(BindError) as caught:
        build(OmegaConf.create(data), dataset).gen_batch(5)
    assert any(str(one.where) == key and words in one.text for one in caught.value.mistakes), str(
        caught.value
    )


@pytest.mark.parametrize(
    "text",
    [
        "().__class__",
        "B('x').__class__",
        "(lambda: 1)()",
        "[x for x in 'ab']",
        "open('f')",
        "F(len)",
        "B(*[1])",
        "B('x').attr",
        "f'{1}'",
        "B('x') and B('y')",
        "1 < B('x') < 3",
        "x := 3",
        "C('a').attr('b').format(1)",
    ],
)
def test_text_never_runs_code(text):
    with pytest.raises(ValueError, match=r"can not|unknown name|not an expression"):
        read_expression(text)


def test_text_reads_expressions_operators_and_literals():
    for text in (
        "P(R('uniform', -10, 10))",
        "(((B('x') + 1) / 255) ** 2)",
        "Where((V('a') > 1), [B('x')], {'k': (1, 2)})",
        "B('x')[1:, V('n')].attr('T')",
        "(~(V('a') & V('b')))",
        "R('normal', size=(2, 3))",
    ):
        assert repr(read_expression(text)) == text
    assert read_expression(" -3 ") == -3


def test_targets_other_than_expressions_are_left_alone_or_refused(dataset):
    with pytest.raises(BindError, match=r"unknown expression 'bf_pipeline\.build'"):
        build({"steps": [{"add": {"_target_": "bf_pipeline.build"}}]}, dataset)
    other = build({"steps": [{"add": {"value": {"_target_": "os.system", "_args_": ["true"]}}}]})
    assert other.steps[0].kwargs["value"] == {"_target_": "os.system", "_args_": ["true"]}


def test_sections_may_be_given_as_arguments_and_steps_as_a_list(dataset):
    assert build(["noise"], dataset).next_batch(5, seed=1) is not None
    assert repr(build(steps=[{"add": 1}], config={"a": 1})) == "Pipeline().add(1) << {'a': 1}"
    with pytest.raises(TypeError, match="a mapping with steps"):
        build(5)


def test_real_expressions_pass_through(dataset):
    assert build(
        {"steps": [{"add": {"value": B("y")}}, {"add": [V("k")]}, {"init_variable": ["k", 1]}]}, dataset
    ).run(5)


LEAVES = st.one_of(
    st.integers(-5, 5),
    st.sampled_from([V("a"), V("b"), C("c"), Where(V("a") > 1, V("b"), 3), B("x")[V("b")]]),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(
            lambda sign, left, right: sign(left, right),
            st.sampled_from(
                [operator.add, operator.sub, operator.mul, operator.lt, operator.ge, operator.eq]
            ),
            inner,
            inner,
        )
        | st.builds(operator.neg, inner)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(TREES)
def test_any_expression_reads_back_from_its_own_text_and_means_the_same(tree):
    scope = Scope(config={"c": 4}, variables={"a": 2, "b": 1})
    context = Context(scope, SimpleNamespace(x=[0, 1, 2]))
    again = read_expression(repr(tree))
    assert repr(again) == repr(tree)
    assert evaluate(again, context) == evaluate(tree, context)


def test_a_list_of_steps_has_the_name_that_its_owner_gives_it(dataset):
    with pytest.raises(
        BindError, match=r"pipeline\.augment\[1\]\.ad: unknown action 'ad'.*did you mean 'add'"
    ):
        build([{"add": 1}, {"ad": 2}], where="pipeline.augment") << dataset


def test_a_misspelt_step_of_every_pipeline_is_told_too(dataset):
    with pytest.raises(BindError, match=r"unknown action 'init_variabl'.*did you mean 'init_variable'"):
        build([{"init_variabl": {"name": "a"}}]) << dataset
