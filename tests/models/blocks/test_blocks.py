"""Building blocks: letters, attention, context, upsampling."""

from __future__ import annotations

import numpy as np
import pytest

from bf_models import MLP, VGG7, KerasModel
from bf_models.blocks import (
    ASPP,
    CBAM,
    LETTERS,
    Chain,
    ConvBlock,
    PyramidPooling,
    SelfAttention2D,
    SpatialSqueezeExcite,
    SqueezeExcite,
    Upsample,
)


def built(*parts, shape=(8, 8, 4)):
    """A model of the parts and a classifier."""

    def body(x, net):
        for part in parts:
            x = part(x, net)
        return x

    return KerasModel(
        {"inputs": {"images": {"shape": shape}}, "num_classes": 3, "body": body, "head": lambda x, net: x}
    ).build()


def shape_after(*parts, shape=(8, 8, 4)):
    return built(*parts, shape=shape).network.output_shape[1:]


@pytest.mark.parametrize(
    ("layout", "options", "shape"),
    [
        ("cna", {"filters": 6}, (8, 8, 6)),
        ("cna cna p", {"filters": [6, 7], "kernel_size": [3, 5]}, (4, 4, 7)),
        ("t", {"filters": 6, "strides": 2}, (16, 16, 6)),
        ("C", {"filters": 6}, (8, 8, 6)),
        ("T", {"filters": 6, "strides": 2}, (16, 16, 6)),
        ("w", {"depth_multiplier": 2}, (8, 8, 8)),
        ("W", {"strides": 2}, (16, 16, 4)),
        ("faf", {"units": [7, 5]}, (5,)),
        ("pv", {}, (2, 2, 4)),
        ("P", {}, (4,)),
        ("Vdf", {"units": 3, "dropout_rate": 0.5}, (3,)),
        ("DO", {"dropout_rate": 0.1}, (8, 8, 4)),
        ("S", {"attention": "scse", "ratio": 2}, (8, 8, 4)),
        ("SS", {"attention": ["cbam", "self"], "ratio": 2}, (8, 8, 4)),
        ("m", {"factor": 2}, (8, 8, 2)),
        ("r", {"shape": (16, 16)}, (16, 16)),
        ("V>", {}, (1, 1, 4)),
        ("b", {}, (16, 16, 4)),
        ("B", {}, (16, 16, 1)),
        ("N", {"factor": 3}, (24, 24, 4)),
        ("X", {"filters": 5}, (16, 16, 5)),
        ("R cna +", {"filters": 9}, (8, 8, 9)),
        ("R cnap +", {"filters": 9}, (4, 4, 9)),
        ("R c a *", {"filters": 4}, (8, 8, 4)),
        ("R c |", {"filters": 6}, (8, 8, 10)),
        ("R c .", {"filters": 6}, (8, 8, 10)),
        ("R R c + c &", {"filters": 4}, (8, 8, 4)),
        ("A t +", {"filters": 1, "strides": 2}, (16, 16, 1)),
    ],
)
def test_layout_makes_its_shape(layout, options, shape):
    assert shape_after(ConvBlock(layout, **options)) == shape


def test_every_letter_is_tried_above(request):
    tried = "".join(
        mark.args[1][i][0]
        for mark in test_layout_makes_its_shape.pytestmark
        for i in range(len(mark.args[1]))
    )
    assert set(LETTERS) <= set(tried)


def test_convolution_before_a_norm_has_no_bias():
    model = built(ConvBlock("cn c", filters=2))
    convs = [layer for layer in model.network.layers if "Conv2D" in type(layer).__name__]
    assert [layer.use_bias for layer in convs] == [False, True]


def test_tuple_is_one_value_and_a_list_one_for_each_letter():
    model = built(ConvBlock("c c", filters=[2, 3], kernel_size=(1, 3)))
    assert [layer.kernel_size for layer in model.network.layers if hasattr(layer, "kernel_size")] == [
        (1, 3),
        (1, 3),
    ]
    with pytest.raises(ValueError, match="filters has 3 values for 2 letters"):
        ConvBlock("c c", filters=[1, 2, 3])


@pytest.mark.parametrize(
    ("layout", "words"),
    [("cnz", "'z'"), ("c+", "closes a branch"), ("Rc", "not closed"), ("f", "units"), ("r", "shape")],
)
def test_wrong_layout_is_refused_with_the_reason(layout, words):
    with pytest.raises(ValueError, match=words):
        shape_after(ConvBlock(layout))


@pytest.mark.parametrize(
    ("part", "shape"),
    [
        (SqueezeExcite(2), (8, 8, 4)),
        (SpatialSqueezeExcite(2), (8, 8, 4)),
        (CBAM(2), (8, 8, 4)),
        (SelfAttention2D(2), (8, 8, 4)),
        (ASPP(5, rates=(2, 4)), (8, 8, 5)),
        (PyramidPooling((1, 2)), (8, 8, 8)),
        (Upsample(2, "nearest"), (16, 16, 4)),
        (Upsample(2, "transposed", 3), (16, 16, 3)),
        (Upsample(2, "additive"), (16, 16, 1)),
        (Chain([{"layout": "cna"}, ConvBlock("p")], base={"filters": 5}), (4, 4, 5)),
        (Chain([{"filters": 5}], repeats=3), (8, 8, 5)),
    ],
)
def test_block_keeps_its_promise_of_shapes(part, shape):
    assert shape_after(part) == shape


def test_self_attention_starts_as_nothing():
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 4)).astype("float32")
    np.testing.assert_allclose(built(SelfAttention2D()).predict(x), x, rtol=1e-6)


def test_blocks_from_a_config_train_and_are_saved(batch, tmp_path):
    body = {
        "_target_": "bf_models.blocks.ConvBlock",
        "layout": "R cna S + O p",
        "filters": [6],
        "dropout_rate": 0.1,
    }
    config = {
        "num_classes": 3,
        "stem": "small",
        "body": body,
        "seed": 1,
        "optimizer": {"name": "adam", "learning_rate": 0.02},
    }
    model = VGG7(config)
    losses = [model.train(*batch, fetches="loss") for _ in range(25)]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "blocks.bfm")
    assert np.array_equal(VGG7.load(tmp_path / "blocks.bfm").predict(batch[0]), model.predict(batch[0]))


def test_norms_are_not_counted_with_dropouts_and_a_config_changes_a_list():
    from bf_models import KerasModel
    from bf_models.blocks import ConvBlock

    class Own(KerasModel):
        body = ConvBlock("cnad cnad", filters=[8, 16], dropout_rate=[0.1, 0.2])

    shape = {"num_classes": 2, "inputs": {"images": {"shape": (8, 8, 1)}}}
    assert Own(shape).network.get_layer("block.7").rate == 0.2
    assert Own({**shape, "body/filters": [4, 6]}).network.get_layer("block.4").filters == 6


def test_blocks_of_one_kind_have_names_of_their_own_in_a_network():
    block = ConvBlock("c N a", filters=2)

    def body(x, net):
        return block(block(x, net), net)

    model = KerasModel(
        {
            "body": body,
            "head": ConvBlock("c", filters=2, kernel_size=1),
            "num_classes": 2,
            "inputs": {"images": {"shape": (8, 8, 1)}},
        }
    )
    names = [name for name in model.layer_names if name.endswith(".0")]
    assert names == ["block.0", "block_2.0", "block_3.0"]


def test_hidden_layers_of_body_and_head_have_names_of_their_own():
    model = MLP({"num_classes": 3, "body": {"units": [5]}, "head": {"units": [4]}})
    assert [item.path for item in model.build(np.zeros((2, 6))).network.weights][::2] == [
        "fc1/kernel",
        "fc1_2/kernel",
        "fc/kernel",
    ]
