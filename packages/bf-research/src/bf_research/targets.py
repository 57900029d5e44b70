"""Names in a configuration that become Python objects: which kinds there are, and how one is made.

``bf_index.names`` decides what a name may stand for; the packages of a user come from ``trusted_packages``.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from bf_batch import Batch, Dataset
from bf_index.errors import unknown
from bf_index.names import Kind, TargetError
from bf_index.names import resolve as resolve_name

_ADVICE = (
    "say targets=[{package}] on the command line, or list it under targets in the main configuration file"
)


_EVENTS = tuple(
    f"bf_research.training.{name}" for name in ("stopping", "rates", "rate_test", "inspecting", "norms")
)


def _has(found: Any, *methods: str) -> bool:
    """Whether something is a class with these methods, and no mere protocol."""
    is_class = isinstance(found, type) and not getattr(found, "_is_protocol", False)
    return is_class and all(callable(getattr(found, method, None)) for method in methods)


def _is_model(found: Any) -> bool:
    return _has(found, "train", "predict", "save", "load")


def _is_dataset(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, Dataset)


def _is_batch(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, Batch)


def _is_tracker(found: Any) -> bool:
    return _has(found, "log_metric", "log_params", "end")


def _is_metrics(found: Any) -> bool:
    return _has(found, "update", "evaluate")


def _is_event(found: Any) -> bool:
    return _has(found, "after_iteration", "after_epoch", "state", "restore")


def _is_inspection(found: Any) -> bool:
    return _has(found, "inspect")


def _is_update(found: Any) -> bool:
    return False


_MODEL = Kind("a class of models", ("bf_models",), _is_model, _ADVICE)
#: What a place of the configuration asks for, by the place.
KINDS: Mapping[str, Kind] = {
    "model": _MODEL,
    "model_class": _MODEL,
    "dataset": Kind("a data set", ("bf_batch.opensets",), _is_dataset, _ADVICE),
    "batch_class": Kind("a class of batches", ("bf_batch", "bf_batch.opensets"), _is_batch, _ADVICE),
    "tracking": Kind("a tracker", ("bf_research.tracking",), _is_tracker, _ADVICE),
    "metrics_class": Kind("a class of metrics", ("bf_models.metrics",), _is_metrics, _ADVICE),
    "events": Kind("an event of a training", _EVENTS, _is_event, _ADVICE),
    "inspection": Kind("an inspection of a model", ("bf_models.inspection",), _is_inspection, _ADVICE),
    "update": Kind("a function of the results", (), _is_update, _ADVICE),
}


def resolve(path: Any, what: str, allow: Sequence[str] = (), where: str = "") -> Any:
    """Return the object that a dotted name stands for; ``TargetError`` if it may not stand there.

    ``what`` is the place, one of ``KINDS``; ``allow`` adds the user's own packages; ``where`` is the key.
    """
    return resolve_name(path, KINDS[what], allow, where or what)


def split(config: Mapping[str, Any], what: str) -> tuple[str, dict[str, Any]]:
    """Split ``{'_target_': name, **options}`` into name and options; ``TargetError`` without a name."""
    options = dict(config)
    path = options.pop("_target_", None)
    if path is None:
        raise TargetError(f"{what} needs a '_target_', got the keys {sorted(map(str, options))}")
    return path, options


def find_parts(config: Any) -> dict[str, dict[str, Any]]:
    """Return the objects that one place of a configuration asks for, each with its ``_target_``, by name.

    The first stands there itself, under an empty name; others stand below it under names of their own.

    >>> find_parts({'_target_': 'a.A', 'size': 1, 'other': {'_target_': 'b.B'}})
    {'': {'_target_': 'a.A', 'size': 1}, 'other': {'_target_': 'b.B'}}
    """
    inner = {str(name): value for name, value in dict(config or {}).items() if _is_object(value)}
    own = {str(name): value for name, value in dict(config or {}).items() if str(name) not in inner}
    first = {"": own} if own or not inner else {}
    return first | {name: dict(value) for name, value in inner.items()}


def find_part(config: Any, name: str) -> dict[str, Any] | None:
    """Return the part of a place whose class has a name, such as ``MLflowTracker``; None without one."""
    parts = find_parts(config).values()
    return next((part for part in parts if str(part.get("_target_", "")).rpartition(".")[2] == name), None)


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def build(config: Mapping[str, Any], what: str, allow: Sequence[str] = (), where: str = "") -> Any:
    """Call what ``_target_`` names with the other keys as arguments; an error names ``what`` was built.

    ``where`` is its key, if that is another. ``TypeError`` with close matches for an argument that is not
    taken.
    """
    path, options = split(config, where or what)
    maker = resolve(path, what, allow, where)
    parameters = _parameters(maker)
    for name in options:
        if parameters is not None and name not in parameters:
            raise TypeError(unknown("argument", name, parameters, f"{where or what} {path}"))
    try:
        return maker(**options)
    except TypeError as error:
        error.add_note(f"in {where or what}: {path} with {', '.join(options) or 'no arguments'}")
        raise


def _parameters(maker: Any) -> list[str] | None:
    """Return the names of a callable's arguments; None if it takes any or they are unknown."""
    try:
        parameters = inspect.signature(maker).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters if parameter.kind is not parameter.POSITIONAL_ONLY]
