"""Layouts of torch's arrays: which one each variable is, and how its axes are turned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

Turn = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Layout:
    """Turning of axes from torch's order to Keras's; ``axes`` of the torch array in Keras's order."""

    axes: tuple[int, ...] | None = None
    shape: Callable[[tuple[int, ...]], tuple[int, ...]] | None = None

    def to_keras(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return an array in Keras's order."""
        turned = array if self.axes is None else np.transpose(array, self.axes)
        return turned.reshape(shape)

    def to_torch(self, array: np.ndarray) -> np.ndarray:
        """Return an array in torch's order."""
        if self.shape is not None:
            return array.reshape(self.shape(array.shape))
        return array if self.axes is None else np.transpose(array, np.argsort(self.axes))

    def torch_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape that the torch array of a variable has."""
        if self.shape is not None:
            return self.shape(shape)
        return shape if self.axes is None else tuple(shape[place] for place in np.argsort(self.axes))


SAME = Layout()
CONV = Layout((2, 3, 1, 0))
VOLUME = Layout((2, 3, 4, 1, 0))
DEPTHWISE = Layout((2, 3, 0, 1))
DENSE = Layout((1, 0))
SLOPES = Layout(shape=lambda shape: (shape[-1],))
CHANNELS = Layout(shape=lambda shape: (*shape, 1, 1))

#: By the class of a layer: (attribute of the layer, suffix of the torch name, layout).
_TABLE: dict[str, tuple[tuple[str, str, Layout], ...]] = {
    "Conv2D": (("kernel", ".weight", CONV), ("bias", ".bias", SAME)),
    # torch has the inputs of a transposed convolution first, Keras its filters: the same turn
    "Conv2DTranspose": (("kernel", ".weight", CONV), ("bias", ".bias", SAME)),
    "Conv3D": (("kernel", ".weight", VOLUME), ("bias", ".bias", SAME)),
    "Conv3DTranspose": (("kernel", ".weight", VOLUME), ("bias", ".bias", SAME)),
    "PReLU": (("alpha", ".weight", SLOPES),),
    "DepthwiseConv2D": (("kernel", ".weight", DEPTHWISE), ("bias", ".bias", SAME)),
    "Dense": (("kernel", ".weight", DENSE), ("bias", ".bias", SAME)),
    "BatchNorm": (
        ("gamma", ".weight", SAME),
        ("beta", ".bias", SAME),
        ("moving_mean", ".running_mean", SAME),
        ("moving_variance", ".running_var", SAME),
    ),
    "LayerNormalization": (("gamma", ".weight", SAME), ("beta", ".bias", SAME)),
    "SelfAttention": (
        ("in_kernel", ".in_proj_weight", DENSE),
        ("in_bias", ".in_proj_bias", SAME),
        ("out_kernel", ".out_proj.weight", DENSE),
        ("out_bias", ".out_proj.bias", SAME),
    ),
    "ClassToken": (("token", "", SAME),),
    "PositionEmbedding": (("places", "", SAME),),
    "LayerScale": (("factors", "", CHANNELS),),
}
#: What torch's names have behind the name of a layer.
SUFFIXES = frozenset(suffix for rows in _TABLE.values() for _, suffix, _ in rows)


@dataclass(frozen=True, slots=True)
class Entry:
    """One array of a model: its torch name, its variable and the layout between them."""

    name: str
    variable: Any
    layout: Layout

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the torch array."""
        return self.layout.torch_shape(tuple(self.variable.shape))


def list_entries(network: Any) -> Iterator[Entry]:
    """Yield the arrays of a network in the order of its layers; TypeError for a layer without a layout."""
    for layer in network.layers:
        if not layer.weights:
            continue
        rows = _TABLE.get(type(layer).__name__)
        if rows is None:
            raise TypeError(
                f"convert: layer {layer.name!r} of the kind {type(layer).__name__} has weights "
                "and no torch layout"
            )
        for attribute, suffix, layout in rows:
            variable = getattr(layer, attribute, None)
            if variable is not None:
                yield Entry(layer.name + suffix, variable, layout)
