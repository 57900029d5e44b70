"""Batches for TensorFlow: structure, shapes and types, epochs, and training by Keras."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from bf_batch import Batch, Dataset, SkipBatch, action
from bf_pipeline import B, Pipeline
from tests.conftest import wait_until

pytestmark = pytest.mark.slow


class Points(Batch):
    """Points of the plane and the side of a line that they are on."""

    components = ("points", "sides", "names")

    @action
    def make(self):
        self.points = self.rng().normal(size=(len(self), 2)).astype(np.float32)
        self.sides = (self.points.sum(axis=1) > 0).astype(np.int64)
        self.names = [f"point {number}" for number in self.indices]
        return self

    @action
    def uneven(self):
        self.points = [np.zeros(n) for n in range(len(self))]
        return self


PIPELINE = Pipeline(Dataset(50, Points)).make()


def test_keras_trains_on_what_a_pipeline_delivers():
    import keras

    data = PIPELINE.to_tf_dataset(8, ("points", "sides"), shuffle=True, seed=1, prefetch=2, workers=2)
    net = keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(optimizer=keras.optimizers.Adam(0.05), loss=loss, metrics=["accuracy"])
    history = net.fit(data, epochs=5, verbose=0)
    assert len(history.history["loss"]) == 5
    assert history.history["accuracy"][-1] > 0.9
    assert net.evaluate(data, verbose=0, return_dict=True)["accuracy"] > 0.9


def test_the_signature_is_that_of_the_batches():
    import tensorflow as tf

    data = PIPELINE.to_tf_dataset(8, {"inputs": ("points", "names"), "targets": "sides"})
    assert data.element_spec == {
        "inputs": (tf.TensorSpec((None, 2), tf.float32), tf.TensorSpec((None,), tf.string)),
        "targets": tf.TensorSpec((None,), tf.int64),
    }
    sizes = [len(element["targets"]) for element in data]
    assert sizes == [8] * 6 + [2]


def test_elements_are_the_batches_and_every_pass_is_repeatable():
    options = {"shuffle": True, "seed": 5}
    data = PIPELINE.to_tf_dataset(8, "points", **options)
    first, second = ([points.numpy() for points in data] for _ in range(2))
    wanted = [batch.points for batch in PIPELINE.gen_batch(8, **options)]
    for got, want in zip(first, wanted, strict=True):
        np.testing.assert_array_equal(got, want)
    assert not np.array_equal(first[0], second[0])
    again = PIPELINE.to_tf_dataset(8, "points", **options)
    for wanted_pass in (first, second):
        for got, want in zip(again, wanted_pass, strict=True):
            np.testing.assert_array_equal(got.numpy(), want)


def test_leaving_early_leaves_no_thread():
    import tensorflow as tf

    def threads():
        gc.collect()
        return [thread for thread in threading.enumerate() if thread.name.startswith("bf-engine")]

    data = PIPELINE.to_tf_dataset(8, "points", prefetch=4, workers=2)
    elements = iter(data)
    next(elements)
    assert threads(), "nothing works ahead, so that nothing could stay"
    del data, elements
    tf.keras.backend.clear_session()

    wait_until(lambda: not threads(), "the end of the threads")


def test_a_given_signature_is_taken():
    import tensorflow as tf

    given = tf.TensorSpec((8, 2), tf.float32)
    assert PIPELINE.to_tf_dataset(8, "points", signature=given, drop_last=True).element_spec == given


def test_items_of_different_shapes_are_told_by_component():
    with pytest.raises((ValueError, TypeError)) as caught:
        PIPELINE.uneven().to_tf_dataset(8, ("points", "sides"))
    assert "'points'" in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


def test_the_number_of_batches_is_told_unless_some_are_left_out():
    import tensorflow as tf

    def skip(batch):
        if batch.place.batch == 2:
            raise SkipBatch

    assert int(PIPELINE.to_tf_dataset(8, "points").cardinality()) == 7
    skipping = PIPELINE.call(skip, B())
    assert len(list(skipping.to_tf_dataset(8, "points", counted=False))) == 6
    with pytest.raises(tf.errors.InvalidArgumentError, match="counted=False"):
        list(skipping.to_tf_dataset(8, "points"))


def test_outputs_are_names():
    with pytest.raises(TypeError, match="names of components, got 3"):
        PIPELINE.to_tf_dataset(8, ("points", 3))
    with pytest.raises(AttributeError, match="points"):
        PIPELINE.to_tf_dataset(8, "pionts")
    with pytest.raises(TypeError, match="shuffle"):
        PIPELINE.to_tf_dataset(8, "points", shufle=True)
