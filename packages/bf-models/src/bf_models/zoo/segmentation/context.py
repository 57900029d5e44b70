"""PSPNet, GCN, RefineNet and DeepLab v3+: networks that look at a map at several scales."""

from __future__ import annotations

from dataclasses import dataclass

from bf_models._backend import keras
from bf_models.blocks.context import ASPP, PyramidPooling
from bf_models.nn import Net, Tensor
from bf_models.zoo.segmentation.encoder import Encoder, EncoderBody, Level, read_encoder
from bf_models.zoo.segmentation.segmenter import Segmenter, crop_like, pad_to_multiple, resize_like


@dataclass(frozen=True, slots=True)
class PSPNetBody:
    """Means over grids of several sizes beside the last map of an encoder, and a 3x3 convolution.

    Zhao et al. 2016 (arXiv:1612.01105).
    """

    encoder: Encoder = Encoder("resnet50", body={"dilated": 2})  # noqa: RUF009
    sizes: tuple[int, ...] = (1, 2, 3, 6)
    filters: int = 512
    dropout: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoder", read_encoder(self.encoder))

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/8, W/8, filters)."""
        net.kept["images"] = x
        last, _ = self.encoder.run(x, net)
        if None in last.shape[1:3]:
            raise ValueError(
                f"{net.name}: grids of means need the size of images; set inputs/images/shape in the config"
            )
        x = PyramidPooling(self.sizes)(last, net)
        x = net.conv_act(x, self.filters, 3, name="bottleneck", act="relu")
        return net.dropout(x, self.dropout, "bottleneck.dropout")


class PSPNet(Segmenter):
    """PSPNet with ResNet-50: 46,592,597 parameters for 3 channels, 21 classes."""

    body = PSPNetBody()


@dataclass(frozen=True, slots=True)
class GCNBody:
    """Scores of four maps by large separable kernels, refined, and summed from the smallest up.

    Peng et al. 2017 (arXiv:1703.02719). ``width`` are the filters of all scores, the paper's classes.
    """

    encoder: Encoder | str = "resnet50"
    kernel: int = 15
    width: int = 21

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoder", read_encoder(self.encoder))
        if not isinstance(self.kernel, int) or self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"GCN body: kernel is an odd number of pixels, got {self.kernel!r}")

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H, W, width)."""
        assert isinstance(self.encoder, Encoder), "a name was read"
        images, x = x, pad_to_multiple(x, self.encoder.multiple)
        padded = x
        levels = self.encoder.encode(x, net)[-4:]
        below, size = None, levels[-1].reduction
        for level in reversed(levels):
            name = f"gcn.{level.reduction}"
            y = self._refine(self._look(level.map, net, name), net, f"{name}.refined")
            if below is not None:
                up = net.conv_transposed(
                    below, self.width, 4, size // level.reduction, name=f"{name}.enlarged"
                )
                y = net.add(y, resize_like(up, y, f"{name}.resized"), f"{name}.sum")
                y = self._refine(y, net, f"{name}.joined")
            below, size = y, level.reduction
        while size > 1:
            size //= 2
            below = net.conv_transposed(below, self.width, 4, 2, name=f"enlarged.{size}")
            below = self._refine(below, net, f"enlarged.{size}.refined")
        return crop_like(resize_like(below, padded, "enlarged.resized"), images)

    def _look(self, x: Tensor, net: Net, name: str) -> Tensor:
        """Add what k x 1 then 1 x k sees, and 1 x k then k x 1: a k x k kernel without its weights."""
        column, row = (self.kernel, 1), (1, self.kernel)
        sides = []
        for number, kernels in enumerate(((column, row), (row, column))):
            y = x
            for place, kernel in enumerate(kernels):
                y = net.conv(y, self.width, kernel, name=f"{name}.{number}.{place}", bias=True)
            sides.append(y)
        return net.add(sides[0], sides[1], f"{name}.look")

    def _refine(self, x: Tensor, net: Net, name: str) -> Tensor:
        y = net.act(net.conv(x, self.width, 3, name=f"{name}.conv1", bias=True), f"{name}.relu", "relu")
        return net.add(x, net.conv(y, self.width, 3, name=f"{name}.conv2", bias=True), name)


class GCN(Segmenter):
    """Global convolutional network with ResNet-50: 26,088,050 parameters for 3 channels, 21 classes."""

    body = GCNBody()


@dataclass(frozen=True, slots=True)
class RefineNetBody(EncoderBody):
    """Four maps refined and joined from the smallest up: residual units, fusion, chained pooling.

    Lin et al. 2016 (arXiv:1611.06612). ``width`` are the filters of all blocks, twice as many in the first.
    """

    width: int = 256
    pools: int = 2

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into the size of the encoder's largest map, (N, H/4, W/4, width)."""
        levels = self.encode(x, net)[-4:]
        below = None
        for level in reversed(levels):
            width = 2 * self.width if level is levels[-1] else self.width
            below = self._block(level, below, net, width)
        assert below is not None, "an encoder has two maps or more"
        for number in range(2):
            below = self._unit(below, net, f"last.{number}")
        return below

    def _block(self, level: Level, below: Tensor | None, net: Net, width: int) -> Tensor:
        name = f"refine.{level.reduction}"
        x = net.conv(level.map, width, 3, name=f"{name}.adapted")
        for number in range(2):
            x = self._unit(x, net, f"{name}.beside.{number}")
        if below is not None:
            for number in range(2):
                below = self._unit(below, net, f"{name}.below.{number}")
            x = net.conv(x, width, 3, name=f"{name}.fused.0")
            below = net.conv(below, width, 3, name=f"{name}.fused.1")
            x = net.add(x, resize_like(below, x, f"{name}.enlarged"), f"{name}.sum")
        y = x = net.act(x, f"{name}.relu", "relu")
        for number in range(self.pools):
            y = keras().layers.MaxPooling2D(5, 1, padding="same", name=f"{name}.pool.{number}")(y)
            y = net.conv(y, width, 3, name=f"{name}.chain.{number}")
            x = net.add(x, y, f"{name}.chained.{number}")
        return self._unit(x, net, f"{name}.out")

    def _unit(self, x: Tensor, net: Net, name: str) -> Tensor:
        y = x
        for number in range(2):
            y = net.act(y, f"{name}.relu{number}", "relu")
            y = net.conv(y, x.shape[-1], 3, name=f"{name}.conv{number}", bias=True)
        return net.add(x, y, name)


class RefineNet(Segmenter):
    """RefineNet with ResNet-50: 90,766,165 parameters for 3 channels, 21 classes."""

    body = RefineNetBody()


@dataclass(frozen=True, slots=True)
class DeepLabV3PlusBody(EncoderBody):
    """DeepLab v3's pyramid on the last map, beside a map of a quarter of the image.

    Chen et al. 2018 (arXiv:1802.02611). ``low`` are the filters of the larger map, ``filters`` all others.
    """

    encoder: Encoder | str = Encoder("resnet50", body={"dilated": 1})  # noqa: RUF009
    rates: tuple[int, ...] = (6, 12, 18)
    low: int = 48
    filters: int = 256

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/4, W/4, filters)."""
        *larger, last = self.encode(x, net)
        # the one nearest to a quarter of the image
        beside = min(larger, key=lambda level: abs(level.reduction - 4))
        y = ASPP(self.filters, self.rates, 0.5)(last.map, net)
        low = net.conv_act(beside.map, self.low, 1, name="decoder.low", act="relu")
        y = net.concat([low, resize_like(y, low, "decoder.resized")], "decoder.concat")
        for number in range(2):
            y = net.conv_act(y, self.filters, 3, name=f"decoder.{number}", act="relu")
        return net.dropout(y, 0.1, "decoder.dropout")


class DeepLabV3Plus(Segmenter):
    """DeepLab v3+ with ResNet-50: 40,352,181 parameters for 3 channels, 21 classes."""

    body = DeepLabV3PlusBody()
