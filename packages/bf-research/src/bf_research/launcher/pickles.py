"""Pickles on the way between a worker and its driver: quick ones where they can be."""

from __future__ import annotations

import importlib
import io
import pickle
from typing import Any

import cloudpickle

#: Where Hydra's plugins lie.
_TWINS = ("hydra_plugins.", "hydra._internal.core_plugins.")


def dumps(value: Any) -> bytes:
    """Pickle a value the quick way, or by cloudpickle what plain pickle can't write.

    cloudpickle looks through all modules for every function and class that it meets, 20 ms a job in a worker
    that has TensorFlow: it is asked only where it is needed, as for classes of the script.
    """
    file = io.BytesIO()
    try:
        _Pickler(file, pickle.HIGHEST_PROTOCOL).dump(value)
    except Exception:  # noqa: BLE001 - the user's own pickling may raise anything; cloudpickle tells what
        data: bytes = cloudpickle.dumps(value)
        return data
    return file.getvalue()


class _Pickler(pickle.Pickler):
    """Writes the classes of Hydra's plugins by name: Hydra runs their modules twice, which makes twins."""

    def reducer_override(self, value: Any) -> Any:
        """Replace what plain pickle refuses as "not the same object"."""
        if isinstance(value, type) and value.__module__.startswith(_TWINS):
            return by_name, (value.__module__, value.__qualname__)
        return NotImplemented


def by_name(module: str, name: str) -> Any:
    """Find a class of a plugin."""
    return getattr(importlib.import_module(module), name)
