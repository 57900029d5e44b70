"""FCN-32s, 16s and 8s of the paper (Long et al. 2014, arXiv:1411.4038) on any encoder, VGG-16 by default.

The classification layers of VGG stand in the head as convolutions of 7x7 and 1x1; scores of larger maps are
added while the map is enlarged by transposed convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass

from bf_models.nn import Common, Net, Tensor
from bf_models.zoo.segmentation.encoder import Encoder, EncoderBody
from bf_models.zoo.segmentation.segmenter import Segmenter, crop_like, resize_like


@dataclass(frozen=True, slots=True)
class FCNBody(EncoderBody):
    """The last map of an encoder through convolutions of 7x7 and 1x1; maps for the skips are kept.

    These are the first of each size, in VGG the pooled ones.
    """

    encoder: Encoder | str = "vgg16"
    units: int = 4096
    kernel: int = 7
    dropout: float = 0.5

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/32, W/32, units)."""
        *larger, last = self.encode(x, net, first=True)
        for place, level in enumerate(reversed(larger), 1):
            net.kept[f"larger.{place}"] = level.map
        x = last.map
        for number, kernel in ((6, self.kernel), (7, 1)):
            x = net.act(net.conv(x, self.units, kernel, name=f"fc{number}", bias=True), f"relu{number}")
            x = net.dropout(x, self.dropout, f"drop{number}")
        return x


@dataclass(frozen=True, slots=True)
class FCNScores:
    """Scores of each place, enlarged and summed with those of ``skips`` larger maps."""

    skips: int = 2

    def __post_init__(self) -> None:
        if not isinstance(self.skips, int) or not 0 <= self.skips <= 4:
            raise ValueError(f"FCN head: skips is a number of larger maps from 0 to 4, got {self.skips!r}")

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H/32, W/32, C) into logits (N, H, W, classes)."""
        classes = net.known_classes
        x = net.conv(x, classes, 1, name="score", bias=True)
        for place in range(1, self.skips + 1):
            larger = net.kept.get(f"larger.{place}")
            if larger is None:
                raise ValueError(
                    f"{net.name}: the head wants {self.skips} larger maps, the encoder has {place - 1}; set "
                    "'skips' of the head, or take another encoder"
                )
            x = net.conv_transposed(x, classes, 4, 2, name=f"enlarged.{place}")
            x = resize_like(x, larger, f"resized.{place}")
            beside = net.conv(larger, classes, 1, name=f"score.{place}", bias=True)
            x = net.add(x, beside, f"sum.{place}")
        padded = net.kept["padded"]
        if None not in (*padded.shape[1:3], *x.shape[1:3]):
            factor = max(1, round(padded.shape[1] / x.shape[1]))
        else:
            factor = 32 // 2**self.skips
        if factor > 1:
            x = net.conv_transposed(x, classes, 2 * factor, factor, name="enlarged")
        return net.as_float(crop_like(resize_like(x, padded, "resized"), net.kept["images"]))


class FCN32(Segmenter):
    """FCN-32s on VGG-16: 136,152,917 parameters for 3 channels, 21 classes."""

    body = FCNBody()
    head = FCNScores(0)
    common = Common(conv_init="he_in")


class FCN16(FCN32):
    """FCN-16s on VGG-16: 134,815,994 parameters for 3 channels, 21 classes."""

    head = FCNScores(1)


class FCN8(FCN32):
    """FCN-8s on VGG-16: 134,489,759 parameters for 3 channels, 21 classes."""

    head = FCNScores(2)
