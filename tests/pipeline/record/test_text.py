"""A pipeline is shown as code and as a picture."""

from __future__ import annotations

import math

import numpy as np

from bf_pipeline import B, P, Pipeline, R, V

FRONT = {"B": B, "P": P, "Pipeline": Pipeline, "R": R, "V": V, "list": list, "math": math}


def test_repr_reads_like_the_code_and_runs_as_it():
    pipeline = (
        Pipeline()
        .init_variable("history", init_on_each_run=list)
        .rotate(angle=P(R("uniform", -10, 10)), p=0.8)
        .crop(size=(28, 28), origin="center")
        .update(V("history"), B("images").attr("mean")(), mode="a")
    )
    nested = (
        ((pipeline * 3 + Pipeline().flip()) @ 0.5).add_namespace(math).before.print("go").main.run_later(5)
    )
    for one in (Pipeline(), pipeline, pipeline * 2, nested, nested << {"a": [1, {"b": V("x")}]}):
        text = repr(one)
        assert repr(eval(text, FRONT)) == text  # noqa: S307
    assert ".rotate(angle=P(R('uniform', -10, 10)), p=0.8)" in repr(pipeline)


def test_repr_names_functions_classes_and_the_dataset(dataset, net_class):
    pipeline = Pipeline(dataset).init_model("dynamic", net_class, "net").call(np.mean, B("x"))
    assert ".init_model('dynamic', Net, 'net')" in repr(pipeline)
    assert ".call(mean, B('x'))" in repr(pipeline)
    assert repr(pipeline).endswith("<< Dataset(10 items, Points)")
    assert repr(Pipeline().add) == "<action 'add' of a pipeline, not called yet>"


def test_the_picture_is_mermaid_and_shown_in_notebooks(dataset):
    pipeline = (
        Pipeline(dataset).before.print("go").main.add('a "quoted" <text>') * 2 + Pipeline().noise()
    ) @ 0.5
    text = pipeline.after.print("end").mermaid()
    lines = text.splitlines()
    assert lines[0] == "flowchart TD"
    assert any("with p = 0.5" in line for line in lines)
    assert any("repeat 2 times" in line for line in lines)
    assert "#quot;quoted#quot; #lt;text#gt;" in text
    assert lines.index(next(x for x in lines if "'go'" in x)) < lines.index(
        next(x for x in lines if "noise" in x)
    )
    assert pipeline._repr_markdown_().startswith("```mermaid\nflowchart TD")
