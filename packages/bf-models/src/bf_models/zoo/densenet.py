"""DenseNet (Huang et al. 2016, arXiv:1608.06993) as torchvision has it; 264 by the table of the paper."""

from __future__ import annotations

from dataclasses import dataclass

from bf_models.model import KerasModel
from bf_models.nn import Classifier, Common, Net, Tensor


@dataclass(frozen=True, slots=True)
class DenseNetStem:
    """7x7 convolution and max-pooling; ``small``: one 3x3 convolution of stride 1."""

    filters: int = 64

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/4, W/4, filters)."""
        names = ("features.conv0", "features.norm0")
        x = net.conv_norm(x, self.filters, *((3, 1) if net.small else (7, 2)), names=names)
        x = net.act(x, "features.relu0")
        return x if net.small else net.pool(x, "max", 3, 2, name="features.pool0", padding=1)


@dataclass(frozen=True, slots=True)
class DenseNetBody:
    """Blocks whose layers add ``growth`` channels each.

    Between blocks half of the channels and of the size stay.
    """

    depths: tuple[int, ...] = (6, 12, 24, 16)
    growth: int = 32
    bottleneck: int = 4
    dropout: float = 0.0

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/8, W/8, more channels)."""
        for stage, depth in enumerate(self.depths, 1):
            for number in range(1, depth + 1):
                x = self._layer(x, net, f"features.denseblock{stage}.denselayer{number}")
            if stage < len(self.depths):
                x = self._transition(x, net, f"features.transition{stage}")
        return net.act(net.norm(x, "features.norm5"), "features")

    def _layer(self, x: Tensor, net: Net, name: str) -> Tensor:
        y = net.act(net.norm(x, f"{name}.norm1"), f"{name}.relu1")
        y = net.conv(y, self.bottleneck * self.growth, 1, name=f"{name}.conv1")
        y = net.act(net.norm(y, f"{name}.norm2"), f"{name}.relu2")
        y = net.conv(y, self.growth, 3, name=f"{name}.conv2")
        return net.concat([x, net.dropout(y, self.dropout, f"{name}.dropout")], name)

    def _transition(self, x: Tensor, net: Net, name: str) -> Tensor:
        x = net.act(net.norm(x, f"{name}.norm"), f"{name}.relu")
        x = net.conv(x, x.shape[-1] // 2, 1, name=f"{name}.conv")
        return net.pool(x, "avg", 2, 2, name=f"{name}.pool")


class DenseNet(KerasModel):
    """Base of the family."""

    initial_block = DenseNetStem()
    body = DenseNetBody()
    head = Classifier("classifier")
    common = Common(conv_init="he_in", dense_bias="zeros")


class DenseNet121(DenseNet):
    """DenseNet-121: 7,978,856 parameters for 1000 classes."""


class DenseNet161(DenseNet):
    """DenseNet-161: 28,681,000 parameters for 1000 classes."""

    initial_block = DenseNetStem(96)
    body = DenseNetBody((6, 12, 36, 24), growth=48)


class DenseNet169(DenseNet):
    """DenseNet-169: 14,149,480 parameters for 1000 classes."""

    body = DenseNetBody((6, 12, 32, 32))


class DenseNet201(DenseNet):
    """DenseNet-201: 20,013,928 parameters for 1000 classes."""

    body = DenseNetBody((6, 12, 48, 32))


class DenseNet264(DenseNet):
    """DenseNet-264: 33,337,704 parameters for 1000 classes."""

    body = DenseNetBody((6, 12, 64, 48))
