"""The zoo: published counts of parameters, sizes of inputs."""

from __future__ import annotations

import re

import pytest

from bf_models import VGG7, VGG16, VGG19, ResNet18, ResNet34, zoo_names

PHOTO = {"inputs": {"images": {"shape": (224, 224, 3)}, "labels": {"classes": 1000}}, "stem": "imagenet"}
DIGITS = {"inputs": {"images": {"shape": (28, 28)}, "labels": {"classes": 10}}}


def _published(name):
    """Count that a model's docstring tells, and the config it is told for."""
    model = zoo_names()[name]
    told = re.search(r"[\d,]{6,}", model.__doc__ or "")
    assert told, f"{name} tells no count"
    config = PHOTO
    if "10 classes" in (model.__doc__ or ""):
        shape = (28, 28, 1) if "28x28x1" in (model.__doc__ or "") or name == "vgg7" else (32, 32, 3)
        config = {"inputs": {"images": {"shape": shape}, "labels": {"classes": 10}}}
    elif name.startswith(("inception", "xception")):
        config = {**PHOTO, "inputs": {"images": {"shape": (299, 299, 3)}, "labels": {"classes": 1000}}}
    return model, config, int(told.group().replace(",", ""))


FAST = ["vgg7", "vgg16", "resnet18", "resnet34", "resnet50v2", "seresnet18", "squeezenet1_1", "mobilenetv2"]
FAST += ["vits16", "lenet", "mlp", "pyramidnet18", "mobilenet"]
SLOW = sorted(set(zoo_names()) - set(FAST))


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_count_of_trainable_parameters_is_the_published_one(name):
    model, config, count = _published(name)
    assert model(config).count_parameters() == count


@pytest.mark.parametrize("name", ["resnet18", "vgg11", "mobilenetv3small", "vits16"])
def test_yaml_of_a_model_is_made_for_digits(name, request):
    text = (request.config.rootpath / "conf" / "model" / f"{name}.yaml").read_text()
    stem = re.search(r"stem: (\w+)", text).group(1)
    assert zoo_names()[name]({**DIGITS, "stem": stem}).count_parameters() > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(zoo_names()))
def test_yaml_of_every_model_is_made_for_digits(name, request):
    test_yaml_of_a_model_is_made_for_digits(name, request)


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
        VGG16({"inputs": {"images": {"shape": (28, 28, 1)}}, "num_classes": 10}).build()
