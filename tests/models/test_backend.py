"""The door to Keras: each private name of it that is used, held against the version that is pinned."""

from __future__ import annotations

import json
import platform

import numpy as np
import pytest

from bf_models._backend import (
    adam_moments,
    find_consumers,
    keras,
    producing_layer,
    variable_index,
    without_values,
)


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


def test_a_symbolic_tensor_knows_its_layer_and_an_array_none():
    layer = keras().layers.Dense(3)
    assert producing_layer(layer(keras().Input((2,)))) is layer
    assert producing_layer(np.zeros(2)) is None


def test_consumers_of_a_layer_are_all_that_take_what_it_returns():
    first, shared, last = (keras().layers.Dense(2) for _ in range(3))
    x = keras().Input((2,))
    y = first(x)
    network = keras().Model(x, last(shared(shared(y)) + y))
    add = last.input._keras_history.operation
    consumers = find_consumers(network)
    for layer in (first, shared):
        assert {id(item) for item in consumers[id(layer)]} == {id(shared), id(add)}
    assert id(last) not in consumers


#: Imports TensorFlow as on a CPU that it leaves oneDNN off for, and forks for each that may be said then.
_TOO_LATE = """
    import os, sys, warnings

    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    import tensorflow

    warnings.simplefilter("always")
    from bf_models import MLP
    from bf_models._backend import keras, tensorflow as door

    for said in (None, "1", "0"):
        child = os.fork()
        if child == 0:
            os.environ.pop("TF_ENABLE_ONEDNN_OPTS")
            if said:
                os.environ["TF_ENABLE_ONEDNN_OPTS"] = said
            os.dup2(os.open(f"{said}.txt", os.O_CREAT | os.O_WRONLY), 2)
            MLP({"inputs": {"images": {"shape": (4,)}}, "num_classes": 2}).build()
            assert door() is tensorflow
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, said
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="TensorFlow has oneDNN for x86")
def test_tensorflow_imported_without_onednn_gives_one_warning_that_says_what_to_do(run_script, tmp_path):
    done = run_script(_TOO_LATE)
    assert done.code == 0, done.err
    for said, warned in ((None, 1), ("1", 1), ("0", 0)):
        told = (tmp_path / f"{said}.txt").read_text()
        assert told.count("RuntimeWarning: TensorFlow was imported without oneDNN") == warned, said
        assert told.count("set TF_ENABLE_ONEDNN_OPTS=1 in the environment before") == warned, said


@pytest.mark.parametrize("first", ["bf_models", "bf_command"])
def test_onednn_is_on_when_the_user_imports_tensorflow_after_us(run_script, monkeypatch, first):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    code = f"import {first}, os; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    assert run_script(code).out.split() == ["1"]
    assert run_script(code, TF_ENABLE_ONEDNN_OPTS="0").out.split() == ["0"]


#: Trains a small network in each precision, then twice with ``deterministic``; prints as JSON.
_TRAIN = """
    import json, os
    import numpy as np
    from bf_models import ResNet18
    from bf_models._backend import onednn_is_on

    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(8, 8, 8, 3)).astype("float32"), rng.integers(0, 3, 8)

    def losses(**config):
        # maps of 8, 4, 2 and 1 pixels
        model = ResNet18({
            "inputs": {"images": {"shape": (8, 8, 3)}}, "num_classes": 3, "seed": 1, "stem": "small",
            "initial_block": {"filters": 8}, "body": {"depths": [1, 1, 1, 1], "filters": 8},
            "optimizer": {"name": "sgd", "learning_rate": 0.01}, **config,
        })
        return [model.train(images, labels, fetches="loss") for _ in range(4)]

    found = {precision: losses(precision=precision) for precision in ("float32", "float16", "bfloat16")}
    found["deterministic"] = losses(deterministic=True)
    found["again"] = losses(deterministic=True)
    from tensorflow.python.framework import test_util

    seen = [os.environ["TF_ENABLE_ONEDNN_OPTS"], test_util.IsMklEnabled(), onednn_is_on()]
    print(json.dumps({"onednn": seen, **found}))
"""


@pytest.mark.slow
def test_onednn_is_on_unless_the_user_says_otherwise_and_all_precisions_train_alike(run_script, monkeypatch):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    on, off = (json.loads(run_script(_TRAIN, **said).out) for said in ({}, {"TF_ENABLE_ONEDNN_OPTS": "0"}))
    assert on.pop("onednn") == ["1", True, True]
    assert off.pop("onednn") == ["0", False, False]
    for found in (on, off):
        assert found["deterministic"] == found["again"]
        assert all(losses[-1] < losses[0] for losses in found.values())
        np.testing.assert_allclose(found["float16"], found["float32"], rtol=0.02)
        np.testing.assert_allclose(found["bfloat16"], found["float32"], rtol=0.1)
    np.testing.assert_allclose(on["float32"], off["float32"], rtol=1e-3)
    np.testing.assert_allclose(on["deterministic"], off["deterministic"], rtol=1e-3)
    np.testing.assert_allclose(on["float16"], off["float16"], rtol=0.02)
    np.testing.assert_allclose(on["bfloat16"], off["bfloat16"], rtol=0.1)


def test_variables_without_values_stay_without():
    from keras.src.backend.common import global_state

    with without_values():
        layer = keras().layers.Dense(3)
        layer(keras().Input((2,)))
        assert layer.kernel.shape == (2, 3)
        assert layer.kernel._value is None
    with keras().StatelessScope():
        pass  # at its end Keras makes what waits for a value
    assert layer.kernel._value is None
    assert not global_state.get_global_attribute("uninitialized_variables")
