"""From nested mappings to frozen dataclasses; unknown keys are refused with their close matches."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from bf_models.errors import unknown

T = TypeVar("T")


def expand(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Copy a config into plain nested dicts; a key with slashes is a path: ``{'body/filters': 8}``.

    Later keys win; two mappings under one key are merged. TypeError for a key that is not a string.
    """
    result: dict[str, Any] = {}
    for key, value in (config or {}).items():
        if not isinstance(key, str):
            raise TypeError(f"config keys are strings, got {key!r} of type {type(key).__name__}")
        parent, _, rest = key.partition("/")
        item = expand({rest: value}) if rest else _copy_plain(value)
        if isinstance(item, dict) and isinstance(result.get(parent), dict):
            item = merge(result[parent], item)
        result[parent] = item
    return result


def _copy_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        # numbers are keys of class weights, which are no paths
        return expand(value) if all(isinstance(key, str) for key in value) else dict(value)
    return value


def merge(base: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested mappings into a new one; the second wins."""
    result = dict(base)
    for key, value in other.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge(result[key], value) if both else value
    return result


def _freeze(value: Any) -> Any:
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes | tuple)
    return tuple(_freeze(item) for item in value) if is_list else value


def _check(cls: type, names: Iterable[str], owner: str) -> None:
    known = [field.name for field in dataclasses.fields(cls) if field.init]
    for name in names:
        if name not in known:
            raise TypeError(unknown("config key", name, known, owner))


def make(cls: type[T], options: Mapping[str, Any], owner: str) -> T:
    """Make a dataclass of a mapping; TypeError names an unknown or a missing key and the owner."""
    _check(cls, options, owner)
    try:
        return cls(**{name: _freeze(value) for name, value in options.items()})
    except TypeError as error:
        error.add_note(f"in the config of {owner}")
        raise


def amend(base: T, options: Mapping[str, Any], owner: str) -> T:
    """Copy a frozen dataclass with some fields changed; nested dataclasses are amended by mappings."""
    _check(type(base), options, owner)
    changes = {}
    for name, value in options.items():
        current = getattr(base, name)
        nested = dataclasses.is_dataclass(current) and isinstance(value, Mapping)
        if nested:
            changes[name] = amend(current, value, f"{owner}.{name}")
        else:
            # to a block a list is one value a letter, and a tuple is one value
            changes[name] = value if isinstance(current, list) else _freeze(value)
    return dataclasses.replace(base, **changes)  # type: ignore[type-var]
