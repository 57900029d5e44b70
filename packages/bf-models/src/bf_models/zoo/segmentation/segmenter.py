"""What networks that tell the class of each place share: their base, their head, sizes that must divide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bf_models.model import KerasModel
from bf_models.nn import Net, Part, Tensor


@dataclass(frozen=True, slots=True)
class PixelClassifier:
    """Dropout and a 1x1 convolution: logits of each place, in float32."""

    name: str = "classifier"
    dropout: float = 0.0

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into logits (N, H, W, classes)."""
        x = net.dropout(x, self.dropout, f"{self.name}.dropout")
        return net.as_float(net.conv(x, net.known_classes, 1, name=self.name, bias=True))


class Segmenter(KerasModel):
    """Base of networks whose logits are (N, H, W, classes), as large as the images."""

    head: ClassVar[Part] = PixelClassifier()


def pad_to_multiple(x: Tensor, factor: int, name: str = "padded") -> Tensor:
    """Add zeros around a map whose sides do not divide by ``factor``; no layer where they are known to."""
    from bf_models.layers import PadToMultiple  # late: loads TensorFlow

    if all(side is not None and side % factor == 0 for side in x.shape[1:-1]):
        return x
    return PadToMultiple(factor, name=name)(x)


def crop_like(x: Tensor, like: Tensor, name: str = "cut") -> Tensor:
    """Cut the middle of a map, as large as another one; no layer where the two are known to agree."""
    from bf_models.layers import CropLike  # late: loads TensorFlow

    if None not in like.shape[1:-1] and tuple(x.shape[1:-1]) == tuple(like.shape[1:-1]):
        return x
    return CropLike(name=name)([x, like])
