"""Blocks that look at a map at several scales at once."""

from __future__ import annotations

from dataclasses import dataclass

from bf_models._backend import keras
from bf_models.nn import Net, Tensor


def _resize_like(x: Tensor, like: Tensor, name: str, net: Net) -> Tensor:
    if None in like.shape[1:3]:
        raise ValueError(f"{net.name}: {name} needs the size of maps; set inputs/images/shape in the config")
    return keras().layers.Resizing(*like.shape[1:3], interpolation="bilinear", name=name)(x)


@dataclass(frozen=True, slots=True)
class ASPP:
    """Dilated convolutions side by side and the mean of the map (DeepLab v3, Chen et al. 2017)."""

    filters: int = 256
    rates: tuple[int, ...] = (6, 12, 18)
    dropout: float = 0.1
    name: str = "aspp"

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H, W, filters)."""
        name = net.claim(self.name)
        branches = [net.conv_act(x, self.filters, 1, name=f"{name}.convs.0")]
        for number, rate in enumerate(self.rates, 1):
            branches.append(net.conv_act(x, self.filters, 3, name=f"{name}.convs.{number}", dilation=rate))
        mean = keras().layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}.avgpool")(x)
        mean = net.conv_act(mean, self.filters, 1, name=f"{name}.convs.{len(self.rates) + 1}")
        branches.append(_resize_like(mean, x, f"{name}.resized", net))
        x = net.conv_act(net.concat(branches, f"{name}.concat"), self.filters, 1, name=f"{name}.project")
        return net.dropout(x, self.dropout, f"{name}.dropout")


@dataclass(frozen=True, slots=True)
class PyramidPooling:
    """Means over grids of several sizes beside the map itself (PSPNet, Zhao et al. 2017)."""

    sizes: tuple[int, ...] = (1, 2, 3, 6)
    filters: int | None = None
    name: str = "pyramid"

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H, W, C + number of sizes * filters)."""
        from bf_models.layers import AdaptiveAveragePool  # late: loads TensorFlow

        filters = self.filters or max(1, x.shape[-1] // len(self.sizes))
        branches, name = [x], net.claim(self.name)
        for size in self.sizes:
            y = AdaptiveAveragePool(size, name=f"{name}.pool{size}")(x)
            y = net.conv_act(y, filters, 1, name=f"{name}.conv{size}")
            branches.append(_resize_like(y, x, f"{name}.resized{size}", net))
        return net.concat(branches, name)
