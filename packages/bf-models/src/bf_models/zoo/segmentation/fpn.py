"""Feature pyramid for masks (Kirillov et al. 2019, arXiv:1901.02446)."""

from __future__ import annotations

from dataclasses import dataclass

from bf_models.nn import Net, Tensor
from bf_models.zoo.segmentation.encoder import EncoderBody, Level
from bf_models.zoo.segmentation.segmenter import Segmenter, resize_like


@dataclass(frozen=True, slots=True)
class FPNBody(EncoderBody):
    """A pyramid of maps of one width, each enlarged to the largest of them, and summed.

    From the smallest map up, each is summed with the enlarged one below; the four smallest maps of the
    encoder make it. ``width`` are the filters of the
    pyramid, ``filters`` those of the branches. Norms are batch norms, in place of the paper's group norms.
    """

    width: int = 256
    filters: int = 128

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into the size of the encoder's largest map, (N, H/4, W/4, filters)."""
        levels = self.encode(x, net)[-4:]
        branches, below = [], None
        for level in reversed(levels):
            name = f"pyramid.{level.reduction}"
            x = net.conv(level.map, self.width, 1, name=f"{name}.lateral", bias=True)
            if below is not None:
                x = net.add(x, resize_like(below, x, f"{name}.enlarged", "nearest"), f"{name}.sum")
            below = x
            x = net.conv(x, self.width, 3, name=name, bias=True)
            branches.append(self._branch(x, net, level, levels[0]))
        while len(branches) > 1:
            first, second, *rest = branches
            branches = [net.add(first, second, f"branches.{len(rest)}"), *rest]
        return branches[0]

    def _branch(self, x: Tensor, net: Net, level: Level, largest: Level) -> Tensor:
        """Enlarge a map to the largest one, by a convolution and twice the size a step."""
        steps = (level.reduction // largest.reduction).bit_length() - 1
        for step in range(max(1, steps)):
            name = f"branch.{level.reduction}.{step}"
            x = net.conv_act(x, self.filters, 3, name=name)
            if step < steps - 1:
                x = net.enlarge(x, f"{name}.enlarged")
        return resize_like(x, largest.map, f"branch.{level.reduction}.resized")


class FPN(Segmenter):
    """Feature pyramid with ResNet-50: 28,478,933 parameters for 3 channels, 21 classes."""

    body = FPNBody()
