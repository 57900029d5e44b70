"""The table of layers, against counts by hand and published ones."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import bf_models
from bf_models import MLP, VGG7, KerasModel
from bf_models.errors import MissingShape
from bf_models.inspection import draw_layers, tabulate_layers

# billions of multiply-adds for an image of 224x224x3: "_ops" of the weights of torchvision 0.15 and later
PUBLISHED = {
    "ResNet18": 1.814,
    "ResNet50": 4.089,
    "VGG16": 15.470,
    "MobileNetV2": 0.301,
    "DenseNet121": 2.834,
    "ViTB16": 17.564,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_operations_are_the_published_ones(name: str) -> None:
    config = {"num_classes": 1000, "inputs/images/shape": (224, 224, 3), "stem": "imagenet"}
    model = getattr(bf_models, name)(config)
    table = tabulate_layers(model)
    assert not model.is_built
    assert table.uncounted == ()
    assert round(table.operations / 1e9, 3) == PUBLISHED[name]
    assert f"{table.trainable:,}" in type(model).__doc__


def test_rows_are_counted_by_hand() -> None:
    image = keras.Input((9, 7, 3), name="image")
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", name="conv")(image)
    x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = keras.layers.SeparableConv2D(6, 3, padding="valid", name="separable")(x)
    x = keras.layers.Conv2D(6, 1, groups=2, name="grouped")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Conv2DTranspose(2, 2, strides=2, name="transposed")(x)
    x = keras.layers.Flatten(name="flat")(x)
    dense = keras.layers.Dense(48, name="dense")
    x = keras.layers.Dropout(0.5, name="drop")(dense(dense(x)))
    x = keras.layers.Dense(5, name="last")(x)
    rows = {row.name: row for row in tabulate_layers(keras.Model(image, x)).rows}
    assert {name: row.operations for name, row in rows.items()} == {
        "image": 0,
        "conv": 5 * 4 * 3 * 3 * 3 * 4,
        "depthwise": 5 * 4 * 3 * 3 * 4,
        "separable": 3 * 2 * (3 * 3 * 4 + 4 * 6),
        "grouped": 3 * 2 * 3 * 6,
        "norm": 0,
        "transposed": 3 * 2 * 2 * 2 * 2 * 6,
        "flat": 0,
        "dense": 2 * 48 * 48,
        "drop": 0,
        "last": 48 * 5,
    }
    assert {name: row.parameters for name, row in rows.items() if row.parameters} == {
        "conv": 3 * 3 * 3 * 4 + 4,
        "depthwise": 3 * 3 * 4,
        "separable": 3 * 3 * 4 + 4 * 6 + 6,
        "grouped": 3 * 6 + 6,
        "norm": 4 * 6,
        "transposed": 2 * 2 * 2 * 6 + 2,
        "dense": 48 * 48 + 48,
        "last": 48 * 5 + 5,
    }
    assert rows["norm"].trainable == 2 * 6
    assert rows["conv"].shape == (5, 4, 4)
    assert rows["dense"].given == ("flat",)


class Own(keras.layers.Layer):
    """A product by a kernel of its own."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 2), name="kernel")

    def call(self, x):
        return x @ self.kernel


class Counted(Own):
    """The same, which says what it costs."""

    def count_operations(self, given, returned):
        return given[0][-1] * returned[0][-1]


@pytest.mark.parametrize("trainable", [True, False])
def test_a_layer_of_an_unknown_kind_is_named_and_not_guessed(trainable: bool) -> None:
    x = keras.Input((3,))
    own = Own(name="own")
    network = keras.Model(x, Counted(name="counted")(own(x)))
    own.trainable = trainable
    table = tabulate_layers(network)
    assert table.uncounted == ("own",)
    assert table.operations == 2 * 2
    assert str(table).endswith("without the operations of own")


def test_a_network_within_a_network_is_counted() -> None:
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    x = keras.Input((3,))
    assert tabulate_layers(keras.Model(x, inner(x))).operations == 3 * 4 + 4 * 2


def test_a_table_is_text_and_a_picture() -> None:
    model = MLP({"num_classes": 3, "inputs/images/shape": (5,), "body": {"units": [4]}})
    table = tabulate_layers(model)
    lines = str(table).splitlines()
    assert lines[0].split() == ["layer", "kind", "shape", "field", "parameters", "multiply-adds"]
    assert lines[-1].split()[-2:] == [str(5 * 4 + 4 + 4 * 3 + 3), str(5 * 4 + 4 * 3)]
    assert len(draw_layers(table).axes) == 2


def test_what_cannot_be_counted_is_said() -> None:
    with pytest.raises(MissingShape, match="holds no shape"):
        tabulate_layers(VGG7({"num_classes": 3}))
    with pytest.raises(
        ValueError, match=r"layer 'features.0' has maps of \?x\? pixels.*give the config a shape"
    ):
        tabulate_layers(VGG7({"num_classes": 3, "inputs/images/shape": (None, None, 1)}))
    with pytest.raises(
        TypeError, match=r"a KerasModel can be inspected, or a keras.Model that is .*, got ndarray"
    ):
        tabulate_layers(np.zeros(3))


def test_a_built_model_and_its_config_give_one_table(tiny) -> None:
    model: KerasModel = tiny()
    before = tabulate_layers(model)
    assert before == tabulate_layers(model.build())
