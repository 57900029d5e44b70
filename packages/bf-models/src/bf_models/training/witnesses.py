"""Kernels whose gradient need not be read to know that it is finite: a norm after their layer shows it."""

from __future__ import annotations

from typing import Any

from bf_models._backend import find_consumers, keras, producing_layer


def find_shown(network: Any) -> frozenset[int]:
    """Return the ids of kernels of layers that only batch norms follow, which learn.

    The gradient of such a kernel is made of what the layer takes and of the gradient of what it returns. What
    is not finite in the first is so in the norm's statistics, in the second in the gradients of the norm's
    own weights, and these are read: reading all kernels of ResNet18 took 7 % of a step.
    """
    from bf_models.layers import BatchNorm, Conv2D  # late: loads TensorFlow

    layers = keras().layers
    linear = {Conv2D, layers.Conv2D, layers.DepthwiseConv2D, layers.Dense}
    consumers = find_consumers(network)
    returned = {id(producing_layer(item)) for item in network.outputs}
    return frozenset(
        id(layer.kernel)
        for layer in network.layers
        if type(layer) in linear
        and _adds_nothing(layer)
        and id(layer) not in returned
        and all(
            isinstance(item, BatchNorm) and item.trainable and (item.scale or item.center)
            for item in consumers[id(layer)]
        )
    )


def _adds_nothing(layer: Any) -> bool:
    """Whether a layer has neither an activation, which may hide a NaN, nor a term of the loss of its own."""
    plain = layer.activation is keras().activations.linear
    return plain and layer.kernel.regularizer is None and layer.activity_regularizer is None
