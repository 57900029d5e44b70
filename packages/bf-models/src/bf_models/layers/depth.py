"""Stochastic depth and the scale of a branch."""

from __future__ import annotations

from typing import Any

from bf_models._backend import keras, tensorflow

tf = tensorflow()
_register = keras().saving.register_keras_serializable("bf_models")


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

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
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

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the factors."""
        start = keras().initializers.Constant(self.initial)
        self.factors = self.add_weight(name="factors", shape=(input_shape[-1],), initializer=start)

    def call(self, x: Any) -> Any:
        """Return x times the factors."""
        return x * tf.cast(self.factors, x.dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "initial": self.initial}
