"""What networks that tell the class of each place share: their base, their head, sizes that must divide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bf_models._backend import keras
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
        return restore_size(net.conv(x, net.known_classes, 1, name=self.name, bias=True), net)


def restore_size(x: Tensor, net: Net) -> Tensor:
    """Bring logits to the size of the images that a body kept, padded or as they are, in float32."""
    padded, images = net.kept.get("padded"), net.kept.get("images")
    if padded is not None:
        x = resize_like(x, padded, "resized")
    if images is not None:
        x = resize_like(x, images, "resized") if padded is None else crop_like(x, images)
    return net.as_float(x)


class Segmenter(KerasModel):
    """Base of networks whose logits are (N, H, W, classes), as large as the images."""

    head: ClassVar[Part] = PixelClassifier()

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(config)
        if self.spec.dims is not None:
            raise ValueError(
                f"{self.name}: it tells the class of each pixel of images, and dims: 1 is for signals; take "
                "a network that tells something of an item, such as ResNet18, or leave dims out"
            )


def pad_to_multiple(x: Tensor, factor: int, name: str = "padded") -> Tensor:
    """Add zeros around a map whose sides do not divide by ``factor``; no layer where they are known to."""
    from bf_models.layers import PadToMultiple  # late: loads TensorFlow

    if all(side is not None and side % factor == 0 for side in x.shape[1:-1]):
        return x
    return PadToMultiple(factor, name=name)(x)


def resize_like(x: Tensor, like: Tensor, name: str, kind: str = "bilinear") -> Tensor:
    """Interpolate a map to the size of another one; no layer where the two are known to agree."""
    from bf_models.layers import ResizeLike  # late: loads TensorFlow

    one, other = tuple(x.shape[1:3]), tuple(like.shape[1:3])
    if None not in other and one == other:
        return x
    if None not in (*one, *other) and other[0] % one[0] == 0 and other[0] // one[0] * one[1] == other[1]:
        return keras().layers.UpSampling2D(other[0] // one[0], interpolation=kind, name=name)(x)
    return ResizeLike(kind, name=name)([x, like])


def crop_like(x: Tensor, like: Tensor, name: str = "cut") -> Tensor:
    """Cut the middle of a map, as large as another one; no layer where the two are known to agree."""
    from bf_models.layers import CropLike  # late: loads TensorFlow

    if None not in like.shape[1:-1] and tuple(x.shape[1:-1]) == tuple(like.shape[1:-1]):
        return x
    return CropLike(name=name)([x, like])
