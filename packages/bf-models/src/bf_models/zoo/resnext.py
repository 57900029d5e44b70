"""Wide ResNets (arXiv:1605.07146) and ResNeXt (Xie et al. 2016, arXiv:1611.05431) as torchvision has them."""

from __future__ import annotations

from bf_models.zoo.resnet import ResNet, ResNetBody

_50, _101 = (3, 4, 6, 3), (3, 4, 23, 3)


class ResNeXt50(ResNet):
    """ResNeXt-50 32x4d: 25,028,904 parameters for 1000 classes."""

    body = ResNetBody(_50, "bottleneck", groups=32, group_width=4)


class ResNeXt101(ResNet):
    """ResNeXt-101 32x8d: 88,791,336 parameters for 1000 classes."""

    body = ResNetBody(_101, "bottleneck", groups=32, group_width=8)


class ResNeXt101x64(ResNet):
    """ResNeXt-101 64x4d: 83,455,272 parameters for 1000 classes."""

    body = ResNetBody(_101, "bottleneck", groups=64, group_width=4)


class WideResNet50(ResNet):
    """Wide ResNet-50-2: 68,883,240 parameters for 1000 classes."""

    body = ResNetBody(_50, "bottleneck", group_width=128)


class WideResNet101(ResNet):
    """Wide ResNet-101-2: 126,886,696 parameters for 1000 classes."""

    body = ResNetBody(_101, "bottleneck", group_width=128)
