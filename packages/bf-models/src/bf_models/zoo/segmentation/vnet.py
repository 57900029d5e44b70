"""V-Net (Milletari et al. 2016, arXiv:1606.04797), of two axes or of three."""

from __future__ import annotations

from dataclasses import dataclass

from bf_models._backend import keras
from bf_models.nn import Common, Net, Tensor, initializer
from bf_models.zoo.segmentation.segmenter import Segmenter, crop_like, pad_to_multiple


@dataclass(frozen=True, slots=True)
class VNetBody:
    """Residual stages of 5x5(x5) convolutions, halved and enlarged by strided ones.

    ``depths`` are the convolutions of the stages down; those up have as many, the last one ``last``. Volumes
    (N, D, H, W, C) and images (N, H, W, C) both go in.
    """

    filters: int = 16
    depths: tuple[int, ...] = (1, 2, 3, 3, 3)
    kernel: int = 5
    last: int = 1

    def __post_init__(self) -> None:
        if len(self.depths) < 2 or min(self.depths) < 1 or self.filters < 1:
            raise ValueError(
                f"VNet body: filters and convolutions of two stages or more are numbers from 1 on, got "
                f"{self.filters!r} and {list(self.depths)}"
            )

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, ..., C) into (N, ..., 2 * filters)."""
        images = x
        x = pad_to_multiple(x, 2 ** (len(self.depths) - 1))
        skips = []
        for stage, depth in enumerate(self.depths):
            filters = self.filters * 2**stage
            if stage:
                x = self._act(self._conv(x, net, filters, 2, 2, f"down.{stage}.halved"), f"down.{stage}.act")
            x = self._residual(x, x, net, depth, f"down.{stage}")
            skips.append(x)
        for stage in reversed(range(len(self.depths) - 1)):
            # each stage up has twice the filters of its stage down, half of them from beside
            filters, name = self.filters * 2**stage, f"up.{stage}"
            x = net.conv_transposed(x, filters, 2, 2, name=f"{name}.enlarged", bias=True)
            x = self._act(x, f"{name}.act")
            both = net.concat([x, skips[stage]], f"{name}.concat")
            x = self._residual(both, both, net, self.depths[stage] if stage else self.last, name)
        return crop_like(x, images)

    def _residual(self, x: Tensor, y: Tensor, net: Net, depth: int, name: str) -> Tensor:
        filters = max(y.shape[-1], self.filters)
        for number in range(depth):
            y = self._conv(y, net, filters, self.kernel, 1, f"{name}.conv{number}")
            if number < depth - 1:
                y = self._act(y, f"{name}.act{number}")
        if x.shape[-1] not in (1, y.shape[-1]):
            x = self._conv(x, net, y.shape[-1], 1, 1, f"{name}.project")
        return self._act(net.add(y, x, f"{name}.sum"), f"{name}.act{depth}")

    def _conv(self, x: Tensor, net: Net, filters: int, kernel: int, strides: int, name: str) -> Tensor:
        layers = keras().layers
        axes = len(x.shape) - 2
        fans = (kernel**axes * x.shape[-1], kernel**axes * filters)
        start = initializer(net.common.conv_init, *fans)
        cls = layers.Conv3D if axes == 3 else layers.Conv2D
        return cls(filters, kernel, strides, padding="same", kernel_initializer=start, name=name)(x)

    def _act(self, x: Tensor, name: str) -> Tensor:
        return keras().layers.PReLU(shared_axes=tuple(range(1, len(x.shape) - 1)), name=name)(x)


@dataclass(frozen=True, slots=True)
class VNetHead:
    """A 1x1(x1) convolution: logits of each place."""

    name: str = "classifier"

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, ..., C) into logits (N, ..., classes)."""
        layers = keras().layers
        cls = layers.Conv3D if len(x.shape) == 5 else layers.Conv2D
        start = initializer(net.common.conv_init, x.shape[-1], net.known_classes)
        return net.as_float(cls(net.known_classes, 1, kernel_initializer=start, name=self.name)(x))


class VNet(Segmenter):
    """V-Net, for images and for volumes: 13,275,346 parameters for 1 channel, 2 classes."""

    body = VNetBody()
    head = VNetHead()
    common = Common(conv_init="he_in")
