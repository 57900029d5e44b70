"""Values of variables as JSON and arrays, and back: data only, never code."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# A dictionary with this key is not the user's: it says what a value was before it became JSON.
_TAG = "$"
_PLAIN = frozenset((type(None), bool, int, float, str))
_SEQUENCES: Mapping[str, type] = {"tuple": tuple, "set": set, "frozenset": frozenset}
_ADVICE = (
    "use numbers, strings, arrays, lists, tuples, sets and dictionaries of these, "
    "or objects of classes that the pipeline names"
)


def _all_in_attributes(kind: type) -> bool:
    """Whether what objects of a class hold is in their ``__dict__``, and making one is plain."""
    bare = all(not base.__dict__.get("__slots__") for base in kind.__mro__)
    make: Any = kind.__new__
    return bare and make is object.__new__ and kind.__dictoffset__ != 0


def class_name(kind: type) -> str:
    """Return the name of a class as states write it."""
    return f"{kind.__module__}.{kind.__qualname__}"


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder of values as JSON; arrays go into ``arrays`` by name, or into the text when it is None.

    Objects are taken by their attributes if their class is one of ``classes``, by name.
    """

    arrays: dict[str, np.ndarray] | None = None
    classes: Mapping[str, type] = field(default_factory=dict)

    def encode(self, value: Any, where: str) -> Any:
        """Turn a value into JSON; ``TypeError`` for one that is not data, naming ``where`` it is."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is list:
            if _PLAIN.issuperset(map(type, value)):
                return value.copy()  # a history of losses may have millions of entries
            return [self.encode(item, f"{where}[{i}]") for i, item in enumerate(value)]
        if kind is dict:
            return self._dict(value, where)
        if kind in (set, frozenset):
            # Sorted by their text, so that equal states have equal files.
            items = [self.encode(item, where) for item in sorted(value, key=repr)]
            return {_TAG: kind.__name__, "items": items}
        if kind is tuple:
            return {
                _TAG: "tuple",
                "items": [self.encode(item, f"{where}[{i}]") for i, item in enumerate(value)],
            }
        if kind is complex:
            return {_TAG: "complex", "parts": [value.real, value.imag]}
        if kind is bytes:
            return {_TAG: "bytes", "base64": base64.b64encode(value).decode()}
        if kind is np.ndarray or isinstance(value, np.generic):
            return self._array(value, where)
        if class_name(kind) in self.classes and _all_in_attributes(kind):
            return {_TAG: "object", "class": class_name(kind), "attributes": self._dict(vars(value), where)}
        raise TypeError(f"{where}: a value of class {kind.__name__} is not data that can be saved; {_ADVICE}")

    def _dict(self, value: dict[Any, Any], where: str) -> Any:
        if all(type(key) is str for key in value) and _TAG not in value:
            return {key: self.encode(item, f"{where}[{key!r}]") for key, item in value.items()}
        pairs = [
            [self.encode(key, f"a key of {where}"), self.encode(item, f"{where}[{key!r}]")]
            for key, item in value.items()
        ]
        return {_TAG: "dict", "pairs": pairs}

    def _array(self, value: Any, where: str) -> dict[str, Any]:
        array = np.asarray(value)
        if array.dtype.hasobject:
            raise TypeError(f"{where}: an array of dtype object is not data that can be saved; {_ADVICE}")
        tagged: dict[str, Any] = {_TAG: "array" if type(value) is np.ndarray else "scalar"}
        if self.arrays is not None:
            tagged["name"] = f"a{len(self.arrays)}"
            self.arrays[tagged["name"]] = array
            return tagged
        data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
        return {**tagged, "dtype": array.dtype.str, "shape": list(array.shape), "base64": data}


@dataclass(frozen=True, slots=True)
class Decoder:
    """A decoder of what ``Encoder`` makes; it makes objects of the known ``classes`` only."""

    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    classes: Mapping[str, type] = field(default_factory=dict)

    def decode(self, tree: Any) -> Any:
        """Turn JSON into a value; ``ValueError`` or ``KeyError`` for what an encoder never writes."""
        if isinstance(tree, list):
            return tree.copy() if _PLAIN.issuperset(map(type, tree)) else [self.decode(item) for item in tree]
        if not isinstance(tree, dict):
            return tree
        tag = tree.get(_TAG)
        if tag is None:
            return {key: self.decode(item) for key, item in tree.items()}
        if tag in _SEQUENCES:
            return _SEQUENCES[tag](self.decode(item) for item in tree["items"])
        if tag == "dict":
            return {self.decode(key): self.decode(item) for key, item in tree["pairs"]}
        if tag == "complex":
            return complex(*tree["parts"])
        if tag == "bytes":
            return base64.b64decode(tree["base64"])
        if tag in ("array", "scalar"):
            return self._array(tree)
        if tag == "object":
            return self._object(tree)
        raise ValueError(f"unknown kind of value {tag!r}")

    def _object(self, tree: Mapping[str, Any]) -> Any:
        if tree["class"] not in self.classes:
            raise ValueError(f"an object of {tree['class']!r}, a class that the pipeline does not name")
        # The class is the pipeline's, not the file's, and none of its code runs.
        kind = self.classes[tree["class"]]
        made: Any = object.__new__(kind)
        attributes = self.decode(tree["attributes"])
        for name in attributes:
            if callable(getattr(kind, name, None)):
                raise ValueError(
                    f"an object of {tree['class']!r} with {name!r}, which is a method of its class"
                )
        made.__dict__.update(attributes)
        return made

    def _array(self, tree: Mapping[str, Any]) -> Any:
        if "name" in tree:
            array = self.arrays[tree["name"]].copy()
        else:
            dtype = np.dtype(tree["dtype"])
            if dtype.hasobject:
                raise ValueError(f"an array of dtype {dtype} is not data")
            array = np.frombuffer(base64.b64decode(tree["base64"]), dtype=dtype).reshape(tree["shape"]).copy()
        return array[()] if tree[_TAG] == "scalar" else array
