"""Ready-to-use networks: one file a family, and in it a family is a list of depths and a block."""

from __future__ import annotations

import sys
import types

from bf_models.model import KerasModel
from bf_models.network.catalog import CATALOG, add_models
from bf_models.zoo import (
    convnext,
    densenet,
    efficientnet,
    inception,
    inception_v4,
    lenet_mlp,
    mobilenet,
    resnet,
    resnet_v2,
    squeezenet,
    vgg,
    vit,
    xception,
)
from bf_models.zoo.generative import autoencoder
from bf_models.zoo.segmentation import (
    context,
    deeplab,
    encoder_decoder,
    fcn,
    fpn,
    linknet,
    tiramisu,
    unet,
    vnet,
)

# Configs in files name parts by the modules that families had before: bf_models.zoo.preact.PreactBody.
resnext = senet = resnet
preact = attention = resnet_v2
googlenet, plain = inception, lenet_mlp
for _name in ("resnext", "senet", "preact", "attention", "googlenet", "plain"):
    sys.modules[f"{__name__}.{_name}"] = globals()[_name]

_FAMILIES = (
    *(vgg, resnet, resnet_v2, densenet, squeezenet, mobilenet, efficientnet),
    *(inception, inception_v4, xception, convnext, vit, lenet_mlp),
    *(unet, linknet, fpn, encoder_decoder, deeplab, fcn, tiramisu, vnet, context),
    autoencoder,
)
#: Bases of families, which are no networks of their own.
_BASES = frozenset(
    (
        *("VGG", "ResNet", "ResNetV2", "PyramidNet", "SENet", "DenseNet"),
        *("SqueezeNet", "EfficientNet", "AlignedXception", "ConvNeXt", "ViT"),
    )
)


def _models(family: types.ModuleType) -> dict[str, type[KerasModel]]:
    return {
        name: item
        for name, item in vars(family).items()
        if isinstance(item, type)
        and issubclass(item, KerasModel)
        and item.__module__ == family.__name__
        and name not in _BASES
    }


#: Models by their class names.
MODELS: dict[str, type[KerasModel]] = {
    name: item for family in _FAMILIES for name, item in _models(family).items()
}
add_models(MODELS.values())


def zoo_names() -> dict[str, type[KerasModel]]:
    """Return the models there are, by their names in lower case."""
    return dict(CATALOG)
