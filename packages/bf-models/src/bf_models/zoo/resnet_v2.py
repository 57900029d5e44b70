"""Residual networks with norms before convolutions: ResNet v2, PyramidNet, residual attention networks.

ResNet v2 is arXiv:1603.05027 (He et al. 2016), PyramidNet arXiv:1610.02915, with the initial weights of its
authors' dyhan0920/PyramidNet-PyTorch. Residual attention networks (arXiv:1704.06904, Wang et al. 2017) follow
the Caffe definitions of their authors layer by layer, and so do their counts: the table of the paper has 31.9
and 51.3 million. Those tell no initial weights: theirs are those of ResNet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from bf_models._backend import keras
from bf_models.model import KerasModel
from bf_models.nn import Classifier, Common, Net, Tensor
from bf_models.zoo.resnet import ResNetStem


@dataclass(frozen=True, slots=True)
class PreactStem:
    """7x7 convolution and max-pooling without a norm; ``small``: one 3x3 convolution of stride 1."""

    filters: int = 64

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/4, W/4, filters)."""
        if net.small:
            return net.conv(x, self.filters, 3, name="conv1")
        return net.pool(
            net.conv(x, self.filters, 7, 2, name="conv1"), "max", 3, 2, name="maxpool", padding="same"
        )


@dataclass(frozen=True, slots=True)
class PreactBody:
    """Residual blocks norm - activation - convolution.

    A shortcut that changes size starts after the first norm.
    """

    depths: tuple[int, ...] = (2, 2, 2, 2)
    block: Literal["basic", "bottleneck"] = "basic"
    filters: int = 64

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/8, W/8, 8 * filters), four times as many with bottlenecks."""
        for stage, depth in enumerate(self.depths):
            for number in range(depth):
                strides = 2 if stage and not number else 1
                x = self._block(x, net, self.filters * 2**stage, strides, f"layer{stage + 1}.{number}")
        return net.act(net.norm(x, "norm"), "body")

    def _block(self, x: Tensor, net: Net, filters: int, strides: int, name: str) -> Tensor:
        kernels = (3, 3) if self.block == "basic" else (1, 3, 1)
        widths = (filters,) * 2 if self.block == "basic" else (filters, filters, 4 * filters)
        y = net.act(net.norm(x, f"{name}.norm1"), f"{name}.relu1")
        if strides > 1 or x.shape[-1] != widths[-1]:
            x = net.conv(y, widths[-1], 1, strides, name=f"{name}.downsample")
        wide = kernels.index(3)
        for number, (kernel, width) in enumerate(zip(kernels, widths)):
            if number:
                y = net.act(net.norm(y, f"{name}.norm{number + 1}"), f"{name}.relu{number + 1}")
            y = net.conv(y, width, kernel, strides if number == wide else 1, name=f"{name}.conv{number + 1}")
        return net.add(x, y, name)


@dataclass(frozen=True, slots=True)
class PyramidStem:
    """Convolution and norm; with max-pooling unless the stem is small."""

    filters: int = 64

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/4, W/4, filters)."""
        if net.small:
            return net.conv_norm(x, self.filters, 3, names=("conv1", "bn1"))
        x = net.act(net.conv_norm(x, self.filters, 7, 2, names=("conv1", "bn1")), "relu")
        return net.pool(x, "max", 3, 2, name="maxpool", padding=1)


@dataclass(frozen=True, slots=True)
class PyramidBody:
    """Residual blocks whose filters grow by ``alpha`` in all, a little in each.

    Shortcuts are padded with zeros.
    """

    depths: tuple[int, ...] = (2, 2, 2, 2)
    block: Literal["basic", "bottleneck"] = "basic"
    filters: int = 64
    alpha: int = 300

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H / 2 ** (stages - 1), W / ..., about filters + alpha)."""
        done, blocks = 0, sum(self.depths)
        for stage, depth in enumerate(self.depths):
            for number in range(depth):
                done += 1
                # rounded down, as equation 2 of the paper has it
                width = self.filters + self.alpha * done // blocks
                strides = 2 if stage and not number else 1
                x = self._block(x, net, width, strides, f"layer{stage + 1}.{number}")
        return net.act(net.norm(x, "bn_final"), "body")

    def _block(self, x: Tensor, net: Net, filters: int, strides: int, name: str) -> Tensor:
        basic = self.block == "basic"
        layers = ((filters, 3), (filters, 3)) if basic else ((filters, 1), (filters, 3), (4 * filters, 1))
        strided = 0 if basic else 1
        y = net.norm(x, f"{name}.bn1")
        for number, (width, kernel) in enumerate(layers, 1):
            y = net.conv(
                y, width, kernel, strides if number == strided + 1 else 1, name=f"{name}.conv{number}"
            )
            y = net.norm(y, f"{name}.bn{number + 1}")
            y = y if number == len(layers) else net.act(y, f"{name}.relu{number}")
        if strides > 1:
            x = net.pool(x, "avg", 2, 2, name=f"{name}.pool", padding="same")
        missing = y.shape[-1] - x.shape[-1]
        if missing:
            # Keras pads channels where they are taken for a side of the map
            x = keras().layers.ZeroPadding2D(
                ((0, 0), (0, missing)), data_format="channels_first", name=f"{name}.pad"
            )(x)
        return net.add(x, y, name)


class ResNetV2(KerasModel):
    """Base of the family."""

    initial_block = PreactStem()
    body = PreactBody()
    head = Classifier()
    # resnet-pre-act.lua of KaimingHe/resnet-1k-layers
    common = Common(dense_bias="zeros")


class ResNet18V2(ResNetV2):
    """ResNet-18 v2: 11,687,720 parameters for 1000 classes."""


class ResNet34V2(ResNetV2):
    """ResNet-34 v2: 21,795,880 parameters for 1000 classes."""

    body = PreactBody((3, 4, 6, 3))


class ResNet50V2(ResNetV2):
    """ResNet-50 v2: 25,549,352 parameters for 1000 classes."""

    body = PreactBody((3, 4, 6, 3), "bottleneck")


class ResNet101V2(ResNetV2):
    """ResNet-101 v2: 44,541,480 parameters for 1000 classes."""

    body = PreactBody((3, 4, 23, 3), "bottleneck")


class ResNet152V2(ResNetV2):
    """ResNet-152 v2: 60,185,128 parameters for 1000 classes."""

    body = PreactBody((3, 8, 36, 3), "bottleneck")


class PyramidNet(KerasModel):
    """Base of the family."""

    initial_block = PyramidStem()
    body = PyramidBody()
    head = Classifier()


class PyramidNet110(PyramidNet):
    """PyramidNet-110 (alpha 48) for images of 32 pixels: 1,739,730 parameters for 3 channels, 10 classes."""

    defaults: ClassVar[Mapping[str, Any]] = {"stem": "small"}
    initial_block = PyramidStem(16)
    body = PyramidBody((18, 18, 18), filters=16, alpha=48)


class PyramidNet18(PyramidNet):
    """PyramidNet-18 (alpha 300): 8,605,974 parameters for 1000 classes."""


class PyramidNet34(PyramidNet):
    """PyramidNet-34 (alpha 300): 16,269,858 parameters for 1000 classes."""

    body = PyramidBody((3, 4, 6, 3))


class PyramidNet50(PyramidNet):
    """PyramidNet-50 (alpha 300): 16,815,752 parameters for 1000 classes."""

    body = PyramidBody((3, 4, 6, 3), "bottleneck")


class PyramidNet101(PyramidNet):
    """PyramidNet-101 (alpha 300): 32,216,579 parameters for 1000 classes."""

    body = PyramidBody((3, 4, 23, 3), "bottleneck")


class PyramidNet152(PyramidNet):
    """PyramidNet-152 (alpha 300): 47,807,924 parameters for 1000 classes."""

    body = PyramidBody((3, 8, 36, 3), "bottleneck")


class PyramidNet200(PyramidNet):
    """PyramidNet-200 (alpha 300): 62,152,030 parameters for 1000 classes."""

    body = PyramidBody((3, 24, 36, 3), "bottleneck")


@dataclass(frozen=True, slots=True)
class AttentionBody:
    """Stages of a residual block and attention modules, then three residual blocks.

    ``depths`` counts modules.
    """

    depths: tuple[int, ...] = (1, 1, 1)
    filters: int = 256
    tail: int = 3

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/8, W/8, 8 * filters)."""
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
        """Go down by poolings and up again by interpolation, with skips between maps of one size."""
        skips, sizes, filters = [], [x.shape[1:3]], x.shape[-1]
        for level in range(levels):
            x = net.pool(x, "max", 3, 2, name=f"{name}.pool{level}", padding="same")
            x = _residual(x, net, filters, 1, f"{name}.down{level}")
            if level < levels - 1:
                skips.append(_residual(x, net, filters, 1, f"{name}.skip{level}"))
                sizes.append(x.shape[1:3])
        for level in reversed(range(levels)):
            x = _residual(x, net, filters, 1, f"{name}.up{level}")
            x = _resize(x, sizes[level], f"{name}.interpolate{level}", net)
            if level:
                x = net.add(skips[level - 1], x, f"{name}.sum{level}")
        return x


def _resize(x: Tensor, size: tuple[int | None, ...], name: str, net: Net) -> Tensor:
    if None in size:
        raise ValueError(
            f"{net.name}: a residual attention network needs the size of images; set inputs/images/shape"
        )
    return keras().layers.Resizing(*size, interpolation="bilinear", name=name)(x)


def _residual(x: Tensor, net: Net, filters: int, strides: int, name: str) -> Tensor:
    """Add a pre-activated bottleneck."""
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
