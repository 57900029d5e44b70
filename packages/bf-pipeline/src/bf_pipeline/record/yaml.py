"""A pipeline written as YAML, for ``build``."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from bf_pipeline.expressions import base
from bf_pipeline.expressions.base import Expr, walk
from bf_pipeline.expressions.named import F
from bf_pipeline.expressions.text import read_expression
from bf_pipeline.record.recorded import Call, Recorded, Repeat, Step

# The sections of a pipeline in YAML and the fields that hold them.
SECTIONS = {"before": "before_steps", "steps": "steps", "after": "after_steps"}
# Blocks of steps and the argument that each has beside its steps.
BLOCKS = {"repeat": "times", "sometimes": "p"}
# Beside named arguments the positional ones stand under this key, as in Hydra.
ARGS = "_args_"


def to_yaml(pipeline: Recorded, own: Container[str]) -> str:
    """Return a pipeline as YAML for ``build``; what is not plain data is a ``TypeError`` naming it.

    ``own`` holds the names of the steps that pipelines have themselves: no action can have one of them.
    """
    from omegaconf import OmegaConf

    data: dict[str, Any] = {}
    for key, field in SECTIONS.items():
        steps = getattr(pipeline, field)
        if steps or key == "steps":
            data[key] = [_describe_step(step, own, f"{key}[{number}]") for number, step in enumerate(steps)]
    if pipeline.config:
        data["config"] = _describe(pipeline.config, "config")
    if pipeline.options:
        data["run"] = _describe(dict(pipeline.options), "run")
    text: str = OmegaConf.to_yaml(OmegaConf.create(data))
    return text


def _describe_step(step: Step, own: Container[str], key: str) -> Any:
    if isinstance(step, Call):
        if not step.builtin and step.name in own:
            raise TypeError(f"{key}: the action {step.name!r} has the name of a step of pipelines; rename it")
        if not step.args and not step.kwargs:
            return step.name
        key = f"{key}.{step.name}"
        if not step.kwargs:
            return {step.name: _describe(list(step.args), key)}
        positional = {ARGS: _describe(list(step.args), key)} if step.args else {}
        return {step.name: {**positional, **_describe(step.kwargs, key)}}
    name, option = ("repeat", step.times) if isinstance(step, Repeat) else ("sometimes", step.p)
    inner = [
        _describe_step(one, own, f"{key}.{name}.steps[{number}]") for number, one in enumerate(step.steps)
    ]
    return {name: {BLOCKS[name]: _describe(option, f"{key}.{name}"), "steps": inner}}


def _describe(value: Any, key: str) -> Any:
    """Return plain data for an argument: expressions as texts that begin with ``=``."""
    if isinstance(value, base.Container):
        return _describe(value.value, key)
    if isinstance(value, Expr):
        if any(isinstance(part, F) for part in walk(value)):
            raise TypeError(
                f"{key}: {value!r} holds a function, which YAML can not; name it in build(names=...)"
            )
        text = repr(value)
        try:
            read_expression(text)
        except ValueError as error:
            raise TypeError(f"{key}: what is written could not be read back: {error}") from None
        return f"={text}"
    if isinstance(value, Mapping):
        if unfit := [name for name in value if not isinstance(name, str)]:
            raise TypeError(f"{key}: {unfit[0]!r} is not a text, as keys must be in YAML")
        return {name: _describe(part, f"{key}.{name}") for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_describe(part, f"{key}[{number}]") for number, part in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{key}: {value!r} is not plain data (numbers, texts, lists, mappings, expressions)")
