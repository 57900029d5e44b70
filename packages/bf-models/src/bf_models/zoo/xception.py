"""Xception (Chollet 2016, arXiv:1610.02357), and that of DeepLab (Chen et al. 2018, arXiv:1802.02611).

The initial weights of the first are those of keras.applications, names and counts of the others timm's.
"""

from __future__ import annotations

from dataclasses import dataclass

from bf_models.model import KerasModel
from bf_models.nn import Classifier, Common, Net, Tensor


@dataclass(frozen=True, slots=True)
class XceptionStem:
    """Two unpadded 3x3 convolutions, the first of stride 2; ``small``: padded, of stride 1."""

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, about H/2, W/2, 64)."""
        options = {} if net.small else {"padding": 0}
        x = net.conv_norm(x, 32, 3, 1 if net.small else 2, names=("conv1", "bn1"), **options)
        x = net.conv_norm(net.act(x, "act1"), 64, 3, names=("conv2", "bn2"), **options)
        return net.act(x, "act2")


@dataclass(frozen=True, slots=True)
class XceptionBody:
    """Residual blocks of separable convolutions.

    A narrowing flow in, ``middle`` equal ones, and a flow out.
    """

    entry: tuple[int, ...] = (128, 256, 728)
    middle: int = 8
    exit: tuple[int, int, int] = (1024, 1536, 2048)

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, about H/16, W/16, 2048)."""
        number = 1
        for filters in self.entry:
            # the very first block comes right after an activation
            x = self._narrowing(x, net, (filters, filters), number > 1, f"block{number}")
            number += 1
        for _ in range(self.middle):
            x = self._plain(x, net, f"block{number}")
            number += 1
        x = self._narrowing(x, net, (x.shape[-1], self.exit[0]), True, f"block{number}")
        for place, filters in enumerate(self.exit[1:], 3):
            x = net.act(_separable(x, net, filters, f"conv{place}", f"bn{place}"), f"act{place}")
        return x

    def _narrowing(self, x: Tensor, net: Net, filters: tuple[int, int], active: bool, name: str) -> Tensor:
        shortcut = net.conv_norm(x, filters[1], 1, 2, names=(f"{name}.skip", f"{name}.skipbn"))
        y = net.act(x, f"{name}.act1") if active else x
        y = _separable(y, net, filters[0], f"{name}.conv1", f"{name}.bn1")
        y = _separable(net.act(y, f"{name}.act2"), net, filters[1], f"{name}.conv2", f"{name}.bn2")
        return net.add(shortcut, net.pool(y, "max", 3, 2, name=f"{name}.pool", padding="same"), name)

    def _plain(self, x: Tensor, net: Net, name: str) -> Tensor:
        y = x
        for place in (1, 2, 3):
            y = net.act(y, f"{name}.act{place}")
            y = _separable(y, net, x.shape[-1], f"{name}.conv{place}", f"{name}.bn{place}")
        return net.add(x, y, name)


def _separable(x: Tensor, net: Net, filters: int, name: str, norm: str) -> Tensor:
    x = net.conv(x, x.shape[-1], 3, name=f"{name}.conv1", groups=x.shape[-1])
    return net.norm(net.conv(x, filters, 1, name=f"{name}.pointwise"), norm)


class Xception(KerasModel):
    """Xception: 22,855,952 parameters for 1000 classes."""

    initial_block = XceptionStem()
    body = XceptionBody()
    head = Classifier("fc")
    common = Common("relu", 0.99, 1e-3, conv_init="glorot", dense_init="glorot", dense_bias="zeros")


@dataclass(frozen=True, slots=True)
class AlignedStem:
    """Two 3x3 convolutions, the first of stride 2; ``small``: of stride 1."""

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/2, W/2, 64)."""
        x = net.conv_norm(x, 32, 3, 1 if net.small else 2, names=("stem.0.conv", "stem.0.bn"))
        x = net.conv_norm(net.act(x, "stem.0"), 64, 3, names=("stem.1.conv", "stem.1.bn"))
        return net.act(x, "stem.1")


@dataclass(frozen=True, slots=True)
class AlignedBody:
    """Residual blocks of three separable convolutions, the last of which has the stride instead of a pooling.

    ``entry`` holds (filters, strides) of the flow in; after ``middle`` equal blocks come one of stride 2 and
    one without a shortcut, with an activation after every convolution.
    """

    entry: tuple[tuple[int, int], ...] = ((128, 2), (256, 2), (728, 2))
    middle: int = 16
    exit: tuple[tuple[int, int, int], tuple[int, int, int]] = ((728, 1024, 1024), (1536, 1536, 2048))

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/16, W/16, 2048)."""
        blocks: list[tuple[tuple[int, ...], int]] = [((width,) * 3, strides) for width, strides in self.entry]
        blocks += [((self.entry[-1][0],) * 3, 1)] * self.middle
        blocks.append((tuple(self.exit[0]), 2))
        for number, (filters, strides) in enumerate(blocks):
            x = self._block(x, net, filters, strides, f"blocks.{number}")
        for place, width in enumerate(self.exit[1], 1):
            x = _aligned(x, net, width, 1, f"blocks.{len(blocks)}.stack.conv{place}", active=True)
        return x

    def _block(self, x: Tensor, net: Net, filters: tuple[int, ...], strides: int, name: str) -> Tensor:
        y = x
        for place, width in enumerate(filters, 1):
            y = net.act(y, f"{name}.stack.act{place}")
            y = _aligned(y, net, width, strides if place == 3 else 1, f"{name}.stack.conv{place}")
        if strides > 1 or x.shape[-1] != y.shape[-1]:
            names = (f"{name}.shortcut.conv", f"{name}.shortcut.bn")
            x = net.conv_norm(x, y.shape[-1], 1, strides, names=names)
        return net.add(x, y, name)


def _aligned(x: Tensor, net: Net, filters: int, strides: int, name: str, active: bool = False) -> Tensor:
    """Add a separable convolution with a norm in its middle too."""
    names = (f"{name}.conv_dw", f"{name}.bn_dw")
    x = net.conv_norm(x, x.shape[-1], 3, strides, names=names, groups=x.shape[-1])
    x = net.act(x, f"{name}.act_dw") if active else x
    x = net.conv_norm(x, filters, 1, names=(f"{name}.conv_pw", f"{name}.bn_pw"))
    return net.act(x, f"{name}.act_pw") if active else x


class AlignedXception(KerasModel):
    """Base of the aligned ones."""

    initial_block = AlignedStem()
    body = AlignedBody()
    head = Classifier("head.fc")
    common = Common(epsilon=1e-3)


class Xception41(AlignedXception):
    """Xception-41: 26,969,560 parameters for 1000 classes."""

    body = AlignedBody(middle=8)


class Xception65(AlignedXception):
    """Xception-65: 39,916,312 parameters for 1000 classes."""


class Xception64(AlignedXception):
    """Xception-65 by its name in the older BatchFlow: 39,916,312 parameters for 1000 classes."""


class Xception71(AlignedXception):
    """Xception-71: 42,338,736 parameters for 1000 classes."""

    body = AlignedBody(((128, 2), (256, 1), (256, 2), (728, 1), (728, 2)))
