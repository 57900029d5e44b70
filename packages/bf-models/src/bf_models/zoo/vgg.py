"""VGG (Simonyan and Zisserman 2014, arXiv:1409.1556), and BatchFlow's own VGG7 for small images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bf_models._backend import keras
from bf_models.model import KerasModel
from bf_models.nn import Classifier, Common, Identity, Net, Tensor


@dataclass(frozen=True, slots=True)
class VGGBody:
    """Stages of 3x3, then 1x1 convolutions, each ended by max-pooling.

    ``stages`` hold (number of 3x3, number of 1x1, filters). With the small stem it is normalised,
    without biases and with sizes rounded up, so that 28 pixels survive five poolings.
    """

    stages: tuple[tuple[int, int, int], ...] = ()
    norm: bool = False
    bias: bool = True

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H / 2 ** stages, W / 2 ** stages, filters of the last stage)."""
        norm = net.small or self.norm
        bias = not net.small and self.bias
        number = 0
        for large, points, filters in self.stages:
            for kernel in (3,) * large + (1,) * points:
                x = net.conv(x, filters, kernel, name=f"features.{number}", bias=bias)
                x = net.norm(x, f"features.{number + 1}") if norm else x
                number += 2 if norm else 1
                x = net.act(x, f"features.{number}")
                number += 1
            x = net.pool(x, "max", 2, 2, name=f"features.{number}", padding="same" if net.small else 0)
            number += 1
        return x


@dataclass(frozen=True, slots=True)
class VGGHead:
    """Two hidden layers of 4096 units on a 7x7 map; ``small``: global mean and one dense layer."""

    units: int = 4096
    dropout: float | None = None
    size: int = 7

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Return logits (N, classes)."""
        if net.small:
            return Classifier("classifier", 0.2 if self.dropout is None else self.dropout)(x, net)
        sizes = net.window(self.size, "avgpool")
        if tuple(x.shape[1:3]) != (sizes if net.dims else (self.size, self.size)):
            from bf_models.layers import AdaptiveAveragePool  # late: loads TensorFlow

            x = AdaptiveAveragePool(sizes, name="avgpool")(x)
        # torch flattens channels first, and the published weights are in that order
        x = keras().layers.Permute((3, 1, 2), name="channels_first")(x)
        x = keras().layers.Flatten(name="flatten")(x)
        rate = 0.5 if self.dropout is None else self.dropout
        for number in (0, 3):
            x = net.act(net.dense(x, self.units, name=f"classifier.{number}"), f"classifier.{number + 1}")
            x = net.dropout(x, rate, f"classifier.{number + 2}")
        return net.logits(x, "classifier.6")


def _stages(*depths: int) -> tuple[tuple[int, int, int], ...]:
    return tuple((depth, 0, filters) for depth, filters in zip(depths, (64, 128, 256, 512, 512)))


class VGG(KerasModel):
    """Base of the family."""

    initial_block = Identity()
    body = VGGBody(_stages(1, 1, 2, 2, 2))
    head = VGGHead()
    common = Common(dense_init=0.01, dense_bias="zeros")


class VGG7(VGG):
    """BatchFlow's VGG of seven convolutions: 1,213,770 parameters for 1 channel, 10 classes."""

    defaults: ClassVar[Mapping[str, Any]] = {"stem": "small"}
    body = VGGBody(((2, 0, 64), (2, 0, 128), (2, 1, 256)))


class VGG11(VGG):
    """VGG-11: 132,863,336 parameters for 1000 classes."""


class VGG13(VGG):
    """VGG-13: 133,047,848 parameters for 1000 classes."""

    body = VGGBody(_stages(2, 2, 2, 2, 2))


class VGG16(VGG):
    """VGG-16: 138,357,544 parameters for 1000 classes."""

    body = VGGBody(_stages(2, 2, 3, 3, 3))


class VGG19(VGG):
    """VGG-19: 143,667,240 parameters for 1000 classes."""

    body = VGGBody(_stages(2, 2, 4, 4, 4))


class VGG11BN(VGG):
    """VGG-11 with batch norm: 132,868,840 parameters for 1000 classes."""

    body = VGGBody(_stages(1, 1, 2, 2, 2), norm=True)


class VGG13BN(VGG):
    """VGG-13 with batch norm: 133,053,736 parameters for 1000 classes."""

    body = VGGBody(_stages(2, 2, 2, 2, 2), norm=True)


class VGG16BN(VGG):
    """VGG-16 with batch norm: 138,365,992 parameters for 1000 classes."""

    body = VGGBody(_stages(2, 2, 3, 3, 3), norm=True)


class VGG19BN(VGG):
    """VGG-19 with batch norm: 143,678,248 parameters for 1000 classes."""

    body = VGGBody(_stages(2, 2, 4, 4, 4), norm=True)
