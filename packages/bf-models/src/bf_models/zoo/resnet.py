"""ResNet (He et al. 2015, arXiv:1512.03385) with strides in 3x3 convolutions (v1.5), and what is made of it.

Wide ResNets (arXiv:1605.07146) and ResNeXt (Xie et al. 2016, arXiv:1611.05431) are as torchvision has them,
SE-ResNet and SE-ResNeXt (Hu et al. 2017, arXiv:1709.01507) as timm's legacy_ models. ResNeXt-18 and 34 have
blocks of two convolutions, of which section 3.3 of the paper shows that its paths are one wide block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bf_models._backend import keras
from bf_models.model import KerasModel
from bf_models.nn import Classifier, Common, Net, Tensor


@dataclass(frozen=True, slots=True)
class ResNetStem:
    """7x7 convolution and max-pooling, a quarter of the size; ``small``: one 3x3 convolution of stride 1."""

    filters: int = 64
    kernel: int = 7
    strides: int = 2
    pool: bool = True
    pool_padding: int | str = 1

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/4, W/4, filters)."""
        kernel, strides = (3, 1) if net.small else (self.kernel, self.strides)
        x = net.conv_norm(x, self.filters, kernel, strides, names=("conv1", "bn1"))
        x = net.act(x, "relu")
        return (
            net.pool(x, "max", 3, 2, name="maxpool", padding=self.pool_padding)
            if self.pool and not net.small
            else x
        )


@dataclass(frozen=True, slots=True)
class ResNetBody:
    """Stages of residual blocks; each stage but the first halves the size and doubles the filters.

    ``groups`` and ``group_width`` (filters of a group where the stage has 64) make ResNeXt and wide ResNets:
    of basic blocks the first convolution is as wide as all groups, and none is split into them;
    ``squeeze`` is by how much squeeze-excite narrows channels, 0 is without; ``stride_first`` puts the
    stride of a bottleneck into its first convolution, as Caffe has it. In the last ``dilated`` stages
    convolutions look further apart in place of a stride, as segmentation networks have it.
    """

    depths: tuple[int, ...] = (2, 2, 2, 2)
    block: Literal["basic", "bottleneck"] = "basic"
    filters: int = 64
    groups: int = 1
    group_width: int = 64
    squeeze: int = 0
    stride_first: bool = False
    dilated: int = 0

    def __post_init__(self) -> None:
        if self.block not in ("basic", "bottleneck"):
            raise ValueError(f"ResNet body: block is 'basic' or 'bottleneck', got {self.block!r}")
        if not 0 <= self.dilated < max(1, len(self.depths)):
            raise ValueError(
                f"ResNet body: dilated is a number of its {len(self.depths)} stages but the first, got "
                f"{self.dilated!r}"
            )

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/8, W/8, 8 * filters), four times as many with bottlenecks."""
        block = self._basic if self.block == "basic" else self._bottleneck
        dilation, strided = 1, len(self.depths) - self.dilated
        for stage, depth in enumerate(self.depths):
            for number in range(depth):
                strides = 2 if 0 < stage < strided and not number else 1
                name = f"layer{stage + 1}.{number}"
                x = block(x, net, self.filters * 2**stage, (strides, dilation), name)
                if stage >= strided and not number:
                    dilation *= 2
        return x

    def _basic(self, x: Tensor, net: Net, filters: int, steps: tuple[int, int], name: str) -> Tensor:
        strides, dilation = steps
        names = (f"{name}.conv1", f"{name}.bn1")
        y = net.conv_norm(x, self._width(filters), 3, strides, names=names, dilation=dilation)
        y = net.act(y, f"{name}.relu1")
        y = net.conv_norm(y, filters, 3, names=(f"{name}.conv2", f"{name}.bn2"), dilation=dilation)
        return self._join(x, y, net, strides, name)

    def _bottleneck(self, x: Tensor, net: Net, filters: int, steps: tuple[int, int], name: str) -> Tensor:
        strides, dilation = steps
        width = self._width(filters)
        first, second = (strides, 1) if self.stride_first else (1, strides)
        y = net.conv_norm(x, width, 1, first, names=(f"{name}.conv1", f"{name}.bn1"))
        y = net.act(y, f"{name}.relu1")
        names = (f"{name}.conv2", f"{name}.bn2")
        y = net.conv_norm(y, width, 3, second, names=names, groups=self.groups, dilation=dilation)
        y = net.act(y, f"{name}.relu2")
        y = net.conv_norm(y, filters * 4, 1, names=(f"{name}.conv3", f"{name}.bn3"))
        return self._join(x, y, net, strides, name)

    def _width(self, filters: int) -> int:
        return int(filters * self.group_width / 64) * self.groups

    def _join(self, x: Tensor, y: Tensor, net: Net, strides: int, name: str) -> Tensor:
        if strides > 1 or x.shape[-1] != y.shape[-1]:
            names = (f"{name}.downsample.0", f"{name}.downsample.1")
            x = net.conv_norm(x, y.shape[-1], 1, strides, names=names)
        if self.squeeze:
            y = net.squeeze_excite(y, y.shape[-1] // self.squeeze, name=f"{name}.se_module")
        return net.act(keras().layers.Add(name=f"{name}.add")([x, y]), name)


_50, _101, _152 = (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)


class ResNet(KerasModel):
    """Base of the family: depths of the stages and a kind of block."""

    initial_block = ResNetStem()
    body = ResNetBody()
    head = Classifier()


class ResNet18(ResNet):
    """ResNet-18: 11,689,512 parameters for 1000 classes."""


class ResNet34(ResNet):
    """ResNet-34: 21,797,672 parameters for 1000 classes."""

    body = ResNetBody(_50)


class ResNet50(ResNet):
    """ResNet-50: 25,557,032 parameters for 1000 classes."""

    body = ResNetBody(_50, "bottleneck")


class ResNet101(ResNet):
    """ResNet-101: 44,549,160 parameters for 1000 classes."""

    body = ResNetBody(_101, "bottleneck")


class ResNet152(ResNet):
    """ResNet-152: 60,192,808 parameters for 1000 classes."""

    body = ResNetBody(_152, "bottleneck")


class ResNeXt18(ResNet):
    """ResNeXt-18 32x4d: 22,678,824 parameters for 1000 classes."""

    body = ResNetBody(groups=32, group_width=4)


class ResNeXt34(ResNet):
    """ResNeXt-34 32x4d: 42,891,432 parameters for 1000 classes."""

    body = ResNetBody(_50, groups=32, group_width=4)


class ResNeXt50(ResNet):
    """ResNeXt-50 32x4d: 25,028,904 parameters for 1000 classes."""

    body = ResNetBody(_50, "bottleneck", groups=32, group_width=4)


class ResNeXt101(ResNet):
    """ResNeXt-101 32x8d: 88,791,336 parameters for 1000 classes."""

    body = ResNetBody(_101, "bottleneck", groups=32, group_width=8)


class ResNeXt101x64(ResNet):
    """ResNeXt-101 64x4d: 83,455,272 parameters for 1000 classes."""

    body = ResNetBody(_101, "bottleneck", groups=64, group_width=4)


class ResNeXt152(ResNet):
    """ResNeXt-152 32x4d: 59,951,400 parameters for 1000 classes."""

    body = ResNetBody(_152, "bottleneck", groups=32, group_width=4)


class WideResNet50(ResNet):
    """Wide ResNet-50-2: 68,883,240 parameters for 1000 classes."""

    body = ResNetBody(_50, "bottleneck", group_width=128)


class WideResNet101(ResNet):
    """Wide ResNet-101-2: 126,886,696 parameters for 1000 classes."""

    body = ResNetBody(_101, "bottleneck", group_width=128)


class SENet(ResNet):
    """Base of the SE family."""

    initial_block = ResNetStem(pool_padding="ceil")
    body = ResNetBody(squeeze=16)
    # timm's legacy_ models set the weights of convolutions and leave their biases as torch draws them
    common = Common(conv_bias="torch")


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


class SEResNeXt18(SENet):
    """SE-ResNeXt-18 32x4d: 22,767,904 parameters for 1000 classes."""

    body = ResNetBody(groups=32, group_width=4, squeeze=16)


class SEResNeXt34(SENet):
    """SE-ResNeXt-34 32x4d: 43,052,628 parameters for 1000 classes."""

    body = ResNetBody(_50, groups=32, group_width=4, squeeze=16)


class SEResNeXt26(SENet):
    """SE-ResNeXt-26 32x4d: 16,790,280 parameters for 1000 classes."""

    body = ResNetBody((2, 2, 2, 2), "bottleneck", groups=32, group_width=4, squeeze=16)


class SEResNeXt50(SENet):
    """SE-ResNeXt-50 32x4d: 27,559,896 parameters for 1000 classes."""

    body = ResNetBody(_50, "bottleneck", groups=32, group_width=4, squeeze=16)


class SEResNeXt101(SENet):
    """SE-ResNeXt-101 32x4d: 48,955,416 parameters for 1000 classes."""

    body = ResNetBody(_101, "bottleneck", groups=32, group_width=4, squeeze=16)


class SEResNeXt152(SENet):
    """SE-ResNeXt-152 32x4d: 66,580,440 parameters for 1000 classes."""

    body = ResNetBody(_152, "bottleneck", groups=32, group_width=4, squeeze=16)
