"""Norms of a step's gradients, measured when asked: in every step they would cost some percents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bf_models._backend import keras, tensorflow


class NormMeter:
    """A switch and a value for each variable in the graph of a step."""

    def __init__(self, variables: Sequence[Any]) -> None:
        self._names = [str(item.path).rpartition("/")[0] for item in variables]
        variable = keras().Variable
        self._wanted = variable(False, dtype="bool", trainable=False, name="norm_wanted")
        start = [float("nan")] * len(self._names)
        self._squares = variable(start, dtype="float32", trainable=False, name="squared_norms")

    def ask(self) -> None:
        """Have the next step measured."""
        self._wanted.assign(True)

    def read(self) -> float:
        """Return the norm of all gradients together that was measured last; NaN before."""
        return math.sqrt(float(self._squares.numpy().sum(dtype="float64")))

    def read_layers(self) -> dict[str, float]:
        """Return the norms that were measured last by the names of layers; {} before."""
        sums: dict[str, float] = {}
        for name, square in zip(self._names, self._squares.numpy().tolist()):
            sums[name] = sums.get(name, 0.0) + square
        return {} if math.isnan(sum(sums.values())) else {name: math.sqrt(sums[name]) for name in sums}

    def look(self, gradients: Sequence[Any]) -> None:
        """Measure the norms of gradients if that was asked; part of a step's graph."""
        tf = tensorflow()

        def measure() -> Any:
            squares = [
                2 * tf.nn.l2_loss(tf.cast(tf.convert_to_tensor(item), tf.float32)) for item in gradients
            ]
            self._squares.assign(tf.stack(squares))
            self._wanted.assign(False)
            return tf.constant(0)

        tf.cond(self._wanted.value, measure, lambda: tf.constant(0))
