"""Layers that turn one map into another: channels grouped or scaled, pixels or branches dropped, sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from bf_models._backend import keras, tensorflow

tf = tensorflow()
_register = keras().saving.register_keras_serializable("bf_models")
_Shape = tuple[int | None, ...]


def _times(size: int | None, factor: int) -> int | None:
    return None if size is None else size * factor


@_register
class ChannelStatistics(keras().layers.Layer):  # type: ignore[misc]
    """Mean and maximum over channels: (N, H, W, C) -> (N, H, W, 2)."""

    def call(self, x: Any) -> Any:
        """Return the two maps."""
        return tf.concat([tf.reduce_mean(x, -1, keepdims=True), tf.reduce_max(x, -1, keepdims=True)], -1)

    def compute_output_shape(self, input_shape: _Shape) -> _Shape:
        """Return (N, H, W, 2)."""
        return (*input_shape[:-1], 2)


class _WithFactor(keras().layers.Layer):  # type: ignore[misc]
    def __init__(self, factor: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "factor": self.factor}


@_register
class Subpixel(_WithFactor):
    """Channels become pixels: (N, H, W, C) -> (N, H * factor, W * factor, C / factor ** 2)."""

    def call(self, x: Any) -> Any:
        """Return the larger map."""
        return tf.nn.depth_to_space(x, self.factor)

    def compute_output_shape(self, input_shape: _Shape) -> _Shape:
        """Return (N, H * factor, W * factor, C / factor ** 2)."""
        count, height, width, channels = input_shape
        fewer = None if channels is None else channels // self.factor**2
        return (count, _times(height, self.factor), _times(width, self.factor), fewer)


@_register
class GroupSum(_WithFactor):
    """Sum of neighbouring channels: (..., C) -> (..., C / factor)."""

    def call(self, x: Any) -> Any:
        """Return fewer channels."""
        shape = tf.concat([tf.shape(x)[:-1], [x.shape[-1] // self.factor, self.factor]], 0)
        return tf.ensure_shape(tf.reduce_sum(tf.reshape(x, shape), -1), self.compute_output_shape(x.shape))

    def compute_output_shape(self, input_shape: _Shape) -> _Shape:
        """Return (..., C / factor)."""
        channels = input_shape[-1]
        return (*input_shape[:-1], None if channels is None else channels // self.factor)


@_register
class GroupMax(_WithFactor):
    """Maximum of neighbouring channels, a projection of depth: (..., C) -> (..., C / factor)."""

    def call(self, x: Any) -> Any:
        """Return fewer channels."""
        shape = tf.concat([tf.shape(x)[:-1], [x.shape[-1] // self.factor, self.factor]], 0)
        return tf.ensure_shape(tf.reduce_max(tf.reshape(x, shape), -1), self.compute_output_shape(x.shape))

    def compute_output_shape(self, input_shape: _Shape) -> _Shape:
        """Return (..., C / factor)."""
        channels = input_shape[-1]
        return (*input_shape[:-1], None if channels is None else channels // self.factor)


@_register
class DropBlock(keras().layers.Layer):  # type: ignore[misc]
    """Drop squares of a map in training (Ghiasi et al. 2018); ``rate`` is the share of pixels that goes."""

    def __init__(self, rate: float, size: int = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate, self.size = rate, size
        self.seed_generator = keras().random.SeedGenerator()

    def call(self, x: Any, training: bool = False) -> Any:
        """Return x with squares at 0."""
        if not training or not self.rate:
            return x
        drawn = keras().random.uniform(tf.shape(x), seed=self.seed_generator)
        centres = tf.cast(drawn < self.rate / self.size**2, tf.float32)
        kept = tf.cast(1.0 - tf.nn.max_pool2d(centres, self.size, 1, "SAME"), x.dtype)
        return x * kept / tf.maximum(tf.reduce_mean(kept), tf.cast(1e-3, x.dtype))

    def compute_output_shape(self, input_shape: _Shape) -> _Shape:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "rate": self.rate, "size": self.size}


@_register
class SoftSum(keras().layers.Layer):  # type: ignore[misc]
    """Sum of tensors of one shape with learnt weights, which start at 1."""

    def build(self, input_shape: list[_Shape]) -> None:
        """Make a weight for each tensor."""
        self.weights_of_terms = self.add_weight(name="terms", shape=(len(input_shape),), initializer="ones")

    def call(self, tensors: list[Any]) -> Any:
        """Return the weighted sum."""
        factors = tf.unstack(tf.cast(self.weights_of_terms, tensors[0].dtype))
        return tf.add_n([item * factor for item, factor in zip(tensors, factors)])

    def compute_output_shape(self, input_shape: list[_Shape]) -> _Shape:
        """Return the shape of each tensor."""
        return input_shape[0]


def _shares(size: int, out: int) -> np.ndarray:
    """Return (out, size): row i averages pixels floor(i * size / out) to ceil((i + 1) * size / out)."""
    matrix = np.zeros((out, size), np.float32)
    for row in range(out):
        start, stop = row * size // out, -(-(row + 1) * size // out)
        matrix[row, start:stop] = 1.0 / (stop - start)
    return matrix


@_register
class AdaptiveAveragePool(keras().layers.Layer):  # type: ignore[misc]
    """Mean over areas: (N, H, W, C) -> (N, size, size, C), or two sizes; H and W must be known."""

    def __init__(self, size: int | tuple[int, int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size if isinstance(size, int) else tuple(size)

    @property
    def _sides(self) -> tuple[int, ...]:
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def call(self, x: Any) -> Any:
        """Pool the map."""
        sides = zip(x.shape[1:3], self._sides)
        rows, columns = (tf.cast(_shares(extent, size), x.dtype) for extent, size in sides)
        return tf.einsum("oh,nhwc,pw->nopc", rows, x, columns)

    def compute_output_shape(self, input_shape: _Shape) -> _Shape:
        """Return (N, size, size, C)."""
        return (input_shape[0], *self._sides, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "size": self.size}


@_register
class StochasticDepth(keras().layers.Layer):  # type: ignore[misc]
    """Drop whole items of a branch in training (Huang et al. 2016), and scale up the kept ones."""

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"StochasticDepth: rate is a share from 0 to below 1, got {rate!r}")
        self.rate, self.seed = rate, seed
        self.seed_generator = keras().random.SeedGenerator(seed)

    def call(self, x: Any, training: bool = False) -> Any:
        """Return x, in training with the branches of some items at 0."""
        if not training or not self.rate:
            return x
        shape = [tf.shape(x)[0]] + [1] * (len(x.shape) - 1)
        kept = keras().random.uniform(shape, seed=self.seed_generator) >= self.rate
        return x * tf.cast(kept, x.dtype) / (1.0 - self.rate)

    def compute_output_shape(self, input_shape: _Shape) -> _Shape:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@_register
class LayerScale(keras().layers.Layer):  # type: ignore[misc]
    """One learnt factor a channel, small at first."""

    def __init__(self, initial: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initial = initial

    def build(self, input_shape: _Shape) -> None:
        """Make the factors."""
        start = keras().initializers.Constant(self.initial)
        self.factors = self.add_weight(name="factors", shape=(input_shape[-1],), initializer=start)

    def call(self, x: Any) -> Any:
        """Return x times the factors."""
        return x * tf.cast(self.factors, x.dtype)

    def compute_output_shape(self, input_shape: _Shape) -> _Shape:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "initial": self.initial}
