"""The letters of layouts: what each adds to a network, and which arguments it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bf_models._backend import keras
from bf_models.blocks.attention import CBAM, SelfAttention2D, SpatialSqueezeExcite, SqueezeExcite
from bf_models.blocks.upsample import Upsample
from bf_models.errors import unknown
from bf_models.nn import Net, Tensor, take_strides

Options = Mapping[str, Any]
Maker = Callable[[Tensor, Net, Options, str], Tensor]


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter: a line for the docs, the group whose occurrences are counted together, the function."""

    text: str
    group: str
    make: Maker


def _conv(x: Tensor, net: Net, o: Options, name: str) -> Tensor:
    from bf_models.layers import Conv2D  # late: loads TensorFlow

    filters = _filters(x, o)
    x, strides = take_strides(x, o["kernel_size"], o["strides"], name)
    return Conv2D(filters, name=name, **{**_convolution(o), "strides": strides})(x)


def _filters(x: Tensor, o: Options) -> int:
    return int(o["filters"] or x.shape[-1])


def _convolution(o: Options) -> dict[str, Any]:
    names = ("kernel_size", "strides", "dilation_rate", "padding", "use_bias")
    return {name: o[name] for name in names}


def _transposed(x: Tensor, net: Net, o: Options, name: str) -> Tensor:
    return keras().layers.Conv2DTranspose(_filters(x, o), name=name, **_convolution(o))(x)


def _separable(x: Tensor, net: Net, o: Options, name: str) -> Tensor:
    multiplier = o["depth_multiplier"]
    layer = keras().layers.SeparableConv2D(
        _filters(x, o), depth_multiplier=multiplier, name=name, **_convolution(o)
    )
    return layer(x)


def _separable_transposed(x: Tensor, net: Net, o: Options, name: str) -> Tensor:
    enlarged = _depthwise_transposed(x, net, {**o, "use_bias": False}, f"{name}.depthwise")
    return keras().layers.Conv2D(_filters(x, o), 1, use_bias=o["use_bias"], name=name)(enlarged)


def _depthwise(x: Tensor, net: Net, o: Options, name: str) -> Tensor:
    multiplier = o["depth_multiplier"]
    return keras().layers.DepthwiseConv2D(depth_multiplier=multiplier, name=name, **_convolution(o))(x)


def _depthwise_transposed(x: Tensor, net: Net, o: Options, name: str) -> Tensor:
    # each pixel repeated, then a depthwise convolution: zeros between pixels would leave a checkerboard
    strides = o["strides"]
    if strides != 1:
        x = keras().layers.UpSampling2D(strides, interpolation="nearest", name=f"{name}.up")(x)
    return _depthwise(x, net, {**o, "strides": 1}, name)


def _pool(kind: str) -> Maker:
    def make(x: Tensor, net: Net, o: Options, name: str) -> Tensor:
        cls = keras().layers.MaxPooling2D if kind == "max" else keras().layers.AveragePooling2D
        return cls(o["pool_size"], o["pool_strides"], padding=o["padding"], name=name)(x)

    return make


def _dense(x: Tensor, net: Net, o: Options, name: str) -> Tensor:
    if o["units"] is None:
        raise ValueError(f"ConvBlock {name}: the letter 'f' needs units=")
    x = keras().layers.Flatten(name=f"{name}.flatten")(x) if len(x.shape) > 2 else x
    return net.dense(x, o["units"], name=name, bias=o["use_bias"])


def _drop(kind: str) -> Maker:
    def make(x: Tensor, net: Net, o: Options, name: str) -> Tensor:
        from bf_models.layers import DropBlock  # late: loads TensorFlow

        rate, layers = o["dropout_rate"], keras().layers
        if not rate:
            return x
        cls = {"d": layers.Dropout, "D": layers.AlphaDropout, "O": DropBlock}[kind]
        return cls(rate, name=name)(x)

    return make


_ATTENTION: Mapping[str, Callable[[int, str], Any]] = {
    "se": SqueezeExcite,
    "scse": SpatialSqueezeExcite,
    "cbam": lambda ratio, name: CBAM(ratio, name=name),
    "self": lambda ratio, name: SelfAttention2D(name=name),
}


def _attention(x: Tensor, net: Net, o: Options, name: str) -> Tensor:
    if o["attention"] not in _ATTENTION:
        raise ValueError(unknown("attention", o["attention"], _ATTENTION, f"ConvBlock {name}"))
    return _ATTENTION[o["attention"]](o["ratio"], name)(x, net)


def _upsample(kind: Any) -> Maker:
    def make(x: Tensor, net: Net, o: Options, name: str) -> Tensor:
        return Upsample(o["factor"], kind, o["filters"] if kind == "subpixel" else None, name)(x, net)

    return make


def _project(x: Tensor, net: Net, o: Options, name: str) -> Tensor:
    from bf_models.layers import GroupMax  # late: loads TensorFlow

    return GroupMax(o["factor"], name=name)(x)


def _widen(x: Tensor, net: Net, o: Options, name: str) -> Tensor:
    return keras().layers.Reshape((1,) * (4 - len(x.shape)) + tuple(x.shape[1:]), name=name)(x)


def _reshape(x: Tensor, net: Net, o: Options, name: str) -> Tensor:
    if o["shape"] is None:
        raise ValueError(f"ConvBlock {name}: the letter 'r' needs shape=")
    return keras().layers.Reshape(tuple(o["shape"]), name=name)(x)


LETTERS: Mapping[str, Letter] = {
    "c": Letter("convolution", "c", _conv),
    "t": Letter("transposed convolution", "c", _transposed),
    "C": Letter("separable convolution", "c", _separable),
    "T": Letter("separable transposed convolution", "c", _separable_transposed),
    "w": Letter("depthwise convolution", "c", _depthwise),
    "W": Letter("depthwise transposed convolution", "c", _depthwise_transposed),
    "f": Letter("fully connected layer", "f", _dense),
    "n": Letter("batch normalisation", "n", lambda x, net, o, name: net.norm(x, name)),
    "a": Letter("activation", "a", lambda x, net, o, name: net.act(x, name, o["activation"])),
    "p": Letter("max-pooling", "p", _pool("max")),
    "v": Letter("mean pooling", "p", _pool("mean")),
    "P": Letter("global maximum", "P", lambda x, net, o, name: net.global_pool(x, name, "max")),
    "V": Letter("global mean", "P", lambda x, net, o, name: net.global_pool(x, name)),
    "d": Letter("dropout", "d", _drop("d")),
    "D": Letter("alpha dropout", "d", _drop("D")),
    "O": Letter("dropped blocks", "d", _drop("O")),
    "S": Letter("attention: se, scse, cbam or self", "S", _attention),
    "m": Letter("maximum of neighbouring channels", "b", _project),
    ">": Letter("axes of size 1 in front, up to a map", ">", _widen),
    "r": Letter("reshape", "r", _reshape),
    "b": Letter("bilinear enlarging", "b", _upsample("bilinear")),
    "B": Letter("bilinear additive enlarging", "b", _upsample("additive")),
    "N": Letter("enlarging by the nearest pixel", "b", _upsample("nearest")),
    "X": Letter("enlarging by subpixels", "b", _upsample("subpixel")),
}
#: Letters that open and close a residual branch; ConvBlock itself reads them.
RESIDUAL: Mapping[str, str] = {
    "R": "a residual branch starts here",
    "A": "a residual branch starts here, enlarged by bilinear additive upsampling",
    "+": "sum with the branch",
    "*": "product with the branch",
    "|": "channels beside those of the branch",
    ".": "the same as |",
    "&": "sum with learnt weights",
}
