"""How the public API of pipelines is typed: read by mypy, not meant to be executed."""

from __future__ import annotations

from typing import Any, assert_type

from bf_batch import Batch, Dataset
from bf_pipeline import B, Batches, C, Expr, F, I, P, Pipeline, R, V, Where, build
from bf_pipeline.expressions.named import Where as Choice


class Points(Batch):
    components = ("x",)


def api(dataset: Dataset) -> None:
    """Use the API; a type checker reads it, nothing runs it."""
    template = (
        Pipeline().rotate(angle=P(R("uniform", -10, 10)) * 2, p=0.8).scale(factor=1 - B("x") / V("k")[2:3])
    )
    assert_type(template, Pipeline)
    assert_type(template.init_variable("v", init_on_each_run=list).update(V("v"), 1, mode="a"), Pipeline)
    assert_type((template + template * 3) @ 0.5 << dataset, Pipeline)
    assert_type(dataset >> template, Pipeline)
    assert_type({"lr": 0.1} >> template, Pipeline)
    assert_type(template.before.call(print).main, Pipeline)
    assert_type(template.run(3, shuffle=True, n_epochs=2, prefetch=2, engine="processes"), Pipeline)
    assert_type(template.gen_batch(3), Batches)
    assert_type(build({"steps": ["rotate"]}, dataset), Pipeline)
    assert_type(B("x") == 3, Expr)
    assert_type(-C("lr") + F(len)(B()) < I(), Expr)
    assert_type(Where(V("a") > 1, 2, B("x")), Choice)
    assert_type(template.v("v"), Any)
    assert_type(template.to_torch(3, ("x", "y"), shuffle=True), Any)

    template.run(3, prefech=2)  # type: ignore[call-arg]
    template.run(3, engine="process")  # type: ignore[arg-type]
    template.update(V("v"), 1, mode="append")  # type: ignore[arg-type]
    template.init_model("sttic", dict, "net")  # type: ignore[arg-type]
    template + 3  # type: ignore[operator]
    template * 0.5  # type: ignore[operator]
    template << 5  # type: ignore[operator]
