"""Xception (Chollet 2016, arXiv:1610.02357), its initial weights those of keras.applications."""

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
