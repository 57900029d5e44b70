"""Pickling for workers: what they can import goes by name, the rest (scripts, closures) by value."""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from types import FunctionType
from typing import Any

import cloudpickle


@functools.lru_cache(maxsize=1024)
def _make_importable(module: str) -> None:
    """See that the contents of a module which a fresh interpreter could not import are pickled by value."""
    top = module.partition(".")[0]
    if module not in sys.modules or top in sys.builtin_module_names or top in sys.stdlib_module_names:
        return
    if any(finder is not PathFinder and _finds(finder, top) for finder in sys.meta_path):
        return  # such as an editable install
    if PathFinder.find_spec(top) is None:
        cloudpickle.register_pickle_by_value(sys.modules[module])


def _finds(finder: Any, name: str) -> bool:
    find = getattr(finder, "find_spec", None)
    return find is not None and find(name, None) is not None


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (type, FunctionType)) and obj.__module__:
            _make_importable(obj.__module__)
        return super().reducer_override(obj)


def dumps(value: Any, protocol: int = 5, buffer_callback: Callable[[Any], Any] | None = None) -> bytes:
    """Return the pickle of a value for a worker process."""
    file = io.BytesIO()
    _Pickler(file, protocol=protocol, buffer_callback=buffer_callback).dump(value)
    return file.getvalue()
