"""Golden values of torchvision's and timm's networks, made once: weights follow from names, results are kept.

    python -m pip install torch torchvision timm
    python tools/golden.py tests/models/golden.json
    python tools/golden.py tests/models/golden_steps.json
    python tools/golden.py tests/models/golden_starts.json
    python tools/golden.py tests/models/golden_timm.json

The first holds outputs, the second losses of training steps: the tests load the same weights into our
networks by ``bf_models.convert`` and compare. The third tells how the initial weights are distributed, the
fourth holds names, shapes and outputs of timm's networks.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = 10
#: Our name: torchvision's, side of the image. Odd sides show how borders are padded.
NETWORKS = {
    "VGG11": ("vgg11", 33),
    "VGG13": ("vgg13", 33),
    "VGG16": ("vgg16", 33),
    "VGG19": ("vgg19", 33),
    "VGG11BN": ("vgg11_bn", 33),
    "VGG13BN": ("vgg13_bn", 33),
    "VGG16BN": ("vgg16_bn", 33),
    "VGG19BN": ("vgg19_bn", 33),
    "ResNet18": ("resnet18", 65),
    "ResNet34": ("resnet34", 65),
    "ResNet50": ("resnet50", 65),
    "ResNet101": ("resnet101", 65),
    "ResNet152": ("resnet152", 65),
    "ResNeXt50": ("resnext50_32x4d", 65),
    "ResNeXt101": ("resnext101_32x8d", 65),
    "ResNeXt101x64": ("resnext101_64x4d", 65),
    "WideResNet50": ("wide_resnet50_2", 65),
    "WideResNet101": ("wide_resnet101_2", 65),
    "DenseNet121": ("densenet121", 65),
    "DenseNet161": ("densenet161", 65),
    "DenseNet169": ("densenet169", 65),
    "DenseNet201": ("densenet201", 65),
    "SqueezeNet1_0": ("squeezenet1_0", 65),
    "SqueezeNet1_1": ("squeezenet1_1", 65),
    "MobileNetV2": ("mobilenet_v2", 65),
    "MobileNetV3Small": ("mobilenet_v3_small", 65),
    "MobileNetV3Large": ("mobilenet_v3_large", 65),
    "EfficientNetB0": ("efficientnet_b0", 65),
    "EfficientNetB1": ("efficientnet_b1", 65),
    "EfficientNetB2": ("efficientnet_b2", 65),
    "EfficientNetB3": ("efficientnet_b3", 65),
    "EfficientNetB4": ("efficientnet_b4", 65),
    "EfficientNetB5": ("efficientnet_b5", 65),
    "EfficientNetB6": ("efficientnet_b6", 65),
    "EfficientNetB7": ("efficientnet_b7", 65),
    "GoogLeNet": ("googlenet", 65),
    "InceptionV3": ("inception_v3", 91),
    "ConvNeXtTiny": ("convnext_tiny", 65),
    "ConvNeXtSmall": ("convnext_small", 65),
    "ConvNeXtBase": ("convnext_base", 65),
    "ViTB16": ("vit_b_16", 32),
    "ViTB32": ("vit_b_32", 64),
    "FCNResNet50": ("fcn_resnet50", 65),
    "FCNResNet101": ("fcn_resnet101", 65),
    "DeepLabV3ResNet50": ("deeplabv3_resnet50", 65),
    "DeepLabV3ResNet101": ("deeplabv3_resnet101", 65),
    "DeepLabV3MobileNetV3": ("deeplabv3_mobilenet_v3_large", 65),
    "LRASPPMobileNetV3": ("lraspp_mobilenet_v3_large", 65),
}
#: timm's name: ours, what makes ours compute the same, side of the image. Even sides tell paddings apart.
_PLAIN, _SAME = {"epsilon": 1e-5}, {"epsilon": 1e-3, "padding": "same"}
TIMM = {
    **{f"efficientnet_b{size}": (f"EfficientNetB{size}", {}, 64) for size in range(5)},
    **{f"efficientnet_b{size}": (f"EfficientNetB{size}", {"common": _PLAIN}, 64) for size in (5, 6, 7)},
    **{f"tf_efficientnet_b{size}": (f"EfficientNetB{size}", {"common": _SAME}, 64) for size in (0, 5)},
    "mobilenetv1_100": ("MobileNet", {"common": {**_PLAIN, "padding": "torch"}}, 64),
    "mobilenetv2_100": ("MobileNetV2", {}, 64),
    "mobilenetv3_small_100": ("MobileNetV3Small", {"common": _PLAIN}, 64),
    "mobilenetv3_large_100": ("MobileNetV3Large", {"common": _PLAIN}, 64),
    "tf_mobilenetv3_small_100": ("MobileNetV3Small", {"common": _SAME}, 64),
    "tf_mobilenetv3_large_100": ("MobileNetV3Large", {"common": _SAME}, 64),
    **{
        f"vgg{depth}{norm}": (f"VGG{depth}{norm.strip('_').upper()}", {}, 33)
        for depth in (11, 13, 16, 19)
        for norm in ("", "_bn")
    },
    # quick: as deep as VGG-11, of few filters
    "narrow_vgg11_bn": (
        "VGG11BN",
        {"body": {"stages": [[1, 0, 4], [1, 0, 4], [2, 0, 8], [2, 0, 8], [2, 0, 8]]}},
        64,
    ),
}
#: Of outputs that are maps every so many pixels are stored.
APART = 8


def rule(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Float32 array that follows from a torch name and a shape; its size keeps activations near 1."""
    rng = np.random.Generator(np.random.Philox(key=zlib.crc32(name.encode())))
    values = rng.standard_normal(shape, dtype=np.float32)
    if name.endswith("running_var"):
        return 0.5 + np.abs(values)
    if name.endswith("weight") and len(shape) == 1:
        return 1 + values / 10
    if name.endswith("weight"):
        return values * np.float32(np.sqrt(1.5 / np.prod(shape[1:])))
    return values / 10


def digest(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Hash of names and shapes."""
    lines = sorted(f"{name} {list(shape)}" for name, shape in shapes.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def images(side: int) -> np.ndarray:
    """Two images (2, 3, side, side) in torch's order."""
    return rule("images", (2, 3, side, side))


def network_of(network: str, classes: int, **options: object) -> Any:
    """A network of torchvision, without its helpers of training."""
    from torchvision import models

    if network in ("googlenet", "inception_v3"):
        options["aux_logits"] = False
    if network.startswith(("fcn", "deeplab", "lraspp")):
        if not network.startswith("lraspp"):
            options["aux_loss"] = False
        options |= {"weights": None, "weights_backbone": None}
        return getattr(models.segmentation, network)(num_classes=classes, **options)
    return getattr(models, network)(num_classes=classes, **options)


def thin_out(outputs: np.ndarray) -> np.ndarray:
    """Logits (N, classes) as they are, of maps (N, classes, H, W) those of some places."""
    return outputs if outputs.ndim == 2 else outputs[:, :, ::APART, ::APART]


def load_rule(model: Any) -> dict[str, tuple[int, ...]]:
    """Set the weights of a torch network by the rule; return the shapes by name."""
    import torch

    state = {
        name: item for name, item in model.state_dict().items() if not name.endswith("num_batches_tracked")
    }
    shapes = {name: tuple(item.shape) for name, item in state.items()}
    weights = {name: torch.from_numpy(rule(name, shape)) for name, shape in shapes.items()}
    model.load_state_dict(weights, strict=False)
    return shapes


def torch_outputs(network: str, side: int) -> dict[str, object]:
    """Outputs and names of a network of torchvision with the weights of the rule."""
    import torch

    options: dict[str, object] = {}
    if network in ("googlenet", "inception_v3"):
        options["init_weights"] = False
    if network.startswith("vit"):
        options["image_size"] = side
    model = network_of(network, CLASSES, **options).eval()
    shapes = load_rule(model)
    with torch.no_grad():
        outputs = model(torch.from_numpy(images(side)))
    outputs = thin_out((outputs["out"] if isinstance(outputs, dict) else outputs).numpy())
    return {"side": side, "names": digest(shapes), "outputs": outputs.tolist()}


def fold_names(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, list[int]]:
    """Return names and shapes of timm in short: norms as one, and blocks of a stage that are alike as one."""
    norms = {name.removesuffix(".running_mean") for name in shapes if name.endswith(".running_mean")}
    places: dict[tuple[str, str, tuple[int, ...]], list[int]] = {}
    folded: dict[str, list[int]] = {}
    for name, shape in shapes.items():
        layer, _, kind = name.rpartition(".")
        if layer in norms and kind != "weight":
            continue
        short = layer if layer in norms else name
        match = re.match(r"(blocks\.\d+)\.(\d+)\.(.+)", short)
        if match is None:
            folded[short] = list(shape)
        else:
            places.setdefault((match[1], match[3], shape), []).append(int(match[2]))
    for (stage, layer, shape), found in places.items():
        folded[f"{stage}.{found[0]}-{found[-1]}.{layer}"] = list(shape)
    return folded


def unfold_names(folded: Mapping[str, list[int]]) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of what ``fold_names`` made short."""
    shapes = {}
    for name, shape in folded.items():
        match = re.match(r"(blocks\.\d+\.)(\d+)-(\d+)(\..+)", name)
        names = [name]
        if match is not None:
            names = [f"{match[1]}{place}{match[4]}" for place in range(int(match[2]), int(match[3]) + 1)]
        kinds = ("",)
        if not name.endswith((".weight", ".bias")):
            kinds = (".weight", ".bias", ".running_mean", ".running_var")
        shapes |= {item + kind: tuple(shape) for item in names for kind in kinds}
    return shapes


def timm_outputs(network: str) -> dict[str, object]:
    """Outputs and names of a network of timm with the weights of the rule."""
    import timm
    import torch
    from timm.models.vgg import VGG

    _, config, side = TIMM[network]
    if network.startswith("narrow"):
        plan: list[object] = []
        for depth, _, filters in config["body"]["stages"]:
            plan += [*[filters] * depth, "M"]
        model = VGG(plan, num_classes=CLASSES, norm_layer=torch.nn.BatchNorm2d).eval()
    else:
        model = timm.create_model(network, pretrained=False, num_classes=CLASSES).eval()
    shapes = load_rule(model)
    with torch.no_grad():
        outputs = model(torch.from_numpy(images(side)))
    folded = fold_names(shapes)
    assert unfold_names(folded) == shapes, network
    return {"names": folded, "outputs": outputs.tolist()}


#: What learns in steps: the network, its rate, the number of steps, images and their side. The rate moves the
#: last losses by three parts in a hundred; with a larger one rounding grows beyond 1e-4 in ten steps.
STEPS = {"network": "ResNet18", "rate": 1e-4, "steps": 10, "batch": 8, "side": 65}


def batch_of(step: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, side, side) and labels of a training step."""
    shape = (STEPS["batch"], 3, STEPS["side"], STEPS["side"])
    return rule(f"images {step}", shape), np.arange(STEPS["batch"]) * (step + 1) % CLASSES


def torch_steps() -> dict[str, object]:
    """Losses of plain SGD from the weights of the rule; the network sees a batch a step."""
    import torch

    model = network_of(NETWORKS[STEPS["network"]][0], CLASSES).train()
    load_rule(model)
    optimizer = torch.optim.SGD(model.parameters(), STEPS["rate"])
    losses = []
    for step in range(STEPS["steps"]):
        images_, labels = batch_of(step)
        loss = torch.nn.functional.cross_entropy(model(torch.from_numpy(images_)), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {"losses": losses}


#: One network of each family, and which of its arrays are left out: those of blocks like the one before.
STARTS = {
    "VGG11": None,
    "ResNet18": r"^layer\d\.1",
    "ResNeXt50": r"^layer\d\.[1-9]",
    "DenseNet121": r"denselayer([3-9]|\d\d)\.",
    "SqueezeNet1_0": None,
    "MobileNetV2": None,
    "MobileNetV3Small": None,
    "EfficientNetB0": r"^features\.\d\.[1-9].*\.block\.",
    "GoogLeNet": None,
    "InceptionV3": r"^Mixed_(5d|6d|7c)",
    "ConvNeXtTiny": r"^features\.[1357]\.[1-9]",
    "ViTB16": r"encoder_layer_[1-9]",
}


def distribution(values: np.ndarray) -> list[float]:
    """Mean, deviation and kurtosis: 3 of a normal distribution, 1.8 of a uniform one, 0 of a constant."""
    values = np.asarray(values, np.float64)
    mean, deviation = values.mean(), values.std()
    # one value of an array is no distribution, and rounding none either
    if deviation <= 1e-9 * max(1.0, abs(mean)):
        return [mean, 0.0, 0.0]
    return [mean, deviation, np.mean((values - mean) ** 4) / deviation**4]


def is_kept(network: str, name: str) -> bool:
    """Whether an array is a parameter of those that are stored."""
    left_out = STARTS[network]
    return "running_" not in name and (left_out is None or not re.search(left_out, name))


def torch_start(ours: str) -> dict[str, object]:
    """How the arrays of a new network are distributed; of a constant only its value."""
    import torch

    network, side = NETWORKS[ours]
    torch.manual_seed(0)
    options: dict[str, object] = {"image_size": side} if network.startswith("vit") else {}
    if network in ("googlenet", "inception_v3"):
        options["init_weights"] = True
    found: dict[str, object] = {}
    for name, item in network_of(network, 1000, **options).named_parameters():
        if is_kept(ours, name):
            told = [float(f"{value:.4g}") for value in distribution(item.detach().numpy())]
            found[name] = told if told[1] else told[0]
    return found


def main(path: str) -> None:
    """Write the golden values that a file is named after into it."""
    golden: dict[str, object] = {}
    kind = Path(path).stem
    if kind == "golden_steps":
        golden = torch_steps()
    elif kind == "golden_starts":
        golden = {ours: torch_start(ours) for ours in STARTS}
    elif kind == "golden_timm":
        golden = {network: timm_outputs(network) for network in TIMM}
    else:
        for ours, (network, side) in NETWORKS.items():
            golden[ours] = torch_outputs(network, side)
            print(ours, np.ravel(golden[ours]["outputs"])[:3])
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(item)}" for name, item in golden.items())
    Path(path).write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1])
