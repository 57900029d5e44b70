"""U-Net (Ronneberger et al. 2015, arXiv:1505.04597)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bf_models._backend import keras
from bf_models.nn import Common, Net, Tensor
from bf_models.zoo.segmentation.encoder import Encoder, read_encoder
from bf_models.zoo.segmentation.encoder_decoder import EncoderDecoderBody
from bf_models.zoo.segmentation.segmenter import Segmenter, crop_like, pad_to_multiple


@dataclass(frozen=True, slots=True)
class UNetBody:
    """Halve the map ``depth`` times and enlarge it again, beside what it was before it was halved.

    Each stage has two 3x3 convolutions, of ``filters`` in the first and twice as many in each that follows;
    ``norm`` adds batch normalisation, which the paper has not. Dropout is at the end of the way down.
    ``padding`` "same" gives a map as large as the image, of any size: sides that do not divide by
    2 ** depth are padded and cut inside. "valid" is the paper's, without padding: 572 pixels become 388.

    ``encoder`` is a network of the catalogue that goes down instead, by its name or as {network, stages,
    initial_block, body}; each step up has the filters that it has without.
    """

    filters: int = 64
    depth: int = 4
    norm: bool = False
    dropout: float = 0.5
    padding: Literal["same", "valid"] = "same"
    encoder: Encoder | str | None = None

    def __post_init__(self) -> None:
        for name in ("filters", "depth"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"UNet body: {name} is a number from 1 on, got {value!r}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"UNet body: dropout is a share from 0 to below 1, got {self.dropout!r}")
        if self.padding not in ("same", "valid"):
            raise ValueError(f"UNet body: padding is 'same' or 'valid', got {self.padding!r}")
        if self.encoder is not None:
            object.__setattr__(self, "encoder", read_encoder(self.encoder))
            if self.padding != "same":
                raise ValueError("UNet body: 'padding: valid' does not go with an encoder")

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H, W, filters)."""
        if self.encoder is not None:
            layout = "cna cna" if self.norm else "ca ca"
            return EncoderDecoderBody(self.encoder, self.filters, "transposed", layout=layout)(x, net)
        images, skips = x, []
        if self.padding == "same":
            x = pad_to_multiple(x, 2**self.depth)
        for stage in range(self.depth + 1):
            name = f"encoder.{stage}"
            if stage:
                x = self._pool(x, net, f"{name}.pool")
            x = self._convolve(x, net, self.filters * 2**stage, name)
            if stage >= self.depth - 1:
                x = net.dropout(x, self.dropout, f"{name}.dropout")
            skips.append(x)
        for stage in reversed(range(self.depth)):
            name = f"decoder.{stage}"
            filters = self.filters * 2**stage
            x = net.conv_transposed(x, filters, 2, 2, name=f"{name}.up", bias=True)
            x = net.concat([crop_like(skips[stage], x, f"{name}.cut"), x], f"{name}.concat")
            x = self._convolve(x, net, filters, name)
        return x if self.padding == "valid" else crop_like(x, images)

    def _pool(self, x: Tensor, net: Net, name: str) -> Tensor:
        odd = [side for side in x.shape[1:-1] if side is not None and side % 2]
        if odd:
            raise ValueError(
                f"{net.name}: padding 'valid' needs maps of even sides before {name}, got "
                f"{tuple(x.shape[1:-1])}; give images whose sides fit (with 'depth: 4' 572 do, and 16 more "
                "or fewer), or set 'padding: same' of the body"
            )
        return keras().layers.MaxPooling2D(2, name=name)(x)

    def _convolve(self, x: Tensor, net: Net, filters: int, name: str) -> Tensor:
        pads = 0 if self.padding == "valid" else None
        for number in (1, 2):
            x = net.conv(x, filters, 3, name=f"{name}.conv{number}", bias=not self.norm, padding=pads)
            if self.norm:
                x = net.norm(x, f"{name}.norm{number}")
            x = net.act(x, f"{name}.relu{number}")
        return x


class UNet(Segmenter):
    """U-Net: 31,030,658 parameters for 1 channel, 2 classes."""

    body = UNetBody()
    common = Common(conv_init="he_in")


@dataclass(frozen=True, slots=True)
class UNetPPBody:
    """U-Net whose skips are nested (Zhou et al. 2018, arXiv:1807.10165).

    The map (stage, step) is made of all maps of its stage before it, and of the enlarged map below.
    """

    filters: int = 32
    depth: int = 4
    norm: bool = False
    dropout: float = 0.5

    def __post_init__(self) -> None:
        UNetBody(self.filters, self.depth, self.norm, self.dropout)

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H, W, filters)."""
        images = x
        x = pad_to_multiple(x, 2**self.depth)
        rows: list[list[Tensor]] = []
        for stage in range(self.depth + 1):
            if stage:
                x = keras().layers.MaxPooling2D(2, name=f"nodes.{stage}.0.pool")(x)
            x = self._node(x, net, stage, 0)
            rows.append([x])
        for step in range(1, self.depth + 1):
            for stage in range(self.depth + 1 - step):
                name, filters = f"nodes.{stage}.{step}", self.filters * 2**stage
                up = net.conv_transposed(rows[stage + 1][-1], filters, 2, 2, name=f"{name}.up", bias=True)
                x = net.concat([*rows[stage], up], f"{name}.concat")
                rows[stage].append(self._node(x, net, stage, step))
            rows.pop()
        return crop_like(rows[0][-1], images)

    def _node(self, x: Tensor, net: Net, stage: int, step: int) -> Tensor:
        for number in (1, 2):
            name = f"nodes.{stage}.{step}"
            x = net.conv(x, self.filters * 2**stage, 3, name=f"{name}.conv{number}", bias=not self.norm)
            x = net.norm(x, f"{name}.norm{number}") if self.norm else x
            x = net.act(x, f"{name}.relu{number}")
            x = net.dropout(x, self.dropout, f"{name}.dropout{number}")
        return x


class UNetPP(Segmenter):
    """U-Net++: 9,041,634 parameters for 1 channel, 2 classes."""

    body = UNetPPBody()
    common = Common(conv_init="he_in")
