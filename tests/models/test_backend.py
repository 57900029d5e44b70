"""The door to Keras: each private name of it that is used, held against the version that is pinned."""

from __future__ import annotations

import numpy as np
import pytest

from bf_models._backend import adam_moments, keras, moving_averages, producing_layer, variable_index


@pytest.fixture
def variables():
    """Two variables of different shapes."""
    return [keras().Variable(np.ones(shape, "float32")) for shape in ((2,), (3, 4))]


def test_a_variable_has_the_place_that_it_was_built_with(variables):
    optimizer = keras().optimizers.SGD()
    optimizer.build(variables)
    assert [variable_index(optimizer, item) for item in variables] == [0, 1]


@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
def test_moments_of_adam_are_those_that_a_step_changes(variables, kind):
    optimizer = getattr(keras().optimizers, kind)(0.1, beta_1=0.9, beta_2=0.99)
    optimizer.build(variables)
    optimizer.apply([item.value * 2 for item in variables], variables)
    first, second = adam_moments(optimizer, variables[1])
    np.testing.assert_allclose(first.numpy(), np.full((3, 4), 0.2), rtol=1e-5)
    np.testing.assert_allclose(second.numpy(), np.full((3, 4), 0.04), rtol=1e-5)


def test_moving_averages_are_in_the_order_of_the_variables(variables):
    optimizer = keras().optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    optimizer.build(variables)
    for _ in range(2):
        optimizer.apply([item.value * 0 + 0.5 for item in variables], variables)
    averages = moving_averages(optimizer)
    assert [tuple(item.shape) for item in averages] == [(2,), (3, 4)]
    # values were 0.5 and 0.0; the first average is the first value
    np.testing.assert_allclose(averages[0].numpy(), 0.25)


def test_a_symbolic_tensor_knows_its_layer_and_an_array_none():
    layer = keras().layers.Dense(3)
    assert producing_layer(layer(keras().Input((2,)))) is layer
    assert producing_layer(np.zeros(2)) is None


@pytest.mark.parametrize(("given", "seen"), [(None, "1"), ("0", "0")])
def test_onednn_is_on_unless_the_user_says_otherwise(run_script, monkeypatch, given, seen):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    code = """
        import os
        from bf_models._backend import tensorflow

        tensorflow()
        from tensorflow.python.framework import test_util

        print(os.environ["TF_ENABLE_ONEDNN_OPTS"], test_util.IsMklEnabled())
    """
    told = {} if given is None else {"TF_ENABLE_ONEDNN_OPTS": given}
    assert run_script(code, **told).out.split() == [seen, str(seen == "1")]
