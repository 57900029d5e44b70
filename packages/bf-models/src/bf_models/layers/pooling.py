"""Pooling to a size that is given, as torch does it."""

from __future__ import annotations

from typing import Any

import numpy as np

from bf_models._backend import keras, tensorflow

tf = tensorflow()


def _shares(size: int, out: int) -> np.ndarray:
    """Matrix (out, size): row i averages pixels floor(i * size / out) to ceil((i + 1) * size / out)."""
    matrix = np.zeros((out, size), np.float32)
    for row in range(out):
        start, stop = row * size // out, -(-(row + 1) * size // out)
        matrix[row, start:stop] = 1.0 / (stop - start)
    return matrix


@keras().saving.register_keras_serializable("bf_models")
class AdaptiveAveragePool(keras().layers.Layer):  # type: ignore[misc]
    """Mean over areas: (N, H, W, C) -> (N, size, size, C); H and W must be known."""

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def call(self, x: Any) -> Any:
        """Pool the map."""
        rows, columns = (tf.cast(_shares(extent, self.size), x.dtype) for extent in x.shape[1:3])
        return tf.einsum("oh,nhwc,pw->nopc", rows, x, columns)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(N, size, size, C)."""
        return (input_shape[0], self.size, self.size, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), "size": self.size}
