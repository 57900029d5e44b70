"""Inception v4 and Inception-ResNet v2 (Szegedy et al. 2016, arXiv:1602.07261).

Initial weights are those of the authors' own code (tensorflow/models, slim/nets/inception_utils.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bf_models._backend import keras
from bf_models.model import KerasModel
from bf_models.nn import Classifier, Common, Net, Tensor
from bf_models.zoo.inception import chain, conv, pool_conv


@dataclass(frozen=True, slots=True)
class InceptionV4Stem:
    """Convolutions and forks to 384 channels, unpadded.

    ``small``: padded, with two of the four reductions.
    """

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, about H/8, W/8, 384)."""
        pads: dict[str, Any] = {} if net.small else {"padding": 0}
        x = conv(x, net, 32, 3, name="stem.0", strides=1 if net.small else 2, **pads)
        x = conv(conv(x, net, 32, 3, name="stem.1", **pads), net, 64, 3, name="stem.2")
        strides = 1 if net.small else 2
        pool = {"padding": 1} if net.small else {}
        y = conv(x, net, 96, 3, name="stem.3.conv", strides=strides, **pads)
        x = net.concat([net.pool(x, "max", 3, strides, name="stem.3.pool", **pool), y], "stem.3")
        left = conv(conv(x, net, 64, 1, name="stem.4.left0"), net, 96, 3, name="stem.4.left1", **pads)
        right = chain(x, net, "stem.4", ("right0", 64, 1), ("right1", 64, (1, 7)), ("right2", 64, (7, 1)))
        x = net.concat([left, conv(right, net, 96, 3, name="stem.4.right3", **pads)], "stem.4")
        y = conv(x, net, 192, 3, name="stem.5.conv", strides=2, padding=0)
        return net.concat([y, net.pool(x, "max", 3, 2, name="stem.5.pool")], "stem.5")


@dataclass(frozen=True, slots=True)
class InceptionV4Body:
    """Modules A, B and C with reductions between them."""

    depths: tuple[int, int, int] = (4, 7, 3)

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, 384) into (N, about H/4, W/4, 1536)."""
        for number in range(self.depths[0]):
            x = self._module_a(x, net, f"a.{number}")
        x = self._reduce_a(x, net, "reduce_a")
        for number in range(self.depths[1]):
            x = self._module_b(x, net, f"b.{number}")
        x = self._reduce_b(x, net, "reduce_b")
        for number in range(self.depths[2]):
            x = self._module_c(x, net, f"c.{number}")
        return x

    def _module_a(self, x: Tensor, net: Net, name: str) -> Tensor:
        branches = [
            chain(x, net, name, ("one", 96, 1)),
            chain(x, net, name, ("three0", 64, 1), ("three1", 96, 3)),
            chain(x, net, name, ("double0", 64, 1), ("double1", 96, 3), ("double2", 96, 3)),
            pool_conv(x, net, name, 96),
        ]
        return net.concat(branches, name)

    def _reduce_a(self, x: Tensor, net: Net, name: str) -> Tensor:
        branches = [
            chain(x, net, name, ("three", 384, 3, 2)),
            chain(x, net, name, ("double0", 192, 1), ("double1", 224, 3), ("double2", 256, 3, 2)),
            net.pool(x, "max", 3, 2, name=f"{name}.pool"),
        ]
        return net.concat(branches, name)

    def _module_b(self, x: Tensor, net: Net, name: str) -> Tensor:
        row, column = (1, 7), (7, 1)
        double = (("double0", 192, 1), ("double1", 192, column), ("double2", 224, row))
        branches = [
            chain(x, net, name, ("one", 384, 1)),
            chain(x, net, name, ("seven0", 192, 1), ("seven1", 224, row), ("seven2", 256, column)),
            chain(x, net, name, *double, ("double3", 224, column), ("double4", 256, row)),
            pool_conv(x, net, name, 128),
        ]
        return net.concat(branches, name)

    def _reduce_b(self, x: Tensor, net: Net, name: str) -> Tensor:
        sevens = (("seven0", 256, 1), ("seven1", 256, (1, 7)), ("seven2", 320, (7, 1)), ("seven3", 320, 3, 2))
        branches = [
            chain(x, net, name, ("three0", 192, 1), ("three1", 192, 3, 2)),
            chain(x, net, name, *sevens),
            net.pool(x, "max", 3, 2, name=f"{name}.pool"),
        ]
        return net.concat(branches, name)

    def _module_c(self, x: Tensor, net: Net, name: str) -> Tensor:
        single = chain(x, net, name, ("single0", 384, 1))
        double = chain(x, net, name, ("double0", 384, 1), ("double1", 448, (3, 1)), ("double2", 512, (1, 3)))
        branches = [
            chain(x, net, name, ("one", 256, 1)),
            *(
                conv(single, net, 256, size, name=f"{name}.single{size[0]}{size[1]}")
                for size in ((1, 3), (3, 1))
            ),
            *(
                conv(double, net, 256, size, name=f"{name}.double{size[0]}{size[1]}")
                for size in ((1, 3), (3, 1))
            ),
            pool_conv(x, net, name, 256),
        ]
        return net.concat(branches, name)


@dataclass(frozen=True, slots=True)
class InceptionResNetStem:
    """The stem of Inception v3 and its first module; ``small``: padded, strides of 1 and no poolings."""

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, about H/8, W/8, 320)."""
        pads: dict[str, Any] = {} if net.small else {"padding": 0}
        x = conv(x, net, 32, 3, name="conv2d_1a", strides=1 if net.small else 2, **pads)
        x = conv(conv(x, net, 32, 3, name="conv2d_2a", **pads), net, 64, 3, name="conv2d_2b")
        x = x if net.small else net.pool(x, "max", 3, 2, name="maxpool_3a")
        x = conv(conv(x, net, 80, 1, name="conv2d_3b"), net, 192, 3, name="conv2d_4a", **pads)
        x = x if net.small else net.pool(x, "max", 3, 2, name="maxpool_5a")
        double = (("branch2.0", 64, 1), ("branch2.1", 96, 3), ("branch2.2", 96, 3))
        branches = [
            chain(x, net, "mixed_5b", ("branch0", 96, 1)),
            chain(x, net, "mixed_5b", ("branch1.0", 48, 1), ("branch1.1", 64, 5)),
            chain(x, net, "mixed_5b", *double),
            pool_conv(x, net, "mixed_5b", 64),
        ]
        return net.concat(branches, "mixed_5b")


@dataclass(frozen=True, slots=True)
class InceptionResNetBody:
    """Residual modules of 35, 17 and 8 pixels with reductions between them; branches are scaled down."""

    depths: tuple[int, int, int] = (10, 20, 10)
    scales: tuple[float, float, float] = (0.17, 0.1, 0.2)

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, 320) into (N, about H/4, W/4, 1536)."""
        forks = (
            (
                (("0", 32, 1),),
                (("1.0", 32, 1), ("1.1", 32, 3)),
                (("2.0", 32, 1), ("2.1", 48, 3), ("2.2", 64, 3)),
            ),
            ((("0", 192, 1),), (("1.0", 128, 1), ("1.1", 160, (1, 7)), ("1.2", 192, (7, 1)))),
            ((("0", 192, 1),), (("1.0", 192, 1), ("1.1", 224, (1, 3)), ("1.2", 256, (3, 1)))),
        )
        stages = zip(("repeat", "repeat_1", "repeat_2"), self.depths, self.scales, forks)
        for number, (stage, depth, scale, branches) in enumerate(stages):
            if number == 1:
                x = self._reduce_a(x, net, "mixed_6a")
            elif number == 2:
                x = self._reduce_b(x, net, "mixed_7a")
            for place in range(depth):
                # the very last module adds its branch unscaled and is not rectified
                last = number == 2 and place == depth - 1
                x = self._module(x, net, branches, 1.0 if last else scale, f"{stage}.{place}")
                x = x if last else net.act(x, f"{stage}.{place}")
        return conv(x, net, 1536, 1, name="conv2d_7b")

    def _module(self, x: Tensor, net: Net, branches: Any, scale: float, name: str) -> Tensor:
        mixed = net.concat([chain(x, net, f"{name}.branch", *steps) for steps in branches], f"{name}.mixed")
        y = net.conv(mixed, x.shape[-1], 1, name=f"{name}.conv2d", bias=True)
        y = keras().layers.Rescaling(scale, name=f"{name}.scale")(y)
        return keras().layers.Add(name=f"{name}.add")([x, y])

    def _reduce_a(self, x: Tensor, net: Net, name: str) -> Tensor:
        branches = [
            chain(x, net, name, ("branch0", 384, 3, 2)),
            chain(x, net, name, ("branch1.0", 256, 1), ("branch1.1", 256, 3), ("branch1.2", 384, 3, 2)),
            net.pool(x, "max", 3, 2, name=f"{name}.pool"),
        ]
        return net.concat(branches, name)

    def _reduce_b(self, x: Tensor, net: Net, name: str) -> Tensor:
        branches = [
            chain(x, net, name, ("branch0.0", 256, 1), ("branch0.1", 384, 3, 2)),
            chain(x, net, name, ("branch1.0", 256, 1), ("branch1.1", 288, 3, 2)),
            chain(x, net, name, ("branch2.0", 256, 1), ("branch2.1", 288, 3), ("branch2.2", 320, 3, 2)),
            net.pool(x, "max", 3, 2, name=f"{name}.pool"),
        ]
        return net.concat(branches, name)


_COMMON = Common(epsilon=1e-3, conv_init="slim", dense_init="glorot", dense_bias="zeros")


class InceptionV4(KerasModel):
    """Inception v4: 42,679,816 parameters for 1000 classes."""

    initial_block = InceptionV4Stem()
    body = InceptionV4Body()
    head = Classifier("last_linear", dropout=0.2)
    common = _COMMON


class InceptionResNetV2(KerasModel):
    """Inception-ResNet v2: 55,843,464 parameters for 1000 classes."""

    initial_block = InceptionResNetStem()
    body = InceptionResNetBody()
    head = Classifier("classif", dropout=0.2)
    common = _COMMON
