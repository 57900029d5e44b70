"""EfficientNet (Tan and Le 2019, arXiv:1905.11946) as torchvision has it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bf_models.model import KerasModel
from bf_models.nn import Classifier, Common, Net, Tensor, divisible
from bf_models.zoo.mobilenet import MobileStem

#: expansion, kernel, strides, filters, depth
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


@dataclass(frozen=True, slots=True)
class EfficientNetBody:
    """Inverted residuals with squeeze-excite.

    ``width`` multiplies filters, ``depth`` the number of blocks.
    """

    width: float = 1.0
    depth: float = 1.0
    stages: tuple[tuple[int, int, int, int, int], ...] = _STAGES
    stochastic_depth: float = 0.2

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/16, W/16, 4 * filters of the last stage)."""
        depths = [math.ceil(stage[-1] * self.depth) for stage in self.stages]
        done = 0
        for number, ((expansion, kernel, strides, filters, _), depth) in enumerate(
            zip(self.stages, depths), 1
        ):
            out = divisible(filters * self.width)
            for place in range(depth):
                drop = self.stochastic_depth * done / sum(depths)
                block = (expansion, kernel, 1 if place else strides, out)
                x = self._block(x, net, block, drop, f"features.{number}.{place}")
                done += 1
        return net.conv_act(x, 4 * x.shape[-1], 1, name=f"features.{len(self.stages) + 1}")

    def _block(self, x: Tensor, net: Net, block: tuple[int, int, int, int], drop: float, name: str) -> Tensor:
        expansion, kernel, strides, filters = block
        expanded, y, place = divisible(x.shape[-1] * expansion), x, 0
        if expanded != x.shape[-1]:
            y = net.conv_act(y, expanded, 1, name=f"{name}.block.0")
            place = 1
        y = net.conv_act(y, expanded, kernel, strides, name=f"{name}.block.{place}", groups=expanded)
        y = net.squeeze_excite(y, max(1, x.shape[-1] // 4), name=f"{name}.block.{place + 1}", act="silu")
        y = net.conv_norm(y, filters, 1, names=(f"{name}.block.{place + 2}.0", f"{name}.block.{place + 2}.1"))
        return net.add(x, y, name, drop) if strides == 1 and x.shape[-1] == filters else y


class EfficientNet(KerasModel):
    """Base of the family."""

    initial_block = MobileStem()
    body = EfficientNetBody()
    head = Classifier("classifier.1", dropout=0.2)
    common = Common(activation="silu", dense_init="fan_out", dense_bias="zeros")


class EfficientNetB0(EfficientNet):
    """EfficientNet-B0: 5,288,548 parameters for 1000 classes."""


class EfficientNetB1(EfficientNet):
    """EfficientNet-B1: 7,794,184 parameters for 1000 classes."""

    body = EfficientNetBody(1.0, 1.1)


class EfficientNetB2(EfficientNet):
    """EfficientNet-B2: 9,109,994 parameters for 1000 classes."""

    body = EfficientNetBody(1.1, 1.2)
    head = Classifier("classifier.1", dropout=0.3)


class EfficientNetB3(EfficientNet):
    """EfficientNet-B3: 12,233,232 parameters for 1000 classes."""

    initial_block = MobileStem(40)
    body = EfficientNetBody(1.2, 1.4)
    head = Classifier("classifier.1", dropout=0.3)


class EfficientNetB4(EfficientNet):
    """EfficientNet-B4: 19,341,616 parameters for 1000 classes."""

    initial_block = MobileStem(48)
    body = EfficientNetBody(1.4, 1.8)
    head = Classifier("classifier.1", dropout=0.4)


class EfficientNetB5(EfficientNet):
    """EfficientNet-B5: 30,389,784 parameters for 1000 classes."""

    initial_block = MobileStem(48)
    body = EfficientNetBody(1.6, 2.2)
    head = Classifier("classifier.1", dropout=0.4)
    common = Common("silu", 0.99, 1e-3, dense_init="fan_out", dense_bias="zeros")


class EfficientNetB6(EfficientNet):
    """EfficientNet-B6: 43,040,704 parameters for 1000 classes."""

    initial_block = MobileStem(56)
    body = EfficientNetBody(1.8, 2.6)
    head = Classifier("classifier.1", dropout=0.5)
    common = Common("silu", 0.99, 1e-3, dense_init="fan_out", dense_bias="zeros")


class EfficientNetB7(EfficientNet):
    """EfficientNet-B7: 66,347,960 parameters for 1000 classes."""

    initial_block = MobileStem(64)
    body = EfficientNetBody(2.0, 3.1)
    head = Classifier("classifier.1", dropout=0.5)
    common = Common("silu", 0.99, 1e-3, dense_init="fan_out", dense_bias="zeros")
