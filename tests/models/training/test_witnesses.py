"""Kernels that are not read: what is not finite in their gradients is so in a norm's."""

from __future__ import annotations

import numpy as np
import pytest

from bf_models import KerasModel
from bf_models._backend import keras
from bf_models.errors import NonFiniteLoss
from bf_models.layers import BatchNorm, Conv2D
from bf_models.training.witnesses import find_shown


def test_kernels_that_only_norms_follow_are_shown_by_them():
    layers = keras().layers
    x = layers.Input((4, 4, 2))

    def conv(name, y, **more):
        return Conv2D(2, 1, name=name, **more)(y)

    y = BatchNorm()(conv("plain", x))
    y = BatchNorm()(conv("active", y, activation="relu"))
    y = BatchNorm()(conv("regular", y, kernel_regularizer="l2"))
    y = layers.ReLU()(conv("alone", y))
    y = BatchNorm(trainable=False)(conv("frozen", y))
    y = BatchNorm(scale=False, center=False)(conv("without", y))
    y = BatchNorm(scale=False)(layers.DepthwiseConv2D(1, name="depthwise", use_bias=False)(y))
    both = conv("both", y)
    y = layers.Add()([BatchNorm()(both), both])
    twice = conv("twice", y)
    y = layers.Add()([BatchNorm()(twice), BatchNorm()(twice)])
    y = BatchNorm()(layers.Dense(3, name="dense")(layers.Flatten()(y)))
    network = keras().Model(x, layers.Dense(3, name="returned")(y))
    shown = find_shown(network)
    names = [item.name for item in network.layers if hasattr(item, "kernel") and id(item.kernel) in shown]
    assert names == ["plain", "depthwise", "twice", "dense"]


def test_what_is_not_finite_behind_or_before_such_a_kernel_refuses_the_step():
    def body(x, net):
        return net.norm(net.conv(x, 2, 3, name="conv"), "norm")

    def head(x, net):
        return net.logits(keras().layers.Flatten()(x), "out")

    def inf_behind(labels, outputs):
        # the loss is 0, and its gradient is not a number
        return (outputs[:, 0] - outputs[:, 0]) ** 0.5

    x, labels = np.random.default_rng(0).normal(size=(4, 4, 4, 1)).astype("float32"), np.arange(4) % 3
    config = {"body": body, "head": head, "num_classes": 3, "seed": 1}
    for loss, place, value in (
        ("ce", (1, 2, 3, 0), np.nan),
        ("ce", (0, 0, 0, 0), np.inf),
        (inf_behind, (), x),
    ):
        model = KerasModel({**config, "loss": loss})
        assert id(model.build(x).network.get_layer("conv").kernel) in find_shown(model.network)
        before = [item.numpy() for item in model.network.weights]
        wrong = x.copy()
        wrong[place] = value
        with pytest.raises(NonFiniteLoss):
            model.train(wrong, labels)
        assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, model.network.weights))
