"""ResNet (He et al. 2015, arXiv:1512.03385) as torchvision has it: strides in 3x3 convolutions (v1.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bf_models._backend import keras
from bf_models.model import KerasModel
from bf_models.nn import Classifier, Net, Tensor


@dataclass(frozen=True, slots=True)
class ResNetStem:
    """7x7 convolution and max-pooling, a quarter of the size; ``small``: one 3x3 convolution of stride 1."""

    filters: int = 64
    kernel: int = 7
    strides: int = 2
    pool: bool = True
    pool_padding: int | str = 1

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """(N, H, W, C) -> (N, H/4, W/4, filters)."""
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

    ``groups`` and ``group_width`` (filters of a group where the stage has 64) make ResNeXt and wide ResNets;
    ``squeeze`` is by how much squeeze-excite narrows channels, 0 is without; ``stride_first`` puts the
    stride of a bottleneck into its first convolution, as Caffe has it.
    """

    depths: tuple[int, ...] = (2, 2, 2, 2)
    block: Literal["basic", "bottleneck"] = "basic"
    filters: int = 64
    groups: int = 1
    group_width: int = 64
    squeeze: int = 0
    stride_first: bool = False

    def __post_init__(self) -> None:
        if self.block not in ("basic", "bottleneck"):
            raise ValueError(f"ResNet body: block is 'basic' or 'bottleneck', got {self.block!r}")

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """(N, H, W, C) -> (N, H/8, W/8, 8 * filters), four times as many with bottlenecks."""
        block = self._basic if self.block == "basic" else self._bottleneck
        for stage, depth in enumerate(self.depths):
            for number in range(depth):
                strides = 2 if stage and not number else 1
                x = block(x, net, self.filters * 2**stage, strides, f"layer{stage + 1}.{number}")
        return x

    def _basic(self, x: Tensor, net: Net, filters: int, strides: int, name: str) -> Tensor:
        y = net.conv_norm(x, filters, 3, strides, names=(f"{name}.conv1", f"{name}.bn1"))
        y = net.act(y, f"{name}.relu1")
        y = net.conv_norm(y, filters, 3, names=(f"{name}.conv2", f"{name}.bn2"))
        return self._joined(x, y, net, strides, name)

    def _bottleneck(self, x: Tensor, net: Net, filters: int, strides: int, name: str) -> Tensor:
        width = int(filters * self.group_width / 64) * self.groups
        first, second = (strides, 1) if self.stride_first else (1, strides)
        y = net.conv_norm(x, width, 1, first, names=(f"{name}.conv1", f"{name}.bn1"))
        y = net.act(y, f"{name}.relu1")
        y = net.conv_norm(y, width, 3, second, names=(f"{name}.conv2", f"{name}.bn2"), groups=self.groups)
        y = net.act(y, f"{name}.relu2")
        y = net.conv_norm(y, filters * 4, 1, names=(f"{name}.conv3", f"{name}.bn3"))
        return self._joined(x, y, net, strides, name)

    def _joined(self, x: Tensor, y: Tensor, net: Net, strides: int, name: str) -> Tensor:
        if strides > 1 or x.shape[-1] != y.shape[-1]:
            names = (f"{name}.downsample.0", f"{name}.downsample.1")
            x = net.conv_norm(x, y.shape[-1], 1, strides, names=names)
        if self.squeeze:
            y = net.squeeze_excite(y, y.shape[-1] // self.squeeze, name=f"{name}.se_module")
        return net.act(keras().layers.Add(name=f"{name}.add")([x, y]), name)


class ResNet(KerasModel):
    """Base of the family: depths of the stages and a kind of block."""

    initial_block = ResNetStem()
    body = ResNetBody()
    head = Classifier()


class ResNet18(ResNet):
    """ResNet-18: 11,689,512 parameters for 1000 classes."""


class ResNet34(ResNet):
    """ResNet-34: 21,797,672 parameters for 1000 classes."""

    body = ResNetBody((3, 4, 6, 3))


class ResNet50(ResNet):
    """ResNet-50: 25,557,032 parameters for 1000 classes."""

    body = ResNetBody((3, 4, 6, 3), "bottleneck")


class ResNet101(ResNet):
    """ResNet-101: 44,549,160 parameters for 1000 classes."""

    body = ResNetBody((3, 4, 23, 3), "bottleneck")


class ResNet152(ResNet):
    """ResNet-152: 60,192,808 parameters for 1000 classes."""

    body = ResNetBody((3, 8, 36, 3), "bottleneck")
