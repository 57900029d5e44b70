"""DenseNet-FC, the hundred layers tiramisu (Jegou et al. 2016, arXiv:1611.09326)."""

from __future__ import annotations

from dataclasses import dataclass

from bf_models._backend import keras
from bf_models.nn import Common, Net, Tensor
from bf_models.zoo.segmentation.segmenter import Segmenter, crop_like, pad_to_multiple


@dataclass(frozen=True, slots=True)
class DenseNetFCBody:
    """Dense blocks on the way down and up; on the way up only what a block adds is enlarged.

    ``depths`` are the layers of the blocks down, of the one in the middle, and in turn of those up.
    """

    depths: tuple[int, ...] = (4, 4, 4, 4, 4, 4)
    growth: int = 12
    filters: int = 48
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if len(self.depths) < 2 or min(self.depths) < 1:
            raise ValueError(
                f"DenseNetFC body: depths are layers of two blocks or more, got {list(self.depths)}"
            )

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H, W, more channels)."""
        images = x
        x = pad_to_multiple(x, 2 ** (len(self.depths) - 1))
        x = net.conv(x, self.filters, 3, name="conv0", bias=True)
        *down, middle = self.depths
        skips = []
        for stage, depth in enumerate(down):
            x = net.concat([x, self._block(x, net, depth, f"down.{stage}")], f"down.{stage}")
            skips.append(x)
            x = self._layer(x, net, x.shape[-1], 1, f"transition.{stage}")
            x = keras().layers.MaxPooling2D(2, name=f"transition.{stage}.pool")(x)
        added = self._block(x, net, middle, "middle")
        for stage in reversed(range(len(down))):
            up = net.conv_transposed(added, added.shape[-1], 3, 2, name=f"up.{stage}.enlarged", bias=True)
            x = net.concat([up, skips[stage]], f"up.{stage}.concat")
            added = self._block(x, net, down[stage], f"up.{stage}")
        return crop_like(net.concat([x, added], "up"), images)

    def _block(self, x: Tensor, net: Net, depth: int, name: str) -> Tensor:
        """Return what the layers of a block add."""
        added: list[Tensor] = []
        for number in range(depth):
            own = f"{name}.{number}"
            added.append(self._layer(x, net, self.growth, 3, own))
            if number < depth - 1:
                x = net.concat([x, added[-1]], f"{own}.concat")
        return net.concat(added, f"{name}.added") if depth > 1 else added[0]

    def _layer(self, x: Tensor, net: Net, filters: int, kernel: int, name: str) -> Tensor:
        x = net.act(net.norm(x, f"{name}.norm"), f"{name}.relu")
        x = net.conv(x, filters, kernel, name=f"{name}.conv", bias=True)
        return net.dropout(x, self.dropout, f"{name}.dropout")


class DenseNetFC56(Segmenter):
    """FC-DenseNet-56: 1,376,988 parameters for 3 channels, 12 classes."""

    body = DenseNetFCBody()
    common = Common(conv_init="he_uniform")


class DenseNetFC67(DenseNetFC56):
    """FC-DenseNet-67: 3,463,532 parameters for 3 channels, 12 classes."""

    body = DenseNetFCBody((5,) * 6, 16)


class DenseNetFC103(DenseNetFC56):
    """FC-DenseNet-103: 9,322,348 parameters for 3 channels, 12 classes."""

    body = DenseNetFCBody((4, 5, 7, 10, 12, 15), 16)
