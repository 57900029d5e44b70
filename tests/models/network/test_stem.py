"""The stem of a network: chosen by the size of its images where the config leaves it to us."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from bf_models import MLP, VGG7, KerasModel, LeNet, ResNet18, convert, safetensors
from bf_models.errors import ModelStateError, WeightsError
from bf_models.network.build import choose_stem
from bf_models.saving import archive


@pytest.fixture(autouse=True)
def messages(caplog):
    """``messages()`` are those of bf_models so far."""
    caplog.set_level(logging.INFO, logger="bf_models")
    return lambda: [record.getMessage() for record in caplog.records if record.name.startswith("bf_models")]


def tiny(side, **config):
    """A ResNet of two blocks for images of ``side`` pixels, or for those of the first batch."""
    inputs = {} if side is None else {"inputs": {"images": {"shape": (side, side, 1)}}}
    small = {"body": {"depths": [1, 1], "filters": 4}, "initial_block": {"filters": 4}}
    return ResNet18({"num_classes": 3, "seed": 1, **small, **inputs, **config})


def kernel(model):
    """Side of the first convolution: 3 of the small stem, 7 of the published one."""
    return model.network.get_layer("conv1").kernel.shape[0]


@pytest.mark.parametrize(
    ("shapes", "published", "stem", "reason"),
    [
        ([(64, 64, 3)], False, "small", "at most 64 pixels a side (64)"),
        ([(28, 28)], False, "small", "(28)"),
        ([(65, 64, 3)], False, "imagenet", "more than 64 pixels a side (65)"),
        ([(32, 224, 1)], False, "imagenet", "(224)"),
        ([(32, 32, 3), (96, 96, 3)], False, "imagenet", "(96)"),
        ([(32, 32, 3), (7,)], False, "small", "(32)"),
        ([(None, None, 3)], False, "imagenet", "not known"),
        ([(32, None, 3)], False, "imagenet", "not known"),
        ([(784,)], False, "imagenet", "not known"),
        ([(32, 32, 3)], True, "imagenet", "published"),
    ],
)
def test_the_largest_side_chooses_the_stem(shapes, published, stem, reason):
    chosen, told = choose_stem({str(number): shape for number, shape in enumerate(shapes)}, published)
    assert chosen == stem
    assert reason in told


@pytest.mark.parametrize(("side", "size", "stem"), [(64, 3, "small"), (65, 7, "imagenet")])
def test_the_choice_is_logged_in_one_line(side, size, stem, messages):
    model = tiny(side)
    assert model.count_parameters() > 0
    assert messages() == []
    assert kernel(model.build()) == size
    (message,) = messages()
    assert message.startswith(f"ResNet18: stem '{stem}', since its images have ")
    assert str(side) in message


def test_the_first_batch_decides_where_the_config_has_no_size(messages):
    model = tiny(None)
    model.train(np.zeros((2, 16, 16, 1)), np.zeros(2, int))
    assert kernel(model) == 3
    assert len(messages()) == 1


@pytest.mark.parametrize(("stem", "size"), [("small", 3), ("imagenet", 7)])
def test_what_the_config_says_is_taken_and_not_logged(stem, size, messages):
    assert kernel(tiny(32, stem=stem).build()) == size
    assert messages() == []


def test_networks_without_a_stem_say_nothing_and_those_for_small_images_keep_theirs(messages):
    config = {"num_classes": 3, "inputs": {"images": {"shape": (28, 28, 1)}}}
    for model_class in (MLP, LeNet):
        model = model_class(config).build()
        assert "stem" not in model.config
    large = {"num_classes": 3, "inputs": {"images": {"shape": (96, 96, 1)}}}
    assert VGG7(large).count_parameters() == VGG7({**large, "stem": "small"}).count_parameters()
    assert messages() == []


def test_a_saved_model_keeps_the_stem_that_was_chosen(tmp_path, messages):
    x = np.random.default_rng(0).random((2, 16, 16, 1))
    model = tiny(None)
    expected = model.predict(x)
    model.save(tmp_path / "model.bfm")
    assert archive.load(tmp_path / "model.bfm").description["config"]["stem"] == "small"
    loaded = KerasModel.load(tmp_path / "model.bfm")
    assert np.array_equal(loaded.predict(x), expected)
    assert len(messages()) == 1  # the file says it, nothing is chosen again


def test_a_file_that_holds_no_stem_was_built_with_the_published_one(tmp_path):
    """As all files are that were saved by a default config before the choice by size."""
    x = np.random.default_rng(0).random((2, 16, 16, 1))
    model = tiny(16, stem="imagenet")
    expected = model.predict(x)
    model.save(tmp_path / "model.bfm")
    saved = archive.load(tmp_path / "model.bfm")
    del saved.description["config"]["stem"]
    archive.write(tmp_path / "old.bfm", saved)
    loaded = ResNet18.load(tmp_path / "old.bfm")
    assert kernel(loaded) == 7
    assert np.array_equal(loaded.predict(x), expected)
    with pytest.raises(ModelStateError, match="another architecture"):
        ResNet18.load(tmp_path / "old.bfm", config={"stem": "small"})


@pytest.fixture
def weights(tmp_path):
    """A file of the weights of the published network."""
    with open(tmp_path / "weights.safetensors", "wb") as file:
        safetensors.save_file(convert.state_dict(tiny(16, stem="imagenet").build()), file)
    return tmp_path / "weights.safetensors"


def test_a_network_that_gets_published_weights_has_the_published_stem(weights):
    late = tiny(16)
    late.load_weights(weights)
    assert kernel(late) == kernel(tiny(16, pretrained=str(weights)).build()) == 7


def test_weights_of_another_stem_are_refused_with_the_way_out(weights):
    with pytest.raises(WeightsError, match="conv1") as caught:
        tiny(16).build().load_weights(weights)
    assert caught.value.__notes__ == ["built with stem 'small'; 'stem' in the config chooses"]
