"""Layers that change the size of a map: padded to a multiple, cut or enlarged to the size of another one."""

from __future__ import annotations

from typing import Any

from bf_models._backend import keras, tensorflow

tf = tensorflow()
_register = keras().saving.register_keras_serializable("bf_models")
_Shape = tuple[int | None, ...]


def _pads(size: Any, factor: int) -> tuple[Any, Any]:
    """Return the pixels before and after an axis that make it a multiple; one more comes after."""
    extra = -size % factor
    return extra // 2, extra - extra // 2


@_register
class PadToMultiple(keras().layers.Layer):  # type: ignore[misc]
    """Zeros around a map, so that its sides divide by ``factor``: (N, ..., C) of two axes, or of three."""

    def __init__(self, factor: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if factor < 1:
            raise ValueError(f"PadToMultiple: factor is a number from 1 on, got {factor!r}")
        self.factor = factor

    def call(self, x: Any) -> Any:
        """Return the larger map, the given one in its middle."""
        sizes = tf.shape(x)[1:-1]
        sides = [_pads(sizes[axis], self.factor) for axis in range(len(x.shape) - 2)]
        padded = tf.pad(x, [(0, 0), *sides, (0, 0)])
        return tf.ensure_shape(padded, self.compute_output_shape(tuple(x.shape)))

    def compute_output_shape(self, input_shape: _Shape) -> _Shape:
        """Return the shape with sides that divide."""
        sides = (None if side is None else side + -side % self.factor for side in input_shape[1:-1])
        return (input_shape[0], *sides, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "factor": self.factor}


class _Like(keras().layers.Layer):  # type: ignore[misc]
    """A map brought to the size of another one: called with the two."""

    def compute_output_shape(self, input_shape: list[_Shape]) -> _Shape:
        """Return the sides of the second map with the channels of the first."""
        first, second = input_shape
        return (first[0], *second[1:-1], first[-1])


@_register
class CropLike(_Like):
    """The middle of a map, as large as another one: what ``PadToMultiple`` has added is cut off."""

    def call(self, tensors: list[Any]) -> Any:
        """Return the middle of the first map."""
        x, like = tensors
        extra = tf.shape(x)[1:-1] - tf.shape(like)[1:-1]
        begin = tf.concat([[0], extra // 2, [0]], 0)
        size = tf.concat([[-1], tf.shape(like)[1:-1], [-1]], 0)
        cut = tf.slice(x, begin, size)
        return tf.ensure_shape(cut, self.compute_output_shape([tuple(x.shape), tuple(like.shape)]))


@_register
class ResizeLike(_Like):
    """A map interpolated to the size of another one, (N, H, W, C), with the corners of pixels aligned.

    Bilinear is torch's with ``align_corners=False``.
    """

    def __init__(self, interpolation: str = "bilinear", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if interpolation not in ("bilinear", "nearest"):
            raise ValueError(f"ResizeLike: interpolation is 'bilinear' or 'nearest', got {interpolation!r}")
        self.interpolation = interpolation

    def call(self, tensors: list[Any]) -> Any:
        """Return the first map in the size of the second."""
        x, like = tensors
        resized = tf.cast(tf.image.resize(x, tf.shape(like)[1:-1], self.interpolation), x.dtype)
        return tf.ensure_shape(resized, self.compute_output_shape([tuple(x.shape), tuple(like.shape)]))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "interpolation": self.interpolation}
