"""The convolution that leaves out taps on zeros: it is Keras's in values, gradients, weights and names."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bf_models import ResNet18
from bf_models._backend import keras, tensorflow
from bf_models.layers import Conv2D
from bf_models.layers.conv import find_reach

#: size, kernel, stride, dilation, padding of each side (None: "same")
GRID = [
    (size, kernel, stride, dilation, pad)
    for size, kernel, stride, dilation, pad in itertools.product(
        (1, 2, 3, 5, 8), (1, 2, 3, 7), (1, 2), (1, 3), (None, 0, 1, 3)
    )
    if (stride == 1 or dilation == 1) and (pad is None or size + 2 * pad > (kernel - 1) * dilation)
]


def _learn(x, layer, function, jit=False):
    """Outputs, and gradients of the input and of all weights."""
    tf = tensorflow()

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
            loss = tf.reduce_sum(tf.sin(y))
        return [y, *tape.gradient(loss, [x, *layer.trainable_variables])]

    step = tf.function(step, autograph=False, jit_compile=True) if jit else step
    return [np.asarray(tf.cast(item, tf.float64)) for item in step(tf.constant(x))]


def _pair(x, pad, *arguments, **options):
    """Both, of the same weights: ours and Keras's on a map that is padded before it."""
    tf = tensorflow()
    padding = "same" if pad is None else "valid"
    ours = Conv2D(*arguments, padding=padding, pads=pad or 0, **options)
    theirs = keras().layers.Conv2D(*arguments, padding=padding, **options)

    def plain(x):
        return theirs(x if not pad else tf.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)]))

    assert ours.compute_output_shape(x.shape) == tuple(ours(x).shape) == tuple(plain(x).shape)
    for variable in ours.variables:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    theirs.set_weights(ours.get_weights())
    return ours, theirs, plain


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_values_and_gradients_are_those_of_the_whole_kernel(size):
    x = np.random.default_rng(0).normal(size=(3, size, size, 4))
    for _, kernel, stride, dilation, pad in (row for row in GRID if row[0] == size):
        options = {"strides": stride, "dilation_rate": dilation, "dtype": "float64"}
        ours, theirs, plain = _pair(x, pad, 5, kernel, **options)
        for got, expected in zip(_learn(x, ours, ours), _learn(x, theirs, plain), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-12)


def test_sides_and_kernels_may_differ():
    tf = tensorflow()
    x = np.random.default_rng(0).normal(size=(2, 1, 3, 2))
    ours = Conv2D(4, (7, 3), (1, 2), pads=(3, 1), dtype="float64")
    theirs = keras().layers.Conv2D(4, (7, 3), (1, 2), dtype="float64")
    padded = tf.pad(x, [(0, 0), (3, 3), (1, 1), (0, 0)])
    assert ours(x).shape == theirs(padded).shape == (2, 1, 2, 4)
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(ours(x), theirs(padded), rtol=1e-12)


@pytest.mark.parametrize(("size", "kernel", "stride", "pad"), [(1, 3, 1, None), (2, 3, 2, 1), (2, 1, 2, 0)])
def test_one_pixel_is_a_matrix_product_and_no_convolution(size, kernel, stride, pad):
    tf = tensorflow()
    layer = Conv2D(6, kernel, stride, padding="same" if pad is None else "valid", pads=pad or 0)
    spec = tf.TensorSpec((None, size, size, 4), tf.float32)
    layer.build(spec.shape)
    graph = tf.function(layer, autograph=False).get_concrete_function(spec).graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert "MatMul" in kinds
    assert "Conv2D" not in kinds


@pytest.mark.parametrize(
    ("axis", "taps", "pixels", "pads"),
    [
        ((1, 3, 1, 1, 1), (1, 1), (0, 1), (0, 0)),
        ((2, 3, 2, 1, 1), (1, 2), (0, 2), (0, 0)),
        ((4, 3, 1, 6, 6), (1, 1), (0, 4), (0, 0)),
        ((2, 7, 1, 1, 3), (2, 4), (0, 2), (1, 1)),
        ((7, 3, 1, 1, None), (0, 2), (0, 7), (1, 1)),
        ((7, 3, 2, 1, 0), (0, 2), (0, 7), (0, 0)),
    ],
)
def test_taps_that_touch_nothing_but_zeros_are_left_out(axis, taps, pixels, pads):
    reach = find_reach(*axis)
    assert ((reach.first, reach.last), reach.pads) == (taps, pads)
    assert (reach.pixels.start, reach.pixels.stop) == pixels


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float32"])
def test_every_precision_is_that_of_keras_and_keeps_its_type(policy, size):
    x = np.random.default_rng(0).normal(size=(4, size, size, 8)).astype("float32")
    ours, theirs, plain = _pair(x, None, 16, 3, dtype=policy)
    assert ours(x).dtype == theirs(x).dtype
    assert {item.dtype for item in ours.variables} == {"float32"}
    rough = {"mixed_float16": 1e-2, "mixed_bfloat16": 6e-2, "float32": 1e-5}[policy]
    for got, expected in zip(_learn(x, ours, ours), _learn(x, theirs, plain), strict=True):
        assert np.abs(got - expected).max() <= rough * np.abs(expected).max()


def test_xla_compiles_it_to_the_same_values():
    x = np.random.default_rng(0).normal(size=(4, 2, 2, 8)).astype("float32")
    ours, _, _ = _pair(x, 1, 16, 3, strides=2)
    for got, expected in zip(_learn(x, ours, ours, jit=True), _learn(x, ours, ours), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_maps_of_unknown_size_and_groups_take_the_whole_kernel():
    tf = tensorflow()
    x = np.random.default_rng(0).normal(size=(2, 1, 1, 8)).astype("float32")
    layer = Conv2D(8, 3, pads=1)
    layer.build((None, None, None, 8))
    unknown = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 8), tf.float32)])
    np.testing.assert_allclose(unknown(x), layer(x), rtol=1e-5, atol=1e-6)
    ours, _, plain = _pair(x, 1, 8, 3, groups=4)
    np.testing.assert_allclose(ours(x), plain(x), rtol=1e-5, atol=1e-6)


def test_pads_beside_same_are_refused():
    with pytest.raises(ValueError, match=r"conv7: pads are for padding='valid'.* got 'same'"):
        Conv2D(3, 3, padding="same", pads=1, name="conv7")


def test_a_config_goes_round_with_its_pads():
    k = keras()
    layer = Conv2D(3, 3, pads=(1, 2), name="conv")
    again = k.saving.deserialize_keras_object(k.saving.serialize_keras_object(layer))
    assert type(again) is Conv2D
    assert again.pads == (1, 2)


def test_variables_of_a_network_are_called_as_before_and_have_their_shapes():
    config = {"inputs": {"images": {"shape": (28, 28, 1)}}, "num_classes": 10, "stem": "imagenet"}
    kernel = ResNet18(config).network.get_layer("layer4.0.conv1").kernel
    assert kernel.path == "layer4.0.conv1/kernel"
    assert tuple(kernel.shape) == (3, 3, 256, 512)
