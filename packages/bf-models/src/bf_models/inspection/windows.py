"""Which places of its input a layer reads for a place of its output, along each axis of a map."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from bf_models._backend import keras

_Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """What is read along an axis: place ``n * len(firsts) + r`` reads from ``firsts[r]`` to ``lasts[r]``.

    Both are moved on by ``n * step``. Places may lie beyond the borders of a map.
    """

    firsts: tuple[int, ...]
    lasts: tuple[int, ...]
    step: int = 1


#: Every place reads the one at the same place.
SAME = Window((0,), (0,))
#: All places read the only one that there is.
ONLY = Window((0,), (0,), 0)


class Whole:
    """A layer whose every place reads all of a map, such as a mean over it."""


_POINTWISE = ("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum", "Relu", "Sigmoid")

#: By the input and by the axis; Whole; None for a layer of which nothing is known.
Windows = list[list[Window]] | type[Whole] | None


def find_windows(layer: Any, given: Sequence[_Shape], returned: _Shape) -> Windows:
    """Return what a layer reads of the maps (N, ..., C) that it is given.

    A layer of your own says it by a method ``find_windows(given, returned)`` of shapes.
    """
    if hasattr(layer, "find_windows"):
        found: Windows = layer.find_windows(given, returned)
        return found
    if getattr(layer, "data_format", None) == "channels_first":
        padded = isinstance(layer, keras().layers.ZeroPadding2D)
        # of what we take for (N, H, W, C) it pads W and C
        return [[SAME, slide(1, before=layer.padding[0][0])]] if padded else None
    if not isinstance(layer, keras().Layer):  # of keras.ops
        return _find_same(layer, given, returned) if type(layer).__name__ in _POINTWISE else None
    for kinds, find in _finders():
        if isinstance(layer, kinds):
            made: Windows = find(layer, given, returned)
            return made
    return None


@functools.cache
def _finders() -> Sequence[tuple[tuple[type, ...], Any]]:
    from bf_models import layers as own  # late: loads TensorFlow

    k = keras().layers
    slid: tuple[type, ...] = (k.Conv1D, k.Conv2D, k.Conv3D, k.DepthwiseConv1D, k.DepthwiseConv2D)
    slid += (k.SeparableConv1D, k.SeparableConv2D, k.MaxPooling1D, k.MaxPooling2D, k.MaxPooling3D)
    whole: tuple[type, ...] = (k.GlobalAveragePooling1D, k.GlobalAveragePooling2D, k.GlobalAveragePooling3D)
    whole += (k.GlobalMaxPooling1D, k.GlobalMaxPooling2D, k.GlobalMaxPooling3D)
    merged: tuple[type, ...] = (k.Add, k.Subtract, k.Multiply, k.Average, k.Maximum, k.Minimum)
    point: tuple[type, ...] = (
        k.Activation,
        k.ReLU,
        k.LeakyReLU,
        k.PReLU,
        k.ELU,
        k.Dropout,
        k.AlphaDropout,
        k.GaussianNoise,
    )
    point += (k.GaussianDropout, k.SpatialDropout1D, k.SpatialDropout2D, k.SpatialDropout3D, k.Identity)
    point += (k.BatchNormalization, k.Rescaling, k.ActivityRegularization, k.Dense)
    point += (own.BatchNorm, own.ChannelStatistics, own.DropBlock, own.GroupMax, own.GroupSum)
    point += (own.LayerScale, own.PositionEmbedding, own.SoftSum, own.StochasticDepth)
    return (
        ((k.Conv1DTranspose, k.Conv2DTranspose, k.Conv3DTranspose), _find_transposed),
        ((*slid, k.AveragePooling1D, k.AveragePooling2D, k.AveragePooling3D), _find_slid),
        ((*whole, k.Flatten, k.GroupNormalization, own.SelfAttention), _find_whole),
        ((*point, *merged), _find_same),
        ((k.Concatenate, k.LayerNormalization, k.UnitNormalization, k.Softmax, k.Normalization), _find_along),
        ((k.UpSampling1D, k.UpSampling2D, k.UpSampling3D), _find_enlarged),
        ((k.Resizing, own.ResizeLike), _find_resized),
        ((k.ZeroPadding1D, k.ZeroPadding2D, k.ZeroPadding3D), _find_padded),
        ((k.Cropping1D, k.Cropping2D, k.Cropping3D, own.CropLike), _find_cropped),
        ((own.PadToMultiple,), _find_padded),
        ((own.AdaptiveAveragePool,), _find_adaptive),
        ((own.Subpixel,), lambda layer, given, returned: [[repeat(layer.factor)] * 2]),
        ((k.Reshape,), _find_reshaped),
    )


def slide(kernel: int, stride: int = 1, dilation: int = 1, before: int = 0) -> Window:
    """Return what a kernel reads of an axis that is padded by some places before its first."""
    return Window((-before,), ((kernel - 1) * dilation - before,), stride)


def repeat(factor: int) -> Window:
    """Return what is read where each place is there ``factor`` times."""
    return Window((0,) * factor, (0,) * factor)


def transpose(kernel: int, stride: int, dilation: int, before: int) -> Window | None:
    """Return what a transposed convolution reads that cuts ``before`` places; None if some read nothing."""
    found: list[list[int]] = []
    for place in range(stride):
        touched = [place + before - tap * dilation for tap in range(kernel)]
        found.append([one // stride for one in touched if one % stride == 0])
    return Window(tuple(map(min, found)), tuple(map(max, found))) if all(found) else None


def resize(size: int, out: int, kind: str) -> Window | None:
    """Return what an interpolation of ``size`` places to ``out`` reads; None for one that is not known."""
    if size == 1:
        return ONLY
    ratio, half = Fraction(size, out), Fraction(1, 2)
    middles = [(place + half) * ratio for place in range(ratio.denominator)]
    if kind == "nearest":
        near = tuple(math.floor(one) for one in middles)
        return Window(near, near, ratio.numerator)
    if kind != "bilinear":
        return None
    firsts = tuple(math.floor(one - half) for one in middles)
    return Window(firsts, tuple(math.ceil(one - half) for one in middles), ratio.numerator)


def _sides(shape: _Shape) -> _Shape:
    return shape[1:-1]


def _each(value: Any, count: int) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value] * count


def _find_slid(layer: Any, given: Sequence[_Shape], returned: _Shape) -> Windows:
    """Return what a convolution or a pooling reads, padded as TensorFlow, as torch or for causes alone."""
    axes = range(len(_sides(returned)))
    kernels = _each(getattr(layer, "kernel_size", None) or layer.pool_size, len(axes))
    strides, rates = (_each(getattr(layer, name, 1), len(axes)) for name in ("strides", "dilation_rate"))
    pads = _each(getattr(layer, "pads", 0), len(axes))
    found = []
    for axis in axes:
        extent, stride = (kernels[axis] - 1) * rates[axis] + 1, strides[axis]
        before = pads[axis]
        if layer.padding == "causal":
            before = extent - 1
        elif layer.padding == "same":
            size, out = _sides(given[0])[axis], _sides(returned)[axis]
            # of a size that is not known we take one that divides
            extra = extent - stride if size is None or out is None else (out - 1) * stride + extent - size
            before = max(extra, 0) // 2
        found.append(slide(kernels[axis], stride, rates[axis], before))
    return [found]


def _find_transposed(layer: Any, given: Sequence[_Shape], returned: _Shape) -> Windows:
    axes = range(len(_sides(returned)))
    kernels, strides, rates = (
        _each(getattr(layer, name), len(axes)) for name in ("kernel_size", "strides", "dilation_rate")
    )
    found = []
    for axis in axes:
        extent, size, out = (
            (kernels[axis] - 1) * rates[axis] + 1,
            _sides(given[0])[axis],
            _sides(returned)[axis],
        )
        before = 0
        if layer.padding == "same":
            known = size is not None and out is not None
            extra = (size - 1) * strides[axis] + extent - out if known else extent - strides[axis]  # type: ignore[operator]
            before = max(extra, 0) // 2
        found.append(transpose(kernels[axis], strides[axis], rates[axis], before))
    return None if None in found else [found]  # type: ignore[list-item]


def _find_whole(layer: Any, given: Sequence[_Shape], returned: _Shape) -> Windows:
    return Whole


def _find_same(layer: Any, given: Sequence[_Shape], returned: _Shape) -> Windows:
    """Return what is read where places stay: the same one, or the only one that there is."""
    wanted = _sides(returned)
    if any(len(_sides(shape)) != len(wanted) for shape in given):
        return None
    return [
        [ONLY if side == 1 and out != 1 else SAME for side, out in zip(_sides(shape), wanted)]
        for shape in given
    ]


def _find_along(layer: Any, given: Sequence[_Shape], returned: _Shape) -> Windows:
    """Return what is read by a layer of some axes: all of those that are not the channels."""
    axes = [axis % len(returned) for axis in _each(layer.axis, 1) if axis is not None]
    if all(axis == len(returned) - 1 for axis in axes):
        return _find_same(layer, given, returned)
    return None if isinstance(layer, keras().layers.Concatenate) else Whole


def _find_enlarged(layer: Any, given: Sequence[_Shape], returned: _Shape) -> Windows:
    factors = _each(layer.size, len(_sides(returned)))
    kind = getattr(layer, "interpolation", "nearest")
    found = [
        resize(2 if side is None else side, factor * (2 if side is None else side), kind)
        for factor, side in zip(factors, _sides(given[0]))
    ]
    return None if None in found else [found]  # type: ignore[list-item]


def _find_resized(layer: Any, given: Sequence[_Shape], returned: _Shape) -> Windows:
    cut = getattr(layer, "crop_to_aspect_ratio", False) or getattr(layer, "pad_to_aspect_ratio", False)
    sides = list(zip(_sides(given[0]), _sides(returned)))
    if cut or getattr(layer, "antialias", False) or any(None in pair for pair in sides):
        return None
    found = [resize(side, out, layer.interpolation) for side, out in sides]  # type: ignore[arg-type]
    # another map that only tells the size is not read
    return None if None in found else [found]  # type: ignore[list-item]


def _find_padded(layer: Any, given: Sequence[_Shape], returned: _Shape) -> Windows:
    sides = _sides(given[0])
    if hasattr(layer, "factor"):
        befores = [0 if side is None else (-side % layer.factor) // 2 for side in sides]
    else:
        befores = [_each(pair, 2)[0] for pair in _pairs(layer.padding, len(sides))]
    return [[slide(1, before=before) for before in befores]]


def _find_cropped(layer: Any, given: Sequence[_Shape], returned: _Shape) -> Windows:
    if hasattr(layer, "cropping"):
        befores = [_each(pair, 2)[0] for pair in _pairs(layer.cropping, len(_sides(given[0])))]
    else:
        pairs = list(zip(_sides(given[0]), _sides(returned)))
        befores = [0 if a is None or b is None else (a - b) // 2 for a, b in pairs]
    return [[slide(1, before=-before) for before in befores]]


def _pairs(given: Any, axes: int) -> list[Any]:
    return [given] if axes == 1 else list(given)


def _find_adaptive(layer: Any, given: Sequence[_Shape], returned: _Shape) -> Windows:
    if layer.size == 1:
        return Whole
    found = []
    for side in _sides(given[0]):
        assert side is not None, "the layer needs sizes"
        ratio = Fraction(side, layer.size)
        places = range(ratio.denominator)
        firsts = tuple(math.floor(place * ratio) for place in places)
        lasts = tuple(math.ceil((place + 1) * ratio) - 1 for place in places)
        found.append(Window(firsts, lasts, ratio.numerator))
    return [found]


def _find_reshaped(layer: Any, given: Sequence[_Shape], returned: _Shape) -> Windows:
    """Return what is read where an axis of one channel is added; else nothing is known."""
    return [[SAME] * (len(returned) - 2)] if tuple(returned[1:]) == (*given[0][1:], 1) else None
