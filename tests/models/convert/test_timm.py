"""timm's weights: names of blocks and dense layers, equal outputs, networks that compute something else."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bf_models import UNet, convert, safetensors, zoo
from bf_models.convert.encoders import Lent
from bf_models.convert.layouts import SUFFIXES
from bf_models.convert.names import find_names
from bf_models.errors import WeightsError

FAST = (
    "efficientnet_b0",
    "mobilenetv1_100",
    "mobilenetv2_100",
    "mobilenetv3_small_100",
    "tf_mobilenetv3_small_100",
    "narrow_vgg11_bn",
)
OTHERS = [
    *(f"efficientnet_b{size}" for size in range(1, 8)),
    *("tf_efficientnet_b0", "tf_efficientnet_b5", "mobilenetv3_large_100", "tf_mobilenetv3_large_100"),
    *(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")),
]


@pytest.fixture(scope="module")
def golden(request):
    path = request.config.rootpath / "tests" / "models" / "golden_timm.json"
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def arrays_of(tool, golden):
    """``arrays_of(name)``: the arrays of one of timm's networks by their names, drawn by the tool's rule."""
    return lambda name: {
        item: tool.rule(item, shape) for item, shape in tool.unfold_names(golden[name]["names"]).items()
    }


def make(ours, side=64, **config):
    shape = {"inputs": {"images": {"shape": (side, side, 3)}}, "num_classes": 10, "stem": "imagenet"}
    return zoo.MODELS[ours]({**shape, **config}).build()


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_outputs_are_timms_with_the_same_weights(name, tool, golden, arrays_of):
    ours, config, side = tool.TIMM[name]
    model = make(ours, side, **config)
    arrays = arrays_of(name)
    report = convert.load_state_dict(model, {**arrays, "bn1.num_batches_tracked": np.array(3)})
    assert len(report.loaded) == len(arrays) == len(convert.state_shapes(model))
    assert (report.missing, report.unexpected, report.head) == ((), (), ())
    outputs, expected = (
        model.predict(tool.images(side).transpose(0, 2, 3, 1)),
        np.array(golden[name]["outputs"]),
    )
    assert np.abs(outputs - expected).max() <= 1e-4 * np.abs(expected).max()


def test_golden_file_holds_every_network_of_the_tool(tool, golden):
    assert set(golden) == set(tool.TIMM) == {*FAST, *OTHERS}


@pytest.mark.parametrize(
    ("name", "common", "advice"),
    [
        (
            "mobilenetv3_small_100",
            {},
            r"mobilenetv3_\* with common: \{epsilon: 1\.0e-05\} or for timm's tf_mobilenetv3_\* with "
            r"common: \{padding: same\}; ",
        ),
        ("mobilenetv1_100", {}, r"mobilenetv1_\* with common: \{epsilon: 1\.0e-05, padding: torch\}; "),
        ("mobilenetv2_100", {"padding": "same"}, r"mobilenetv2_\* with common: \{padding: torch\}; "),
        (
            "efficientnet_b0",
            {"padding": "same"},
            r"efficientnet_\* with common: \{padding: torch\} or for .* common: \{epsilon: 1\.0e-03\}; ",
        ),
    ],
)
def test_a_network_that_computes_something_else_is_refused_with_the_option(
    name, common, advice, tool, arrays_of
):
    model, arrays = make(tool.TIMM[name][0], common=common), arrays_of(name)
    before = convert.state_dict(model)
    with pytest.raises(WeightsError, match=rf"{model.name}: .*have epsilon 1e-05 .*build it for .*{advice}"):
        convert.load_state_dict(model, arrays)
    assert all(np.array_equal(array, before[item]) for item, array in convert.state_dict(model).items())
    report = convert.load_state_dict(model, arrays, strict=False)
    assert len(report.loaded) == len(arrays)
    assert "other outputs here" in report.note
    # the network's own names come from torchvision, and say nothing of the kind
    assert convert.load_state_dict(model, convert.state_dict(model)).note == ""


@pytest.mark.parametrize(
    "path",
    [
        "tf_mobilenetv3_small_100-37f49e2b.safetensors",
        "tf_mobilenetv3_small_100.in1k/model.safetensors",
        "models--timm--tf_mobilenetv3_small_100.in1k/snapshots/0a/model.safetensors",
    ],
)
def test_a_path_that_names_a_network_from_tensorflow_asks_for_its_padding(path, tmp_path, arrays_of):
    target = tmp_path / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as file:
        safetensors.save_file(arrays_of("mobilenetv3_small_100"), file)
    plain = make("MobileNetV3Small", common={"epsilon": 1e-5})
    with pytest.raises(WeightsError, match=r"tf_mobilenetv3.*common: \{epsilon: 1\.0e-03, padding: same\}"):
        plain.load_weights(target)
    target.rename(tmp_path / "model.safetensors")
    report = plain.load_weights(tmp_path / "model.safetensors")
    assert str(report).endswith("tf_mobilenetv3_* with common: {epsilon: 1.0e-03, padding: same}")


def test_files_of_another_depth_and_width_are_refused_by_the_files_names(arrays_of, tool, golden):
    small, large = arrays_of("mobilenetv3_small_100"), tool.unfold_names(golden["efficientnet_b1"]["names"])
    deeper = {name: np.zeros(shape, "float32") for name, shape in large.items()}
    with pytest.raises(WeightsError, match=r"EfficientNetB0: .*unexpected: blocks\.0\.1\."):
        convert.load_state_dict(make("EfficientNetB0"), deeper)
    with pytest.raises(
        WeightsError,
        match=r"MobileNetV3Large: .*unexpected: blocks\.0\.0\.se\.conv_reduce",
    ):
        convert.load_state_dict(make("MobileNetV3Large"), small)
    wide = {**small, "conv_stem.weight": np.zeros((24, 3, 3, 3), "float32")}
    with pytest.raises(
        WeightsError,
        match=r"conv_stem\.weight \(24, 3, 3, 3\), expected features\.0\.0\.weight \(16, 3, 3, 3\)",
    ):
        convert.load_state_dict(make("MobileNetV3Small"), wide)
    with pytest.raises(WeightsError, match=r"ResNet18: .*missing: conv1\.weight.*unexpected: conv_stem"):
        convert.load_state_dict(make("ResNet18"), small)


def test_another_number_of_classes_keeps_the_head(arrays_of, tool):
    model = make("MobileNetV3Small", common={"epsilon": 1e-5}, num_classes=4)
    report = convert.load_state_dict(model, arrays_of("mobilenetv3_small_100"))
    assert report.head == ("classifier.3.weight", "classifier.3.bias")
    vgg = make(
        "VGG11BN",
        **{"body": {"stages": [[1, 0, 4], [1, 0, 4], [2, 0, 8], [2, 0, 8], [2, 0, 8]]}},
        num_classes=4,
    )
    report = convert.load_state_dict(vgg, arrays_of("narrow_vgg11_bn"))
    assert report.head == ("classifier.6.weight", "classifier.6.bias")


def test_encoders_take_timms_weights_and_refuse_those_of_deeper_networks(arrays_of, tool, golden):
    def unet(network, **fields):
        body = {"encoder": {"network": network, **fields}, "filters": 2}
        shape = {"inputs": {"images": {"shape": (64, 64, 3)}}, "num_classes": 3, "stem": "imagenet"}
        return UNet({**shape, "body": body}).build()

    arrays = arrays_of("mobilenetv3_small_100")
    with pytest.raises(
        WeightsError,
        match=r"UNet, encoder MobileNetV3Small: .*epsilon: 1\.0e-05.*in the options of the encoder",
    ):
        convert.load_state_dict(unet("mobilenetv3small"), arrays)
    model = unet("mobilenetv3small", common={"epsilon": 1e-5})
    report = convert.load_state_dict(model, arrays)
    assert len(report.loaded) == len(arrays) - 4  # but the dense layers
    alone = make("MobileNetV3Small", common={"epsilon": 1e-5})
    convert.load_state_dict(alone, arrays)
    images = tool.images(64).transpose(0, 2, 3, 1)
    maps = [item.predict(images, fetches="features.12") for item in (model, alone)]
    np.testing.assert_allclose(*maps, rtol=1e-4, atol=1e-5)
    # the first blocks of each stage are the same in both
    deeper = tool.unfold_names(golden["efficientnet_b1"]["names"])
    with pytest.raises(WeightsError, match=r"UNet, encoder EfficientNetB0: .*unexpected: blocks\.0\.1\."):
        convert.load_state_dict(
            unet("efficientnetb0"), {name: np.zeros(shape, "float32") for name, shape in deeper.items()}
        )


def test_se_networks_that_pool_otherwise_are_refused_by_name():
    model = make("SEResNet50", body={"filters": 4}, initial_block={"filters": 4})
    arrays = {name.replace("se_module", "se"): array for name, array in convert.state_dict(model).items()}
    with pytest.raises(WeightsError, match=r"SEResNet50: .*timm's seresnet and seresnext.*legacy_seresnet"):
        convert.load_state_dict(model, arrays)


def test_an_encoder_is_known_though_both_heads_have_one_name(tmp_path):
    small = {"body": {"depths": [1, 1, 1, 1], "growth": 4}, "initial_block": {"filters": 4}}
    source = make("DenseNet121", **small)
    shape = {"inputs": {"images": {"shape": (64, 64, 3)}}, "num_classes": 3, "stem": "imagenet"}
    model = UNet({**shape, "body": {"encoder": {"network": "densenet121", **small}, "filters": 2}}).build()
    arrays = convert.state_dict(source)
    assert "classifier.weight" in set(arrays) & set(convert.state_dict(model))
    source.save(tmp_path / "source.bf")
    for report in (convert.load_state_dict(model, arrays), model.load_weights(tmp_path / "source.bf")):
        assert report.loaded
        assert (report.missing, report.unexpected) == ((), ())
    images = np.random.default_rng(0).random((1, 64, 64, 3), "float32")
    last = "features.denseblock4.denselayer1.conv2"
    maps = [item.predict(images, fetches=last) for item in (source, model)]
    np.testing.assert_allclose(*maps, rtol=1e-4, atol=1e-5)


def test_a_deeper_networks_blocks_are_no_head_by_whatever_names():
    lent = Lent(
        "ConvNeXtTiny", frozenset({"features.1.0.block.0"}), {"features.1.0.block.0.weight": None}, ()
    )
    known, deeper = "stages.0.blocks.0.conv_dw.weight", "stages.0.blocks.7.conv_dw.weight"
    named = find_names([f"module.{known}", deeper, "head.fc.weight"], lent.list_names(SUFFIXES))
    assert lent.leave_out(named) == {"features.1.0.block.0.weight": f"module.{known}", deeper: deeper}
