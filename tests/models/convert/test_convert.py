"""Public weights: the networks are torchvision's, and files of other libraries load as data."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bf_models import VGG16, MobileNet, ResNet18, convert, safetensors, zoo
from bf_models.convert.names import find_names
from bf_models.errors import CorruptModel, UnsafeCheckpoint, WeightsError

FAST = ("ResNet18", "SqueezeNet1_0", "MobileNetV3Small", "LRASPPMobileNetV3")
OTHERS = [
    "ResNeXt50",
    "DenseNet121",
    "MobileNetV2",
    "EfficientNetB0",
    "VGG11",
    "VGG13",
    "VGG16",
    "VGG19",
    "VGG11BN",
    "VGG13BN",
    "VGG16BN",
    "VGG19BN",
    "ResNet34",
    "ResNet50",
    "ResNet101",
    "ResNet152",
    "ResNeXt101",
    "ResNeXt101x64",
    "WideResNet50",
    "WideResNet101",
    "DenseNet161",
    "DenseNet169",
    "DenseNet201",
    "SqueezeNet1_1",
    "MobileNetV3Large",
    "EfficientNetB1",
    "EfficientNetB2",
    "EfficientNetB3",
    "EfficientNetB4",
    "EfficientNetB5",
    "EfficientNetB6",
    "EfficientNetB7",
    "GoogLeNet",
    "InceptionV3",
    "ConvNeXtTiny",
    "ConvNeXtSmall",
    "ConvNeXtBase",
    "ViTB16",
    "ViTB32",
    "FCNResNet50",
    "FCNResNet101",
    "DeepLabV3ResNet50",
    "DeepLabV3ResNet101",
    "DeepLabV3MobileNetV3",
]


@pytest.fixture(scope="module")
def golden(request):
    return json.loads((request.config.rootpath / "tests" / "models" / "golden.json").read_text())


def small_resnet(**config):
    body = {"depths": [1, 1], "filters": 4}
    fixed = {"inputs": {"images": {"shape": (16, 16, 3)}}, "num_classes": 4, "seed": 1, "stem": "imagenet"}
    return ResNet18({**fixed, "body": body, **config}).build()


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_outputs_are_torchvisions_with_the_same_weights(name, tool, golden):
    told = golden[name]
    side = told["side"]
    model = zoo.MODELS[name](
        {"inputs": {"images": {"shape": (side, side, 3)}}, "num_classes": tool.CLASSES, "stem": "imagenet"}
    ).build()
    shapes = convert.state_shapes(model)
    assert tool.digest(shapes) == told["names"]
    convert.load_state_dict(model, {name: tool.rule(name, shape) for name, shape in shapes.items()})
    outputs = model.predict(tool.images(side).transpose(0, 2, 3, 1))
    outputs = tool.thin_out(np.moveaxis(outputs, -1, 1))
    expected = np.array(told["outputs"])
    assert np.abs(outputs - expected).max() <= 1e-4 * np.abs(expected).max()


def test_golden_file_holds_every_network_of_the_tool(tool, golden):
    assert set(golden) == set(tool.NETWORKS) == {*FAST, *OTHERS}


def test_safetensors_go_round_and_are_read_by_the_library(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    one, other = small_resnet(), small_resnet(seed=2)
    with open(tmp_path / "ours.safetensors", "wb") as file:
        safetensors.save_file(convert.state_dict(one), file)
    theirs = library.load_file(tmp_path / "ours.safetensors")
    assert all(np.array_equal(theirs[name], array) for name, array in convert.state_dict(one).items())
    library.save_file(theirs, tmp_path / "theirs.safetensors")
    report = other.load_weights(tmp_path / "theirs.safetensors")
    assert not report.missing
    x = np.ones((1, 16, 16, 3))
    assert np.array_equal(one.predict(x), other.predict(x))


def test_weights_are_loaded_when_the_network_is_built(tmp_path):
    one = small_resnet()
    with open(tmp_path / "ours.safetensors", "wb") as file:
        safetensors.save_file(convert.state_dict(one), file)
    x = np.ones((1, 16, 16, 3))
    other = small_resnet(seed=2, pretrained=str(tmp_path / "ours.safetensors"))
    assert np.array_equal(one.predict(x), other.predict(x))


def test_head_keeps_its_own_weights_when_classes_differ():
    one, other = small_resnet(), small_resnet(num_classes=7, seed=2)
    kept = other.network.get_layer("fc").kernel.numpy()
    report = convert.load_state_dict(other, convert.state_dict(one))
    assert set(report.head) == {"fc.weight", "fc.bias"}
    assert np.array_equal(kept, other.network.get_layer("fc").kernel.numpy())
    with pytest.raises(WeightsError, match=r"fc\.weight \(4, 8\), expected \(7, 8\)"):
        convert.load_state_dict(other, convert.state_dict(one), replace_head=False)


def test_missing_and_unexpected_names_are_listed_and_nothing_is_changed():
    model = small_resnet()
    arrays = {name: array + 1 for name, array in convert.state_dict(model).items()}
    arrays["stranger.weight"] = arrays.pop("conv1.weight")
    before = convert.state_dict(model)
    with pytest.raises(WeightsError, match=r"missing: conv1\.weight; unexpected: stranger\.weight"):
        convert.load_state_dict(model, arrays)
    assert all(np.array_equal(array, before[name]) for name, array in convert.state_dict(model).items())
    report = convert.load_state_dict(model, arrays, strict=False)
    assert (report.missing, report.unexpected) == (("conv1.weight",), ("stranger.weight",))


def test_wrappers_and_counters_of_torch_are_left_out():
    model = small_resnet()
    arrays = {f"module.{name}": array for name, array in convert.state_dict(model).items()}
    arrays["module.bn1.num_batches_tracked"] = np.array(3)
    assert not convert.load_state_dict(model, arrays).unexpected


def _torch_file(path, arrays, extra=b""):
    """A file as torch.save writes it, made without torch."""
    import io
    import pickle
    import sys
    import types
    import zipfile

    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def _rebuild_tensor_v2():
        pass

    class FloatStorage:
        pass

    for module, item in ((utils, _rebuild_tensor_v2), (torch, FloatStorage)):
        item.__module__, item.__qualname__ = module.__name__, item.__name__
        setattr(module, item.__name__, item)

    class Tensor:
        def __init__(self, key, array):
            self.key, self.array = key, array

        def __reduce__(self):
            strides = tuple(step // self.array.itemsize for step in self.array.strides)
            return _rebuild_tensor_v2, (
                Storage(self.key, self.array.size),
                0,
                self.array.shape,
                strides,
                False,
                None,
            )

    class Storage:
        def __init__(self, key, count):
            self.key, self.count = key, count

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            return (
                ("storage", FloatStorage, item.key, "cpu", item.count) if isinstance(item, Storage) else None
            )

    buffer = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", torch)
        patch.setitem(sys.modules, "torch._utils", utils)
        Pickler(buffer, 2).dump(
            {name: Tensor(str(key), array) for key, (name, array) in enumerate(arrays.items())}
        )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", extra or buffer.getvalue())
        for key, array in enumerate(arrays.values()):
            archive.writestr(f"archive/data/{key}", array.tobytes())


def test_torch_files_are_read_without_torch(tmp_path):
    one, other = small_resnet(), small_resnet(seed=2)
    arrays = {name: np.ascontiguousarray(array) for name, array in convert.state_dict(one).items()}
    _torch_file(tmp_path / "weights.pth", arrays)
    other.load_weights(tmp_path / "weights.pth")
    assert all(np.array_equal(array, convert.state_dict(other)[name]) for name, array in arrays.items())


def test_torch_file_that_runs_code_is_refused(tmp_path):
    import os
    import pickle

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    _torch_file(tmp_path / "evil.pth", {}, pickle.dumps({"a": Evil()}))
    with pytest.raises(UnsafeCheckpoint, match="system"):
        convert.read_pth(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_torch_file_whose_tensor_reaches_outside_is_refused(tmp_path):
    big = np.lib.stride_tricks.as_strided(np.zeros(4, "float32"), (2, 2), (4 * 100, 4))

    class Long(np.ndarray):
        def tobytes(self):
            return np.zeros(4, "float32").tobytes()

    _torch_file(tmp_path / "long.pth", {"a": big.view(Long)})
    with pytest.raises(CorruptModel, match="reaches outside"):
        convert.read_pth(tmp_path / "long.pth")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut"])
def test_damaged_torch_file_is_named(tmp_path, content):
    (tmp_path / "cut.pth").write_bytes(content)
    with pytest.raises(CorruptModel, match=r"cut\.pth"):
        convert.read_pth(tmp_path / "cut.pth")


@pytest.mark.parametrize(
    ("ours", "theirs", "side", "config"),
    [
        (MobileNet, "MobileNet", 64, {}),
        pytest.param(VGG16, "VGG16", 224, {}, marks=pytest.mark.slow),
        pytest.param(
            "MobileNetV2",
            "MobileNetV2",
            64,
            {"common": {"padding": "same", "epsilon": 1e-3}},
            marks=pytest.mark.slow,
        ),
        pytest.param("Xception", "Xception", 75, {}, marks=pytest.mark.slow),
        pytest.param(
            "DenseNet121", "DenseNet121", 64, {"common": {"epsilon": 1.001e-5}}, marks=pytest.mark.slow
        ),
    ],
)
@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])
def test_outputs_are_those_of_keras_applications(ours, theirs, side, config, suffix, tmp_path):
    import keras

    peer = getattr(keras.applications, theirs)(
        weights=None, input_shape=(side, side, 3), classes=5, classifier_activation=None
    )
    rng = np.random.default_rng(0)
    peer.set_weights(
        [
            item + 0.1 * np.abs(rng.standard_normal(item.shape)).astype("float32") * (item.ndim == 1)
            for item in peer.get_weights()
        ]
    )
    # Keras 3's own format, and the older one that published files have
    save = peer.save_weights if suffix == ".weights.h5" else peer.save
    save(tmp_path / f"file{suffix}")
    model_class = zoo.MODELS[ours] if isinstance(ours, str) else ours
    model = model_class(
        {"inputs": {"images": {"shape": (side, side, 3)}}, "num_classes": 5, "stem": "imagenet", **config}
    ).build()
    model.load_weights(tmp_path / f"file{suffix}")
    x = rng.standard_normal((2, side, side, 3)).astype("float32")
    expected = peer.predict(x, verbose=0)
    assert np.abs(model.predict(x) - expected).max() <= 1e-4 * np.abs(expected).max()


def test_keras_file_of_a_network_with_other_layers_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="VGG16"):
        small_resnet().load_weights(tmp_path / "any.h5")


@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [
        ("vits16", "cls_token", "class_token"),
        ("vits16", "pos_embed", "encoder.pos_embedding"),
        ("vits16", "patch_embed.proj.weight", "conv_proj.weight"),
        ("vits16", "blocks.11.norm2.bias", "encoder.layers.encoder_layer_11.ln_2.bias"),
        (
            "vits16",
            "blocks.0.attn.qkv.weight",
            "encoder.layers.encoder_layer_0.self_attention.in_proj_weight",
        ),
        (
            "vits16",
            "blocks.3.attn.proj.bias",
            "encoder.layers.encoder_layer_3.self_attention.out_proj.bias",
        ),
        ("vits16", "blocks.3.mlp.fc1.weight", "encoder.layers.encoder_layer_3.mlp.0.weight"),
        ("vits16", "blocks.3.mlp.fc2.weight", "encoder.layers.encoder_layer_3.mlp.3.weight"),
        ("vits16", "norm.weight", "encoder.ln.weight"),
        ("vits16", "head.bias", "heads.head.bias"),
        ("convnexttiny", "stem.1.weight", "features.0.1.weight"),
        ("convnexttiny", "stages.2.downsample.1.bias", "features.4.1.bias"),
        ("convnexttiny", "stages.2.blocks.8.conv_dw.weight", "features.5.8.block.0.weight"),
        ("convnexttiny", "stages.0.blocks.0.norm.bias", "features.1.0.block.2.bias"),
        ("convnexttiny", "stages.3.blocks.2.mlp.fc1.weight", "features.7.2.block.3.weight"),
        ("convnexttiny", "stages.3.blocks.2.mlp.fc2.weight", "features.7.2.block.5.weight"),
        ("convnexttiny", "stages.1.blocks.1.gamma", "features.3.1.layer_scale"),
        ("convnexttiny", "head.norm.weight", "classifier.0.weight"),
        ("convnexttiny", "head.fc.weight", "classifier.2.weight"),
    ],
)
def test_names_of_timm_are_known(shapes_of, name, theirs, ours):
    known = set(shapes_of(name))
    assert ours in known
    assert find_names([theirs], known) == {ours: theirs}


@pytest.fixture(scope="module")
def shapes_of():
    """``shapes_of(name)``: the names and shapes of a zoo model's arrays, built once."""
    made: dict[str, dict[str, tuple[int, ...]]] = {}
    fixed = {"num_classes": 7, "stem": "imagenet"}

    def find(name: str) -> dict[str, tuple[int, ...]]:
        if name not in made:
            model = zoo.zoo_names()[name]({**fixed, "inputs": {"images": {"shape": (64, 64, 3)}}})
            made[name] = convert.state_shapes(model.build())
        return made[name]

    return find
