"""Whatever pipeline is written as YAML or as code: what is read back is the same pipeline."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from bf_pipeline import B, C, D, F, I, L, M, P, Pipeline, R, V, W, Where, build
from bf_pipeline.expressions.base import Container, Expr, as_code
from bf_pipeline.record.recorded import Call, Repeat

FRONT = {one.__name__: one for one in (B, C, D, F, I, L, M, P, Pipeline, R, V, W, Where, Path, math)}
SPECIAL = [
    "=B('x')",
    "${a}",
    "${B:x}",
    "???",
    "1e5",
    "yes",
    "null",
    "~",
    "_target_",
    "_args_",
    "a/b",
    "#",
    "p",
    "-",
]
WORDS = st.sampled_from(["a", "b", "images", *SPECIAL]) | st.text(max_size=4)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | WORDS
DATA = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(WORDS, inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(["x", "y", "images"])
LEAVES = (
    NAMES.map(B)
    | NAMES.map(V)
    | NAMES.map(D)
    | NAMES.map(M)
    | st.builds(C, NAMES)
    | st.builds(C, NAMES, PLAIN)
    | st.just(I())
    | st.builds(L, NAMES)
    | st.builds(
        lambda low, size: R("uniform", low, 9, size=size), st.integers(), st.none() | st.integers(1, 5)
    )
)
NUMBERS = st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False)


def combine(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    some = inner | NUMBERS
    return (
        st.builds(lambda a, b: a + b * 2 - b / a, inner, some)
        | st.builds(lambda a, b: (b - a) ** -2, inner, NUMBERS)
        | st.builds(lambda a, b: -a < ~b, inner, inner)
        | st.builds(lambda a, b: a[b : None if b is a else 2, 0], inner, some)
        | st.builds(lambda a, b: a[b,], inner, some)
        | st.builds(abs, inner)
        | st.builds(lambda a, b: (-a).attr("mean")(b), inner, NUMBERS)
        | st.builds(lambda a, b, c: Where(a, [b, (c,)], {"k": c}), inner, some, some)
        | st.builds(P, inner)
        | st.builds(W, inner)
    )


EXPRESSIONS = st.recursive(LEAVES, combine, max_leaves=4)
ARGUMENTS = DATA | EXPRESSIONS | st.lists(EXPRESSIONS | PLAIN, max_size=2)
ACTIONS = st.sampled_from(["rotate", "crop", "update", "print", "before", "repeat", "sometimes", "class"])
OPTIONS = st.fixed_dictionaries(
    {}, optional={"batch_size": st.integers(1, 9), "shuffle": st.booleans(), "seed": st.integers(0, 9),
                  "bar_variables": st.lists(NAMES, max_size=2)}
)  # fmt: skip


@st.composite
def pipelines(draw: Any, depth: int = 2) -> Pipeline:
    made = Pipeline()
    for _ in range(draw(st.integers(0, 2))):
        kind = draw(st.sampled_from(["action", "update", "print", "block", "add"]))
        section = draw(st.sampled_from(["main", "main", "before", "after"]))
        target = getattr(made, section)
        if kind == "action":
            args = draw(st.lists(ARGUMENTS, max_size=2))
            kwargs = draw(st.dictionaries(st.sampled_from(["p", "size", "a_b"]), ARGUMENTS, max_size=2))
            made = target.action(draw(ACTIONS))(*args, **kwargs).main
        elif kind == "update":
            made = target.update(draw(NAMES.map(V)), draw(ARGUMENTS)).main
        elif kind == "print":
            made = target.print(draw(ARGUMENTS)).main
        elif depth:
            other = draw(pipelines(depth - 1))
            if kind == "add":
                made = made + other
            elif draw(st.booleans()):
                made = made * draw(st.integers(0, 3) | EXPRESSIONS)
            else:
                made = made @ draw(st.floats(0, 1) | EXPRESSIONS)
    if draw(st.booleans()):
        try:
            made = made << draw(st.dictionaries(WORDS, DATA, max_size=2))
        except ValueError as error:
            assert "which one is meant" in str(error)  # noqa: PT017
    if draw(st.booleans()):
        made = made.run_later(**draw(OPTIONS))
    if draw(st.integers(0, 5)) == 0:
        made = made.checkpoint("folder", every=draw(st.none() | st.integers(1, 3)))
    return draw(st.sampled_from([made, made.before, made.after])) if depth == 2 else made


def describe(value: Any, tuples: bool) -> Any:
    """A value as something that can be compared: NaN is NaN, and in YAML a tuple is a list."""
    if isinstance(value, Container):
        return describe(value.value, tuples)
    if isinstance(value, Expr):
        return "expression", as_code(value)
    if isinstance(value, dict):
        return {key: describe(part, tuples) for key, part in value.items()}
    if isinstance(value, list | tuple):
        kind = tuple if isinstance(value, tuple) and tuples else list
        return kind.__name__, [describe(part, tuples) for part in value]
    return type(value).__name__, repr(value)


def look(pipeline: Pipeline, tuples: bool) -> Any:
    def steps(some: Any) -> Any:
        return [
            (one.name, one.builtin, describe(list(one.args), tuples), describe(dict(one.kwargs), tuples))
            if isinstance(one, Call)
            else (
                type(one),
                describe(one.times if isinstance(one, Repeat) else one.p, tuples),
                steps(one.steps),
            )
            for one in some
        ]

    sections = [steps(part) for part in (pipeline.before_steps, pipeline.steps, pipeline.after_steps)]
    config, options = dict(pipeline.config), dict(pipeline.options)
    return (
        sections,
        describe(config, tuples),
        describe({**options, "checkpoint": repr(options.get("checkpoint"))}, tuples),
    )


def with_checkpoint(pipeline: Pipeline) -> Pipeline:
    """A pipeline read from data has its checkpointing as a mapping until it runs."""
    given = pipeline.options.get("checkpoint")
    if not isinstance(given, dict):
        return pipeline
    rest = {name: value for name, value in pipeline.options.items() if name != "checkpoint"}
    plain = Pipeline(None, pipeline.config, steps=pipeline.steps, before_steps=pipeline.before_steps,
                     after_steps=pipeline.after_steps, options=rest)  # fmt: skip
    return plain.checkpoint(given["path"], given["every"], given["keep"])


@settings(max_examples=300, deadline=None)
@given(pipelines())
def test_what_to_yaml_writes_is_what_build_reads(pipeline):
    try:
        text = pipeline.to_yaml()
    except TypeError as error:
        assert str(error).partition(":")[0].startswith(("steps", "before", "after", "config", "run"))  # noqa: PT017
        return
    for data in (yaml.safe_load(text), OmegaConf.create(text)):
        assert look(with_checkpoint(build(data)), tuples=False) == look(pipeline, tuples=False)


@settings(max_examples=300, deadline=None)
@given(pipelines())
def test_repr_is_the_code_that_makes_the_pipeline(pipeline):
    again = eval(repr(pipeline), FRONT)  # noqa: S307
    assert look(again, tuples=True) == look(pipeline, tuples=True)
    assert again.section == pipeline.section
    assert repr(again) == repr(pipeline)


ROTATE = "steps[0].rotate"
NO_TRUST = "data do not say which packages"


@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        (Pipeline().rotate("=B('x')"), f"{ROTATE}[0]: the text \"=B('x')\" would be read as an expression"),
        (Pipeline().rotate({"a": "${b}"}), f"{ROTATE}[0].a: the text '${{b}}' means something to OmegaConf"),
        (Pipeline().rotate(B("x")["${b}"]), f"{ROTATE}[0]: the text \"B('x')['${{b}}']\" means something"),
        (Pipeline().rotate(size="???"), f"{ROTATE}.size: the text '???' means something"),
        (Pipeline().rotate({"_target_": "bf_pipeline.B"}), f"{ROTATE}[0]: {{'_target_': 'bf_pipeline.B'}}"),
        (Pipeline().rotate(**{"_args_": 1}), f"{ROTATE}: the argument '_args_' can't be written"),
        (Pipeline().rotate("\ud800"), f"{ROTATE}[0]: '\\ud800' has half a character"),
        (Pipeline().action("repeat")(2), "steps[0]: the action 'repeat' has the name of a step"),
        (Pipeline().call(B("x").attr("f")), "steps[0].call: build calls no function"),
        (
            Pipeline().init_model("static", "n", "n", {"allow": 1}),
            f"steps[0].init_model.config.allow: {NO_TRUST}",
        ),
        (Pipeline(config={"a": {"allow/x": 1}}), f"config.a.allow/x: {NO_TRUST}"),
        (Pipeline(config={"a": V("x")}), "config.a: V('x') is an expression"),
        (Pipeline().add_namespace(math).sqrt(2), "add_namespace(math) can't be written"),
        (Pipeline().rotate(B("x") + float("inf")), f"{ROTATE}[0]: what is written could not be read back"),
    ],
)
def test_what_would_be_read_as_something_else_is_refused(pipeline, words):
    with pytest.raises(TypeError) as caught:
        pipeline.to_yaml()
    assert str(caught.value).startswith(words)


def test_texts_in_a_config_are_texts_also_with_a_sign_in_front():
    text = Pipeline(config={"a": "=B('x')", "b": ["=1"]}).to_yaml()
    assert build(yaml.safe_load(text)).config == {"a": "=B('x')", "b": ["=1"]}


def test_blocks_that_run_once_are_shown():
    steps = [
        {"repeat": {"times": 2, "steps": ["print", {"sometimes": {"p": 0.5, "steps": ["print"]}}]}},
        "print",
    ]
    pipeline = build({"before": steps, "steps": ["print"], "after": steps[::-1]})
    again = eval(repr(pipeline), FRONT)  # noqa: S307
    assert look(again, tuples=True) == look(pipeline, tuples=True)
    assert again.to_yaml() == pipeline.to_yaml()
