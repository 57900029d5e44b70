"""What foreign weights are copied into, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from bf_index.errors import escape
from bf_models.convert.layouts import Entry


class Target(Protocol):
    """A built model, as far as weights are copied into it."""

    name: str

    @property
    def network(self) -> Any:
        """The keras.Model."""

    def head_layers(self) -> list[str]:
        """Return the names of the layers of the head."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was copied, what the model wanted and did not get, what was left over, what kept its own weights.

    ``head`` are arrays of the head, and for a file of an encoder all that the model has beside it; ``note``
    is what the arrays do not show and a person must know.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} arrays loaded"]
        told = {"head": "of the head begin anew"}
        for name in ("missing", "unexpected", "head"):
            items = getattr(self, name)
            if items:
                rest = f" and {len(items) - 8} more" if len(items) > 8 else ""
                parts.append(f"{told.get(name, name)}: {', '.join(items[:8])}{rest}")
        return "; ".join([*parts, self.note] if self.note else parts)

    def renew(self, layer: str) -> Report:
        """Return the report where the arrays of a layer of the head kept their own values after all."""
        renewed = [name for name in self.loaded if f"{name}/".startswith((f"{layer}/", f"{layer}."))]
        left = tuple(name for name in self.loaded if name not in renewed)
        return replace(self, loaded=left, head=(*self.head, *renewed))


def restart_averages(model: Target) -> None:
    """Begin averages of weights anew, after weights were set; a target without averages needs nothing."""
    restart = getattr(model, "restart_averages", None)
    if restart is not None:
        restart()


def compare(
    wanted: Mapping[str, Entry], arrays: Mapping[str, np.ndarray], named: Mapping[str, str], head: set[str]
) -> tuple[list[tuple[Entry, np.ndarray]], list[str], list[str]]:
    """Return pairs that fit, names of the head that do not, and complaints about others.

    ``named`` are the names of ``arrays`` by those of ``wanted``.
    """
    fitting, kept, wrong = [], [], []
    for name, entry in wanted.items():
        if name not in named:
            continue
        array = arrays[named[name]]
        if _is_same(array.shape, entry.shape):
            fitting.append((entry, array.reshape(entry.shape)))
        elif name.rpartition(".")[0] in head:
            kept.append(name)
        else:
            ours = "" if named[name] == name else f"{name} "
            wrong.append(f"{escape(named[name])} {array.shape}, expected {ours}{entry.shape}")
    return fitting, kept, wrong


def _is_same(theirs: tuple[int, ...], ours: tuple[int, ...]) -> bool:
    """Whether shapes of torch's arrays are of one layer: publishers mix convolutions and dense layers."""
    if math.prod(theirs) != math.prod(ours):
        return False
    # a convolution of a whole map is a dense layer on it, and torch flattens both channels first
    whole = len(ours) == 2 and len(theirs) > 2 and theirs[0] == ours[0]
    return whole or _trim(theirs) == _trim(ours)


def _trim(shape: tuple[int, ...]) -> tuple[int, ...]:
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape
