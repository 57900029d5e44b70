"""The mark of an argument that was not given, where None is a value like any other."""

from __future__ import annotations

from enum import Enum
from typing import Any


class _Unset(Enum):
    """An enumeration of one: it stays the same object through pickling and copying."""

    UNSET = "not given"

    def __repr__(self) -> str:
        return "<not given>"


UNSET: Any = _Unset.UNSET
