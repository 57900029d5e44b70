"""What layers give for images, and the filters that they have learnt."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from bf_models._backend import keras
from bf_models.inspection.networks import as_inputs, find_layer, find_network, in_parts


def read_activations(
    model: Any, images: Any, layers: str | Sequence[str] = "*", *, batch_size: int = 32
) -> dict[str, np.ndarray]:
    """Return the outputs (N, ...) of layers by name for images, in the order of the network.

    ``layers`` are names or patterns such as ``layer1.*``. ValueError for one that no layer has. All layers of
    a large network take much memory for many images.
    """
    network = find_network(model)
    patterns = [layers] if isinstance(layers, str) else list(layers)
    for pattern in patterns:
        if not any(fnmatchcase(layer.name, pattern) for layer in network.layers):
            find_layer(network, pattern)
    chosen = [one for one in network.layers if any(fnmatchcase(one.name, pattern) for pattern in patterns)]
    tapped = keras().Model(network.inputs, [layer.output for layer in chosen])
    parts = []
    for _, part in in_parts(as_inputs(network, images), batch_size):
        outputs = tapped(part, training=False)
        parts.append([item.numpy() for item in (outputs if isinstance(outputs, list | tuple) else [outputs])])
    return {layer.name: np.concatenate(arrays) for layer, arrays in zip(chosen, zip(*parts))}


def read_filters(model: Any, layer: str | None = None) -> np.ndarray:
    """Return the filters (count, h, w, channels) of a convolution, by default of the first one.

    ValueError when the layer is none of two dimensions.
    """
    network = find_network(model)
    kinds = (keras().layers.Conv2D, keras().layers.DepthwiseConv2D)
    if layer is None:
        chosen = next((one for one in network.layers if isinstance(one, kinds)), None)
        if chosen is None:
            raise ValueError(f"{network.name}: no layer of it is a convolution of two dimensions")
    else:
        chosen = find_layer(network, layer)
        if not isinstance(chosen, kinds):
            raise ValueError(
                f"{network.name}: layer {layer!r} is {type(chosen).__name__}, and no convolution "
                "of two dimensions"
            )
    kernel: np.ndarray = np.asarray(chosen.kernel)
    if isinstance(
        chosen, keras().layers.DepthwiseConv2D
    ):  # each of (h, w, channels, multiplier) sees one channel
        kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
    return kernel.transpose(3, 0, 1, 2)
