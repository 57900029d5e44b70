"""A pipeline written as YAML, for ``build``."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import asdict
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

    if pipeline.namespaces:
        names = ", ".join(getattr(space, "__name__", repr(space)) for space in pipeline.namespaces)
        raise TypeError(
            f"add_namespace({names}) can't be written; add it to the pipeline that build makes of the others"
        )
    data: dict[str, Any] = {}
    for key, field in SECTIONS.items():
        steps = getattr(pipeline, field)
        if steps or key == "steps":
            data[key] = [_describe_step(step, own, f"{key}[{number}]") for number, step in enumerate(steps)]
    _refuse_allow([pipeline.config], "config")
    if pipeline.config:
        data["config"] = _describe(pipeline.config, "config", is_config=True)
    if pipeline.options:
        options = dict(pipeline.options)
        if (checkpoint := options.get("checkpoint")) is not None:
            options["checkpoint"] = {**asdict(checkpoint), "path": str(checkpoint.path)}
        data["run"] = _describe(options, "run", is_config=True)
    text: str = OmegaConf.to_yaml(OmegaConf.create(data))
    return text


def _describe_step(step: Step, own: Container[str], key: str) -> Any:
    if isinstance(step, Call):
        if (not step.builtin and step.name in own) or step.name in BLOCKS:
            raise TypeError(f"{key}: the action {step.name!r} has the name of a step of pipelines; rename it")
        if step.builtin and step.name == "call" and step.args and isinstance(step.args[0], Expr):
            raise TypeError(f"{key}.call: build calls no function that an expression finds: {step.args[0]!r}")
        if step.builtin and step.name == "init_model":
            _refuse_allow([list(step.args), dict(step.kwargs)], f"{key}.init_model")
        if ARGS in step.kwargs:
            raise TypeError(f"{key}.{step.name}: the argument {ARGS!r} can't be written; rename it")
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


def _describe(value: Any, key: str, is_config: bool = False) -> Any:
    """Return plain data for an argument: expressions as texts that begin with ``=``.

    In a config a text is a text; there no expression can stand. TypeError for all that build would not read
    back as it is.
    """
    if isinstance(value, base.Container):
        return _describe(value.value, key, is_config)
    if isinstance(value, Expr):
        if is_config:
            raise TypeError(f"{key}: {value!r} is an expression, which can stand in arguments of steps only")
        return _describe_expression(value, key)
    if isinstance(value, Mapping):
        if unfit := [name for name in value if not isinstance(name, str)]:
            raise TypeError(f"{key}: {unfit[0]!r} is not a text, as keys must be in YAML")
        for name in value:
            _check_key(name, value, key, is_config)
        return {name: _describe(part, f"{key}.{name}", is_config) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_describe(part, f"{key}[{number}]", is_config) for number, part in enumerate(value)]
    if isinstance(value, str):
        _check_text(value, key, is_config)
        return str(value)
    if value is None or type(value) in (bool, int, float):
        return value
    raise TypeError(f"{key}: {value!r} is not plain data (numbers, texts, lists, mappings, expressions)")


def _describe_expression(value: Expr, key: str) -> str:
    if any(isinstance(part, F) for part in walk(value)):
        raise TypeError(f"{key}: {value!r} holds a function, which YAML can not; name it in build(names=...)")
    text = repr(value)
    try:
        read = read_expression(text)
    except ValueError as error:
        raise TypeError(f"{key}: what is written could not be read back: {error}") from None
    if repr(read) != text:
        raise TypeError(f"{key}: {text} would be read back as {read!r}")
    _check_text(text, key, is_config=True)
    return f"={text}"


def _check_key(name: str, owner: Mapping[str, Any], key: str, is_config: bool) -> None:
    """Refuse keys that mean something to those who read YAML: ``TypeError``."""
    _check_text(name, f"{key}.{name}", is_config=True)
    if name == "_target_" and not is_config and str(owner[name]).startswith("bf_pipeline."):
        raise TypeError(f"{key}: {dict(owner)!r} would be read as an expression")


def _check_text(text: str, key: str, is_config: bool) -> None:
    """Refuse texts that would be read as something else: ``TypeError``."""
    if text.startswith("=") and not is_config:
        raise TypeError(f"{key}: the text {text!r} would be read as an expression")
    if "${" in text or text == "???":
        raise TypeError(f"{key}: the text {text!r} means something to OmegaConf, which reads YAML too")
    if "\x85" in text:  # PyYAML writes it as it is, and reads it as a space
        raise TypeError(f"{key}: the text {text!r} has the sign U+0085, the end of a line to YAML")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise TypeError(f"{key}: {text!r} has half a character, which no file can hold") from None


def _refuse_allow(parts: list[Any], key: str) -> None:
    for part in parts:
        for place, _ in find_allow(part, key):
            raise TypeError(f"{place}: data do not say which packages they may name; build would refuse it")


def find_allow(data: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Yield where data say ``allow``, and what: the program says who is trusted, no file does."""
    if isinstance(data, Mapping):
        for name, value in data.items():
            place = f"{key}.{name}"
            if str(name).partition("/")[0] == "allow":  # a path of a model's config too
                yield place, value
            yield from find_allow(value, place)
    elif isinstance(data, list | tuple):
        for number, value in enumerate(data):
            yield from find_allow(value, f"{key}[{number}]")
