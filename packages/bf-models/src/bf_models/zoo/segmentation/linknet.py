"""LinkNet (Chaurasia and Culurciello 2017, arXiv:1707.03718)."""

from __future__ import annotations

from dataclasses import dataclass

from bf_models.nn import Net, Tensor
from bf_models.zoo.segmentation.encoder import Encoder, EncoderBody
from bf_models.zoo.segmentation.segmenter import Segmenter, crop_like, resize_like


@dataclass(frozen=True, slots=True)
class LinkNetBody(EncoderBody):
    """Enlarge the smallest of the encoder's last four maps by narrow blocks, each summed with the next map.

    The last transposed convolution is the head's.
    """

    encoder: Encoder | str = "resnet18"
    filters: int = 32

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/2, W/2, filters), of the image padded to whole steps."""
        levels = [level for level in self.encode(x, net)[-4:] if level.reduction > 1]
        x, size = levels[-1].map, levels[-1].reduction
        for level in reversed(levels[:-1]):
            name = f"decoder.{level.reduction}"
            x = self._block(x, net, level.map.shape[-1], size // level.reduction, name)
            x = net.add(level.map, resize_like(x, level.map, f"{name}.resized"), f"{name}.sum")
            size = level.reduction
        x = self._block(x, net, x.shape[-1], 1, "decoder.last")
        while size > 2:
            size //= 2
            x = self._enlarge(x, net, self.filters, 2, f"final.{size}")
        x = net.conv_norm(x, self.filters, 3, names=("final.conv", "final.norm"), bias=True)
        return net.act(x, "final.relu")

    def _block(self, x: Tensor, net: Net, filters: int, strides: int, name: str) -> Tensor:
        width = x.shape[-1] // 4
        x = net.conv_act(x, width, 1, name=f"{name}.conv1", bias=True)
        x = self._enlarge(x, net, width, strides, f"{name}.up")
        return net.conv_act(x, filters, 1, name=f"{name}.conv2", bias=True)

    def _enlarge(self, x: Tensor, net: Net, filters: int, strides: int, name: str) -> Tensor:
        x = net.conv_transposed(x, filters, 3, strides, name=name, bias=True)
        return net.act(net.norm(x, f"{name}.norm"), f"{name}.relu")


@dataclass(frozen=True, slots=True)
class LinkNetHead:
    """A transposed 2x2 convolution: logits of each place."""

    name: str = "classifier"

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H/2, W/2, C) into logits (N, H, W, classes) of the image."""
        x = net.conv_transposed(x, net.known_classes, 2, 2, name=self.name, bias=True)
        return net.as_float(crop_like(x, net.kept["images"]))


class LinkNet(Segmenter):
    """LinkNet with ResNet-18: 11,536,949 parameters for 3 channels, 21 classes."""

    body = LinkNetBody()
    head = LinkNetHead()
