"""A layer that draws from normal distributions; its gradient goes through what is drawn.

Like dropout it has a stream of random numbers of its own, whose state is saved with the weights.
"""

from __future__ import annotations

from typing import Any

from bf_models._backend import keras, tensorflow

tf = tensorflow()
_Shape = tuple[int | None, ...]


@keras().saving.register_keras_serializable("bf_models")
class SampleNormal(keras().layers.Layer):  # type: ignore[misc]
    """Draw from normal distributions in training, and take their means otherwise: (N, 2 * C) -> (N, C).

    The first half are means, the second logarithms of variances. What is drawn is mean + deviation * noise
    (Kingma and Welling 2013, arXiv:1312.6114), so that both learn.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras().random.SeedGenerator(seed)

    def call(self, x: Any, training: bool = False) -> Any:
        """Return what is drawn, or the means."""
        mean, log_variance = tf.split(x, 2, -1)
        if not training:
            return mean
        noise = keras().random.normal(tf.shape(mean), dtype=mean.dtype, seed=self.seed_generator)
        return mean + tf.exp(0.5 * log_variance) * noise

    def count_operations(self, given: list[_Shape], returned: list[_Shape]) -> int:
        """Count multiply-adds of an item: none of a kernel."""
        return 0

    def compute_output_shape(self, input_shape: _Shape) -> _Shape:
        """Return (N, C)."""
        width = input_shape[-1]
        return (*input_shape[:-1], None if width is None else width // 2)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "seed": self.seed}
