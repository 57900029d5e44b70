"""Networks of the catalogue as encoders: their maps, their weights, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from bf_models import (
    FPN,
    EncoderDecoder,
    KerasModel,
    LinkNet,
    MobileNetV3Small,
    ResNet18,
    ResNet34,
    UNet,
    UNetPP,
    convert,
    safetensors,
)
from bf_models.errors import WeightsError

TINY = {"network": "resnet18", "body": {"filters": 4}, "initial_block": {"filters": 4}}
SHALLOW = {**TINY, "body": {"filters": 4, "depths": [1, 1, 1, 1]}}
X = np.random.default_rng(0).random((1, 45, 38, 3))


def make(cls, body, **config):
    return cls({"num_classes": 3, "seed": 1, "stem": "imagenet", "body": body, **config})


def classifier(cls=ResNet18, **config):
    body = {"body": {"filters": 4}, "initial_block": {"filters": 4}}
    shape = {"inputs": {"images": {"shape": (64, 64, 3)}}}
    return cls({"num_classes": 7, "seed": 3, "stem": "imagenet", **shape, **body, **config}).build()


def encode(network, stem="imagenet", size=64, **fields):
    """Reductions and shapes of an encoder's maps, without weights."""
    from bf_models._backend import keras
    from bf_models.nn import Net
    from bf_models.zoo.segmentation.encoder import Encoder

    with keras().StatelessScope():
        image = keras().Input((size, size, 3))
        levels = Encoder(network, **fields).encode(image, Net("Tested", 2, stem))
    return {level.reduction: tuple(level.map.shape[1:]) for level in levels}


@pytest.mark.parametrize(
    ("network", "maps"),
    [
        ("resnet18", {2: (32, 64), 4: (16, 64), 8: (8, 128), 16: (4, 256), 32: (2, 512)}),
        ("resnet50", {2: (32, 64), 4: (16, 256), 8: (8, 512), 16: (4, 1024), 32: (2, 2048)}),
        ("vgg11", {1: (64, 64), 2: (32, 128), 4: (16, 256), 8: (8, 512), 16: (4, 512), 32: (2, 512)}),
        # inverted residuals: the widened map before each stride, as segmentation with MobileNet takes it
        ("mobilenetv2", {2: (32, 96), 4: (16, 144), 8: (8, 192), 16: (4, 576), 32: (2, 1280)}),
        ("densenet121", {2: (32, 64), 4: (16, 128), 8: (8, 256), 16: (4, 512), 32: (2, 1024)}),
        ("convnexttiny", {4: (16, 96), 8: (8, 192), 16: (4, 384), 32: (2, 768)}),
        ("resnet18v2", {2: (32, 64), 4: (16, 64), 8: (8, 128), 16: (4, 256), 32: (2, 512)}),
    ],
)
def test_maps_of_an_encoder_are_the_last_of_each_size(network, maps):
    found = encode(network)
    assert found == {reduction: (side, side, width) for reduction, (side, width) in maps.items()}


def test_small_stem_has_maps_of_other_reductions():
    assert list(encode("resnet18", "small")) == [1, 2, 4, 8]
    assert list(encode("resnet18", stages=(4, 16))) == [4, 16]


@pytest.mark.parametrize(
    ("network", "stem", "stages", "message"),
    [
        ("vits16", "imagenet", None, r"encoder ViTS16 has maps of the reductions \[16\], and two of them"),
        ("mlp", "imagenet", None, r"encoder MLP has maps of the reductions \[\]"),
        ("convnexttiny", "imagenet", (2, 4, 8), r"reductions \[4, 8, 16, 32\], and \[2, 4, 8\] are asked"),
        ("resnet18", "small", (16, 32), r"stem 'small' has.*\[1, 2, 4, 8\], and \[16, 32\] are asked for"),
    ],
)
def test_stages_that_an_encoder_has_not_are_refused_with_those_that_it_has(network, stem, stages, message):
    with pytest.raises(ValueError, match=message):
        encode(network, stem, stages=stages)


@pytest.mark.parametrize("shape", [(64, 64, 3), (None, None, 3)], ids=["known", "unknown"])
def test_layers_behind_the_smallest_stage_are_not_made_and_the_model_is_loaded_again(tmp_path, shape):
    body = {"encoder": {**TINY, "stages": [4, 8]}}
    model = make(FPN, body, inputs={"images": {"shape": shape}}).build()
    whole = make(FPN, {"encoder": TINY}, inputs={"images": {"shape": shape}}).build()
    names = {variable.path.partition("/")[0] for variable in model.network.variables}
    left_out = {name for name in names if name.startswith(("layer3", "layer4"))}
    assert not left_out
    assert any(variable.path.startswith("layer4") for variable in whole.network.variables)
    model.save(tmp_path / "some.bf")
    images = np.random.default_rng(1).random((1, 64, 64, 3))
    again = KerasModel.load(tmp_path / "some.bf")
    np.testing.assert_array_equal(again.predict(images), model.predict(images))
    source = classifier()
    convert.load_state_dict(model, convert.state_dict(source))
    np.testing.assert_allclose(
        model.predict(images, fetches="layer2.1"), source.predict(images, fetches="layer2.1"), atol=1e-5
    )


@pytest.mark.parametrize(
    ("cls", "body"),
    [
        (UNet, {"encoder": SHALLOW, "filters": 2}),
        pytest.param(UNet, {"encoder": SHALLOW, "filters": 2, "norm": True}, marks=pytest.mark.slow),
        (UNetPP, {"filters": 2, "depth": 2}),
        (LinkNet, {"encoder": SHALLOW, "filters": 4}),
        (FPN, {"encoder": SHALLOW, "width": 4, "filters": 4}),
        pytest.param(
            EncoderDecoder,
            {"encoder": {**SHALLOW, "stages": [4, 16]}, "filters": 2, "join": "sum"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            EncoderDecoder,
            {"encoder": SHALLOW, "filters": [2, 3, 4, 5, 6], "upsample": "subpixel"},
            marks=pytest.mark.slow,
        ),
        (EncoderDecoder, {"encoder": "vgg7", "filters": 2, "join": "none", "upsample": "transposed"}),
    ],
)
def test_images_of_any_size_go_through(cls, body):
    model = make(cls, body)
    assert model.predict(X).shape == (1, 45, 38, 3)
    free = make(cls, body, inputs={"images": {"shape": (None, None, 3)}}).build()
    convert.load_state_dict(free, convert.state_dict(model))
    np.testing.assert_allclose(free.predict(X), model.predict(X), rtol=1e-4, atol=1e-5)
    assert free.predict(X[:, :40, :33]).shape == (1, 40, 33, 3)
    assert np.isfinite(model.train(X, np.zeros((1, 45, 38), int), fetches="loss"))


@pytest.mark.parametrize("suffix", [".safetensors", ".bf"])
def test_weights_of_the_encoders_network_are_loaded(tmp_path, suffix):
    path, source = tmp_path / f"weights{suffix}", classifier()
    if suffix == ".bf":
        source.save(path)
    else:
        with open(path, "wb") as file:
            safetensors.save_file(convert.state_dict(source), file)
    model = make(UNet, {"encoder": TINY, "filters": 2}, pretrained=str(path))
    images = np.random.default_rng(1).random((1, 64, 64, 3))
    np.testing.assert_allclose(
        model.predict(images, fetches="layer4.1"), source.predict(images, fetches="layer4.1"), atol=1e-5
    )
    report = model.load_weights(path)
    assert not report.missing
    assert not report.unexpected
    assert all(name.startswith(("decoder", "classifier")) for name in report.head)
    # and the weights of the whole go round as those of any model
    model.save(tmp_path / "unet.bf")
    assert np.array_equal(KerasModel.load(tmp_path / "unet.bf").predict(images), model.predict(images))
    other = make(UNet, {"encoder": TINY, "filters": 2}, seed=5).build(images)
    assert not convert.load_state_dict(other, convert.state_dict(model)).head
    assert np.array_equal(other.predict(images), model.predict(images))


@pytest.mark.parametrize("kind", ["safetensors", "bf"])
@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda: classifier(ResNet34), r"UNet, encoder ResNet18.*unexpected: layer1\.2\.conv1"),
        (lambda: classifier(body={"filters": 8}), r"UNet, encoder ResNet18.*another shape: layer"),
        (
            lambda: classifier(MobileNetV3Small, body={}, initial_block={}),
            r"(?s)(?=.*UNet).*do not fit.*missing.*unexpected: features",
        ),
    ],
)
def test_weights_of_another_network_are_refused_with_both_names(tmp_path, source, message, kind):
    model, other = make(UNet, {"encoder": TINY, "filters": 2}).build(X), source()
    path = tmp_path / f"other.{kind}"
    if kind == "bf":
        other.save(path)
    else:
        with open(path, "wb") as file:
            safetensors.save_file(convert.state_dict(other), file)
    with pytest.raises(WeightsError, match=message):
        model.load_weights(path)


@pytest.mark.parametrize(
    ("cls", "body", "message"),
    [
        (UNet, {"encoder": "resnet81"}, "unknown network of an encoder 'resnet81'.*resnet18"),
        (UNet, {"encoder": {"network": "resnet18", "stage": [2]}}, "stage"),
        (UNet, {"encoder": {"network": "resnet18", "stages": [2, 3]}}, r"stages are powers of two.*\[2, 3\]"),
        (UNet, {"encoder": "resnet18", "padding": "valid"}, "'padding: valid' does not go with an encoder"),
        (EncoderDecoder, {"join": "add"}, "unknown join 'add'"),
        (EncoderDecoder, {"filters": [1, 0]}, "filters are numbers from 1 on"),
        (EncoderDecoder, {"encoder": TINY, "filters": [4, 4]}, r"2 filters \[4, 4\] for 5 steps"),
        (EncoderDecoder, {"encoder": {"body": {"filter": 3}}}, "filter"),
    ],
)
def test_what_no_network_comes_of_is_refused(cls, body, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make(cls, body).build(X)
