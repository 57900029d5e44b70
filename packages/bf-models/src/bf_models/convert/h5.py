"""Weights of keras.applications from .h5 files: layers matched in order, by the shapes of arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bf_index.errors import escape
from bf_index.sizes import check_size, reading
from bf_models._backend import producing_layer
from bf_models.convert.report import Report, Target, restart_averages
from bf_models.errors import CorruptModel, WeightsError

Arrays = list[np.ndarray]
#: What a name ends with when the arrays are the second half of a separable convolution.
_POINTWISE = ".pointwise"
#: Networks that Keras has with the same layers in the same order.
SUPPORTED = (
    *("VGG16", "VGG19", "MobileNet", "MobileNetV2", "Xception"),
    *("DenseNet121", "DenseNet169", "DenseNet201"),
)


def _decode(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _read_legacy(group: Any) -> Iterator[tuple[str, Arrays]]:
    """Yield layers of the older format, with an attribute that orders them."""
    for name in map(_decode, group.attrs["layer_names"]):
        yield name, [np.asarray(group[name][_decode(item)]) for item in group[name].attrs["weight_names"]]


def _read_current(group: Any) -> Iterator[tuple[str, Arrays]]:
    """Yield layers of Keras 3's format: groups by kind and number, ``conv2d_10`` being the eleventh."""

    def place(name: str) -> tuple[str, int]:
        kind, _, number = name.rpartition("_")
        return (kind, int(number)) if number.isdigit() else (name, 0)

    for name in sorted(group, key=place):
        layer = group[name]
        parts = (
            [layer] if "vars" in layer else [layer[item] for item in sorted(layer) if "vars" in layer[item]]
        )
        yield name, [np.asarray(part["vars"][key]) for part in parts for key in sorted(part["vars"], key=int)]


def _split_separable(layers: Iterator[tuple[str, Arrays]]) -> Iterator[tuple[str, Arrays]]:
    """Yield layers that have arrays, a separable convolution as two."""
    for name, arrays in layers:
        if len(arrays) == 2 and all(item.ndim == 4 for item in arrays):
            yield f"{name}.depthwise", arrays[:1]
            yield name + _POINTWISE, arrays[1:]
        elif arrays:
            yield name, arrays


def read_h5(path: str | Path) -> list[tuple[str, Arrays]]:
    """Read names and arrays of the layers of a file; CorruptModel when it holds no Keras weights."""
    import h5py

    with reading(path, CorruptModel), h5py.File(path, "r") as file:
        _check_arrays(file, path)
        group = file.get("model_weights", file)
        if "layer_names" in group.attrs:
            return list(_split_separable(_read_legacy(group)))
        if "layers" in group:
            return list(_split_separable(_read_current(group["layers"])))
        raise CorruptModel(f"{escape(path)} holds no Keras weights: neither 'layer_names' nor 'layers'")


def _check_arrays(file: Any, path: str | Path) -> None:
    """Check what the arrays of a file claim against its bytes; none may stand in another file."""
    claimed = 0

    def look(name: str, item: Any) -> None:
        nonlocal claimed
        if hasattr(item, "nbytes"):
            if item.is_virtual or item.external:
                raise CorruptModel(f"{escape(path)}: {name!r} stands in another file, which is not read")
            claimed += int(item.nbytes)

    file.visititems(look)
    check_size(path, claimed, Path(path).stat().st_size, option="")


def load_h5(model: Target, path: str | Path, *, replace_head: bool = True) -> Report:
    """Copy the weights of a keras.applications file into the same network, one of ``SUPPORTED``.

    Layers are matched in order among those whose arrays have the same shapes; without the head when classes
    differ. WeightsError names the first layer that has no counterpart; nothing is changed then.
    """
    if model.name not in SUPPORTED:
        raise WeightsError(
            f"{model.name}: .h5 files are read for {', '.join(SUPPORTED)}; use .safetensors or .pth"
        )
    head = set(model.head_layers()) if replace_head else set()
    given = read_h5(path)
    pairs, kept = [], []
    used: set[int] = set()
    for layer in [item for item in model.network.layers if item.weights]:
        found = _find_arrays(layer, given, used, model.network)
        if found is not None:
            used.add(found[0])
            pairs.append((layer, found[1]))
        elif layer.name in head:
            kept.append(layer.name)
        else:
            shapes = [tuple(item.shape) for item in layer.weights]
            raise WeightsError(
                f"{model.name}: {escape(path)} has no layer for {layer.name!r} with arrays {shapes}"
            )
    rest = tuple(name for number, (name, _) in enumerate(given) if number not in used)
    if rest and not kept:
        raise WeightsError(f"{model.name}: {escape(path)} has layers too many: {', '.join(rest[:8])}")
    for layer, arrays in pairs:
        layer.set_weights(arrays)
    restart_averages(model)
    return Report(tuple(layer.name for layer, _ in pairs), (), rest, tuple(kept))


def _find_arrays(
    layer: Any, given: list[tuple[str, Arrays]], used: set[int], network: Any
) -> tuple[int, Arrays] | None:
    shapes = [tuple(item.shape) for item in layer.weights]
    for number, (name, arrays) in enumerate(given):
        # a shortcut's 1x1 convolution may have the shape of a pointwise one beside it
        if number in used or name.endswith(_POINTWISE) != _is_pointwise(layer):
            continue
        if [item.shape for item in arrays] == shapes:
            return number, _reorder(layer, arrays, network)
        # the head of MobileNet is a 1x1 convolution in Keras and dense here
        if len(shapes[0]) == 2 and [item.size for item in arrays] == [math.prod(shape) for shape in shapes]:
            return number, [item.reshape(shape) for item, shape in zip(arrays, shapes)]
    return None


def _is_pointwise(layer: Any) -> bool:
    """Whether a layer is the second half of a separable convolution."""
    before = producing_layer(layer.input)
    return (type(layer).__name__, type(before).__name__) == ("Conv2D", "DepthwiseConv2D")


def _reorder(layer: Any, arrays: Arrays, network: Any) -> Arrays:
    """Put the arrays into our order: Keras flattens a map channels last, torch and we channels first."""
    names = [item.name for item in network.layers]
    if "channels_first" not in names or layer.name != names[names.index("flatten") + 1]:
        return arrays
    _, channels, height, width = network.get_layer("channels_first").output.shape
    maps = arrays[0].reshape(height, width, channels, -1).transpose(2, 0, 1, 3)
    return [maps.reshape(arrays[0].shape), *arrays[1:]]
