"""The factor of the learning rates, and the norm of the gradient, against plain computations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from bf_models import MLP

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 5)).astype("float32")
Y = RNG.integers(0, 3, 16)


def make(**config: Any) -> MLP:
    given = {"num_classes": 3, "loss": "ce", "seed": 1, "optimizer": {"name": "sgd", "learning_rate": 0.1}}
    return MLP({"body": {"units": [4]}, **given, **config})


def weights(model: MLP) -> list[np.ndarray]:
    return [item.numpy() for item in model.build(X[:1]).network.trainable_variables]


def change(model: MLP) -> list[np.ndarray]:
    """Return how the weights change in a step."""
    before = weights(model)
    model.train(X, Y)
    return [new - old for new, old in zip(weights(model), before)]


def gradient_of(model: MLP) -> list[np.ndarray]:
    network = model.build(X[:1]).network
    with tf.GradientTape() as tape:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(Y, network(X, training=True))
        loss = tf.reduce_mean(losses)
    return [item.numpy() for item in tape.gradient(loss, [one.value for one in network.trainable_variables])]


SCHEDULES = [
    {},
    {"schedule": {"name": "constant"}},
    {"schedule": {"name": "exponential", "decay_steps": 1, "decay_rate": 1.0}},
    {"learning_rates": {"head": 0.5}},
    {"schedule": {"name": "constant"}, "learning_rates": {"head": 0.5}},
]


@pytest.mark.parametrize("config", SCHEDULES, ids=str)
def test_the_factor_multiplies_the_rate_of_every_part(config: dict[str, Any]) -> None:
    plain = change(make(**config))
    early = make(**config)
    early.rate_factor = 0.25
    for ours, whole in zip(change(early), plain):
        np.testing.assert_allclose(ours, 0.25 * whole, atol=1e-7)
    late = make(**config)
    late.train(X, Y)
    late.rate_factor = 0.25
    late.rate_factor = 0.5
    gradient, parts = gradient_of(late), late.config.get("learning_rates")
    rates = [0.05] * (len(gradient) - 2) + [0.05 * (0.5 if parts else 1.0)] * 2
    for ours, rate, one in zip(change(late), rates, gradient):
        np.testing.assert_allclose(ours, -rate * one, atol=1e-6)
    assert late.learning_rate == pytest.approx(0.05)


@pytest.mark.parametrize("factor", [0, -1.0, math.nan])
def test_a_factor_that_is_none_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="rate_factor is a number above 0"):
        make().rate_factor = factor


@pytest.mark.parametrize("optimizer", [{"name": "sgd"}, {"name": "adam", "global_clipnorm": 1e-3}], ids=str)
def test_the_norm_of_the_gradient_is_measured_when_asked(optimizer: dict[str, Any]) -> None:
    model = make(optimizer=optimizer)
    assert math.isnan(model.gradient_norm)
    model.measure_gradient_norm()
    for asked in (True, False, True):
        if asked:
            model.measure_gradient_norm()
            expected = np.sqrt(sum(np.square(one).sum() for one in gradient_of(model)))
        model.train(X, Y)
        assert model.gradient_norm == pytest.approx(expected, rel=1e-5)
    assert model.traces == 1
