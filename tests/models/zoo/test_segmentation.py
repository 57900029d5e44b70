"""Networks that tell the class of each place: counts of parameters, sizes of images, what is refused."""

from __future__ import annotations

import importlib.resources
import json
import re

import numpy as np
import pytest

from bf_models import (
    FCN8,
    GCN,
    DeepLabV3Plus,
    DenseNetFC56,
    PSPNet,
    RefineNet,
    UNet,
    VNet,
    zoo_names,
)
from bf_models.zoo.segmentation.segmenter import Segmenter

NAMES = sorted(name for name, model in zoo_names().items() if issubclass(model, Segmenter))
FAST = [
    "fcn8",
    "densenetfc56",
    "vnet",
    "gcn",
    "unet",
    "unetpp",
    "lrasppmobilenetv3",
    "linknet",
    "encoderdecoder",
]
PARAMETERS = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]


SHALLOW = {"filters": 4, "depths": [1, 1, 1, 1]}
TINY = {"network": "resnet18", "body": SHALLOW, "initial_block": {"filters": 4}}


def conv(kernel, channels, filters, bias=True):
    """Weights of a convolution, counted by hand."""
    return kernel**2 * channels * filters + (filters if bias else 0)


def count_unet(channels, classes, filters=64, depth=4):
    """The paper's figure 1, line by line."""
    widths = [filters * 2**stage for stage in range(depth + 1)]
    count = 0
    for before, width in zip([channels, *widths], widths):
        count += conv(3, before, width) + conv(3, width, width)
    for width in reversed(widths[:-1]):
        count += conv(2, 2 * width, width) + conv(3, 2 * width, width) + conv(3, width, width)
    return count + conv(1, filters, classes)


def norm(filters):
    return 2 * filters


def count_unetpp(channels, classes, filters=32, depth=4):
    """The paper's figure 1: node (stage, step) reads all nodes of its stage before it, and one enlarged."""
    widths = [filters * 2**stage for stage in range(depth + 1)]
    count = 0
    for stage, width in enumerate(widths):
        for step in range(depth + 1 - stage):
            if step:
                below = widths[stage + 1]
                count += conv(2, below, width) + conv(3, (step + 1) * width, width)
            else:
                count += conv(3, widths[stage - 1] if stage else channels, width)
            count += conv(3, width, width)
    return count + conv(1, filters, classes)


RESNET18, RESNET50 = 11_689_512 - 512 * 1000 - 1000, 25_557_032 - 2048 * 1000 - 1000


def count_linknet(classes):
    """Table 1 and figure 2 of the paper, convolutions with biases and norms."""
    count = RESNET18
    for below, width in ((512, 256), (256, 128), (128, 64), (64, 64)):
        inner = below // 4
        count += conv(1, below, inner) + norm(inner) + conv(3, inner, inner) + norm(inner)
        count += conv(1, inner, width) + norm(width)
    count += conv(3, 64, 32) + norm(32) + conv(3, 32, 32) + norm(32)
    return count + conv(2, 32, classes)


def count_fpn(classes, width=256, filters=128):
    """Laterals and outputs of four maps, 1 + 1 + 2 + 3 convolutions of branches."""
    count = RESNET50 + sum(conv(1, channels, width) for channels in (256, 512, 1024, 2048))
    count += 4 * conv(3, width, width)
    count += 4 * (conv(3, width, filters, bias=False) + norm(filters))
    count += 3 * (conv(3, filters, filters, bias=False) + norm(filters))
    return count + conv(1, filters, classes)


def count_encoder_decoder(classes, filters=16):
    """ResNet-18 and five steps of two convolutions, of which four read a map of the encoder too."""
    count, below = RESNET18, 512
    for reduction, beside in ((16, 256), (8, 128), (4, 64), (2, 64), (1, 0)):
        width = filters * reduction
        count += conv(3, below + beside, width, bias=False) + conv(3, width, width, bias=False)
        count += 2 * norm(width)
        below = width
    return count + conv(1, filters, classes)


VGG16 = 138_357_544 - conv(7, 512, 4096) - conv(1, 4096, 4096) - conv(1, 4096, 1000)


def count_fcn(classes, skips):
    """VGG-16 with its dense layers as convolutions, scores of maps, transposed convolutions without bias."""
    count = VGG16 + conv(7, 512, 4096) + conv(1, 4096, 4096) + conv(1, 4096, classes)
    for channels in (512, 256)[:skips]:
        count += conv(4, classes, classes, bias=False) + conv(1, channels, classes)
    return count + conv(2 * 32 // 2**skips, classes, classes, bias=False)


def count_densenet_fc(classes, depths, growth, filters=48):
    """Tables 1 and 2 of the paper: layers are a norm, a convolution and dropout."""

    def block(channels, depth):
        layers = (channels + number * growth for number in range(depth))
        return sum(norm(width) + conv(3, width, growth) for width in layers)

    count, channels, skips = conv(3, 3, filters), filters, []
    *down, middle = depths
    for depth in down:
        count += block(channels, depth)
        channels += depth * growth
        skips.append(channels)
        count += norm(channels) + conv(1, channels, channels)
    count, added = count + block(channels, middle), middle * growth
    for depth, beside in zip(reversed(down), reversed(skips)):
        count += conv(3, added, added)
        channels, added = added + beside, depth * growth
        count += block(channels, depth)
    return count + conv(1, channels + added, classes)


def count_vnet(classes, filters=16, depths=(1, 2, 3, 3, 3), axes=2):
    """The paper's figure 2; a PReLU behind each convolution, enlarging and sum has a slope a channel."""

    def cube(kernel, channels, width):
        return kernel**axes * channels * width + width

    count, channels, widths = 0, 1, [filters * 2**stage for stage in range(len(depths))]
    for stage, (depth, width) in enumerate(zip(depths, widths)):
        if stage:
            count, channels = count + cube(2, channels, width) + width, width
        for _ in range(depth):
            count, channels = count + cube(5, channels, width) + width, width
    for depth, width in reversed(list(zip(depths[:-1], widths[:-1]))):
        count += cube(2, channels, width) + width
        channels = 2 * width
        count += depth * (cube(5, channels, channels) + channels)
    return count + cube(1, channels, classes)


def count_pspnet(classes, channels=2048, filters=512):
    """Four grids of a quarter of the channels beside the map, and a 3x3 convolution."""
    grids = 4 * (conv(1, channels, channels // 4, bias=False) + norm(channels // 4))
    return (
        RESNET50
        + grids
        + conv(3, 2 * channels, filters, bias=False)
        + norm(filters)
        + conv(1, filters, classes)
    )


def count_gcn(classes, width=21, kernel=15):
    """Two pairs of k x 1 and 1 x k for each of four maps, 9 refinements, 5 enlargings without bias."""
    look = sum(
        2 * (kernel * channels * width + kernel * width * width + 2 * width)
        for channels in (256, 512, 1024, 2048)
    )
    refine = 2 * conv(3, width, width)
    enlarge = conv(4, width, width, bias=False)
    return RESNET50 + look + 9 * refine + 5 * enlarge + conv(1, width, classes)


def count_refinenet(classes, width=256):
    """Adapted maps, units of two convolutions with biases, fusion and chained pooling without."""

    def unit(width):
        return 2 * conv(3, width, width)

    count, below = RESNET50, 0
    for channels, own in ((2048, 2 * width), (1024, width), (512, width), (256, width)):
        count += conv(3, channels, own, bias=False) + 3 * unit(own) + 2 * conv(3, own, own, bias=False)
        if below:
            count += 2 * unit(below) + conv(3, own, own, bias=False) + conv(3, below, own, bias=False)
        below = own
    return count + 2 * unit(width) + conv(1, width, classes)


def count_deeplab_plus(classes, filters=256, low=48):
    """Five branches and their projection, the larger map, two 3x3 convolutions."""

    def block(kernel, channels, width):
        return conv(kernel, channels, width, bias=False) + norm(width)

    pyramid = 2 * block(1, 2048, filters) + 3 * block(3, 2048, filters) + block(1, 5 * filters, filters)
    decoder = block(1, 256, low) + block(3, filters + low, filters) + block(3, filters, filters)
    return RESNET50 + pyramid + decoder + conv(1, filters, classes)


def small_unet(**config):
    return UNet({"num_classes": 3, "seed": 1, "body": {"filters": 4, "depth": 3}, **config})


@pytest.mark.parametrize("name", PARAMETERS)
def test_count_of_trainable_parameters_is_the_one_that_is_told(name):
    model = zoo_names()[name]
    told = re.search(r"([\d,]{6,}) parameters for (\d+) channels?, (\d+) classes", model.__doc__)
    assert told, f"{name} tells no count"
    count, channels, classes = (int(item.replace(",", "")) for item in told.groups())
    config = {"num_classes": classes, "inputs": {"images": {"shape": (256, 256, channels)}}}
    assert model(config).count_parameters() == count


@pytest.mark.parametrize("name", PARAMETERS)
def test_configuration_of_a_model_gives_a_class_for_each_place(name):
    configs = json.loads(importlib.resources.files("bf_models").joinpath("zoo/configs.json").read_text())
    config = configs[name]
    assert config.pop("_target_") == f"bf_models.{zoo_names()[name].__name__}"
    digits = {"inputs": {"images": {"shape": (28, 28)}, "masks": {"classes": 10}}}
    assert zoo_names()[name]({**digits, **config}).network.output_shape == (None, 28, 28, 10)


#: With the sizes of torchvision's networks without their second classifier, which only training uses.
COUNTS = {
    "fcnresnet50": 32_957_013,
    "fcnresnet101": 51_949_141,
    "deeplabv3resnet50": 39_638_869,
    "deeplabv3resnet101": 58_630_997,
    "deeplabv3mobilenetv3": 11_025_477,
    "lrasppmobilenetv3": 3_221_538,
    "fcn32": count_fcn(21, 0),
    "fcn16": count_fcn(21, 1),
    "fcn8": count_fcn(21, 2),
    "densenetfc56": count_densenet_fc(12, (4,) * 6, 12),
    "densenetfc67": count_densenet_fc(12, (5,) * 6, 16),
    "densenetfc103": count_densenet_fc(12, (4, 5, 7, 10, 12, 15), 16),
    "vnet": count_vnet(2),
    "pspnet": count_pspnet(21),
    "gcn": count_gcn(21),
    "refinenet": count_refinenet(21),
    "deeplabv3plus": count_deeplab_plus(21),
    "unet": count_unet(1, 2),
    "unetpp": count_unetpp(1, 2),
    "linknet": count_linknet(21),
    "fpn": count_fpn(21),
    "encoderdecoder": count_encoder_decoder(2),
}


@pytest.mark.parametrize("name", COUNTS)
def test_count_that_is_told_is_the_one_by_hand(name):
    told = re.search(r"[\d,]{6,}", zoo_names()[name].__doc__).group()
    assert int(told.replace(",", "")) == COUNTS[name]


def test_unet_has_the_parameters_of_its_figure():
    assert count_unet(1, 2) == 31_030_658
    built = small_unet(inputs={"images": {"shape": (16, 16, 2)}}, num_classes=5)
    assert built.count_parameters() == count_unet(2, 5, filters=4, depth=3)


@pytest.mark.parametrize("shape", [(24, 32, 1), (37, 51, 2), (5, 4, 3), (None, None, 2)])
def test_unet_takes_images_of_any_size_and_cuts_back_what_it_pads(shape):
    model = small_unet(inputs={"images": {"shape": shape}})
    sides = tuple(side or 21 for side in shape[:2])
    images = np.random.default_rng(0).random((2, *sides, shape[2]))
    outputs = model.predict(images)
    assert outputs.shape == (2, *sides, 3)
    # what is padded is 0 around the image, one pixel more behind it: the same as padding by hand
    sizes = [-(-side // 8) * 8 for side in sides]
    before = [(size - side) // 2 for size, side in zip(sizes, sides)]
    by_hand = [(start, size - side - start) for start, size, side in zip(before, sizes, sides)]
    whole = small_unet(inputs={"images": {"shape": (*sizes, shape[2])}}).build()
    for one, other in zip(whole.network.weights, model.network.weights):
        one.assign(other)
    expected = whole.predict(np.pad(images, [(0, 0), *by_hand, (0, 0)]))
    cut = expected[:, before[0] : before[0] + sides[0], before[1] : before[1] + sides[1]]
    np.testing.assert_allclose(outputs, cut, atol=1e-5)


def test_unet_of_the_paper_makes_388_pixels_of_572():
    body = {"padding": "valid", "filters": 2}
    config = {"num_classes": 2, "inputs": {"images": {"shape": (572, 572, 1)}}, "body": body}
    assert UNet(config).network.output_shape == (None, 388, 388, 2)
    with pytest.raises(ValueError, match=r"padding 'valid' needs maps of even sides before encoder\.2\.pool"):
        UNet({**config, "inputs": {"images": {"shape": (570, 570, 1)}}}).build()


def test_masks_of_another_size_are_refused_with_both_sizes():
    model = small_unet()
    with pytest.raises(ValueError, match=r"\(2, 16, 15\) do not go with outputs of shape \(2, 16, 16, 3\)"):
        model.train(np.zeros((2, 16, 16, 1)), np.zeros((2, 16, 15), int))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"filters": 0}, "filters is a number from 1 on, got 0"),
        ({"depth": 0}, "depth is a number from 1 on, got 0"),
        ({"dropout": 1.0}, "dropout is a share from 0 to below 1, got 1.0"),
        ({"padding": "full"}, "padding is 'same' or 'valid', got 'full'"),
        ({"filter": 3}, "filter"),
    ],
)
def test_unet_refuses_what_it_cannot_be_made_of(body, message):
    with pytest.raises((ValueError, TypeError), match=message):
        UNet({"num_classes": 2, "body": body})


def test_unet_learns_masks(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.normal(0, 0.3, (8, 18, 22, 1)).astype("f4")
    masks = np.zeros((8, 18, 22), int)
    masks[:, 4:12, 6:15] = 1
    images[masks == 1] += 1
    model = UNet(
        {
            "num_classes": 2,
            "seed": 1,
            "body": {"filters": 8, "depth": 2, "norm": True},
            "optimizer/name": "adam",
        }
    )
    losses = [model.train(images, masks, fetches="loss") for _ in range(40)]
    assert losses[-1] < losses[0] / 3
    model.save(tmp_path / "unet.bf")
    again = UNet.load(tmp_path / "unet.bf")
    assert np.array_equal(again.predict(images), model.predict(images))


def test_weights_of_a_unet_go_round_by_torchs_names():
    from bf_models import convert

    one, other = (small_unet(inputs={"images": {"shape": (16, 16, 1)}}, seed=seed).build() for seed in (1, 2))
    arrays = convert.state_dict(one)
    # torch has inputs first in a transposed convolution
    assert arrays["decoder.2.up.weight"].shape == (32, 16, 2, 2)
    assert not convert.load_state_dict(other, arrays).missing
    x = np.ones((1, 16, 16, 1))
    assert np.array_equal(one.predict(x), other.predict(x))


@pytest.mark.parametrize(
    ("cls", "body"),
    [
        (FCN8, {"encoder": "vgg7", "units": 4, "kernel": 3}),
        (DenseNetFC56, {"depths": [2, 2, 2], "growth": 4, "filters": 4}),
        (VNet, {"filters": 2, "depths": [1, 2, 1], "kernel": 3}),
        (GCN, {"encoder": TINY, "kernel": 5, "width": 3}),
        (RefineNet, {"encoder": TINY, "width": 4}),
        (PSPNet, {"encoder": {**TINY, "body": {**SHALLOW, "dilated": 2}}, "filters": 4}),
        (DeepLabV3Plus, {"encoder": {**TINY, "body": {**SHALLOW, "dilated": 1}}, "low": 4, "filters": 4}),
    ],
)
def test_networks_take_images_of_any_size_and_learn(cls, body):
    images = np.random.default_rng(0).random((1, 45, 38, 3))
    model = cls({"num_classes": 3, "seed": 1, "stem": "imagenet", "body": body})
    assert model.predict(images).shape == (1, 45, 38, 3)
    assert np.isfinite(model.train(images, np.zeros((1, 45, 38), int), fetches="loss"))


def test_vnet_takes_volumes():
    from bf_models import convert

    body = {"filters": 2, "depths": [1, 2, 1], "kernel": 3}
    model = VNet({"num_classes": 2, "seed": 1, "body": body})
    volumes = np.random.default_rng(0).random((1, 7, 9, 10, 1))
    assert model.predict(volumes).shape == (1, 7, 9, 10, 2)
    assert np.isfinite(model.train(volumes, np.zeros((1, 7, 9, 10), int), fetches="loss"))
    assert convert.state_dict(model)["down.1.halved.weight"].shape == (4, 2, 2, 2, 2)
    whole = VNet({"num_classes": 2, "inputs": {"images": {"shape": (64, 64, 64, 1)}}})
    assert whole.count_parameters() == count_vnet(2, axes=3)
