"""The zoo: published counts of parameters, sizes of inputs."""

from __future__ import annotations

import importlib.resources
import json
import re

import numpy as np
import pytest

from bf_models import VGG7, VGG16, VGG19, AutoEncoder, ResNet18, ResNet34, convert, zoo_names
from bf_models.zoo.segmentation.segmenter import Segmenter

PHOTO = {"inputs": {"images": {"shape": (224, 224, 3)}, "labels": {"classes": 1000}}, "stem": "imagenet"}
DIGITS = {"inputs": {"images": {"shape": (28, 28)}, "labels": {"classes": 10}}}


#: Trainable parameters as torchvision, keras.applications and timm tell or hold them.
EXACT = {
    **{"vgg11": 132_863_336, "vgg13": 133_047_848, "vgg16": 138_357_544, "vgg19": 143_667_240},
    **{"vgg11bn": 132_868_840, "vgg13bn": 133_053_736, "vgg16bn": 138_365_992, "vgg19bn": 143_678_248},
    **{"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032, "resnet101": 44_549_160},
    **{
        "resnet152": 60_192_808,
        "resnext50": 25_028_904,
        "resnext101": 88_791_336,
        "resnext101x64": 83_455_272,
    },
    **{"wideresnet50": 68_883_240, "wideresnet101": 126_886_696, "densenet121": 7_978_856},
    **{"densenet161": 28_681_000, "densenet169": 14_149_480, "densenet201": 20_013_928},
    **{"squeezenet1_0": 1_248_424, "squeezenet1_1": 1_235_496, "googlenet": 6_624_904},
    **{"inceptionv1": 6_624_904, "mobilenet": 4_231_976, "mobilenetv2": 3_504_872},
    **{"mobilenetv3large": 5_483_032, "mobilenetv3small": 2_542_856, "efficientnetb0": 5_288_548},
    **{"efficientnetb1": 7_794_184, "efficientnetb2": 9_109_994, "efficientnetb3": 12_233_232},
    **{"efficientnetb4": 19_341_616, "efficientnetb5": 30_389_784, "efficientnetb6": 43_040_704},
    **{"efficientnetb7": 66_347_960, "convnexttiny": 28_589_128, "convnextsmall": 50_223_688},
    **{"convnextbase": 88_591_464, "vitb16": 86_567_656, "vitb32": 88_224_232, "xception": 22_855_952},
    **{"xception41": 26_969_560, "xception64": 39_916_312, "xception65": 39_916_312},
    **{"xception71": 42_338_736},
}
#: The same in millions, from timm's table of results and, for PyramidNet, its authors' (digits are cut off).
ROUNDED = {
    **{"seresnet18": "11.78", "seresnet34": "21.96", "seresnet50": "28.09", "seresnet101": "49.33"},
    **{"seresnet152": "66.82", "seresnext26": "16.79", "seresnext50": "27.56", "seresnext101": "48.96"},
    **{"inceptionv3": "23.83", "inceptionv4": "42.68", "inceptionresnetv2": "55.84", "vits16": "22.05"},
    **{"pyramidnet110": "1.7", "pyramidnet200": "62.1"},
}


@pytest.fixture
def configs():
    """Configurations by name, as the command line offers them."""
    return json.loads(importlib.resources.files("bf_models").joinpath("zoo/configs.json").read_text())


def _counted(name):
    """Parameters of a model, and those that its docstring tells."""
    model = zoo_names()[name]
    told = re.search(r"[\d,]{6,}", model.__doc__ or "")
    assert told, f"{name} tells no count"
    config = PHOTO
    if "10 classes" in (model.__doc__ or ""):
        shape = (28, 28, 1) if "28x28x1" in (model.__doc__ or "") or name == "vgg7" else (32, 32, 3)
        config = {"inputs": {"images": {"shape": shape}, "labels": {"classes": 10}}}
    elif name.startswith(("inception", "xception")):
        config = {**PHOTO, "inputs": {"images": {"shape": (299, 299, 3)}, "labels": {"classes": 1000}}}
    return model(config).count_parameters(), int(told.group().replace(",", ""))


FAST = ["vgg7", "vgg16", "resnet18", "resnet34", "resnet50v2", "seresnet18", "squeezenet1_1", "mobilenetv2"]
FAST += ["vits16", "lenet", "mlp", "pyramidnet18", "mobilenet", "resnext18", "xception64"]
# those that tell the class of each place, or an item again, have tests of their own
OTHERS = (Segmenter, AutoEncoder)
SLOW = sorted(
    name for name, model in zoo_names().items() if name not in FAST and not issubclass(model, OTHERS)
)


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_count_of_trainable_parameters_is_the_published_one(name):
    count, told = _counted(name)
    assert count == told
    assert count == EXACT.get(name, count)
    if name in ROUNDED:
        step = 10.0 ** -len(ROUNDED[name].partition(".")[2])
        assert abs(count / 1e6 - float(ROUNDED[name])) < step


def count_resnet(depths, block, squeeze):
    """Weights of a ResNeXt 32x4d for 1000 classes, layer by layer; basic blocks are dense and wide."""
    count, before = 3 * 7 * 7 * 64 + 2 * 64, 64
    for stage, depth in enumerate(depths):
        filters, wide = 64 * 2**stage, 128 * 2**stage
        after = filters if block == "basic" else 4 * filters
        for number in range(depth):
            if block == "basic":
                count += 9 * before * wide + 2 * wide + 9 * wide * filters + 2 * filters
            else:
                count += before * wide + 2 * wide + 9 * wide * wide // 32 + 2 * wide
                count += wide * after + 2 * after
            if before != after or (stage and not number):
                count += before * after + 2 * after
            if squeeze:
                count += 2 * after * (after // 16) + after // 16 + after
            before = after
    return count + before * 1000 + 1000


def count_densenet(depths, growth):
    """Weights of a DenseNet for 1000 classes: a layer is norm, 1x1 to 4 * growth, norm, 3x3 to growth."""
    count, channels = 3 * 7 * 7 * 64 + 2 * 64, 64
    for stage, depth in enumerate(depths):
        for _ in range(depth):
            hidden = 4 * growth
            count += 2 * channels + channels * hidden + 2 * hidden + 9 * hidden * growth
            channels += growth
        if stage < len(depths) - 1:
            count += 2 * channels + channels * (channels // 2)
            channels //= 2
    return count + 2 * channels + channels * 1000 + 1000


def count_pyramidnet(depths, alpha):
    """Weights of a PyramidNet of bottlenecks for 1000 classes: block k has 64 + alpha * k / blocks."""
    count, channels, blocks = 3 * 7 * 7 * 64 + 2 * 64, 64, sum(depths)
    for number in range(1, blocks + 1):
        filters = 64 + alpha * number // blocks
        count += 2 * channels + channels * filters + 2 * filters + 9 * filters * filters + 2 * filters
        channels = 4 * filters
        count += filters * channels + 2 * channels
    return count + 2 * channels + channels * 1000 + 1000


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("resnext18", count_resnet((2, 2, 2, 2), "basic", False)),
        ("resnext34", count_resnet((3, 4, 6, 3), "basic", False)),
        ("resnext50", count_resnet((3, 4, 6, 3), "bottleneck", False)),
        ("resnext152", count_resnet((3, 8, 36, 3), "bottleneck", False)),
        ("seresnext18", count_resnet((2, 2, 2, 2), "basic", True)),
        ("seresnext34", count_resnet((3, 4, 6, 3), "basic", True)),
        ("seresnext50", count_resnet((3, 4, 6, 3), "bottleneck", True)),
        ("seresnext152", count_resnet((3, 8, 36, 3), "bottleneck", True)),
        ("densenet121", count_densenet((6, 12, 24, 16), 32)),
        ("densenet264", count_densenet((6, 12, 64, 48), 32)),
        ("pyramidnet152", count_pyramidnet((3, 8, 36, 3), 300)),
        ("pyramidnet200", count_pyramidnet((3, 24, 36, 3), 300)),
    ],
)
def test_count_follows_from_the_arithmetic_of_the_layers(name, count):
    # those that others publish too show that the arithmetic is theirs
    told = int(re.search(r"[\d,]{6,}", zoo_names()[name].__doc__).group().replace(",", ""))
    assert count == told


def test_paths_of_two_layers_are_one_wide_block():
    """Section 3.3 of Xie et al.: 32 paths of 3x3 to 4 and 3x3 back, added, are two dense convolutions."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 6, 6, 16)).astype("float32")
    inner = rng.standard_normal((3, 3, 16, 128)).astype("float32")
    outer = rng.standard_normal((3, 3, 128, 16)).astype("float32")
    paths = 0
    for first in range(0, 128, 4):
        hidden = tf.nn.relu(tf.nn.conv2d(x, inner[..., first : first + 4], 1, "SAME"))
        paths += tf.nn.conv2d(hidden, outer[:, :, first : first + 4], 1, "SAME")
    dense = tf.nn.conv2d(tf.nn.relu(tf.nn.conv2d(x, inner, 1, "SAME")), outer, 1, "SAME")
    assert np.allclose(paths, dense, atol=1e-2 * np.abs(dense).max())
    shapes = convert.state_shapes(zoo_names()["resnext18"]({**PHOTO}).build())
    assert shapes["layer1.0.conv1.weight"] == (128, 64, 3, 3)
    assert shapes["layer1.0.conv2.weight"] == (64, 128, 3, 3)


NEW = ["resnext18", "seresnext18", "xception41"]
# of 152 layers those of ResNeXt have the blocks of ResNeXt-50
NEW_SLOW = ["resnext34", "seresnext34", "densenet264", "pyramidnet152", "xception65", "xception71"]


@pytest.mark.parametrize("name", [*NEW, *(pytest.param(name, marks=pytest.mark.slow) for name in NEW_SLOW)])
def test_slope_reaches_every_weight(name):
    import tensorflow as tf

    config = {"inputs": {"images": {"shape": (32, 32, 3)}}, "num_classes": 3, "stem": "small", "seed": 1}
    network = zoo_names()[name](config).network
    images = tf.constant(np.random.default_rng(0).standard_normal((4, 32, 32, 3)), tf.float32)
    with tf.GradientTape() as tape:
        logits = network(images, training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits([0, 1, 2, 0], logits))
    slopes = tape.gradient(loss, network.trainable_variables)
    assert logits.shape == (4, 3)
    dead = [
        item.path
        for item, slope in zip(network.trainable_variables, slopes)
        if slope is None or not np.any(slope)
    ]
    assert not dead


def test_every_published_count_is_of_a_model_there_is():
    assert not {*EXACT, *ROUNDED} - set(zoo_names())


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_configuration_of_a_model_is_made_for_digits(name, configs):
    config = configs[name]
    assert config.pop("_target_") == f"bf_models.{zoo_names()[name].__name__}"
    assert zoo_names()[name]({**DIGITS, **config}).network.output_shape == (None, 10)


@pytest.mark.parametrize(("model", "count"), [(VGG7, 1_213_770), (VGG16, 14_722_890), (VGG19, 20_033_866)])
def test_small_vgg_is_the_one_of_the_older_batchflow(model, count):
    config = {"inputs": {"images": {"shape": (16, 16, 1)}, "labels": {"classes": 10}}, "stem": "small"}
    assert model(config).count_parameters() == count


@pytest.mark.parametrize("stem", ["imagenet", "small"])
@pytest.mark.parametrize("model", [ResNet18, ResNet34])
def test_digits_go_through_both_stems(model, stem):
    assert model({**DIGITS, "stem": stem}).network.output_shape == (None, 10)


def test_input_that_is_too_small_is_refused_with_the_layer_and_the_way_out():
    with pytest.raises(ValueError, match=r"VGG16: the input is too small.*features\.30.*stem: small"):
        VGG16({**DIGITS, "stem": "imagenet"}).build()
