"""What a ``_target_`` of a model's config may name, kind by kind, and the object that it becomes."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from bf_index.names import Kind, TargetError, resolve
from bf_models._backend import keras

_ADVICE = (
    "say allow=[{package!r}] to load, 'allow' in the config of your program, or 'targets=[{package}]' on the "
    "command line"
)
#: Keys by which Keras writes an object into a config; its own reader follows them to any function of Keras.
_SERIALIZED = frozenset(("class_name", "registered_name"))


def _takes(found: Any, *names: str) -> bool:
    """Whether the objects of a class, or a value, are called with arguments of these names first."""
    kind = found if isinstance(found, type) else type(found)
    call = next((vars(base)["__call__"] for base in kind.__mro__ if "__call__" in vars(base)), None)
    if not inspect.isfunction(call):
        return False
    return tuple(inspect.signature(call).parameters)[1 : len(names) + 1] == names


def _is_part(found: Any) -> bool:
    return dataclasses.is_dataclass(found) and _takes(found, "x", "net")


def _is_loss(found: Any) -> bool:
    return isinstance(found, type) and (
        issubclass(found, keras().losses.Loss) or _takes(found, "targets", "outputs")
    )


def _is_optimizer(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, keras().optimizers.Optimizer)


def _is_schedule(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, keras().optimizers.schedules.LearningRateSchedule)


def _is_estimator(found: Any) -> bool:
    # what scikit-learn keeps in a folder of "memory" are pickles
    known = isinstance(found, type) and "memory" not in inspect.signature(found).parameters
    return known and hasattr(found, "fit") and hasattr(found, "predict")


PART = Kind(
    "a part of a network, called with (x, net),",
    ("bf_models.nn", "bf_models.blocks", "bf_models.zoo.*"),
    _is_part,
    _ADVICE,
)
LOSS = Kind("a loss", ("bf_models.losses", "keras.losses"), _is_loss, _ADVICE)
OPTIMIZER = Kind("an optimizer", ("bf_models.optim.fused", "keras.optimizers"), _is_optimizer, _ADVICE)
SCHEDULE = Kind(
    "a schedule", ("bf_models.optim.schedules", "keras.optimizers.schedules"), _is_schedule, _ADVICE
)
ESTIMATOR = Kind("an estimator with fit and predict", ("sklearn.*",), _is_estimator, _ADVICE)


def build_target(options: Mapping[str, Any], kind: Kind, allow: Sequence[str], owner: str) -> Any:
    """Call what ``_target_`` names with the other keys as arguments; the error notes who asked for it."""
    arguments = {name: value for name, value in options.items() if name != "_target_"}
    target = resolve(options["_target_"], kind, allow, owner)
    try:
        return target(**arguments)
    except TypeError as error:
        error.add_note(f"while {owner} called {options['_target_']} with {sorted(arguments)}")
        raise


def refuse_serialized(config: Any, where: str) -> None:
    """Raise ``TargetError`` for an object as Keras writes it, at any depth of a config.

    Keras makes these by a reader of its own, wherever it is handed a mapping: an activation, a dtype.
    """
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key in _SERIALIZED:
                raise TargetError(
                    f"{where}: {{{key}: {value!r:.60}, ...}} is refused: it is an object as Keras writes it, "
                    "which may name any function of Keras; give a name such as 'relu', a '_target_', or in a "
                    "program the object itself"
                )
            refuse_serialized(value, f"{where}.{key}")
    elif isinstance(config, list | tuple):
        for number, value in enumerate(config):
            refuse_serialized(value, f"{where}[{number}]")
