"""What train and predict may return: names, and any structure of them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from bf_models.errors import unknown

Fetches: TypeAlias = str | Sequence[Any] | Mapping[str, Any] | None
OUTPUTS = ("loss", "predictions", "proba", "labels")


def list_names(fetches: Fetches) -> tuple[str, ...]:
    """List the distinct names of a structure, in order; TypeError for what is no name and no structure."""
    if fetches is None:
        return ()
    if isinstance(fetches, str):
        return (fetches,)
    if isinstance(fetches, Mapping):
        items: Sequence[Any] = list(fetches.values())
    elif isinstance(fetches, Sequence):
        items = fetches
    else:
        raise TypeError(f"fetches are a name, a list or a mapping of names, got {fetches!r}")
    return tuple(dict.fromkeys(name for item in items for name in list_names(item)))


def pack(fetches: Fetches, values: Mapping[str, Any]) -> Any:
    """Put fetched values into the structure that was asked for; None stays None."""
    if fetches is None:
        return None
    if isinstance(fetches, str):
        return values[fetches]
    if isinstance(fetches, Mapping):
        return {key: pack(item, values) for key, item in fetches.items()}
    return [pack(item, values) for item in fetches]


def find_outputs(names: Sequence[str], network: Any, owner: str) -> dict[str, Any]:
    """Find the symbolic outputs of layers by name; ValueError lists the outputs and close layers."""
    layers = {layer.name: layer for layer in network.layers}
    found = {}
    for name in names:
        if name in OUTPUTS:
            continue
        if name not in layers:
            close = difflib.get_close_matches(name, layers, n=5, cutoff=0.4)
            raise ValueError(
                unknown("output", name, (*OUTPUTS, *close), owner) + "; all layers are in model.layer_names"
            )
        found[name] = layers[name].output
    return found


def copy_to_host(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return what a step gave as numbers and arrays: the loss a float, all else an array."""
    return {name: float(values[name]) if name == "loss" else values[name].numpy() for name in names}


def as_labels(targets: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return labels of targets, which may be shares of classes, in the shape of predicted labels."""
    if targets.size != like.size:
        targets = targets.argmax(-1)
    return targets.reshape(like.shape)
