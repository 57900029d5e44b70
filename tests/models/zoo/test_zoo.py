"""The zoo: published counts of parameters, sizes of inputs."""

from __future__ import annotations

import importlib.resources
import json
import re

import pytest

from bf_models import VGG7, VGG16, VGG19, AutoEncoder, ResNet18, ResNet34, zoo_names
from bf_models.zoo.segmentation.segmenter import Segmenter

PHOTO = {"inputs": {"images": {"shape": (224, 224, 3)}, "labels": {"classes": 1000}}, "stem": "imagenet"}
DIGITS = {"inputs": {"images": {"shape": (28, 28)}, "labels": {"classes": 10}}}


#: Trainable parameters as torchvision and keras.applications tell or hold them.
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
FAST += ["vits16", "lenet", "mlp", "pyramidnet18", "mobilenet"]
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
