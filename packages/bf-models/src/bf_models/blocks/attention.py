"""Attention of maps: by channels, by places, by both."""

from __future__ import annotations

from dataclasses import dataclass

from bf_models._backend import keras
from bf_models.nn import Net, Tensor


@dataclass(frozen=True, slots=True)
class SqueezeExcite:
    """Weigh channels by the mean of the map (Hu et al. 2018); ``ratio`` is by how much they are narrowed."""

    ratio: int = 16
    name: str = "se"

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H, W, C)."""
        return net.squeeze_excite(x, max(1, x.shape[-1] // self.ratio), name=net.claim(self.name))


@dataclass(frozen=True, slots=True)
class SpatialSqueezeExcite:
    """Weigh channels, and places by one value each, and take the larger (scSE, Roy et al. 2018)."""

    ratio: int = 16
    name: str = "scse"

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H, W, C)."""
        layers, name = keras().layers, net.claim(self.name)
        channels = SqueezeExcite(self.ratio, f"{name}.channels")(x, net)
        gate = net.act(net.conv(x, 1, 1, name=f"{name}.places", bias=True), f"{name}.gate", "sigmoid")
        places = layers.Multiply(name=f"{name}.placed")([x, gate])
        return layers.Maximum(name=name)([channels, places])


@dataclass(frozen=True, slots=True)
class CBAM:
    """Channels by mean and maximum of the map, then places by those of channels (Woo et al. 2018)."""

    ratio: int = 16
    kernel: int = 7
    name: str = "cbam"

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H, W, C)."""
        from bf_models.layers import ChannelStatistics  # late: loads TensorFlow

        layers, width, name = keras().layers, x.shape[-1], net.claim(self.name)
        hidden = layers.Dense(max(1, width // self.ratio), activation="relu", name=f"{name}.fc1")
        out = layers.Dense(width, name=f"{name}.fc2")
        pooled = [
            layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}.avgpool")(x),
            layers.GlobalMaxPooling2D(keepdims=True, name=f"{name}.maxpool")(x),
        ]
        gate = layers.Add(name=f"{name}.sum")([out(hidden(item)) for item in pooled])
        x = layers.Multiply(name=f"{name}.channels")([x, net.act(gate, f"{name}.gate1", "sigmoid")])
        places = net.conv(
            ChannelStatistics(name=f"{name}.statistics")(x), 1, self.kernel, name=f"{name}.conv"
        )
        return layers.Multiply(name=name)([x, net.act(places, f"{name}.gate2", "sigmoid")])


@dataclass(frozen=True, slots=True)
class SelfAttention2D:
    """Each place looks at all places (Zhang et al. 2018); added to x by a factor that starts at 0."""

    heads: int = 1
    name: str = "attention"

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H, W, C); sizes must be known, C is a multiple of ``heads``."""
        from bf_models.layers import LayerScale, SelfAttention  # late: loads TensorFlow

        layers, shape = keras().layers, x.shape[1:]
        if None in shape:
            raise ValueError(
                f"{net.name}: {self.name} needs the size of maps, got {shape}; set inputs/images/shape"
            )
        name = net.claim(self.name)
        tokens = layers.Reshape((shape[0] * shape[1], shape[2]), name=f"{name}.tokens")(x)
        tokens = SelfAttention(self.heads, name=f"{name}.attend")(tokens)
        y = LayerScale(0.0, name=f"{name}.scale")(layers.Reshape(shape, name=f"{name}.map")(tokens))
        return net.add(x, y, name)
