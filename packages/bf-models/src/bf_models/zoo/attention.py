"""Residual attention networks (Wang et al. 2017, arXiv:1704.06904), layer by layer as defined by the authors.

The counts are those of the authors' Caffe definitions; the table of their paper has 31.9 and 51.3 million.
"""

from __future__ import annotations

from dataclasses import dataclass

from bf_models._backend import keras
from bf_models.model import KerasModel
from bf_models.nn import Classifier, Net, Tensor
from bf_models.zoo.resnet import ResNetStem


@dataclass(frozen=True, slots=True)
class AttentionBody:
    """Stages of a residual block and attention modules, then three residual blocks.

    ``depths`` counts modules.
    """

    depths: tuple[int, ...] = (1, 1, 1)
    filters: int = 256
    tail: int = 3

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """(N, H, W, C) -> (N, H/8, W/8, 8 * filters)."""
        for stage, depth in enumerate(self.depths):
            filters = self.filters * 2**stage
            x = _residual(x, net, filters, 2 if stage else 1, f"stage{stage + 1}.residual")
            for number in range(depth):
                # a mask goes down to an eighth of its stage's size in the first stage, to a half in the last
                x = self._module(x, net, len(self.depths) - stage, f"stage{stage + 1}.attention{number}")
        for number in range(self.tail):
            filters = self.filters * 2 ** len(self.depths)
            x = _residual(x, net, filters, 1 if number else 2, f"tail.{number}")
        return net.act(net.norm(x, "norm"), "body")

    def _module(self, x: Tensor, net: Net, levels: int, name: str) -> Tensor:
        layers, filters = keras().layers, x.shape[-1]
        x = _residual(x, net, filters, 1, f"{name}.first")
        trunk = _residual(_residual(x, net, filters, 1, f"{name}.trunk0"), net, filters, 1, f"{name}.trunk1")
        mask = self._mask(x, net, levels, f"{name}.mask")
        for number in range(2):
            mask = net.act(net.norm(mask, f"{name}.gate.norm{number}"), f"{name}.gate.relu{number}")
            mask = net.conv(mask, filters, 1, name=f"{name}.gate.conv{number}")
        mask = net.act(mask, f"{name}.gate", "sigmoid")
        x = net.add(trunk, layers.Multiply(name=f"{name}.masked")([trunk, mask]), f"{name}.attended")
        return _residual(x, net, filters, 1, f"{name}.last")

    def _mask(self, x: Tensor, net: Net, levels: int, name: str) -> Tensor:
        """Down by poolings and up again by interpolation, with skips between maps of one size."""
        skips, sizes, filters = [], [x.shape[1:3]], x.shape[-1]
        for level in range(levels):
            x = net.pool(x, "max", 3, 2, name=f"{name}.pool{level}", padding="same")
            x = _residual(x, net, filters, 1, f"{name}.down{level}")
            if level < levels - 1:
                skips.append(_residual(x, net, filters, 1, f"{name}.skip{level}"))
                sizes.append(x.shape[1:3])
        for level in reversed(range(levels)):
            x = _residual(x, net, filters, 1, f"{name}.up{level}")
            x = _resized(x, sizes[level], f"{name}.interpolate{level}", net)
            if level:
                x = net.add(skips[level - 1], x, f"{name}.sum{level}")
        return x


def _resized(x: Tensor, size: tuple[int | None, ...], name: str, net: Net) -> Tensor:
    if None in size:
        raise ValueError(
            f"{net.name}: a residual attention network needs the size of images; set inputs/images/shape"
        )
    return keras().layers.Resizing(*size, interpolation="bilinear", name=name)(x)


def _residual(x: Tensor, net: Net, filters: int, strides: int, name: str) -> Tensor:
    """Pre-activated bottleneck."""
    y = net.act(net.norm(x, f"{name}.norm1"), f"{name}.relu1")
    shortcut = x
    if strides > 1 or x.shape[-1] != filters:
        shortcut = net.conv(y, filters, 1, strides, name=f"{name}.downsample")
    y = net.conv(y, filters // 4, 1, name=f"{name}.conv1")
    y = net.act(net.norm(y, f"{name}.norm2"), f"{name}.relu2")
    y = net.conv(y, filters // 4, 3, strides, name=f"{name}.conv2")
    y = net.act(net.norm(y, f"{name}.norm3"), f"{name}.relu3")
    return net.add(shortcut, net.conv(y, filters, 1, name=f"{name}.conv3"), name)


class ResNetAttention56(KerasModel):
    """Residual attention-56: 31,810,728 parameters for 1000 classes."""

    initial_block = ResNetStem(pool_padding="ceil")
    body = AttentionBody((1, 1, 1))
    head = Classifier()


class ResNetAttention92(KerasModel):
    """Residual attention-92: 52,466,344 parameters for 1000 classes."""

    initial_block = ResNetStem(pool_padding="ceil")
    body = AttentionBody((1, 2, 3))
    head = Classifier()
