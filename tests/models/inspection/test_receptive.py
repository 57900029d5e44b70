"""Receptive fields against slopes: the pixels that the output of a network of positive weights answers to."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import bf_models
from bf_models import MLP
from bf_models.inspection import draw_receptive_fields, find_receptive_field, tabulate_layers
from bf_models.inspection.windows import slide

L = keras.layers
PLACES = 5


def find_answering(network, places) -> list[list[tuple[int, int]]]:
    """Return for each place the first and the last pixel along each axis whose slope is not 0."""
    shape = network.inputs[0].shape[1:]
    inputs = tf.ones((1, *shape))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        outputs = tf.reduce_sum(network(inputs, training=False), -1)
        picked = [outputs[(0, *place)] for place in places]
    found = []
    for value in picked:
        slopes = np.abs(tape.gradient(value, inputs).numpy()[0]).sum(-1)
        assert np.isfinite(slopes).all()
        rows = [
            np.nonzero(slopes.any(tuple(set(range(slopes.ndim)) - {axis})))[0] for axis in range(slopes.ndim)
        ]
        found.append([(int(row[0]), int(row[-1])) for row in rows])
    return found


def make_positive(network) -> None:
    for weight in network.weights:
        if weight.dtype == "float32":
            size = int(np.prod(weight.shape[:-1]))
            moving = weight.name in ("moving_mean", "beta", "bias")
            weight.assign(
                np.full(weight.shape, 0.0 if moving else 2.0 / size if size > 1 else 1.0, "float32")
            )


def check(network, layer: str | None = None) -> int:
    """Compare places around the middle whose pixels lie inside; return how many there were."""
    make_positive(network)
    field = find_receptive_field(network, layer)
    sides = network.outputs[0].shape[1:-1]
    middle = [tuple(side // 2 + move for side in sides) for move in range(-PLACES, PLACES + 1)]
    shape = network.inputs[0].shape[1:-1]
    inside = [
        place
        for place in middle
        if all(0 <= at < side for at, side in zip(place, sides))
        and all(a >= 0 and b < side for (a, b), side in zip(field.find_pixels(place), shape))
    ]
    for place, answering in zip(inside, find_answering(network, inside), strict=True):
        wanted = list(field.find_pixels(place))
        assert answering == wanted, (place, answering, wanted)
        assert all(b - a + 1 <= size for (a, b), size in zip(wanted, field.size))
    return len(inside)


def stack(rng: np.random.Generator, axes: int):
    """Return a random chain of layers with a branch, of 1 to 3 axes."""
    side = (160, 72, 24)[axes - 1]
    x = inputs = keras.Input((side + int(rng.integers(3)),) * axes + (1,))
    named = {
        name: getattr(L, f"{name}{axes}D") for name in ("Conv", "AveragePooling", "UpSampling", "ZeroPadding")
    }
    for _ in range(6 if axes < 3 else 4):
        kind = rng.integers(7)
        kernel, stride = int(rng.integers(2, 5)), int(rng.integers(1, 3))
        padding = str(rng.choice(["same", "valid"]))
        if min(x.shape[1:-1]) < 12:
            kind = 6
        if kind == 0:
            x = named["Conv"](1, kernel, stride, padding=padding)(x)
        elif kind == 1:
            x = named["Conv"](1, kernel, dilation_rate=2, padding="same")(x)
        elif kind == 2:
            x = named["AveragePooling"](kernel, stride, padding=padding)(x)
        elif kind == 3:
            x = named["ZeroPadding"](2)(x)
        elif kind == 4 and max(x.shape[1:-1]) < 100:
            smooth = {"interpolation": "bilinear"} if axes == 2 and rng.random() < 0.5 else {}
            x = named["UpSampling"](2, **smooth)(x)
        elif kind == 5:
            cls = getattr(L, f"Conv{axes}DTranspose")
            x = cls(1, max(kernel, stride), stride, padding=padding)(x)
        else:
            branch = named["Conv"](1, kernel, padding="same")(x)
            x = L.Activation("relu")(L.Add()([x, named["Conv"](1, 2, padding="same")(branch)]))
    return keras.Model(inputs, x)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_of_chains_of_all_kinds_the_pixels_that_answer_are_those_told(axes: int) -> None:
    compared = sum(check(stack(np.random.default_rng([axes, seed]), axes)) for seed in range(5))
    assert compared > 20


SMALL = {
    "ResNet18": (320, {"body": {"filters": 2, "depths": [1, 1, 1, 1]}, "initial_block": {"filters": 2}}),
    "UNet": (96, {"body": {"filters": 2, "depth": 3}}),
    "SqueezeNet1_1": (224, {}),
    "GoogLeNet": (416, {}),
}


@pytest.mark.parametrize("name", SMALL)
def test_of_networks_of_the_zoo_the_pixels_that_answer_are_those_told(name: str) -> None:
    side, config = SMALL[name]
    config = {"num_classes": 2, "inputs/images/shape": (side, side, 1), "stem": "imagenet", **config}
    network = getattr(bf_models, name)(config).build().network
    layer = find_receptive_field(network, gates=False).layer
    maps = keras.Model(network.inputs, network.get_layer(layer).output)
    # a maximum answers to one pixel alone, a mean to all that it reads
    averaged = keras.models.clone_model(maps, clone_function=average)
    assert find_receptive_field(averaged).size == find_receptive_field(network, layer).size
    assert check(averaged) > 0


def average(layer):
    if isinstance(layer, L.MaxPooling2D):
        options = {name: layer.get_config()[name] for name in ("pool_size", "strides", "padding", "name")}
        return L.AveragePooling2D(**options)
    return layer.__class__.from_config(layer.get_config())


# Araujo, Norris and Sim 2019, Computing Receptive Fields of Convolutional Neural Networks: the last maps
PUBLISHED = {
    "VGG16": 212,
    "MobileNet": 315,
    "InceptionV3": 1311,
    "InceptionV4": 2071,
    "InceptionResNetV2": 3039,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_the_published_ones(name: str) -> None:
    side = 224 if name == "VGG16" else 299
    model = getattr(bf_models, name)(
        {"num_classes": 9, "inputs/images/shape": (side, side, 3), "stem": "imagenet"}
    )
    field = find_receptive_field(model)
    assert not model.is_built
    assert field.size == (PUBLISHED[name],) * 2
    assert field.jump == (32, 32)


def test_a_resnet_has_the_published_size_where_its_strides_are_the_published_ones() -> None:
    with keras.StatelessScope():
        as_published = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(224, 224, 3))
    assert find_receptive_field(as_published).size == (483, 483)
    # torch's strides are in the 3x3 of the first block of stages 2 to 4, which so read at half the jump:
    # 4 * 2, 8 * 2 and 16 * 2 pixels less of each kernel of three
    config = {"num_classes": 9, "inputs/images/shape": (224, 224, 3), "stem": "imagenet"}
    assert find_receptive_field(bf_models.ResNet50(config)).size == (483 - 4 * 2 - 8 * 2 - 16 * 2,) * 2


def test_numbers_by_hand() -> None:
    x = keras.Input((32, 1))
    y = L.Conv1D(1, 5, 3, name="first")(x)
    y = L.MaxPooling1D(2, name="second")(y)
    y = L.Conv1D(1, 3, padding="causal", dilation_rate=2, name="third")(y)
    network = keras.Model(x, y)
    first, second, third = (find_receptive_field(network, name) for name in ("first", "second", "third"))
    assert (first.size, first.jump, first.offset) == ((5,), (3,), (2,))
    assert (second.size, second.jump, second.offset) == ((5 + 3,), (6,), (3.5,))
    assert (third.size, third.jump, third.offset) == ((8 + 4 * 6,), (6,), (3.5 - 12,))
    assert third.find_pixels([4]) == ((0, 31),)
    assert find_receptive_field(network).layer == "third"


def test_a_gate_looks_at_everything_and_may_be_left_out() -> None:
    config = {"num_classes": 3, "inputs/images/shape": (64, 64, 3), "stem": "imagenet"}
    gated, plain = bf_models.SEResNet18(config), bf_models.ResNet18(config)
    assert find_receptive_field(gated).size == (None, None)
    assert find_receptive_field(gated).find_pixels((1, 1)) is None
    assert find_receptive_field(gated, gates=False).size == find_receptive_field(plain).size
    assert tabulate_layers(plain).rows[-1].field == (None, None)
    assert "all" in str(tabulate_layers(plain)).splitlines()[-3]


class Shift(L.Layer):
    """Each place is the one before it."""

    def call(self, x):
        return tf.roll(x, 1, 1)


class ToldShift(Shift):
    """The same, which says what it reads."""

    def find_windows(self, given, returned):
        return [[slide(1, before=1)] * (len(returned) - 2)]


def test_a_layer_of_an_unknown_kind_is_refused_by_name_and_one_that_tells_is_not() -> None:
    x = keras.Input((9, 2))
    network = keras.Model(x, L.Conv1D(1, 3, name="last")(Shift(name="own")(x)))
    with pytest.raises(
        ValueError, match="layer 'last' comes from 'own', and nothing is known of what a Shift"
    ):
        find_receptive_field(network)
    assert [row.field for row in tabulate_layers(network).rows] == [(1,), None, None]
    assert "?" in str(tabulate_layers(network))
    told = keras.Model(x, L.Conv1D(1, 3)(ToldShift()(x)))
    assert find_receptive_field(told).find_pixels([4]) == ((3, 5),)


def test_networks_within_and_several_inputs() -> None:
    inner = keras.Sequential([keras.Input((16, 16, 1)), L.Conv2D(1, 3), L.Conv2D(1, 3, 2)])
    a, b = keras.Input((16, 16, 1), name="a"), keras.Input((16, 16, 1), name="b")
    network = keras.Model([a, b], L.Conv2D(1, 1, name="last")(L.Add()([inner(a), L.Conv2D(1, 5, 2)(b)])))
    assert find_receptive_field(network).size == (5, 5)
    assert find_receptive_field(network, source="b").offset == (2, 2)
    with pytest.raises(ValueError, match=r"does not depend on this input"):
        find_receptive_field(network, "a", source="b")
    with pytest.raises(ValueError, match=r"unknown input 'c'"):
        find_receptive_field(network, source="c")


def test_what_has_no_receptive_field_is_said() -> None:
    rows = MLP({"num_classes": 3, "inputs/images/shape": (5,)})
    with pytest.raises(ValueError, match=r"items of shape \(5,\), which are no maps"):
        find_receptive_field(rows)
    assert tabulate_layers(rows).rows[-1].field == ()
    x = keras.Input((8, 1))
    with pytest.raises(ValueError, match="nothing is known of what a Conv1DTranspose"):
        find_receptive_field(
            keras.Model(x, L.Conv1DTranspose(1, 1, 2)(x))
        )  # every second place reads nothing
    field = find_receptive_field(keras.Model(x, L.Conv1D(1, 3, name="conv")(x)))
    with pytest.raises(ValueError, match=r"layer 'conv': a place is a number for each of 1 axes"):
        field.find_pixels([1, 2])


def test_fields_are_drawn(tiny, batch, tmp_path) -> None:
    model = tiny()
    names = [row.name for row in tabulate_layers(model).rows]
    figure = draw_receptive_fields(model, batch[0][0], [names[1], names[-1]])
    assert len(figure.axes[0].lines) == 2
    figure.savefig(tmp_path / "fields.png")
    wide = keras.Model(x := keras.Input((None, None, 1)), L.Conv2D(1, 3, name="conv")(x))
    with pytest.raises(ValueError, match="which are none of a picture of a known size"):
        draw_receptive_fields(wide, batch[0][0], ["conv"])
