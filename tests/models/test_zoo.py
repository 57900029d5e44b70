"""The zoo: published counts of parameters, sizes of inputs."""

from __future__ import annotations

import re

import pytest

from bf_models import VGG7, VGG16, VGG19, ResNet18, ResNet34, zoo_names

PHOTO = {"inputs": {"images": {"shape": (224, 224, 3)}, "labels": {"classes": 1000}}, "stem": "imagenet"}
DIGITS = {"inputs": {"images": {"shape": (28, 28)}, "labels": {"classes": 10}}}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("vgg11", 132_863_336),
        ("vgg13", 133_047_848),
        ("vgg16", 138_357_544),
        ("vgg19", 143_667_240),
        ("vgg16bn", 138_365_992),
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("resnet101", 44_549_160),
        ("resnet152", 60_192_808),
    ],
)
def test_count_of_trainable_parameters_is_the_published_one(name, count):
    model = zoo_names()[name]
    assert f"{count:,}" in (model.__doc__ or "")
    assert model(PHOTO).count_parameters() == count


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


def test_docstrings_tell_counts():
    told = {name: re.search(r"[\d,]{7,}", model.__doc__ or "") for name, model in zoo_names().items()}
    assert all(told.values())
