"""The two halves of an autoencoder: from an item to its code, a few numbers, and from these to the item."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bf_models._backend import keras
from bf_models.losses.evidence import POSTERIOR
from bf_models.nn import Net, Tensor
from bf_models.zoo.segmentation.encoder import Encoder, read_encoder
from bf_models.zoo.segmentation.segmenter import pad_to_multiple

LATENT, LOGITS = "latent", "logits"
_OF_PICTURES = (32, 64)
_LEVEL, _HIDDEN = "level.", "hidden."


def _check_counts(owner: str, name: str, values: Any) -> None:
    good = isinstance(values, tuple) and all(
        isinstance(item, int) and not isinstance(item, bool) and item > 0 for item in values
    )
    if not good:
        shown = list(values) if isinstance(values, tuple) else values
        raise ValueError(f"{owner}: {name} are numbers from 1 on, a list of any length, got {shown!r}")


@dataclass(frozen=True, slots=True)
class CodeBody:
    """Strided convolutions, fully connected layers, and one to ``latent`` numbers.

    Pictures are halved by a 3x3 convolution of each of ``filters``, sizes that do not divide padded with
    zeros; ``encoder``, the name of a network of the catalogue or {network, initial_block, body},
    takes their place. Without either they are 32 and 64 for pictures, and none for other items, of any shape.
    Layers of ``units`` follow.
    """

    latent: int = 16
    filters: tuple[int, ...] | None = None
    units: tuple[int, ...] = (128,)
    norm: bool = False
    encoder: Encoder | str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.latent, int) or isinstance(self.latent, bool) or self.latent < 1:
            raise ValueError(f"body: latent is how many numbers a code has, from 1 on, got {self.latent!r}")
        _check_counts("body", "units", self.units)
        if self.filters is not None:
            _check_counts("body", "filters", self.filters)
        if self.encoder is not None:
            if self.filters is not None:
                raise ValueError(
                    f"body: an encoder takes the place of convolutions of its own: leave filters "
                    f"{list(self.filters)} out, or the encoder"
                )
            encoder = read_encoder(self.encoder)
            if encoder.stages is not None:
                raise ValueError(
                    f"body: a code is made of the smallest map of the encoder {encoder.network}: leave its "
                    f"stages {list(encoder.stages)} out; fields of its 'body', as depths, make it shallower"
                )
            object.__setattr__(self, "encoder", encoder)

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn items (N, ...) of a known size into codes (N, latent)."""
        if None in x.shape[1:]:
            raise ValueError(
                f"{net.name}: what is told again has a known size, got items of the shape "
                f"{tuple(x.shape[1:])}; give 'inputs: {{images: {{shape: [64, 64, 3]}}}}' and resize items"
            )
        net.kept["images"] = x
        x = self._encode(x, net)
        if len(x.shape) > 2:
            x = keras().layers.Flatten(name=net.claim("flatten"))(x)
        for number, units in enumerate(self.units, 1):
            x = net.act(net.dense(x, units, name=f"encoder.fc{number}"), f"encoder.fc{number}.act")
            net.kept[f"{_HIDDEN}{number}"] = x
        return self._embed(x, net)

    def _encode(self, x: Tensor, net: Net) -> Tensor:
        """Add convolutions, or a network of the catalogue; keep the map of each size."""
        filters = self._choose_filters(x, net)
        if isinstance(self.encoder, Encoder):
            x = pad_to_multiple(x, self.encoder.multiple)
            levels = self.encoder.encode(x, net)
            net.kept["padded"] = x
            net.kept.update({f"{_LEVEL}{level.reduction}": level.map for level in levels})
            return levels[-1].map
        if filters:
            net.kept["padded"] = x = pad_to_multiple(x, 2 ** len(filters))
        for number, count in enumerate(filters, 1):
            name = f"encoder.conv{number}"
            x = net.conv(x, count, 3, 2, name=name, bias=not self.norm)
            x = net.norm(x, f"encoder.norm{number}") if self.norm else x
            x = net.act(x, f"encoder.act{number}")
            net.kept[f"{_LEVEL}{2**number}"] = x
        return x

    def _choose_filters(self, x: Tensor, net: Net) -> tuple[int, ...]:
        if len(x.shape) == 4:
            return _OF_PICTURES if self.filters is None else self.filters
        if self.filters or self.encoder is not None:
            what = "encoder" if self.filters is None else "filters"
            raise ValueError(
                f"{net.name}: {what} of the body are for pictures (height, width, channels), got items of "
                f"the shape {tuple(x.shape[1:])}; leave them out, and 'units' encode items of any shape"
            )
        return ()

    def _embed(self, x: Tensor, net: Net) -> Tensor:
        return net.dense(x, self.latent, name=LATENT, dtype="float32")


@dataclass(frozen=True, slots=True)
class VariationalBody(CodeBody):
    """As CodeBody, to a normal distribution of codes that training draws from (Kingma and Welling 2013).

    The layer ``posterior`` has means and logarithms of variances, (N, 2 * latent).
    """

    def _embed(self, x: Tensor, net: Net) -> Tensor:
        from bf_models.layers import SampleNormal  # late: loads TensorFlow

        x = net.dense(x, 2 * self.latent, name=POSTERIOR, dtype="float32")
        return SampleNormal(name=LATENT, dtype="float32")(x)


@dataclass(frozen=True, slots=True)
class Decoder:
    """Tell the item again: the layers of the body the other way round, convolutions transposed.

    ``units`` and ``filters``, the smallest map first, are others than the body's: of each map, that of the
    size of the picture too. ``activation`` of the last layer, None for what the loss compares: ``sigmoid``
    for ``bernoulli`` and ``elbo``, none otherwise.
    """

    units: tuple[int, ...] | None = None
    filters: tuple[int, ...] | None = None
    norm: bool = False
    activation: str | None = None

    def __post_init__(self) -> None:
        for name in ("units", "filters"):
            if getattr(self, name) is not None:
                _check_counts("head", name, getattr(self, name))

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn codes (N, latent) into items (N, ...), float32; layers ``logits`` and ``reconstruction``."""
        if "images" not in net.kept:
            raise ValueError(
                f"{net.name}: the head decodes what a CodeBody has encoded, and the body is none"
            )
        units = self.units
        if units is None:
            hidden = [item.shape[-1] for name, item in net.kept.items() if name.startswith(_HIDDEN)]
            units = tuple(reversed(hidden))
        for number, count in enumerate(units, 1):
            x = net.act(net.dense(x, count, name=f"decoder.fc{number}"), f"decoder.fc{number}.act")
        images = net.kept["images"]
        x = self._enlarge(x, net) if "padded" in net.kept else self._unfold(x, net, images.shape[1:])
        if self.activation in (None, "linear"):
            return net.as_float(x, "reconstruction")
        x = net.as_float(x, LOGITS)
        return keras().layers.Activation(self.activation, dtype="float32", name="reconstruction")(x)

    def _unfold(self, x: Tensor, net: Net, shape: Sequence[int]) -> Tensor:
        """Add a layer to as many numbers as an item of a shape has."""
        x = net.dense(x, math.prod(shape), name="decoder.map")
        return keras().layers.Reshape(tuple(shape), name="decoder.unfolded")(x)

    def _enlarge(self, x: Tensor, net: Net) -> Tensor:
        """Add a map as small as the body's smallest, and enlarge it step by step to the picture."""
        maps = {
            int(name.removeprefix(_LEVEL)): item.shape[-1]
            for name, item in net.kept.items()
            if name.startswith(_LEVEL)
        }
        smallest = max(maps)
        reductions = [2**power for power in reversed(range(smallest.bit_length()))]
        filters = self._choose_filters(maps, reductions, net)
        height, width = (-(-side // smallest) for side in net.kept["padded"].shape[1:3])
        x = self._finish(self._unfold(x, net, (height, width, filters[0])), net, "decoder.map")
        for number, count in enumerate(filters[1:], 1):
            name = f"decoder.conv{number}"
            x = net.conv_transposed(x, count, 4, 2, name=name, bias=not self.norm)
            x = self._finish(x, net, name)
        images = net.kept["images"]
        x = net.conv(x, images.shape[-1], 3, name="decoder.out", bias=True)
        extra = [have - want for have, want in zip(x.shape[1:3], images.shape[1:3])]
        if not any(extra):
            return x
        # as PadToMultiple puts them there: one more comes after
        sides = tuple((one // 2, one - one // 2) for one in extra)
        return keras().layers.Cropping2D(sides, name="decoder.cut")(x)

    def _finish(self, x: Tensor, net: Net, name: str) -> Tensor:
        x = net.norm(x, f"{name}.norm") if self.norm else x
        return net.act(x, f"{name}.act")

    def _choose_filters(self, maps: dict[int, int], reductions: list[int], net: Net) -> tuple[int, ...]:
        """Return the filters of each map, the smallest first: those of the body's map of that size."""
        if self.filters is None:
            found: list[int] = []
            for reduction in reductions:
                found.append(maps.get(reduction) or found[-1])
            return tuple(found)
        if len(self.filters) != len(reductions):
            raise ValueError(
                f"{net.name}: head: {len(self.filters)} filters {list(self.filters)} for {len(reductions)} "
                f"maps, which are {', '.join(map(str, reductions))} times smaller than the picture"
            )
        return self.filters
