"""What the parts of a network are written in: convolutions, norms and activations with torch's padding.

A layer's name is the name that the published torch weights carry (``layer1.0.conv1``), so converting weights
is a question of layout only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from bf_models._backend import keras
from bf_models.spec import Stem

Tensor: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Common:
    """What all parts of a network share: activation, and momentum and epsilon of its norms."""

    activation: str = "relu"
    momentum: float = 0.9
    epsilon: float = 1e-5


@dataclass(frozen=True, slots=True)
class Net:
    """Handed to every part while a network is built; its methods add one layer each."""

    name: str
    classes: int | None = None
    stem: Stem = "imagenet"
    common: Common = field(default_factory=Common)

    @property
    def small(self) -> bool:
        """Whether the network is meant for images of some 32 pixels."""
        return self.stem == "small"

    def conv(
        self,
        x: Tensor,
        filters: int,
        kernel: int | tuple[int, int] = 3,
        strides: int = 1,
        *,
        name: str,
        **options: Any,
    ) -> Tensor:
        """Convolution with torch's padding: ``options`` are padding, groups, dilation, bias, init.

        ``padding`` is a number of pixels on each side, or None for the half of the kernel.
        """
        groups, dilation = options.pop("groups", 1), options.pop("dilation", 1)
        x = self._padded(x, kernel, strides, dilation, options.pop("padding", None), name)
        x, padding = x
        layers = keras().layers
        arguments = {
            "padding": padding,
            "dilation_rate": dilation,
            "use_bias": options.pop("bias", False),
            "name": name,
        }
        init = options.pop("init", None) or keras().initializers.VarianceScaling(
            2.0, "fan_out", "untruncated_normal"
        )
        if options:
            raise TypeError(f"conv {name}: unknown options {sorted(options)}")
        if groups > 1 and groups == x.shape[-1]:
            layer = layers.DepthwiseConv2D(
                kernel, strides, depth_multiplier=filters // groups, depthwise_initializer=init, **arguments
            )
        else:
            layer = layers.Conv2D(
                filters, kernel, strides, groups=groups, kernel_initializer=init, **arguments
            )
        return layer(x)

    def _padded(
        self, x: Tensor, kernel: int | tuple[int, int], strides: int, dilation: int, padding: Any, name: str
    ) -> tuple[Tensor, str]:
        """Pad as torch does, by a layer only where Keras's "same" would be another thing."""
        kernels = (kernel, kernel) if isinstance(kernel, int) else tuple(kernel)
        halves = tuple((size - 1) * dilation // 2 for size in kernels)
        if padding is None:
            pads = halves
        else:
            pads = (padding, padding) if isinstance(padding, int) else tuple(padding)
        if strides == 1 and pads == halves and all(size % 2 for size in kernels):
            return x, "same"
        self._fits(x, tuple((size - 1) * dilation + 1 - 2 * pad for size, pad in zip(kernels, pads)), name)
        if any(pads):
            x = keras().layers.ZeroPadding2D(pads, name=f"{name}.pad")(x)
        return x, "valid"

    def _fits(self, x: Tensor, needed: tuple[int, ...], name: str) -> None:
        for size, least in zip(x.shape[1:-1], needed):
            if size is not None and size < least:
                raise ValueError(
                    f"{self.name}: the input is too small: layer {name!r} needs maps of at least {least} "
                    "pixels, got "
                    f"{tuple(x.shape[1:])}; give larger images, or 'stem: small' in the config"
                )

    def norm(self, x: Tensor, name: str, **options: Any) -> Tensor:
        """Batch normalisation with the network's momentum and epsilon."""
        from bf_models.layers import BatchNorm

        options = {"momentum": self.common.momentum, "epsilon": self.common.epsilon, **options}
        return BatchNorm(name=name, **options)(x)

    def act(self, x: Tensor, name: str, kind: str | None = None) -> Tensor:
        """Activation by its Keras name; the network's own by default."""
        return keras().layers.Activation(kind or self.common.activation, name=name)(x)

    def conv_norm(
        self, x: Tensor, filters: int, kernel: Any, strides: int = 1, *, names: Any, **options: Any
    ) -> Tensor:
        """Convolution and norm; ``names`` are those of the two layers."""
        return self.norm(self.conv(x, filters, kernel, strides, name=names[0], **options), names[1])

    def pool(
        self, x: Tensor, kind: str, size: int, strides: int, *, name: str, padding: int | str = 0
    ) -> Tensor:
        """Max or average pooling; padding in pixels as in torch, or "same" to round sizes up."""
        layers = keras().layers
        if padding != "same":
            self._fits(x, (size - 2 * int(padding),) * 2, name)
            if padding:
                # zeros are neutral for a maximum after a ReLU, which is where the zoo pools with padding
                x = layers.ZeroPadding2D(int(padding), name=f"{name}.pad")(x)
        cls = layers.MaxPooling2D if kind == "max" else layers.AveragePooling2D
        return cls(size, strides, padding="same" if padding == "same" else "valid", name=name)(x)

    def dense(
        self, x: Tensor, units: int, *, name: str, bias: bool = True, dtype: str | None = None
    ) -> Tensor:
        """Fully connected layer."""
        return keras().layers.Dense(units, use_bias=bias, name=name, dtype=dtype)(x)

    def dropout(self, x: Tensor, rate: float, name: str) -> Tensor:
        """Dropout; no layer at all for a rate of 0."""
        return keras().layers.Dropout(rate, name=name)(x) if rate else x

    def global_pool(self, x: Tensor, name: str = "avgpool", kind: str = "avg") -> Tensor:
        """Mean or maximum over the map: (N, H, W, C) -> (N, C)."""
        layers = keras().layers
        return (layers.GlobalAveragePooling2D if kind == "avg" else layers.GlobalMaxPooling2D)(name=name)(x)

    def logits(self, x: Tensor, name: str, bias: bool = True) -> Tensor:
        """Last layer, one value a class, in float32 whatever the precision; ValueError without classes."""
        if self.classes is None:
            raise ValueError(
                f"{self.name}: the number of classes is not known; set 'num_classes', or "
                "inputs/labels/classes, "
                "in the config"
            )
        return self.dense(x, self.classes, name=name, bias=bias, dtype="float32")


class Part(Protocol):
    """A part of a network: a function of a tensor, or a frozen dataclass that is called like one."""

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Add layers to x and return their output."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Part that changes nothing."""

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Return x."""
        return x


@dataclass(frozen=True, slots=True)
class Classifier:
    """Global mean, dropout and a dense layer: logits (N, classes)."""

    name: str = "fc"
    dropout: float = 0.0
    pool: str = "avg"

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Logits of a map (N, H, W, C) or of features (N, C)."""
        if len(x.shape) > 2:
            x = net.global_pool(x, kind=self.pool)
        return net.logits(net.dropout(x, self.dropout, "dropout"), self.name)
