"""Networks of any encoder of the catalogue and a decoder by letters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from bf_models.blocks.conv_block import ConvBlock
from bf_models.blocks.upsample import Kind, Upsample
from bf_models.errors import unknown
from bf_models.nn import Net, Tensor
from bf_models.zoo.segmentation.encoder import Encoder, read_encoder
from bf_models.zoo.segmentation.segmenter import Segmenter, crop_like, pad_to_multiple, resize_like

Join = Literal["concat", "sum", "none"]


@dataclass(frozen=True, slots=True)
class EncoderDecoderBody:
    """Enlarge the smallest map of an encoder step by step, each joined by the encoder's map of that size.

    ``encoder`` is the name of a network, or {network, stages, initial_block, body}. ``filters`` are those at
    the size of the image, twice as many at each half of it; a list has one for each step, the smallest map
    first. ``upsample`` is as in Upsample, ``layout`` as in ConvBlock, ``join`` puts channels side by side,
    sums them, each projected to the filters of the step, or leaves the encoder's maps out.
    """

    encoder: Encoder | str = "resnet18"
    filters: int | tuple[int, ...] = 16
    upsample: Kind = "bilinear"
    join: Join = "concat"
    layout: str = "cna cna"

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoder", read_encoder(self.encoder))
        if self.join not in get_args(Join):
            raise ValueError(unknown("join", self.join, get_args(Join), "EncoderDecoder body"))
        if self.upsample not in get_args(Kind):
            raise ValueError(unknown("upsample", self.upsample, get_args(Kind), "EncoderDecoder body"))
        filters = self.filters if isinstance(self.filters, tuple) else (self.filters,)
        if not filters or any(not isinstance(item, int) or item < 1 for item in filters):
            raise ValueError(f"EncoderDecoder body: filters are numbers from 1 on, got {self.filters!r}")

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H, W, filters)."""
        assert isinstance(self.encoder, Encoder), "a name was read"
        images = x
        padded = pad_to_multiple(x, self.encoder.multiple)
        *levels, smallest = self.encoder.encode(padded, net)
        skips = {level.reduction: level.map for level in levels}
        steps = [2**power for power in reversed(range(smallest.reduction.bit_length() - 1))]
        x = smallest.map
        for number, reduction in enumerate(steps):
            x = self._step(x, skips.get(reduction), padded, net, reduction, self._filters(steps, number, net))
        return crop_like(resize_like(x, padded, "decoder.resized"), images)

    def _filters(self, steps: list[int], number: int, net: Net) -> int:
        if isinstance(self.filters, int):
            return self.filters * steps[number]
        if len(self.filters) != len(steps):
            raise ValueError(
                f"{net.name}: its decoder has {len(self.filters)} filters {list(self.filters)} for "
                f"{len(steps)} steps, to maps of the reductions {steps}"
            )
        return self.filters[number]

    def _step(
        self, x: Tensor, skip: Tensor | None, padded: Tensor, net: Net, reduction: int, filters: int
    ) -> Tensor:
        name = f"decoder.{reduction}"
        if self.upsample == "transposed":
            x = net.conv_transposed(x, filters, 2, 2, name=f"{name}.up", bias=True)
        else:
            own = filters if self.upsample == "subpixel" else None
            x = Upsample(2, self.upsample, own, f"{name}.up")(x, net)
        if skip is not None and self.join != "none":
            x = resize_like(x, skip, f"{name}.resized")
            if self.join == "concat":
                x = net.concat([skip, x], f"{name}.concat")
            else:
                x, skip = (
                    item
                    if item.shape[-1] == filters
                    else net.conv(item, filters, 1, name=f"{name}.{side}", bias=True)
                    for item, side in ((x, "below"), (skip, "beside"))
                )
                x = net.add(skip, x, f"{name}.sum")
        return ConvBlock(self.layout, filters=filters, name=name)(x, net)


class EncoderDecoder(Segmenter):
    """Any encoder and a decoder, with ResNet-18: 14,328,098 parameters for 3 channels, 2 classes."""

    body = EncoderDecoderBody()
