"""MobileNet v1, v2 and v3 (arXiv:1704.04861, 1801.04381, 1905.02244); v2 and v3 as torchvision has them.

MobileNet v1 is that of keras.applications, its initial weights too.
"""

from __future__ import annotations

from dataclasses import dataclass

from bf_models.model import KerasModel
from bf_models.nn import Classifier, Common, Net, Tensor, divisible


@dataclass(frozen=True, slots=True)
class MobileStem:
    """3x3 convolution of stride 2; ``small``: of stride 1."""

    filters: int = 32

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/2, W/2, filters)."""
        return net.conv_act(x, self.filters, 3, 1 if net.small else 2, name="features.0")


@dataclass(frozen=True, slots=True)
class MobileNetV1Body:
    """Depthwise and pointwise convolutions; ``layers`` hold (filters, strides)."""

    layers: tuple[tuple[int, int], ...] = (
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *((512, 1),) * 5,
        (1024, 2),
        (1024, 1),
    )

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/16, W/16, 1024)."""
        for number, (filters, strides) in enumerate(self.layers, 1):
            name = f"features.{number}"
            x = net.conv_act(x, x.shape[-1], 3, strides, name=f"{name}.depthwise", groups=x.shape[-1])
            x = net.conv_act(x, filters, 1, name=f"{name}.pointwise")
        return x


@dataclass(frozen=True, slots=True)
class MobileNetV2Body:
    """Inverted residuals.

    ``stages`` hold (expansion, filters, depth, strides), ``width`` multiplies filters.
    """

    stages: tuple[tuple[int, int, int, int], ...] = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    width: float = 1.0
    last: int = 1280

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/16, W/16, last)."""
        number = 1
        for expansion, filters, depth, strides in self.stages:
            for place in range(depth):
                out = divisible(filters * self.width)
                x = self._block(x, net, expansion, out, 1 if place else strides, f"features.{number}")
                number += 1
        return net.conv_act(x, divisible(self.last * max(1.0, self.width)), 1, name=f"features.{number}")

    def _block(self, x: Tensor, net: Net, expansion: int, filters: int, strides: int, name: str) -> Tensor:
        hidden, y, place = x.shape[-1] * expansion, x, 0
        if expansion > 1:
            y = net.conv_act(y, hidden, 1, name=f"{name}.conv.0")
            place = 1
        y = net.conv_act(y, hidden, 3, strides, name=f"{name}.conv.{place}", groups=hidden)
        names = (f"{name}.conv.{place + 1}", f"{name}.conv.{place + 2}")
        y = net.conv_norm(y, filters, 1, names=names)
        return net.add(x, y, name) if strides == 1 and x.shape[-1] == filters else y


@dataclass(frozen=True, slots=True)
class MobileNetV3Body:
    """Inverted residuals with squeeze-excite.

    ``blocks`` hold (kernel, expanded, filters, excite, hard swish, strides). The last ``dilated`` of them
    look at every second pixel in place of a stride, as segmentation networks have it.
    """

    blocks: tuple[tuple[int, int, int, bool, bool, int], ...] = ()
    dilated: int = 0

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/16, W/16, 6 * filters of the last block)."""
        for number, block in enumerate(self.blocks, 1):
            dilation = 2 if number > len(self.blocks) - self.dilated else 1
            x = self._block(x, net, block, f"features.{number}", dilation)
        return net.conv_act(x, 6 * x.shape[-1], 1, name=f"features.{len(self.blocks) + 1}")

    def _block(
        self,
        x: Tensor,
        net: Net,
        block: tuple[int, int, int, bool, bool, int],
        name: str,
        dilation: int,
    ) -> Tensor:
        kernel, expanded, filters, excite, hard, strides = block
        act, y, place = "hard_silu" if hard else "relu", x, 0
        if expanded != x.shape[-1]:
            y = net.conv_act(y, expanded, 1, name=f"{name}.block.0", act=act)
            place = 1
        options = {"groups": expanded, "act": act, "dilation": dilation}
        taken = strides if dilation == 1 else 1
        y = net.conv_act(y, expanded, kernel, taken, name=f"{name}.block.{place}", **options)
        if excite:
            place += 1
            y = net.squeeze_excite(
                y, divisible(expanded / 4), name=f"{name}.block.{place}", gate="hard_sigmoid"
            )
        names = (f"{name}.block.{place + 1}.0", f"{name}.block.{place + 1}.1")
        y = net.conv_norm(y, filters, 1, names=names)
        return net.add(x, y, name) if strides == 1 and x.shape[-1] == filters else y


@dataclass(frozen=True, slots=True)
class MobileNetV3Head:
    """Global mean, a hidden layer with hard swish, dropout and a dense layer."""

    units: int = 1280
    dropout: float = 0.2

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Return logits (N, classes)."""
        x = net.dense(net.global_pool(x), self.units, name="classifier.0")
        x = net.dropout(net.act(x, "classifier.1", "hard_silu"), self.dropout, "classifier.2")
        return net.logits(x, "classifier.3")


class MobileNet(KerasModel):
    """MobileNet v1: 4,231,976 parameters for 1000 classes."""

    initial_block = MobileStem()
    body = MobileNetV1Body()
    head = Classifier("classifier", dropout=0.001)
    common = Common("relu6", 0.99, 1e-3, "same", conv_init="glorot", dense_init="glorot", dense_bias="zeros")


class MobileNetV2(KerasModel):
    """MobileNet v2: 3,504,872 parameters for 1000 classes."""

    initial_block = MobileStem()
    body = MobileNetV2Body()
    head = Classifier("classifier.1", dropout=0.2)
    common = Common(activation="relu6", dense_init=0.01, dense_bias="zeros")


class MobileNetV3Large(KerasModel):
    """MobileNet v3 large: 5,483,032 parameters for 1000 classes."""

    initial_block = MobileStem(16)
    body = MobileNetV3Body(
        (
            (3, 16, 16, False, False, 1),
            (3, 64, 24, False, False, 2),
            (3, 72, 24, False, False, 1),
            (5, 72, 40, True, False, 2),
            (5, 120, 40, True, False, 1),
            (5, 120, 40, True, False, 1),
            (3, 240, 80, False, True, 2),
            (3, 200, 80, False, True, 1),
            (3, 184, 80, False, True, 1),
            (3, 184, 80, False, True, 1),
            (3, 480, 112, True, True, 1),
            (3, 672, 112, True, True, 1),
            (5, 672, 160, True, True, 2),
            (5, 960, 160, True, True, 1),
            (5, 960, 160, True, True, 1),
        )
    )
    head = MobileNetV3Head()
    common = Common("hard_silu", 0.99, 1e-3, dense_init=0.01, dense_bias="zeros")


class MobileNetV3Small(KerasModel):
    """MobileNet v3 small: 2,542,856 parameters for 1000 classes."""

    initial_block = MobileStem(16)
    body = MobileNetV3Body(
        (
            (3, 16, 16, True, False, 2),
            (3, 72, 24, False, False, 2),
            (3, 88, 24, False, False, 1),
            (5, 96, 40, True, True, 2),
            (5, 240, 40, True, True, 1),
            (5, 240, 40, True, True, 1),
            (5, 120, 48, True, True, 1),
            (5, 144, 48, True, True, 1),
            (5, 288, 96, True, True, 2),
            (5, 576, 96, True, True, 1),
            (5, 576, 96, True, True, 1),
        )
    )
    head = MobileNetV3Head(1024)
    common = Common("hard_silu", 0.99, 1e-3, dense_init=0.01, dense_bias="zeros")
