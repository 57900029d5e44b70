"""Enlarging of maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from bf_models._backend import keras
from bf_models.errors import unknown
from bf_models.nn import Net, Tensor

Kind = Literal["nearest", "bilinear", "additive", "transposed", "subpixel"]


@dataclass(frozen=True, slots=True)
class Upsample:
    """Enlarge a map ``factor`` times.

    nearest and bilinear repeat and interpolate; additive interpolates and sums groups of channels (Wojna et
    al. 2017); transposed and subpixel (Shi et al. 2016) learn, to ``filters`` channels or as many as before.
    """

    factor: int = 2
    kind: Kind = "bilinear"
    filters: int | None = None
    name: str = "upsample"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(unknown("kind", self.kind, get_args(Kind), "Upsample"))

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H * factor, W * factor, channels)."""
        from bf_models.layers import GroupSum, Subpixel  # late: loads TensorFlow

        layers, filters, own = keras().layers, self.filters or x.shape[-1], net.claim(self.name)
        if self.kind == "transposed":
            return layers.Conv2DTranspose(filters, 2 * self.factor, self.factor, padding="same", name=own)(x)
        if self.kind == "subpixel":
            x = net.conv(x, filters * self.factor**2, 3, name=f"{own}.conv", bias=True)
            return Subpixel(self.factor, name=own)(x)
        interpolation = "nearest" if self.kind == "nearest" else "bilinear"
        name = f"{own}.resized" if self.kind == "additive" else own
        x = layers.UpSampling2D(self.factor, interpolation=interpolation, name=name)(x)
        if self.kind != "additive":
            return x
        if x.shape[-1] % self.factor**2:
            raise ValueError(
                f"Upsample {own}: additive needs a multiple of {self.factor**2} channels, got {x.shape[-1]}"
            )
        return GroupSum(self.factor**2, name=own)(x)
