"""Values of variables as JSON and arrays, and back: data only, never code."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

# A dictionary with this key is not the user's: it says what a value was before it became JSON.
_TAG = "$"
_PLAIN = (type(None), bool, int, float, str)
_SEQUENCES: Mapping[str, type] = {"tuple": tuple, "set": set, "frozenset": frozenset}
_ADVICE = "use numbers, strings, arrays, lists, tuples, sets and dictionaries of these, or models"


def encode(value: Any, arrays: dict[str, np.ndarray] | None, where: str) -> Any:
    """Turn a value into JSON; arrays go into ``arrays`` by name, or into the text when it is None.

    ``TypeError`` for a value that is not data, naming ``where`` it is.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is list:
        return [encode(item, arrays, f"{where}[{i}]") for i, item in enumerate(value)]
    if kind is dict:
        return _encode_dict(value, arrays, where)
    if kind in (set, frozenset):
        # Sorted by their text, so that equal states have equal files.
        return {
            _TAG: kind.__name__,
            "items": [encode(item, arrays, where) for item in sorted(value, key=repr)],
        }
    if kind is tuple:
        return {
            _TAG: "tuple",
            "items": [encode(item, arrays, f"{where}[{i}]") for i, item in enumerate(value)],
        }
    if kind is complex:
        return {_TAG: "complex", "parts": [value.real, value.imag]}
    if kind is bytes:
        return {_TAG: "bytes", "base64": base64.b64encode(value).decode()}
    if kind is np.ndarray or isinstance(value, np.generic):
        return _encode_array(value, arrays, where)
    raise TypeError(f"{where}: a value of class {kind.__name__} is not data that can be saved; {_ADVICE}")


def decode(tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Turn what ``encode`` gave back into the value; ``ValueError`` for what it never gives."""
    if isinstance(tree, list):
        return [decode(item, arrays) for item in tree]
    if not isinstance(tree, dict):
        return tree
    tag = tree.get(_TAG)
    if tag is None:
        return {key: decode(item, arrays) for key, item in tree.items()}
    if tag in _SEQUENCES:
        return _SEQUENCES[tag](decode(item, arrays) for item in tree["items"])
    if tag == "dict":
        return {decode(key, arrays): decode(item, arrays) for key, item in tree["pairs"]}
    if tag == "complex":
        return complex(*tree["parts"])
    if tag == "bytes":
        return base64.b64decode(tree["base64"])
    if tag in ("array", "scalar"):
        return _decode_array(tree, arrays)
    raise ValueError(f"unknown kind of value {tag!r}")


def _encode_dict(value: dict[Any, Any], arrays: dict[str, np.ndarray] | None, where: str) -> Any:
    if all(type(key) is str for key in value) and _TAG not in value:
        return {key: encode(item, arrays, f"{where}[{key!r}]") for key, item in value.items()}
    pairs = [
        [encode(key, arrays, f"a key of {where}"), encode(item, arrays, f"{where}[{key!r}]")]
        for key, item in value.items()
    ]
    return {_TAG: "dict", "pairs": pairs}


def _encode_array(value: Any, arrays: dict[str, np.ndarray] | None, where: str) -> dict[str, Any]:
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise TypeError(f"{where}: an array of dtype object is not data that can be saved; {_ADVICE}")
    tagged: dict[str, Any] = {_TAG: "array" if type(value) is np.ndarray else "scalar"}
    if arrays is not None:
        tagged["name"] = f"a{len(arrays)}"
        arrays[tagged["name"]] = array
        return tagged
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {**tagged, "dtype": array.dtype.str, "shape": list(array.shape), "base64": data}


def _decode_array(tree: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    if "name" in tree:
        array = arrays[tree["name"]]
    else:
        dtype = np.dtype(tree["dtype"])
        if dtype.hasobject:
            raise ValueError(f"an array of dtype {dtype} is not data")
        array = np.frombuffer(base64.b64decode(tree["base64"]), dtype=dtype).reshape(tree["shape"]).copy()
    return array[()] if tree[_TAG] == "scalar" else array
