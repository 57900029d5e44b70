"""What all inspections ask of a model: its network, its layers by name, arrays as its inputs."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bf_models._backend import as_functional, keras, list_calls, tensorflow
from bf_models.errors import unknown
from bf_models.model import KerasModel


def find_network(model: Any) -> Any:
    """Return the keras.Model that predicts: of a KerasModel that with averaged weights; else as it is."""
    return _check(model.averaged_network if isinstance(model, KerasModel) else model)


def sketch_network(model: Any) -> Any:
    """Return the keras.Model for its shapes alone; of a KerasModel it need not be built yet."""
    return _check(model.sketch() if isinstance(model, KerasModel) else model)


def _check(network: Any) -> Any:
    found = as_functional(network) if isinstance(network, keras().Model) else None
    if found is None:
        raise TypeError(
            "a KerasModel can be inspected, or a keras.Model that is functional or built and sequential, got "
            f"{type(network).__name__}"
        )
    return found


def find_layer(network: Any, name: str) -> Any:
    """Return a layer by its name; ValueError lists close names."""
    layers = {layer.name: layer for layer in network.layers}
    if name not in layers:
        close = difflib.get_close_matches(name, layers, n=8, cutoff=0.3) or list(layers)[:8]
        raise ValueError(unknown("layer", name, close, network.name))
    return layers[name]


def list_maps(network: Any) -> list[Any]:
    """Return the layers whose output is a map (N, H, W, C) of more than one pixel, in their order."""
    found = {}
    for layer, given, returned in list_calls(network):
        shape = tuple(returned[0].shape)
        if given and len(returned) == 1 and len(shape) == 4 and set(shape[1:3]) != {1}:
            found[layer.name] = layer
    return list(found.values())


def as_inputs(network: Any, given: Any) -> list[Any]:
    """Return arrays as the inputs of a network, float32 tensors.

    ``given`` is an array, or a dict of them by the names of the inputs; an axis of one channel may be left
    out, or be there in vain. ValueError for other shapes.
    """
    wanted = {tensor.name: tuple(tensor.shape) for tensor in network.inputs}
    arrays = given if isinstance(given, Mapping) else dict.fromkeys(list(wanted)[:1], given)
    if set(arrays) != set(wanted):
        raise ValueError(
            f"{network.name}: it takes the inputs {sorted(wanted)}, got {sorted(map(str, arrays))}; "
            "give a dict of arrays by these names"
        )
    tensors = []
    for name, shape in wanted.items():
        array = np.asarray(arrays[name])
        got = array.shape
        if array.ndim == len(shape) - 1 and shape[-1] == 1:
            array = array[..., None]
        elif array.ndim == len(shape) + 1 and array.shape[-1] == 1:
            array = array[..., 0]
        fits = array.ndim == len(shape) and all(b is None or a == b for a, b in zip(array.shape, shape))
        if not fits or not len(array):
            raise ValueError(
                f"{network.name}: input {name!r} takes items of shape {shape[1:]} in a batch, got an array "
                f"of shape {got}"
            )
        tensors.append(tensorflow().constant(array.astype("float32")))
    return tensors


def in_parts(tensors: list[Any], size: int) -> Iterator[tuple[slice, list[Any]]]:
    """Yield the inputs in parts of at most so many items, each with its place."""
    for start in range(0, len(tensors[0]), size):
        part = slice(start, start + size)
        yield part, [item[part] for item in tensors]
