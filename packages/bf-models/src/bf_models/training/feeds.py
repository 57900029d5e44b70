"""From what a user feeds (arrays, dicts, keywords) to arrays by the names of the config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bf_models.config.spec import INPUT_ALIASES, TARGET_ALIASES, ModelSpec
from bf_models.errors import unknown

WEIGHTS = "sample_weight"


class Feeds:
    """Names of the arrays of a model and of their aliases."""

    def __init__(self, spec: ModelSpec, owner: str) -> None:
        self.inputs, self.targets, self.owner = spec.input_names, spec.target_names, owner
        self._dtypes = {name: item.dtype for name, item in spec.inputs.items() if item.dtype is not None}
        self._names = {name: name for name in (*self.inputs, *self.targets, WEIGHTS)}
        for names, aliases in ((self.inputs, INPUT_ALIASES), (self.targets, TARGET_ALIASES)):
            if len(names) == 1:
                for alias in aliases:
                    self._names.setdefault(alias, names[0])

    def bind(
        self,
        inputs: Any,
        targets: Any,
        feed_dict: Mapping[str, Any] | None,
        named: Mapping[str, Any],
        with_targets: bool,
    ) -> dict[str, Any]:
        """Return arrays by name, of one length; TypeError names an unknown argument or what was not fed."""
        arrays: dict[str, Any] = {}
        self._add(arrays, inputs, self.inputs, "inputs")
        self._add(arrays, targets, self.targets, "targets")
        for source, kind in ((feed_dict or {}, "name in feed_dict"), (named, "argument")):
            for name, value in source.items():
                if name not in self._names:
                    raise TypeError(unknown(kind, name, self._names, f"{self.owner}"))
                if value is not None:
                    arrays[self._names[name]] = value
        wanted = (*self.inputs, *self.targets) if with_targets else self.inputs
        missing = [name for name in wanted if name not in arrays]
        if missing:
            raise TypeError(
                f"{self.owner}: {', '.join(missing)} not fed; got {', '.join(arrays) or 'nothing'}"
            )
        read = {name: read_array(value, name, self.owner) for name, value in arrays.items()}
        for name, dtype in self._dtypes.items():
            if isinstance(read.get(name), np.ndarray):
                read[name] = _cast(read[name], dtype, name, self.owner)
        return _check_lengths(read, self.owner)

    def _add(self, arrays: dict[str, Any], value: Any, names: tuple[str, ...], kind: str) -> None:
        if value is None:
            return
        if isinstance(value, Mapping):
            for name, item in value.items():
                if name not in self._names:
                    raise TypeError(unknown(f"name in {kind}", name, self._names, self.owner))
                arrays[self._names[name]] = item
        elif len(names) == 1:
            arrays[names[0]] = value
        else:
            if not isinstance(value, tuple | list) or len(value) != len(names):
                raise TypeError(
                    f"{self.owner}: {kind} are {len(names)} arrays ({', '.join(names)}), give a dict of them"
                )
            arrays.update(zip(names, value))


def read_array(value: Any, name: str, owner: str) -> Any:
    """Make an array of numbers of what is fed, tensors as they are; TypeError for objects."""
    if isinstance(value, np.ndarray):
        array = value
    elif hasattr(value, "dtype") and hasattr(value, "shape") and hasattr(value, "numpy"):
        return value
    else:
        try:
            array = np.asarray(value)
        except ValueError:  # items of different shapes
            array = np.empty(len(value), object)
            array[:] = [np.asarray(item) for item in value]
    if array.dtype.kind not in "biuf":
        if (
            array.dtype == object
            and len(array)
            and all(np.shape(item) == np.shape(array[0]) for item in array)
        ):
            return np.stack([np.asarray(item) for item in array])
        shapes = list(dict.fromkeys(np.shape(item) for item in array)) if array.dtype == object else []
        got = (
            f"items of {len(shapes)} shapes such as {shapes[0]} and {shapes[1]}"
            if len(shapes) > 1
            else f"{array.dtype} of shape {array.shape}"
        )
        raise TypeError(
            f"{owner}: {name} are numbers of one shape, got {got}; resize, crop or pad the items to one "
            "shape first"
        )
    return array


def _cast(array: np.ndarray, dtype: str, name: str, owner: str) -> np.ndarray:
    """Return an array in the declared dtype; ValueError for a number that an integer there cannot hold."""
    if np.dtype(dtype).kind not in "iu" or np.can_cast(array.dtype, dtype, "safe"):
        return array.astype(dtype, copy=False)
    with np.errstate(invalid="ignore"):
        cast = array.astype(dtype)
    if not np.array_equal(cast, array):
        wrong = array[cast != array]
        raise ValueError(f"{owner}: {name!r} is declared as {dtype}, got a value of {wrong.flat[0]}")
    return cast


def _check_lengths(arrays: dict[str, Any], owner: str) -> dict[str, Any]:
    lengths = {name: array.shape[0] if len(array.shape) else -1 for name, array in arrays.items()}
    if len(set(lengths.values())) != 1 or -1 in lengths.values():
        raise ValueError(f"{owner}: arrays of one batch have one length, got {lengths}")
    if 0 in lengths.values():
        raise ValueError(f"{owner}: the batch is empty; weights are left as they are")
    return arrays
