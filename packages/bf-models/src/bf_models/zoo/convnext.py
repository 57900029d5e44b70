"""ConvNeXt (Liu et al. 2022, arXiv:2201.03545) as torchvision has it."""

from __future__ import annotations

from dataclasses import dataclass

from bf_models._backend import keras
from bf_models.model import KerasModel
from bf_models.nn import Common, Net, Tensor


@dataclass(frozen=True, slots=True)
class ConvNeXtStem:
    """Patches of 4x4 pixels; ``small``: of 2x2."""

    filters: int = 96

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/4, W/4, filters)."""
        size = 2 if net.small else 4
        x = net.conv(x, self.filters, size, size, name="features.0.0", padding=0, bias=True)
        return net.layer_norm(x, "features.0.1")


@dataclass(frozen=True, slots=True)
class ConvNeXtBody:
    """Stages of blocks: a 7x7 depthwise convolution and two dense layers at each place."""

    depths: tuple[int, ...] = (3, 3, 9, 3)
    stochastic_depth: float = 0.1
    scale: float = 1e-6

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/8, W/8, 8 * C)."""
        done, last = 0, max(1, sum(self.depths) - 1)
        for stage, depth in enumerate(self.depths):
            if stage:
                name = f"features.{2 * stage}"
                x = net.layer_norm(x, f"{name}.0")
                options = {"padding": 0, "bias": True}
                x = net.conv(x, 2 * x.shape[-1], 2, 2, name=f"{name}.1", **options)
            for place in range(depth):
                x = self._block(
                    x, net, self.stochastic_depth * done / last, f"features.{2 * stage + 1}.{place}"
                )
                done += 1
        return x

    def _block(self, x: Tensor, net: Net, drop: float, name: str) -> Tensor:
        from bf_models.layers import LayerScale  # late: loads TensorFlow

        width = x.shape[-1]
        y = net.conv(x, width, 7, name=f"{name}.block.0", groups=width, bias=True)
        y = net.layer_norm(y, f"{name}.block.2")
        y = net.act(net.dense(y, 4 * width, name=f"{name}.block.3"), f"{name}.block.4")
        y = net.dense(y, width, name=f"{name}.block.5")
        return net.add(x, LayerScale(self.scale, name=f"{name}.layer_scale")(y), name, drop)


@dataclass(frozen=True, slots=True)
class ConvNeXtHead:
    """Global mean, layer norm and a dense layer."""

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Return logits (N, classes)."""
        x = keras().layers.GlobalAveragePooling2D(name="avgpool")(x)
        return net.logits(net.layer_norm(x, "classifier.0"), "classifier.2")


class ConvNeXt(KerasModel):
    """Base of the family."""

    initial_block = ConvNeXtStem()
    body = ConvNeXtBody()
    head = ConvNeXtHead()
    common = Common("gelu", conv_init=0.02, dense_init=0.02, dense_bias="zeros")


class ConvNeXtTiny(ConvNeXt):
    """ConvNeXt tiny: 28,589,128 parameters for 1000 classes."""


class ConvNeXtSmall(ConvNeXt):
    """ConvNeXt small: 50,223,688 parameters for 1000 classes."""

    body = ConvNeXtBody((3, 3, 27, 3), 0.4)


class ConvNeXtBase(ConvNeXt):
    """ConvNeXt base: 88,591,464 parameters for 1000 classes."""

    initial_block = ConvNeXtStem(128)
    body = ConvNeXtBody((3, 3, 27, 3), 0.5)
