"""Grad-CAM: where in an image the evidence for a class is (Selvaraju et al. 2017)."""

from __future__ import annotations

from typing import Any

import numpy as np

from bf_models._backend import keras, tensorflow
from bf_models.inspection.networks import as_inputs, find_layer, find_network, in_parts, list_maps


def grad_cam(
    model: Any, images: Any, classes: Any = None, layer: str | None = None, *, batch_size: int = 32
) -> np.ndarray:
    """Return maps (N, h, w), float32 from 0 on, of the evidence for a class, in the size of a layer's maps.

    Each is the sum of the layer's channels, weighed by the mean slope of the score (the logit) along them,
    without its negative part (Selvaraju et al. 2017). ``images`` are as ``predict`` takes them. ``classes``
    is a number, one for each image, or None for those that are predicted; of a yes or no 0 is the no.
    ``layer`` is by default the last one with maps; of a network that tells the class of each place the last
    of its smallest maps, and a score is the sum over places (Vinogradova et al. 2020). ``draw_grad_cam``
    draws them. ValueError for a layer without maps and for classes that there are not.
    """
    network = find_network(model)
    chosen = choose_maps(network) if layer is None else find_layer(network, layer)
    if len(chosen.output.shape) != 4:
        raise ValueError(
            f"{network.name}: layer {chosen.name!r} gives {tuple(chosen.output.shape)}, which are no maps "
            f"(N, H, W, C); those with maps are {', '.join(one.name for one in list_maps(network)[-5:])}"
        )
    inputs = as_inputs(network, images)
    wanted = _read_classes(classes, len(inputs[0]), network)
    tapped = keras().Model(network.inputs, [chosen.output, network.outputs[0]])
    return np.concatenate(
        [
            _explain(tapped, part, None if wanted is None else wanted[place])
            for place, part in in_parts(inputs, batch_size)
        ]
    )


def choose_maps(network: Any) -> Any:
    """Return the last layer with maps, or the last of the smallest maps where classes are told by place."""
    maps = [layer for layer in list_maps(network) if layer.output is not network.outputs[0]]
    if not maps:
        raise ValueError(f"{network.name}: no layer of it has maps (N, H, W, C), which Grad-CAM weighs")
    if len(network.outputs[0].shape) != 4:
        return maps[-1]
    known = [layer for layer in maps if None not in layer.output.shape[1:3]]
    if not known:
        raise ValueError(
            f"{network.name}: the sizes of its maps are not known, so name the layer to look at: layer=..."
        )
    return min(reversed(known), key=lambda layer: layer.output.shape[1] * layer.output.shape[2])


def _read_classes(classes: Any, count: int, network: Any) -> np.ndarray | None:
    """Return a class for each image; None stands for those that are predicted."""
    if classes is None:
        return None
    found, most = np.asarray(classes), max(2, network.outputs[0].shape[-1])
    if found.dtype.kind not in "iu" or found.shape not in ((), (count,)):
        raise ValueError(
            f"grad_cam: classes is a whole number, or one for each of {count} images, got {classes!r}"
        )
    if found.size and not (found.min() >= 0 and found.max() < most):
        raise ValueError(f"grad_cam: classes are 0 to {most - 1}, got {found.min()} to {found.max()}")
    return np.broadcast_to(found, (count,)).astype("int64")


def _explain(tapped: Any, inputs: Any, classes: np.ndarray | None) -> np.ndarray:
    """Return the maps of a part of the images."""
    tf = tensorflow()
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        maps, outputs = tapped(inputs, training=False)
        scores = tf.reshape(outputs, [outputs.shape[0], -1, outputs.shape[-1]])
        if scores.shape[-1] == 1:  # a yes or no: the no has the score turned round
            scores = tf.concat([-scores, scores], -1)
        scores = tf.cast(tf.reduce_sum(scores, 1), tf.float32)
        chosen = tf.argmax(scores, -1) if classes is None else tf.constant(classes)
        picked = tf.gather(scores, chosen, batch_dims=1)
    slopes = tape.gradient(picked, maps, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    weights = tf.reduce_mean(tf.cast(slopes, tf.float32), [1, 2], keepdims=True)
    found: np.ndarray = tf.nn.relu(tf.reduce_sum(weights * tf.cast(maps, tf.float32), -1)).numpy()
    return found
