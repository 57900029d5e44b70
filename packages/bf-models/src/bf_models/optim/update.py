"""What of an update is ours whichever optimizer makes it: clipping, accumulation, averages of weights.

Keras offers these as arguments of its optimizers, each for the variables of one optimizer and for every step.
Several optimizers that are one step (learning rates of parts), steps that are refused and steps that only
gather gradients need them outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bf_models.config.spec import ModelSpec

ClipKind = Literal["clipvalue", "clipnorm", "global_clipnorm"]
#: Arguments of Keras's optimizers that are read here, and those that have no place in a step of ours.
_TAKEN = (*get_args(ClipKind), "use_ema", "ema_momentum", "gradient_accumulation_steps")
_REFUSED: Mapping[str, str] = {
    "loss_scale_factor": "'precision: float16' scales the loss",
    "ema_overwrite_frequency": "'ema' averages weights, and predictions use the averages",
}


@dataclass(frozen=True, slots=True)
class Clipping:
    """Limit of gradients: of each number, of the norm of each variable's, or of the norm of all."""

    kind: ClipKind
    limit: float


@dataclass(frozen=True, slots=True)
class Update:
    """How gradients become a change of weights, beside the optimizer's own formula."""

    clipping: Clipping | None = None
    accumulate: int = 1
    ema: float | None = None


def read_update(arguments: Mapping[str, Any], spec: ModelSpec, owner: str) -> tuple[Update, dict[str, Any]]:
    """Return the update that arguments of an optimizer and the config ask for, and the arguments left.

    ValueError for two ways of clipping, for two numbers of steps that differ, and for what is ours alone.
    """
    for name, advice in _REFUSED.items():
        if arguments.get(name) is not None:
            raise ValueError(f"{owner}: the optimizer takes no {name!r}; {advice}")
    averaged = arguments.get("ema_momentum", 0.99) if arguments.get("use_ema") else None
    update = Update(
        _read_clipping(arguments, owner),
        _agree("accumulate", spec.accumulate, arguments.get("gradient_accumulation_steps"), owner) or 1,
        _agree("ema", spec.ema, averaged, owner),
    )
    return update, {name: value for name, value in arguments.items() if name not in _TAKEN}


def refuse_own(optimizer: Any, owner: str) -> None:
    """Refuse what an optimizer that the user made does itself, step by step, and is ours to do."""
    keys = {"use_ema": "ema", "gradient_accumulation_steps": "accumulate", "loss_scale_factor": "precision"}
    for name, key in keys.items():
        if getattr(optimizer, name, None):
            raise ValueError(
                f"{owner}: the optimizer has {name!r} of its own; set {key!r} in the config instead"
            )


def _agree(key: str, ours: Any, theirs: Any, owner: str) -> Any:
    if ours is not None and theirs is not None and ours != theirs:
        raise ValueError(f"{owner}: {key!r} is {ours} in the config and {theirs} in the optimizer")
    return theirs if ours is None else ours


def _read_clipping(arguments: Mapping[str, Any], owner: str) -> Clipping | None:
    given = {kind: arguments[kind] for kind in get_args(ClipKind) if arguments.get(kind) is not None}
    if len(given) > 1:
        raise ValueError(f"{owner}: the optimizer clips in one way, got {given}")
    for kind, limit in given.items():
        if not isinstance(limit, int | float) or not limit > 0:
            raise ValueError(f"{owner}: {kind} is a number above 0 or null, got {limit!r}")
        return Clipping(kind, float(limit))
    return None
