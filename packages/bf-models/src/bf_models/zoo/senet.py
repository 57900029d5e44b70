"""SE-ResNet and SE-ResNeXt (Hu et al. 2017, arXiv:1709.01507) as timm's legacy_ models."""

from __future__ import annotations

from bf_models.zoo.resnet import ResNet, ResNetBody, ResNetStem

_50, _101, _152 = (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)


class SENet(ResNet):
    """Base of the family."""

    initial_block = ResNetStem(pool_padding="ceil")
    body = ResNetBody(squeeze=16)


class SEResNet18(SENet):
    """SE-ResNet-18: 11,778,592 parameters for 1000 classes."""


class SEResNet34(SENet):
    """SE-ResNet-34: 21,958,868 parameters for 1000 classes."""

    body = ResNetBody(_50, squeeze=16)


class SEResNet50(SENet):
    """SE-ResNet-50: 28,088,024 parameters for 1000 classes."""

    body = ResNetBody(_50, "bottleneck", squeeze=16, stride_first=True)


class SEResNet101(SENet):
    """SE-ResNet-101: 49,326,872 parameters for 1000 classes."""

    body = ResNetBody(_101, "bottleneck", squeeze=16, stride_first=True)


class SEResNet152(SENet):
    """SE-ResNet-152: 66,821,848 parameters for 1000 classes."""

    body = ResNetBody(_152, "bottleneck", squeeze=16, stride_first=True)


class SEResNeXt26(SENet):
    """SE-ResNeXt-26 32x4d: 16,790,280 parameters for 1000 classes."""

    body = ResNetBody((2, 2, 2, 2), "bottleneck", groups=32, group_width=4, squeeze=16)


class SEResNeXt50(SENet):
    """SE-ResNeXt-50 32x4d: 27,559,896 parameters for 1000 classes."""

    body = ResNetBody(_50, "bottleneck", groups=32, group_width=4, squeeze=16)


class SEResNeXt101(SENet):
    """SE-ResNeXt-101 32x4d: 48,955,416 parameters for 1000 classes."""

    body = ResNetBody(_101, "bottleneck", groups=32, group_width=4, squeeze=16)
