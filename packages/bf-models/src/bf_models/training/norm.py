"""The norm of a step's gradient, measured when asked: in every step it would cost some percents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bf_models._backend import keras, tensorflow


class NormMeter:
    """A switch and a value in the graph of a step."""

    def __init__(self) -> None:
        variable = keras().Variable
        self._wanted = variable(False, dtype="bool", trainable=False, name="norm_wanted")
        self._value = variable(float("nan"), dtype="float32", trainable=False, name="gradient_norm")

    def ask(self) -> None:
        """Have the next step measured."""
        self._wanted.assign(True)

    def read(self) -> float:
        """Return the norm that was measured last; NaN before."""
        return float(self._value.numpy())

    def look(self, gradients: Sequence[Any]) -> None:
        """Measure the norm of all gradients together if that was asked; part of a step's graph."""
        tf = tensorflow()

        def measure() -> Any:
            self._value.assign(tf.cast(tf.linalg.global_norm(gradients), tf.float32))
            self._wanted.assign(False)
            return tf.constant(0)

        tf.cond(self._wanted.value, measure, lambda: tf.constant(0))
