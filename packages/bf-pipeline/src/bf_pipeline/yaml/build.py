"""Pipelines from YAML and back: steps as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bf_index.errors import unknown
from bf_pipeline.bind.bind import STEPS
from bf_pipeline.errors import BindError, Location, Mistake
from bf_pipeline.expressions.base import Container, Expr, walk
from bf_pipeline.expressions.named import F
from bf_pipeline.plain_config import plain
from bf_pipeline.record.recorded import Recorded
from bf_pipeline.record.steps import Call, Repeat, Sometimes, Step
from bf_pipeline.run.options import NAMES
from bf_pipeline.yaml.resolvers import expressions_in

if TYPE_CHECKING:
    from bf_pipeline.pipeline import Pipeline

_SECTIONS = {"before": "before_steps", "steps": "steps", "after": "after_steps"}
_KEYS = (*_SECTIONS, "config", "run")
_BLOCKS = {"repeat": "times", "sometimes": "p"}
# Beside named arguments the positional ones stand under this key, as in Hydra.
_ARGS = "_args_"


def build(
    config: Mapping[str, Any] | Sequence[Any] | None = None,
    dataset: Any = None,
    *,
    names: Mapping[str, Any] | None = None,
    **sections: Any,
) -> Pipeline:
    """Build a pipeline from data: a mapping with ``steps`` (and ``before``, ``after``, ``config``, ``run``).

    A step is a name, or a mapping from the name to its named arguments, to a list of positional ones, or to a
    single one. ``repeat: {times: 2, steps: [...]}`` and ``sometimes: {p: 0.5, steps: [...]}`` nest.
    Expressions are ``${B:images}`` or ``=B('images') / 255``. ``names`` holds what a text may stand for where
    a class or a function is needed. The sections may also be given as arguments, ``config`` among them. An
    unknown step, argument or key is a ``BindError`` that names the key.
    """
    from bf_pipeline.pipeline import Pipeline

    if sections and config is not None:
        sections["config"], config = config, None
    data = {**_mapping(plain(config)), **{key: plain(value) for key, value in sections.items()}}
    mistakes: list[Mistake] = []
    for key in data:
        if key not in _KEYS:
            mistakes.append(Mistake(Location(str(key), 0), unknown("key", key, _KEYS, "a pipeline")))
    run = data.get("run") or {}
    for option in run:
        if option not in NAMES:
            mistakes.append(Mistake(Location(f"run.{option}", 0), unknown("option", option, NAMES)))
    reader = _Reader(names or {}, dataset, mistakes)
    read: dict[str, Any] = {field: reader.steps(data.get(key) or (), key) for key, field in _SECTIONS.items()}
    if mistakes:
        raise BindError("YAML", mistakes)
    pipeline = Pipeline(None, data.get("config") or {}, **read)
    if run:
        pipeline = pipeline.run_later(**run)
    return pipeline if dataset is None else pipeline << dataset


def _mapping(data: Any) -> dict[str, Any]:
    if data is None:
        return {}
    if isinstance(data, Mapping):
        return {str(key): value for key, value in data.items()}
    if isinstance(data, list | tuple):
        return {"steps": data}
    raise TypeError(f"build: a mapping with steps, or a list of steps is needed, got {data!r}")


class _Reader:
    """Reads steps and collects what is wrong with them."""

    def __init__(self, names: Mapping[str, Any], dataset: Any, mistakes: list[Mistake]) -> None:
        self._names = names
        self._actions = None if dataset is None else dataset.batch_class.actions
        self._mistakes = mistakes

    def steps(self, data: Any, key: str) -> tuple[Step, ...]:
        """Read a list of steps under a key."""
        if isinstance(data, str) or not isinstance(data, Sequence):
            self._wrong(key, f"a list of steps is needed, got {data!r}")
            return ()
        read = (self._step(entry, f"{key}[{number}]") for number, entry in enumerate(data))
        return tuple(step for step in read if step is not None)

    def _wrong(self, key: str, text: str) -> None:
        self._mistakes.append(Mistake(Location(key, 0), text))

    def _step(self, entry: Any, key: str) -> Step | None:
        if isinstance(entry, str):
            entry = {entry: None}
        if not isinstance(entry, Mapping) or len(entry) != 1:
            self._wrong(key, f"a step is a name or a mapping with one name, got {entry!r}")
            return None
        ((name, given),) = entry.items()
        key = f"{key}.{name}"
        if name in _BLOCKS:
            return self._block(name, given, key)
        try:
            given = expressions_in(given)
        except (ValueError, TypeError) as error:
            self._wrong(key, str(error))
            return None
        return self._call(str(name), given, key)

    def _block(self, name: str, given: Any, key: str) -> Step | None:
        option = _BLOCKS[name]
        if not isinstance(given, Mapping) or set(given) != {option, "steps"}:
            self._wrong(key, f"needs the keys {option} and steps, got {given!r}")
            return None
        steps = self.steps(given["steps"], f"{key}.steps")
        value = expressions_in(given[option])
        where = Location(key, 0)
        if name == "repeat":
            return Repeat(steps, value, where)
        return Sometimes(steps, value, where)

    def _call(self, name: str, given: Any, key: str) -> Call | None:
        builtin = name in STEPS
        if not builtin and self._actions is not None and name not in self._actions:
            self._wrong(key, unknown("step", name, [*STEPS, *self._actions]))
            return None
        args: tuple[Any, ...] = ()
        kwargs: dict[str, Any] = {}
        if isinstance(given, Mapping):
            kwargs = {str(option): value for option, value in given.items()}
            args = tuple(kwargs.pop(_ARGS, ()))
        elif isinstance(given, list | tuple):
            args = tuple(given)
        elif given is not None:
            args = (given,)
        if builtin:
            kwargs = {option: self._named(value) for option, value in _aliased(name, kwargs).items()}
            args = tuple(self._named(value) for value in args)
            if name in ("call", "update") and (first := _FIRST[name]) in kwargs:
                args = (kwargs.pop(first), *args)
        return Call(name, args, kwargs, Location(key, 0), builtin)

    def _named(self, value: Any) -> Any:
        """A text that names a class or a function stands for it."""
        return self._names.get(value, value) if isinstance(value, str) else value


_FIRST: dict[str, str] = {"call": "function", "update": "target"}


def _aliased(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """``model`` is short for ``model_class``, as configs are wont to say."""
    if name == "init_model" and "model" in kwargs:
        kwargs["model_class"] = kwargs.pop("model")
    return kwargs


def to_yaml(pipeline: Recorded) -> str:
    """Write a pipeline as YAML for ``build``; what is not plain data is a ``TypeError`` naming it."""
    from omegaconf import OmegaConf

    data: dict[str, Any] = {}
    for key, field in _SECTIONS.items():
        steps = getattr(pipeline, field)
        if steps or key == "steps":
            data[key] = [_step_data(step, f"{key}[{number}]") for number, step in enumerate(steps)]
    if pipeline.config:
        data["config"] = _data(pipeline.config, "config")
    if pipeline.options:
        data["run"] = _data(dict(pipeline.options), "run")
    text: str = OmegaConf.to_yaml(OmegaConf.create(data))
    return text


def _step_data(step: Step, key: str) -> Any:
    if isinstance(step, Call):
        if not step.builtin and step.name in STEPS:
            raise TypeError(f"{key}: the action {step.name!r} has the name of a step of pipelines; rename it")
        if not step.args and not step.kwargs:
            return step.name
        key = f"{key}.{step.name}"
        if not step.kwargs:
            return {step.name: _data(list(step.args), key)}
        positional = {_ARGS: _data(list(step.args), key)} if step.args else {}
        return {step.name: {**positional, **_data(step.kwargs, key)}}
    name, option = ("repeat", step.times) if isinstance(step, Repeat) else ("sometimes", step.p)
    inner = [_step_data(one, f"{key}.{name}.steps[{number}]") for number, one in enumerate(step.steps)]
    return {name: {_BLOCKS[name]: _data(option, f"{key}.{name}"), "steps": inner}}


def _data(value: Any, key: str) -> Any:
    """Give plain data for an argument: expressions as texts that begin with ``=``."""
    if isinstance(value, Container):
        return _data(value.value, key)
    if isinstance(value, Expr):
        if any(isinstance(part, F) for part in walk(value)):
            raise TypeError(
                f"{key}: {value!r} holds a function, which YAML can not; name it in build(names=...)"
            )
        return f"={value!r}"
    if isinstance(value, Mapping):
        if strangers := [name for name in value if not isinstance(name, str)]:
            raise TypeError(f"{key}: {strangers[0]!r} is not a text, as keys must be in YAML")
        return {name: _data(part, f"{key}.{name}") for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_data(part, f"{key}[{number}]") for number, part in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{key}: {value!r} is not plain data (numbers, texts, lists, mappings, expressions)")
