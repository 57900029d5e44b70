"""What the parts of a network are written in: convolutions, norms and activations with torch's padding.

A layer's name is the name that the published torch weights carry (``layer1.0.conv1``), so converting weights
is a question of layout only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from bf_models._backend import keras
from bf_models.errors import unknown

Tensor: TypeAlias = Any
#: Initial values of weights: a name, or the deviation of a normal distribution.
Start: TypeAlias = str | float


@dataclass(frozen=True, slots=True)
class Common:
    """What all parts of a network share: activation, momentum and epsilon of its norms, padding, the start.

    ``padding`` "torch" is equal on both sides; "same" is Keras's, one pixel less at the top for strides of 2.
    The others are the initial weights and biases of convolutions and of dense layers: a name that
    ``initializer`` knows, or the deviation of a normal distribution.
    """

    activation: str = "relu"
    momentum: float = 0.9
    epsilon: float = 1e-5
    padding: Literal["torch", "same"] = "torch"
    conv_init: Start = "he"
    conv_bias: Start = "zeros"
    dense_init: Start = "torch"
    dense_bias: Start = "torch"

    def __post_init__(self) -> None:
        for start in (self.conv_init, self.conv_bias, self.dense_init, self.dense_bias):
            check_start(start)
        if self.padding not in ("torch", "same"):
            raise ValueError(f"common: padding is 'torch' or 'same', got {self.padding!r}")


@dataclass(frozen=True, slots=True)
class Net:
    """Handed to every part while a network is built; its methods add one layer each."""

    name: str
    classes: int | None = None
    stem: Literal["imagenet", "small"] = "imagenet"
    common: Common = field(default_factory=Common)
    dims: Literal[1] | None = None
    """1: signals (N, L, C), which go through the network as maps (N, L, 1, C); None: images and volumes."""
    asked: set[str] = field(default_factory=set, compare=False, repr=False)
    """Names of the options that parts asked for: a network without a stem never asks for one."""
    taken: set[str] = field(default_factory=set, compare=False, repr=False)
    """Names that blocks have claimed."""
    borrowed: dict[str, dict[str, str]] = field(default_factory=dict, compare=False, repr=False)
    """By the network of an encoder: names of its layers here, and those that they have there."""
    kept: dict[str, Tensor] = field(default_factory=dict, compare=False, repr=False)
    """Maps that a part keeps for a later one, such as the images whose size the head restores."""

    @property
    def small(self) -> bool:
        """Whether the stem is the one for small images."""
        self.asked.add("stem")
        return self.stem == "small"

    def claim(self, name: str) -> str:
        """Return the name of a block, with a number where another block of the network has it already."""
        chosen, number = name, 1
        while chosen in self.taken:
            number += 1
            chosen = f"{name}_{number}"
        self.taken.add(chosen)
        return chosen

    def window(self, size: int | tuple[int, int], name: str) -> Any:
        """Return a size of kernel or pool for both axes of a map; of signals it is 1 across.

        ValueError for two sizes where items are signals.
        """
        if self.dims is None:
            return size
        if not isinstance(size, int):
            raise ValueError(
                f"{self.name}: layer {name!r} is for images, {' x '.join(map(str, size))} pixels, and items "
                "are signals (dims: 1)"
            )
        return (size, 1)

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
        """Add a convolution with torch's padding.

        ``options`` are groups, dilation, bias, init, bias_init and padding: pixels on each side, or None for
        the half of the kernel.
        """
        from bf_models.layers import Conv2D  # late: loads TensorFlow

        if filters < 1:
            raise ValueError(f"conv {name}: the number of filters is strictly positive, got {filters}")
        groups, dilation = options.pop("groups", 1), options.pop("dilation", 1)
        kernel = self.window(kernel, name)
        x, strides = take_strides(x, kernel, strides, name)
        pads = self._find_pads(x, kernel, strides, dilation, options.pop("padding", None), name)
        arguments = {
            "padding": "same" if pads is None else "valid",
            "dilation_rate": dilation,
            "use_bias": options.pop("bias", False),
            "name": name,
        }
        # a filter reads the channels of its group only; what comes in goes into all filters, as torch counts
        area = kernel * kernel if isinstance(kernel, int) else kernel[0] * kernel[1]
        fans = (area * x.shape[-1] // groups, area * filters)
        init = initializer(options.pop("init", self.common.conv_init), *fans)
        arguments["bias_initializer"] = initializer(options.pop("bias_init", self.common.conv_bias), *fans)
        if options:
            raise TypeError(f"conv {name}: unknown options {sorted(options)}")
        if groups > 1 and groups == x.shape[-1]:
            if pads is not None and any(pads):
                x = keras().layers.ZeroPadding2D(pads, name=f"{name}.pad")(x)
            multiplier = filters // groups
            return keras().layers.DepthwiseConv2D(
                kernel, strides, depth_multiplier=multiplier, depthwise_initializer=init, **arguments
            )(x)
        return Conv2D(
            filters, kernel, strides, groups=groups, kernel_initializer=init, pads=pads or 0, **arguments
        )(x)

    def conv_transposed(
        self, x: Tensor, filters: int, kernel: int, strides: int, *, name: str, **options: Any
    ) -> Tensor:
        """Add a transposed convolution: a map ``strides`` times as large; ``options`` are bias and init.

        A place of the result reads ``kernel / strides`` taps along an axis, which count as its fan in.
        """
        axes = self.dims or len(x.shape) - 2
        fans = (max(1, kernel // strides) ** axes * x.shape[-1], kernel**axes * filters)
        sizes = self.window(kernel, name), self.window(strides, name)
        layers = keras().layers
        cls = layers.Conv3DTranspose if len(x.shape) == 5 else layers.Conv2DTranspose
        arguments = {
            "use_bias": options.pop("bias", False),
            "kernel_initializer": initializer(options.pop("init", self.common.conv_init), *fans),
            "bias_initializer": initializer(self.common.conv_bias, *fans),
        }
        if options:
            raise TypeError(f"conv {name}: unknown options {sorted(options)}")
        return cls(filters, *sizes, padding="same", name=name, **arguments)(x)

    def _find_pads(
        self, x: Tensor, kernel: int | tuple[int, int], strides: int, dilation: int, padding: Any, name: str
    ) -> tuple[int, int] | None:
        """Return torch's padding in pixels on each side; None where Keras's "same" is that, or asked for."""
        kernels = (kernel, kernel) if isinstance(kernel, int) else tuple(kernel)
        halves = ((kernels[0] - 1) * dilation // 2, (kernels[1] - 1) * dilation // 2)
        if padding is None and self.common.padding == "same":
            return None
        if padding is None:
            pads = halves
        else:
            across = padding if self.dims is None else 0
            pads = (padding, across) if isinstance(padding, int) else tuple(padding)
        if strides == 1 and pads == halves and all(size % 2 for size in kernels):
            return None
        self._fits(x, tuple((size - 1) * dilation + 1 - 2 * pad for size, pad in zip(kernels, pads)), name)
        return pads

    def _fits(self, x: Tensor, needed: tuple[int, ...], name: str) -> None:
        for size, least in zip(x.shape[1:-1], needed):
            if size is not None and size < least:
                larger = "larger images" if self.dims is None else "longer signals"
                raise ValueError(
                    f"{self.name}: the input is too small: layer {name!r} needs maps of at least {least} "
                    f"pixels, got {tuple(x.shape[1:])}; give {larger}, or 'stem: small' in the config"
                )

    def norm(self, x: Tensor, name: str, **options: Any) -> Tensor:
        """Add batch normalisation with the network's momentum and epsilon."""
        from bf_models.layers import BatchNorm  # late: loads TensorFlow

        options = {"momentum": self.common.momentum, "epsilon": self.common.epsilon, **options}
        return BatchNorm(name=name, **options)(x)

    def act(self, x: Tensor, name: str, kind: str | None = None) -> Tensor:
        """Add an activation by its Keras name; the network's own by default."""
        return keras().layers.Activation(kind or self.common.activation, name=name)(x)

    def conv_norm(
        self, x: Tensor, filters: int, kernel: Any, strides: int = 1, *, names: Any, **options: Any
    ) -> Tensor:
        """Add a convolution and a norm; ``names`` are those of the two layers."""
        return self.norm(self.conv(x, filters, kernel, strides, name=names[0], **options), names[1])

    def pool(
        self, x: Tensor, kind: str, size: int, strides: int, *, name: str, padding: int | str = 0
    ) -> Tensor:
        """Add max or average pooling; padding in pixels on each side, "same", or "ceil" as torch's ceil_mode.

        Zeros are counted in a mean, as torch does; for a maximum they are neutral after a ReLU, which is
        where the zoo pools with padding.
        """
        layers = keras().layers
        window = self.window(size, name)
        sizes = (size, size) if isinstance(window, int) else window
        pads: Any = padding
        if padding == "ceil":
            pads = tuple(
                (0, 0 if side is None else max(-(side - needed) % strides, needed - side))
                for side, needed in zip(x.shape[1:3], sizes)
            )
        if padding != "same":
            if isinstance(pads, int):
                self._fits(x, tuple(needed - 2 * pads for needed in sizes), name)
                pads = pads if self.dims is None else (pads, 0)
            if pads not in (0, (0, 0), ((0, 0), (0, 0))):
                x = layers.ZeroPadding2D(pads, name=f"{name}.pad")(x)
        cls = layers.MaxPooling2D if kind == "max" else layers.AveragePooling2D
        return cls(window, strides, padding="same" if padding == "same" else "valid", name=name)(x)

    def conv_act(
        self, x: Tensor, filters: int, kernel: Any, strides: int = 1, *, name: str, **options: Any
    ) -> Tensor:
        """Add a convolution, a norm and an activation named ``name.0``, ``name.1`` and ``name``.

        ``act`` is a Keras name.
        """
        kind = options.pop("act", None)
        x = self.conv_norm(x, filters, kernel, strides, names=(f"{name}.0", f"{name}.1"), **options)
        return self.act(x, name, kind)

    def squeeze_excite(
        self, x: Tensor, units: int, *, name: str, act: str = "relu", gate: str = "sigmoid"
    ) -> Tensor:
        """Weigh channels by the mean of the map (Hu et al. 2018), through ``units`` hidden ones."""
        layers = keras().layers
        y = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}.avgpool")(x)
        y = self.act(self.conv(y, units, 1, name=f"{name}.fc1", bias=True), f"{name}.act", act)
        y = self.act(self.conv(y, x.shape[-1], 1, name=f"{name}.fc2", bias=True), f"{name}.gate", gate)
        return layers.Multiply(name=name)([x, y])

    def enlarge(self, x: Tensor, name: str, factor: int = 2, kind: str = "bilinear") -> Tensor:
        """Interpolate a map to ``factor`` times its size; ``kind`` is bilinear or nearest."""
        return keras().layers.UpSampling2D(self.window(factor, name), interpolation=kind, name=name)(x)

    def add(self, x: Tensor, y: Tensor, name: str, drop: float = 0.0) -> Tensor:
        """Add a branch y to a shortcut x.

        The branch is dropped for an item with the probability ``drop``.
        """
        if drop:
            from bf_models.layers import StochasticDepth  # late: loads TensorFlow

            y = StochasticDepth(drop, name=f"{name}.drop")(y)
        return keras().layers.Add(name=name)([x, y])

    def concat(self, tensors: Any, name: str) -> Tensor:
        """Put the channels of several maps side by side."""
        return keras().layers.Concatenate(name=name)(list(tensors))

    def layer_norm(self, x: Tensor, name: str, epsilon: float = 1e-6) -> Tensor:
        """Add layer normalisation over channels."""
        return keras().layers.LayerNormalization(epsilon=epsilon, name=name)(x)

    def dense(self, x: Tensor, units: int, *, name: str, **options: Any) -> Tensor:
        """Add a fully connected layer; ``options`` are bias, dtype, init, bias_init."""
        fans = (x.shape[-1], units)
        arguments = {
            "kernel_initializer": initializer(options.pop("init", self.common.dense_init), *fans),
            "bias_initializer": initializer(options.pop("bias_init", self.common.dense_bias), *fans),
            "use_bias": options.pop("bias", True),
            "dtype": options.pop("dtype", None),
        }
        if options:
            raise TypeError(f"dense {name}: unknown options {sorted(options)}")
        return keras().layers.Dense(units, name=name, **arguments)(x)

    def dropout(self, x: Tensor, rate: float, name: str) -> Tensor:
        """Add dropout; no layer at all for a rate of 0."""
        return keras().layers.Dropout(rate, name=name)(x) if rate else x

    def global_pool(self, x: Tensor, name: str = "avgpool", kind: str = "avg") -> Tensor:
        """Take the mean or the maximum over the map: (N, H, W, C) -> (N, C)."""
        layers = keras().layers
        return (layers.GlobalAveragePooling2D if kind == "avg" else layers.GlobalMaxPooling2D)(name=name)(x)

    @property
    def known_classes(self) -> int:
        """Number of classes; ValueError when the config has none."""
        if self.classes is None:
            raise ValueError(
                f"{self.name}: the number of classes is not known; set 'num_classes', or "
                "inputs/labels/classes, in the config"
            )
        return self.classes

    def as_float(self, x: Tensor, name: str = "logits") -> Tensor:
        """Return x in float32, whatever the precision of the network is."""
        return keras().layers.Activation("linear", dtype="float32", name=name)(x)

    def logits(self, x: Tensor, name: str, **options: Any) -> Tensor:
        """Add the last layer, one value a class, in float32; ValueError when classes are not known."""
        return self.dense(x, self.known_classes, name=name, dtype="float32", **options)


def take_strides(x: Tensor, kernel: Any, strides: Any, name: str) -> tuple[Tensor, Any]:
    """Take the pixels that a strided 1x1 convolution of few channels reads; return the strides that are left.

    TensorFlow 2.21 (oneDNN) on a CPU writes outside its memory in the backward step of a strided 1x1
    convolution of less than 16 channels when the batch is odd.
    """
    if kernel not in (1, (1, 1)) or strides in (1, (1, 1)) or x.shape[-1] >= 16:
        return x, strides
    return keras().layers.MaxPooling2D(1, strides, padding="same", name=f"{name}.strided")(x), 1


def divisible(value: float, by: int = 8) -> int:
    """Return the nearest multiple that is at most a tenth below the value (MobileNet's rule for filters)."""
    rounded = max(by, int(value + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * value else rounded


#: By name: kind of distribution, and its deviation or limit as a function of fan in and fan out.
_STARTS: Mapping[str, tuple[str, Callable[[int, int], float]]] = {
    "he": ("normal", lambda fan_in, fan_out: math.sqrt(2 / fan_out)),
    "he_in": ("normal", lambda fan_in, fan_out: math.sqrt(2 / fan_in)),
    "lecun": ("normal", lambda fan_in, fan_out: math.sqrt(1 / fan_in)),
    "he_uniform": ("uniform", lambda fan_in, fan_out: math.sqrt(6 / fan_in)),
    "torch": ("uniform", lambda fan_in, fan_out: math.sqrt(1 / fan_in)),
    "fan_out": ("uniform", lambda fan_in, fan_out: math.sqrt(1 / fan_out)),
    "zeros": ("normal", lambda fan_in, fan_out: 0.0),
    # Keras counts the fans of these by the shape of the kernel, a depthwise one too
    "glorot": ("GlorotUniform", lambda fan_in, fan_out: 1.0),
    "slim": ("HeNormal", lambda fan_in, fan_out: 1.0),
    "truncated": ("truncated", lambda fan_in, fan_out: 0.02),
}


def check_start(start: Start) -> None:
    """Check the start of weights; ValueError for an unknown name or a negative deviation."""
    if isinstance(start, str) and start not in _STARTS:
        raise ValueError(unknown("initializer", start, _STARTS))
    if not isinstance(start, str) and start < 0:
        raise ValueError(f"initializer: a deviation is 0 or more, got {start!r}")


def initializer(start: Start, fan_in: int, fan_out: int) -> Any:
    """Make an initializer: a number is the deviation of a normal distribution, a name one of these.

    Normal are ``he`` (for ReLU, by the fan out), ``he_in`` and ``lecun`` (by the fan in); uniform are
    ``torch`` (within one over the root of the fan in: what torch's layers start with), ``he_uniform``,
    ``fan_out`` and ``glorot``; cut off at two deviations are ``slim`` (by the fan in) and ``truncated``.
    """
    check_start(start)
    k = keras().initializers
    kind, size = _STARTS[start] if isinstance(start, str) else ("normal", lambda fan_in, fan_out: start)
    value = size(fan_in, fan_out)
    if kind == "uniform":
        return k.RandomUniform(-value, value)
    if kind == "normal":
        return k.RandomNormal(stddev=value) if value else k.Zeros()
    return k.TruncatedNormal(stddev=value) if kind == "truncated" else getattr(k, kind)()


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
        """Return logits of a map (N, H, W, C) or of features (N, C)."""
        if len(x.shape) > 2:
            x = net.global_pool(x, kind=self.pool)
        return net.logits(net.dropout(x, self.dropout, "dropout"), self.name)
