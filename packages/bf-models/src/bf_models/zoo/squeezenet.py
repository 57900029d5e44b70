"""SqueezeNet (Iandola et al. 2016, arXiv:1602.07360) as torchvision has it."""

from __future__ import annotations

from dataclasses import dataclass

from bf_models.model import KerasModel
from bf_models.nn import Common, Net, Tensor


@dataclass(frozen=True, slots=True)
class SqueezeNetStem:
    """One convolution of stride 2, without padding; ``small``: 3x3 of stride 1."""

    filters: int = 64
    kernel: int = 3

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, about H/2, W/2, filters)."""
        options = {"padding": 1} if net.small else {"padding": 0}
        kernel, strides = (3, 1) if net.small else (self.kernel, 2)
        x = net.conv(x, self.filters, kernel, strides, name="features.0", bias=True, **options)
        return net.act(x, "features.1")


@dataclass(frozen=True, slots=True)
class SqueezeNetBody:
    """Poolings (None) and fire modules (squeezed, half of the expanded channels).

    Numbered as torchvision does.
    """

    modules: tuple[tuple[int, int] | None, ...] = ()

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, about H/8, W/8, 512)."""
        for number, fire in enumerate(self.modules, 2):
            name = f"features.{number}"
            x = (
                net.pool(x, "max", 3, 2, name=name, padding="ceil")
                if fire is None
                else self._fire(x, net, *fire, name)
            )
        return x

    def _fire(self, x: Tensor, net: Net, squeezed: int, expanded: int, name: str) -> Tensor:
        x = net.act(net.conv(x, squeezed, 1, name=f"{name}.squeeze", bias=True), f"{name}.squeeze_activation")
        branches = []
        for kernel in (1, 3):
            branch = f"{name}.expand{kernel}x{kernel}"
            branches.append(
                net.act(net.conv(x, expanded, kernel, name=branch, bias=True), f"{branch}_activation")
            )
        return net.concat(branches, name)


@dataclass(frozen=True, slots=True)
class SqueezeNetHead:
    """Dropout, a 1x1 convolution to classes, ReLU and the global mean."""

    dropout: float = 0.5

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Return logits (N, classes)."""
        x = net.dropout(x, self.dropout, "classifier.0")
        x = net.conv(x, net.known_classes, 1, name="classifier.1", bias=True, init=0.01)
        x = net.act(x, "classifier.2")
        return net.as_float(net.global_pool(x, "classifier.3"))


class SqueezeNet(KerasModel):
    """Base of the family."""

    initial_block = SqueezeNetStem()
    body = SqueezeNetBody()
    head = SqueezeNetHead()
    common = Common(conv_init="he_uniform")


_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))


class SqueezeNet1_0(SqueezeNet):
    """SqueezeNet 1.0: 1,248,424 parameters for 1000 classes."""

    initial_block = SqueezeNetStem(96, 7)
    body = SqueezeNetBody((None, *_FIRES[:3], None, *_FIRES[3:7], None, _FIRES[7]))


class SqueezeNet1_1(SqueezeNet):
    """SqueezeNet 1.1: 1,235,496 parameters for 1000 classes."""

    body = SqueezeNetBody((None, *_FIRES[:2], None, *_FIRES[2:4], None, *_FIRES[4:]))
