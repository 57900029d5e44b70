"""LeNet (LeCun et al. 1998) and a multi-layer perceptron, started as torch starts such layers."""

from __future__ import annotations

from dataclasses import dataclass

from bf_models._backend import keras
from bf_models.model import KerasModel
from bf_models.nn import Common, Identity, Net, Tensor


@dataclass(frozen=True, slots=True)
class LeNetBody:
    """5x5 convolutions with mean pooling; images of 28 pixels are padded to 32."""

    filters: tuple[int, ...] = (6, 16)

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, 32, 32, C) into (N, 5, 5, 16)."""
        for number, filters in enumerate(self.filters, 1):
            pads = 2 if number == 1 and x.shape[1] == 28 else 0
            x = net.act(
                net.conv(x, filters, 5, name=f"conv{number}", padding=pads, bias=True), f"act{number}"
            )
            x = net.pool(x, "avg", 2, 2, name=f"pool{number}")
        return x


@dataclass(frozen=True, slots=True)
class Layers:
    """Fully connected layers of ``units``, each with dropout."""

    units: tuple[int, ...] = (512, 256)
    dropout: float = 0.0

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, ...) into (N, last of units)."""
        x = keras().layers.Flatten(name=net.claim("flatten"))(x) if len(x.shape) != 2 else x
        for number, units in enumerate(self.units, 1):
            name = net.claim(f"fc{number}")
            x = net.act(net.dense(x, units, name=name), f"{name}.act")
            x = net.dropout(x, self.dropout, f"{name}.dropout")
        return x


@dataclass(frozen=True, slots=True)
class Hidden:
    """Fully connected layers, and one to classes."""

    units: tuple[int, ...] = ()
    dropout: float = 0.0
    name: str = "fc"

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Return logits (N, classes)."""
        return net.logits(Layers(self.units, self.dropout)(x, net), self.name)


class LeNet(KerasModel):
    """LeNet-5: 61,706 parameters for 28x28x1 and 10 classes."""

    initial_block = Identity()
    body = LeNetBody()
    head = Hidden((120, 84))
    common = Common(conv_init="torch", conv_bias="torch")


class MLP(KerasModel):
    """Perceptron of two hidden layers: 535,818 parameters for 28x28x1 and 10 classes."""

    initial_block = Identity()
    body = Layers()
    head = Hidden()
