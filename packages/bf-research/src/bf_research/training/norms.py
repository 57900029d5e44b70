"""Norms of weights, gradients and updates over a training, by layer or by group of layers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bf_research.training.state import Event, TrainingState, check_count


class NormLog(Event):
    """Log the norms of weights and gradients of each layer, and how far a step moves the weights.

    Every ``every`` iterations there are ``norms/weights/LAYER``, ``norms/gradients/LAYER`` (of the loss,
    before clipping) and ``norms/updates/LAYER``, the norm of the step's change by that of the weights before.
    The
    first iteration is left out where its batch builds the network.
    Layers are grouped by their names until there are at most ``most`` of each. In between it costs
    nothing, and the training is the same to the bit with it. The model has ``network`` and
    ``gradient_norms``, as KerasModel has.
    """

    def __init__(self, every: int = 100, most: int = 32) -> None:
        check_count(every, 1, "norms: every")
        check_count(most, 1, "norms: most")
        self.every, self.most = every, most
        self._groups: dict[str, str] = {}
        self._before: dict[str, list[np.ndarray]] = {}

    def check(self, state: TrainingState) -> None:
        """Refuse a model whose norms can't be read: ``ValueError``."""
        if not hasattr(state.model, "gradient_norms"):
            raise ValueError(f"norms: {type(state.model).__name__} has no gradient_norms to log")
        if state.iteration == 0 and self.every == 1 and getattr(state.model, "is_built", False):
            self._prepare(state)

    def before(self, state: TrainingState) -> None:
        """Begin anew."""
        self._before = {}
        if state.iteration and (state.iteration + 1) % self.every == 0:
            self._prepare(state)

    def after_iteration(self, state: TrainingState) -> None:
        """Log what is due, and have the next step measured where that is."""
        if state.iteration % self.every == 0 and self._before:
            self._log(state)
        self._before = {}
        if (state.iteration + 1) % self.every == 0:
            self._prepare(state)

    def _prepare(self, state: TrainingState) -> None:
        self._before = _read_weights(state.model)
        state.model.measure_gradient_norm()

    def _log(self, state: TrainingState) -> None:
        after, gradients = _read_weights(state.model), state.model.gradient_norms
        self._groups = self._groups or group_names(self._before, self.most)
        sums: dict[tuple[str, str], float] = {}

        def add(kind: str, layer: str, square: float) -> None:
            key = kind, self._groups[layer]
            sums[key] = sums.get(key, 0.0) + square

        for layer, arrays in self._before.items():
            moved = [new - old for new, old in zip(after[layer], arrays)]
            add("before", layer, _square(arrays))
            add("weights", layer, _square(after[layer]))
            add("updates", layer, _square(moved))
            if layer in gradients:
                add("gradients", layer, gradients[layer] ** 2)
        for (kind, group), square in sums.items():
            unit = sums["before", group] or math.inf if kind == "updates" else 1.0
            if kind != "before":
                value = math.sqrt(square / unit)
                state.tracker.log_metric(f"norms/{kind}/{group}", value, state.iteration)


def _read_weights(model: Any) -> dict[str, list[np.ndarray]]:
    """Return the weights that learn by the name of their layer."""
    found: dict[str, list[np.ndarray]] = {}
    for item in model.network.trainable_variables:
        name = str(item.path).rpartition("/")[0]
        found.setdefault(name, []).append(np.array(item.numpy(), np.float32))
    return found


def _square(arrays: Sequence[np.ndarray]) -> float:
    return sum(float(np.square(array, dtype=np.float64).sum()) for array in arrays)


def group_names(names: Iterable[str], most: int) -> dict[str, str]:
    """Return the group of each name: as many of its parts (between dots) as give at most so many groups.

    Where even the first parts are too many, neighbours are together: ``first...last``.
    """
    known = list(names)
    for depth in range(max((name.count(".") + 1 for name in known), default=1), 0, -1):
        groups = {name: ".".join(name.split(".")[:depth]) for name in known}
        if len(set(groups.values())) <= most:
            return groups
    size = math.ceil(len(known) / most)
    parts = [known[start : start + size] for start in range(0, len(known), size)]
    return {name: f"{part[0]}...{part[-1]}" for part in parts for name in part}
