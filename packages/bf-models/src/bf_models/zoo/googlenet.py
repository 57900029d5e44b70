"""GoogLeNet, also called Inception v1 (Szegedy et al. 2014, arXiv:1409.4842), as torchvision has it."""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_lowercase

from bf_models.model import KerasModel
from bf_models.nn import Classifier, Common, Net, Tensor

#: 1x1; 3x3 squeezed, 3x3; 5x5 squeezed, 5x5; pooled
Widths = tuple[int, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class GoogLeNetStem:
    """Three convolutions and two poolings; ``small``: strides of 1 and no poolings."""

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """(N, H, W, C) -> (N, H/8, W/8, 192)."""
        x = _conv(x, net, 64, *((3, 1) if net.small else (7, 2)), name="conv1")
        x = x if net.small else net.pool(x, "max", 3, 2, name="maxpool1", padding="ceil")
        x = _conv(_conv(x, net, 64, 1, name="conv2"), net, 192, 3, name="conv3")
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
        """(N, H, W, C) -> (N, H/4, W/4, 1024)."""
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
        first = _conv(x, net, one, 1, name=f"{name}.branch1")
        second = _conv(x, net, squeezed3, 1, name=f"{name}.branch2.0")
        second = _conv(second, net, three, 3, name=f"{name}.branch2.1")
        third = _conv(x, net, squeezed5, 1, name=f"{name}.branch3.0")
        third = _conv(third, net, five, 3, name=f"{name}.branch3.1")
        fourth = net.pool(x, "max", 3, 1, name=f"{name}.branch4.0", padding="same")
        fourth = _conv(fourth, net, pooled, 1, name=f"{name}.branch4.1")
        return net.concat([first, second, third, fourth], name)


def _conv(x: Tensor, net: Net, filters: int, kernel: int, strides: int = 1, *, name: str) -> Tensor:
    return net.act(net.conv_norm(x, filters, kernel, strides, names=(f"{name}.conv", f"{name}.bn")), name)


class GoogLeNet(KerasModel):
    """GoogLeNet, without its two helpers of training: 6,624,904 parameters for 1000 classes."""

    initial_block = GoogLeNetStem()
    body = GoogLeNetBody()
    head = Classifier("fc", dropout=0.2)
    common = Common(epsilon=1e-3)


class InceptionV1(GoogLeNet):
    """GoogLeNet by its other name: 6,624,904 parameters for 1000 classes."""
