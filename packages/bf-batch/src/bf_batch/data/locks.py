"""Locks on preloaded values: a batch reads them or has a copy, and the data stay as they are."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHANGEABLE = (list, tuple, dict, set, bytearray)
"""Values that may be changed in place, or hold such, and can't be locked: a batch gets a copy of each."""


def lock(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view of an array."""
    view = array.view()
    view.flags.writeable = False
    return view


def lock_entries(values: Iterable[Any]) -> list[Any]:
    """Return a list of the same values, arrays as read-only views."""
    return [lock(value) if isinstance(value, np.ndarray) else value for value in values]


def need_care(values: Iterable[Any], copies: bool) -> bool:
    """Whether any of some locked values must be copied before a batch gets it."""
    care = (*_CHANGEABLE, np.ndarray) if copies else _CHANGEABLE
    return any(isinstance(value, care) for value in values)


def copy_entry(value: Any, copies: bool) -> Any:
    """Return what a batch gets of a locked value: a copy if asked for, or if there is no lock for it."""
    if isinstance(value, np.ndarray):
        return value.copy() if copies else value
    return copy.deepcopy(value) if isinstance(value, _CHANGEABLE) else value


def is_locked(value: Any) -> bool:
    """Whether a component, or an entry of it, is a read-only array."""
    if isinstance(value, np.ndarray):
        return not value.flags.writeable
    if isinstance(value, tuple | dict):  # parts of the data of a batch without components
        return any(map(is_locked, value.values() if isinstance(value, dict) else value))
    return isinstance(value, list) and any(
        isinstance(entry, np.ndarray) and not entry.flags.writeable for entry in value
    )


def lock_again(value: Any) -> Any:
    """Return a component that came from another process and was locked there as a locked one."""
    if isinstance(value, dict):
        return {key: lock_again(part) if is_array_or_list(part) else part for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple(lock_again(part) if is_array_or_list(part) else part for part in value)
    return lock(value) if isinstance(value, np.ndarray) else lock_entries(value)


def is_array_or_list(value: Any) -> bool:
    """Whether a value is what can be locked."""
    return isinstance(value, np.ndarray | list)
