"""GoogLeNet, also called Inception v1 (arXiv:1409.4842), and Inception v3 (arXiv:1512.00567; Szegedy et al.).

Both as torchvision has them, without their helpers of training.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

from bf_models.model import KerasModel
from bf_models.nn import Classifier, Common, Net, Tensor


def conv(x: Tensor, net: Net, filters: int, kernel: Any, *, name: str, **options: Any) -> Tensor:
    """Add a convolution, a norm and an activation named ``name.conv``, ``name.bn`` and ``name``."""
    strides = options.pop("strides", 1)
    x = net.conv_norm(x, filters, kernel, strides, names=(f"{name}.conv", f"{name}.bn"), **options)
    return net.act(x, name)


def chain(x: Tensor, net: Net, name: str, *steps: tuple[Any, ...]) -> Tensor:
    """Add convolutions one after another.

    A step is (suffix, filters, kernel) and maybe strides, then unpadded.
    """
    for suffix, filters, kernel, *strides in steps:
        options = {"strides": strides[0], "padding": 0} if strides else {}
        x = conv(x, net, filters, kernel, name=f"{name}.{suffix}", **options)
    return x


def pool_conv(x: Tensor, net: Net, name: str, filters: int) -> Tensor:
    """Add the mean of 3x3 pixels, zeros outside counted, and a 1x1 convolution."""
    return conv(
        net.pool(x, "avg", 3, 1, name=f"{name}.pool", padding=1), net, filters, 1, name=f"{name}.branch_pool"
    )


#: 1x1; 3x3 squeezed, 3x3; 5x5 squeezed, 5x5; pooled
Widths = tuple[int, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class GoogLeNetStem:
    """Three convolutions and two poolings; ``small``: strides of 1 and no poolings."""

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/8, W/8, 192)."""
        x = conv(x, net, 64, 3 if net.small else 7, name="conv1", strides=1 if net.small else 2)
        x = x if net.small else net.pool(x, "max", 3, 2, name="maxpool1", padding="ceil")
        x = conv(conv(x, net, 64, 1, name="conv2"), net, 192, 3, name="conv3")
        return x if net.small else net.pool(x, "max", 3, 2, name="maxpool2", padding="ceil")


@dataclass(frozen=True, slots=True)
class GoogLeNetBody:
    """Stages of inception modules, poolings between them.

    The branch called 5x5 has a 3x3 convolution, as the published torch weights have it.
    """

    stages: tuple[tuple[Widths, ...], ...] = (
        ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
        (
            (192, 96, 208, 16, 48, 64),
            (160, 112, 224, 24, 64, 64),
            (128, 128, 256, 24, 64, 64),
            (112, 144, 288, 32, 64, 64),
            (256, 160, 320, 32, 128, 128),
        ),
        ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
    )

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/4, W/4, 1024)."""
        for number, stage in enumerate(self.stages, 3):
            if number > 3:
                x = net.pool(
                    x, "max", 3 if number == 4 else 2, 2, name=f"maxpool{number - 1}", padding="ceil"
                )
            for letter, widths in zip(ascii_lowercase, stage):
                x = self._module(x, net, widths, f"inception{number}{letter}")
        return x

    def _module(self, x: Tensor, net: Net, widths: Widths, name: str) -> Tensor:
        one, squeezed3, three, squeezed5, five, pooled = widths
        first = conv(x, net, one, 1, name=f"{name}.branch1")
        second = conv(x, net, squeezed3, 1, name=f"{name}.branch2.0")
        second = conv(second, net, three, 3, name=f"{name}.branch2.1")
        third = conv(x, net, squeezed5, 1, name=f"{name}.branch3.0")
        third = conv(third, net, five, 3, name=f"{name}.branch3.1")
        fourth = net.pool(x, "max", 3, 1, name=f"{name}.branch4.0", padding="same")
        fourth = conv(fourth, net, pooled, 1, name=f"{name}.branch4.1")
        return net.concat([first, second, third, fourth], name)


class GoogLeNet(KerasModel):
    """GoogLeNet, without its two helpers of training: 6,624,904 parameters for 1000 classes."""

    initial_block = GoogLeNetStem()
    body = GoogLeNetBody()
    head = Classifier("fc", dropout=0.2)
    common = Common(epsilon=1e-3, conv_init=0.01, dense_init=0.01)


class InceptionV1(GoogLeNet):
    """GoogLeNet by its other name: 6,624,904 parameters for 1000 classes."""


@dataclass(frozen=True, slots=True)
class InceptionStem:
    """Five convolutions and two poolings, unpadded; ``small``: padded, strides of 1 and no poolings."""

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, about H/8, W/8, 192)."""
        pads: dict[str, Any] = {} if net.small else {"padding": 0}
        x = conv(x, net, 32, 3, name="Conv2d_1a_3x3", strides=1 if net.small else 2, **pads)
        x = conv(x, net, 32, 3, name="Conv2d_2a_3x3", **pads)
        x = conv(x, net, 64, 3, name="Conv2d_2b_3x3")
        x = x if net.small else net.pool(x, "max", 3, 2, name="maxpool1")
        x = conv(conv(x, net, 80, 1, name="Conv2d_3b_1x1"), net, 192, 3, name="Conv2d_4a_3x3", **pads)
        return x if net.small else net.pool(x, "max", 3, 2, name="maxpool2")


@dataclass(frozen=True, slots=True)
class InceptionBody:
    """Modules A (filters of the pool), C (filters of 7x7) and E, with the reductions B and D between them."""

    pools: tuple[int, ...] = (32, 64, 64)
    sevens: tuple[int, ...] = (128, 160, 160, 192)
    wides: int = 2

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, about H/4, W/4, 2048)."""
        for letter, filters in zip("bcd", self.pools):
            x = _module_a(x, net, filters, f"Mixed_5{letter}")
        x = _module_b(x, net, "Mixed_6a")
        for letter, filters in zip("bcde", self.sevens):
            x = _module_c(x, net, filters, f"Mixed_6{letter}")
        x = _module_d(x, net, "Mixed_7a")
        for letter in "bcdefgh"[: self.wides]:
            x = _module_e(x, net, f"Mixed_7{letter}")
        return x


def _module_a(x: Tensor, net: Net, filters: int, name: str) -> Tensor:
    double = (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3))
    branches = [
        chain(x, net, name, ("branch1x1", 64, 1)),
        chain(x, net, name, ("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)),
        chain(x, net, name, *double),
        pool_conv(x, net, name, filters),
    ]
    return net.concat(branches, name)


def _module_b(x: Tensor, net: Net, name: str) -> Tensor:
    double = (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3, 2))
    branches = [
        chain(x, net, name, ("branch3x3", 384, 3, 2)),
        chain(x, net, name, *double),
        net.pool(x, "max", 3, 2, name=f"{name}.pool"),
    ]
    return net.concat(branches, name)


def _module_c(x: Tensor, net: Net, filters: int, name: str) -> Tensor:
    row, column = (1, 7), (7, 1)
    single = (("branch7x7_1", filters, 1), ("branch7x7_2", filters, row), ("branch7x7_3", 192, column))
    double = (
        ("branch7x7dbl_1", filters, 1),
        ("branch7x7dbl_2", filters, column),
        ("branch7x7dbl_3", filters, row),
        ("branch7x7dbl_4", filters, column),
        ("branch7x7dbl_5", 192, row),
    )
    branches = [
        chain(x, net, name, ("branch1x1", 192, 1)),
        chain(x, net, name, *single),
        chain(x, net, name, *double),
        pool_conv(x, net, name, 192),
    ]
    return net.concat(branches, name)


def _module_d(x: Tensor, net: Net, name: str) -> Tensor:
    sevens = (
        ("branch7x7x3_1", 192, 1),
        ("branch7x7x3_2", 192, (1, 7)),
        ("branch7x7x3_3", 192, (7, 1)),
        ("branch7x7x3_4", 192, 3, 2),
    )
    branches = [
        chain(x, net, name, ("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3, 2)),
        chain(x, net, name, *sevens),
        net.pool(x, "max", 3, 2, name=f"{name}.pool"),
    ]
    return net.concat(branches, name)


def _module_e(x: Tensor, net: Net, name: str) -> Tensor:
    def forked(y: Tensor, branch: str) -> Tensor:
        row = conv(y, net, 384, (1, 3), name=f"{name}.{branch}a")
        column = conv(y, net, 384, (3, 1), name=f"{name}.{branch}b")
        return net.concat([row, column], f"{name}.{branch}")

    single = chain(x, net, name, ("branch3x3_1", 384, 1))
    double = chain(x, net, name, ("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3))
    branches = [
        chain(x, net, name, ("branch1x1", 320, 1)),
        forked(single, "branch3x3_2"),
        forked(double, "branch3x3dbl_3"),
        pool_conv(x, net, name, 192),
    ]
    return net.concat(branches, name)


class InceptionV3(KerasModel):
    """Inception v3: 23,834,568 parameters for 1000 classes."""

    initial_block = InceptionStem()
    body = InceptionBody()
    head = Classifier("fc", dropout=0.5)
    common = Common(epsilon=1e-3, conv_init=0.1, dense_init=0.1)
