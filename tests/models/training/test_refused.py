"""A step that is refused changes nothing: weights, statistics, random numbers, optimizer, counters."""

from __future__ import annotations

import numpy as np
import pytest

from bf_models import MLP
from bf_models.errors import NonFiniteLoss

X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
Y = np.array([0, 1, 2, 0, 1, 2])


def everything(model):
    held = {item.path: item.numpy() for item in model.network.weights}
    return {**held, **model.optimizer_state(), "iterations": np.array(model.iterations)}


def body(x, net):
    return net.dropout(net.norm(net.dense(x, 4, name="one"), "norm"), 0.5, "drop")


@pytest.fixture
def model():
    """A model with a norm, dropout, moments, averages and gathered gradients, one step old."""
    made = MLP(
        {
            "num_classes": 3,
            "seed": 1,
            "body": body,
            "optimizer": {"name": "adam", "global_clipnorm": 1.0},
            "ema": 0.9,
            "accumulate": 2,
        }
    )
    made.train(X, Y)
    return made


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1, 7, 0, 1, 2], "labels of 3 classes are 0 to 2.*value of 7 at item 2 of 'labels'"),
        ([0, 1, -1, 0, 1, 2], "value of -1"),
        ([0, 1, 0.5, 0, 1, 2], "whole numbers.*value of 0.5"),
        ([0, 1, np.nan, 0, 1, 2], "value of nan"),
        ([0, 1, 2**32, 0, 1, 2], "value of 4294967296"),
        (np.eye(3)[Y] * 2, "shares of classes are 0 to 1.*value of 2.0 at item 0, place"),
    ],
)
def test_wrong_labels_change_nothing_and_are_named(model, labels, words):
    before = everything(model)
    with pytest.raises(ValueError, match=words):
        model.train(X, np.array(labels))
    after = everything(model)
    assert [name for name in before if not np.array_equal(before[name], after[name])] == []
    with pytest.raises(ValueError, match=words):
        model.predict(X, np.array(labels), fetches="loss")


def test_a_run_with_refused_steps_is_the_run_without_them(model):
    before = everything(model)
    with pytest.raises(NonFiniteLoss):
        model.train(np.where(X > 1, np.nan, X), Y)
    with pytest.raises(NonFiniteLoss):
        model.train(X, Y, sample_weight=np.full(6, np.inf))
    assert all(np.array_equal(item, everything(model)[name]) for name, item in before.items())


def test_a_kernels_gradient_that_overflows_is_seen_where_its_bias_is_finite():
    model = MLP({"num_classes": 3, "seed": 1, "body": {"units": []}, "optimizer": "sgd"})
    huge = np.full((6, 5), 3e38, "float32")
    model.build(huge)
    before = everything(model)
    with pytest.raises(NonFiniteLoss):
        model.train(huge, Y)
    assert all(np.array_equal(item, everything(model)[name]) for name, item in before.items())


def test_averages_of_a_model_whose_first_step_is_refused_are_its_weights():
    plain, averaged = (
        MLP({"num_classes": 3, "seed": 1, "body": {"units": [4]}, **more}) for more in ({}, {"ema": 0.9})
    )
    want = plain.predict(X)
    with pytest.raises(NonFiniteLoss):
        averaged.train(X * np.nan, Y)
    np.testing.assert_array_equal(averaged.predict(X), want)


def test_an_overflow_that_no_smaller_scale_helps_is_told():
    model = MLP({"num_classes": 3, "seed": 1, "body": {"units": [4]}, "precision": "float16"})
    model.train(X, Y)
    model._steps.gradients.scale.scale.assign(1.0)
    before = everything(model)
    with pytest.raises(NonFiniteLoss):
        model.train(X, Y, sample_weight=np.full(6, 1e38))
    assert all(np.array_equal(item, everything(model)[name]) for name, item in before.items())


def test_a_declared_integer_does_not_cut_off_numbers():
    declared = {"images": {"shape": (5,)}, "labels": {"classes": 3, "dtype": "int32"}}
    model = MLP({"inputs": declared, "body": {"units": []}})
    with pytest.raises(ValueError, match=r"'labels' is declared as int32, got a value of 0\.5"):
        model.train(X, [0, 0.5, 1, 1, 2, 2])
    model.train(X, Y.astype(float))
