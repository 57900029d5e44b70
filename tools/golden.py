"""Golden outputs of torchvision's networks, made once: weights follow from names, so only outputs are stored.

    python -m pip install torch torchvision
    python tools/golden.py tests/models/golden.json

The tests load the same weights into our networks by ``bf_models.convert`` and compare.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path

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
}


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


def torch_outputs(network: str, side: int) -> dict[str, object]:
    """Outputs and names of a network of torchvision with the weights of the rule."""
    import torch
    from torchvision import models

    options: dict[str, object] = {"num_classes": CLASSES}
    if network in ("googlenet", "inception_v3"):
        options |= {"init_weights": False, "aux_logits": False}
    if network.startswith("vit"):
        options["image_size"] = side
    model = getattr(models, network)(**options).eval()
    state = {
        name: item for name, item in model.state_dict().items() if not name.endswith("num_batches_tracked")
    }
    shapes = {name: tuple(item.shape) for name, item in state.items()}
    weights = {name: torch.from_numpy(rule(name, shape)) for name, shape in shapes.items()}
    model.load_state_dict(weights, strict=False)
    with torch.no_grad():
        outputs = model(torch.from_numpy(images(side))).numpy()
    return {"side": side, "names": digest(shapes), "outputs": outputs.tolist()}


def main(path: str) -> None:
    """Write outputs of all networks into a JSON file."""
    golden = {}
    for ours, (network, side) in NETWORKS.items():
        golden[ours] = torch_outputs(network, side)
        print(ours, np.ravel(golden[ours]["outputs"])[:3])
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(item)}" for name, item in golden.items())
    Path(path).write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1])
