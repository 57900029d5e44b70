"""Pipelines from YAML: steps as data, and ``${B:images}`` in configs, which stands for a named expression.

A resolver of OmegaConf gives a small config node, ``{_target_: bf_pipeline.B, _args_: [images]}``, which
``build`` and Hydra's ``instantiate`` turn into the expression; so a config stays plain data until it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bf_index.errors import unknown
from bf_pipeline.bind.bind import STEPS
from bf_pipeline.errors import BindError, Location, Mistake
from bf_pipeline.expressions.base import Expr
from bf_pipeline.expressions.text import KINDS, read_expression
from bf_pipeline.model import find_metrics
from bf_pipeline.pipeline import Pipeline
from bf_pipeline.plain_config import is_omegaconf, make_plain, register_resolver
from bf_pipeline.record.recorded import Call, Repeat, Sometimes, Step
from bf_pipeline.record.yaml import ARGS, BLOCKS, SECTIONS, find_allow
from bf_pipeline.run.options import NAMES as OPTIONS

_KEYS = (*SECTIONS, "config", "run")
# Steps whose first argument is recorded as a positional one, as their verbs take it.
_FIRST = {"call": "function", "update": "target"}
_PACKAGE = "bf_pipeline."
_CALL = "name a function and give it by that name, build(..., names={'name': function})"
MOST_PARTS = 1_000_000
"""Steps, lists, mappings and values that a pipeline of data may have, each counted where it stands."""
MOST_LEVELS = 100
"""Lists and mappings inside each other."""


def build(
    config: Mapping[str, Any] | Sequence[Any] | None = None,
    dataset: Any = None,
    *,
    names: Mapping[str, Any] | None = None,
    where: str = "",
    **sections: Any,
) -> Pipeline:
    """Build a pipeline from data: a mapping with ``steps`` (and ``before``, ``after``, ``config``, ``run``).

    A step is a name, or a mapping from the name to its named arguments, to a list of positional ones, or to a
    single one. ``repeat: {times: 2, steps: [...]}`` and ``sometimes: {p: 0.5, steps: [...]}`` nest.
    Expressions are ``${B:images}`` or ``=B('images') / 255``. ``names`` holds what a text may stand for where
    a class or a function is needed. The sections may also be given as arguments, ``config`` among them. An
    unknown step, argument or key is a ``BindError`` that names the key; ``where`` is what the list of steps
    is called there, as ``pipeline.augment``.
    """
    if sections and config is not None:
        sections["config"], config = config, None
    for given in (config, *sections.values()):
        _check_bounds(given)
    data = {**_as_mapping(make_plain(config)), **{key: make_plain(value) for key, value in sections.items()}}
    mistakes: list[Mistake] = []
    for key in data:
        if key not in _KEYS:
            mistakes.append(Mistake(Location(str(key), 0), unknown("key", key, _KEYS, "a pipeline")))
    run = data.get("run") or {}
    for option in run:
        if option not in OPTIONS:
            mistakes.append(Mistake(Location(f"run.{option}", 0), unknown("option", option, OPTIONS)))
    mistakes.extend(_refuse_allow(data.get("config"), "config"))
    reader = _Reader(names or {}, dataset, mistakes)
    read: dict[str, Any] = {
        field: reader.steps(data.get(key) or (), (key == "steps" and where) or key)
        for key, field in SECTIONS.items()
    }
    if mistakes:
        raise BindError("YAML", mistakes)
    pipeline = Pipeline(None, data.get("config") or {}, **read)
    if run:
        pipeline = pipeline.run_later(**run)
    return pipeline if dataset is None else pipeline << dataset


def _check_bounds(data: Any) -> None:
    """Refuse data with too many parts: a text of YAML may name one list again and again inside others."""
    count, level = 0, [data]
    for _ in range(MOST_LEVELS):
        inner: list[Any] = []
        for part in level:
            if isinstance(part, Mapping) and not is_omegaconf(part):
                inner.extend(part.values())
            elif type(part) in (list, tuple):
                inner.extend(part)
            count += 1
            if count + len(inner) > MOST_PARTS:
                raise ValueError(f"build: the data has more than {MOST_PARTS} parts; is one inside itself?")
        if not inner:
            return
        level = inner
    raise ValueError(f"build: lists and mappings of the data are more than {MOST_LEVELS} levels deep")


def _refuse_allow(data: Any, key: str) -> Iterator[Mistake]:
    """Yield a mistake for every ``allow`` in data."""
    for place, value in find_allow(data, key):
        text = f"{value!r} is refused: data do not say which packages they may name"
        advice = "if you trust these, give the config to build as names={'settings': ...}"
        yield Mistake(Location(place, 0), f"{text}; {advice}")


def _as_mapping(data: Any) -> dict[str, Any]:
    if data is None:
        return {}
    if isinstance(data, Mapping):
        return {str(key): value for key, value in data.items()}
    if isinstance(data, list | tuple):
        return {"steps": data}
    raise TypeError(f"build: a mapping with steps, or a list of steps is needed, got {data!r}")


class _Reader:
    """A reader of steps, which collects what is wrong with them."""

    def __init__(self, names: Mapping[str, Any], dataset: Any, mistakes: list[Mistake]) -> None:
        self._names = names
        self._actions = None if dataset is None else dataset.batch_class.actions
        self._mistakes = mistakes

    def steps(self, data: Any, key: str) -> tuple[Step, ...]:
        """Read a list of steps under a key."""
        if isinstance(data, str) or not isinstance(data, Sequence):
            self._note_mistake(key, f"a list of steps is needed, got {data!r}")
            return ()
        read = (self._read_step(entry, f"{key}[{number}]") for number, entry in enumerate(data))
        return tuple(step for step in read if step is not None)

    def _note_mistake(self, key: str, text: str) -> None:
        self._mistakes.append(Mistake(Location(key, 0), text))

    def _read_step(self, entry: Any, key: str) -> Step | None:
        if isinstance(entry, str):
            entry = {entry: None}
        if not isinstance(entry, Mapping) or len(entry) != 1:
            self._note_mistake(key, f"a step is a name or a mapping with one name, got {entry!r}")
            return None
        ((name, given),) = entry.items()
        key = f"{key}.{name}"
        if str(name).startswith("_"):
            self._note_mistake(key, f"{name!r} is a private name, and no step has one")
            return None
        if name in BLOCKS:
            return self._read_block(name, given, key)
        try:
            given = read_expressions(given)
        except ValueError as error:
            self._note_mistake(key, str(error))
            return None
        return self._read_call(str(name), given, key)

    def _read_block(self, name: str, given: Any, key: str) -> Step | None:
        option = BLOCKS[name]
        if not isinstance(given, Mapping) or set(given) != {option, "steps"}:
            self._note_mistake(key, f"needs the keys {option} and steps, got {given!r}")
            return None
        steps = self.steps(given["steps"], f"{key}.steps")
        try:
            value = read_expressions(given[option])
        except ValueError as error:
            self._note_mistake(key, str(error))
            return None
        where = Location(key, 0)
        if name == "repeat":
            return Repeat(steps, value, where)
        return Sometimes(steps, value, where)

    def _read_call(self, name: str, given: Any, key: str) -> Call | None:
        builtin = name in STEPS
        if not builtin and self._actions is not None and name not in self._actions:
            self._note_mistake(key, unknown("step", name, [*STEPS, *self._actions]))
            return None
        args: tuple[Any, ...] = ()
        kwargs: dict[str, Any] = {}
        if isinstance(given, Mapping):
            kwargs = {str(option): value for option, value in given.items()}
            args = tuple(kwargs.pop(ARGS, ()))
        elif isinstance(given, list | tuple):
            args = tuple(given)
        elif given is not None:
            args = (given,)
        if name == "init_model":
            self._mistakes.extend(_refuse_allow([*args, kwargs.get("config")], f"{key}.config"))
        if builtin:
            kwargs = {option: self._look_up(value) for option, value in _resolve_alias(name, kwargs).items()}
            args = tuple(self._look_up(value) for value in args)
            if name == "gather_metrics":
                try:
                    args, kwargs = _find_metrics(args, kwargs)
                except (ValueError, ModuleNotFoundError) as error:
                    self._note_mistake(key, str(error))
                    return None
            if (first := _FIRST.get(name)) in kwargs:
                args = (kwargs.pop(first), *args)
            if name == "call" and args and isinstance(args[0], Expr):
                self._note_mistake(key, f"{args[0]!r} can not be called: {_CALL}")
                return None
        return Call(name, args, kwargs, Location(key, 0), builtin)

    def _look_up(self, value: Any) -> Any:
        """Return the class or function that a text names, any other value as it is."""
        return self._names.get(value, value) if isinstance(value, str) else value


def _resolve_alias(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments with ``model_class`` for its short name ``model``, which configs like."""
    if name == "init_model" and "model" in kwargs:
        kwargs["model_class"] = kwargs.pop("model")
    return kwargs


def _find_metrics(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments with the class that a short name of metrics stands for."""

    def find(given: Any) -> Any:
        return find_metrics(given) if isinstance(given, str) and "." not in given else given

    named = {key: find(value) if key == "metrics_class" else value for key, value in kwargs.items()}
    return tuple(find(value) if not place else value for place, value in enumerate(args)), named


def register_resolvers() -> None:
    """Register B C D I L M P PP R V W Where with OmegaConf; calling it again does no harm."""
    for name in KINDS:
        register_resolver(name, _make_resolver(name))


def _make_resolver(name: str) -> Any:
    def resolve(*args: Any) -> Any:
        from omegaconf import OmegaConf

        return OmegaConf.create({"_target_": f"{_PACKAGE}{name}", "_args_": list(args)})

    return resolve


def read_expressions(value: Any) -> Any:
    """Return a value with expressions in place of what stands for them, at any depth.

    That is ``{_target_: bf_pipeline.B, _args_: [...]}`` and texts that begin with ``=``, such as
    ``=B('images') / 255``. No other target is taken: this reads data and runs no code. ``ValueError`` shows
    what is none.
    """
    if isinstance(value, str) and value.startswith("="):
        return read_expression(value[1:])
    if isinstance(value, list | tuple):
        return type(value)(read_expressions(part) for part in value)
    if not isinstance(value, Mapping):
        return value
    target = value.get("_target_")
    if not isinstance(target, str) or not target.startswith(_PACKAGE):
        return {key: read_expressions(part) for key, part in value.items()}
    name = target.removeprefix(_PACKAGE)
    if name not in KINDS:
        raise ValueError(unknown("expression", target, [f"{_PACKAGE}{known}" for known in KINDS]))
    named = {key: read_expressions(part) for key, part in value.items() if key not in ("_target_", "_args_")}
    try:
        return KINDS[name](*read_expressions(list(value.get("_args_", ()))), **named)
    except TypeError as error:
        raise ValueError(f"{target}: {error}") from error


register_resolvers()
