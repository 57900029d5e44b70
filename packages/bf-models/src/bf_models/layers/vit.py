"""Parts of vision transformers: class token, places, attention with the weights of torch's."""

from __future__ import annotations

from typing import Any

from bf_models._backend import keras, tensorflow

tf = tensorflow()
_register = keras().saving.register_keras_serializable("bf_models")
_Shape = tuple[int | None, ...]


@_register
class ClassToken(keras().layers.Layer):  # type: ignore[misc]
    """Put one learnt token before the others: (N, L, C) -> (N, L + 1, C)."""

    def build(self, input_shape: _Shape) -> None:
        """Make the token."""
        self.token = self.add_weight(name="token", shape=(1, 1, input_shape[-1]), initializer="zeros")

    def call(self, x: Any) -> Any:
        """Return the token, then x."""
        token = tf.cast(self.token, x.dtype)
        return tf.concat([tf.broadcast_to(token, [tf.shape(x)[0], 1, x.shape[-1]]), x], 1)

    def count_operations(self, given: list[_Shape], returned: list[_Shape]) -> int:
        """Count multiply-adds of an item: none."""
        return 0

    def compute_output_shape(self, input_shape: _Shape) -> _Shape:
        """Return (N, L + 1, C)."""
        length = input_shape[1]
        return (input_shape[0], None if length is None else length + 1, input_shape[2])


@_register
class PositionEmbedding(keras().layers.Layer):  # type: ignore[misc]
    """Add a learnt vector to each place: (N, L, C), L known."""

    def build(self, input_shape: _Shape) -> None:
        """Make a vector for each place."""
        start = keras().initializers.RandomNormal(stddev=0.02)
        self.places = self.add_weight(name="places", shape=(1, *input_shape[1:]), initializer=start)

    def call(self, x: Any) -> Any:
        """Return x plus its places."""
        return x + tf.cast(self.places, x.dtype)

    def count_operations(self, given: list[_Shape], returned: list[_Shape]) -> int:
        """Count multiply-adds of an item: none."""
        return 0

    def compute_output_shape(self, input_shape: _Shape) -> _Shape:
        """Return the shape of the input."""
        return input_shape


@_register
class SelfAttention(keras().layers.Layer):  # type: ignore[misc]
    """Attention of every place to all (Vaswani et al. 2017), (N, L, C) -> (N, L, C).

    C is a multiple of ``heads``.
    """

    def __init__(self, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads

    def build(self, input_shape: _Shape) -> None:
        """Make one kernel for queries, keys and values, and one for the output."""
        width = input_shape[-1]
        if width is None or width % self.heads:
            raise ValueError(f"SelfAttention {self.name}: {width} channels do not go into {self.heads} heads")
        self.in_kernel = self.add_weight(
            name="in_kernel", shape=(width, 3 * width), initializer="glorot_uniform"
        )
        self.in_bias = self.add_weight(name="in_bias", shape=(3 * width,), initializer="zeros")
        # torch draws the output as any dense layer: within one over the root of its inputs
        limit = width**-0.5
        start = keras().initializers.RandomUniform(-limit, limit)
        self.out_kernel = self.add_weight(name="out_kernel", shape=(width, width), initializer=start)
        self.out_bias = self.add_weight(name="out_bias", shape=(width,), initializer="zeros")

    def call(self, x: Any) -> Any:
        """Let every place attend to all."""
        length, width = x.shape[1] or tf.shape(x)[1], x.shape[2]
        size = width // self.heads
        parts = tf.matmul(x, tf.convert_to_tensor(self.in_kernel)) + self.in_bias
        parts = tf.reshape(parts, [-1, length, 3, self.heads, size])
        query, key, value = tf.unstack(tf.transpose(parts, [2, 0, 3, 1, 4]))
        scores = tf.nn.softmax(tf.matmul(query * tf.cast(size**-0.5, x.dtype), key, transpose_b=True))
        mixed = tf.transpose(tf.matmul(scores, value), [0, 2, 1, 3])
        return (
            tf.matmul(tf.reshape(mixed, [-1, length, width]), tf.convert_to_tensor(self.out_kernel))
            + self.out_bias
        )

    def compute_output_shape(self, input_shape: _Shape) -> _Shape:
        """Return the shape of the input."""
        return input_shape

    def count_operations(self, given: list[_Shape], returned: list[_Shape]) -> int:
        """Count multiply-adds of an item: four products by kernels, and each place with each, twice."""
        length, width = given[0][1] or 1, given[0][2] or 1
        return 4 * length * width * width + 2 * length * length * width

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "heads": self.heads}
