"""Pickles for workers: what they can import goes by name, the rest (scripts, closures) by value.

What can't be pickled is refused with the name of the part that stands in the way.
"""

from __future__ import annotations

import functools
import importlib
import io
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import PathFinder
from types import FunctionType
from typing import Any, NoReturn

import cloudpickle

_DEPTH = 8
"""How deep the part of a value that can't be pickled is looked for."""


@functools.lru_cache(maxsize=1024)
def _make_importable(module: str) -> None:
    """Have the contents of a module pickled by value if a fresh interpreter could not import it."""
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


def dumps_quickly(value: Any, by_name: tuple[str, ...] = ()) -> bytes:
    """Return the pickle of a value the quick way, or by cloudpickle where plain pickle can't write it.

    cloudpickle looks through all modules for every function and class that it meets, 20 ms a value where
    TensorFlow is loaded: it is asked only where it is needed, as for classes of the script. ``by_name`` holds
    the beginnings of modules' names whose classes are found by name even if the module was run twice.
    """
    file = io.BytesIO()
    pickler = _QuickPickler(file, pickle.HIGHEST_PROTOCOL)
    pickler.by_name = by_name
    try:
        pickler.dump(value)
    except Exception:  # noqa: BLE001  pickling runs code of any type; cloudpickle tells what it is
        data: bytes = cloudpickle.dumps(value)
        return data
    return file.getvalue()


class _QuickPickler(pickle.Pickler):
    by_name: tuple[str, ...] = ()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type) and obj.__module__.startswith(self.by_name):
            return _find_class, (obj.__module__, obj.__qualname__)
        return NotImplemented


def _find_class(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def explain_failure(value: Any) -> str | None:
    """Return why a value can't be pickled, None when it can."""
    try:
        dumps(value, protocol=5, buffer_callback=lambda _: None)
    except Exception as error:  # noqa: BLE001  pickling runs code of any type
        return f"{type(error).__name__}: {error}"
    return None


def find_culprit(name: str, value: Any) -> tuple[str, Any]:
    """Return the path and value of the innermost part that can't be pickled."""
    for _ in range(_DEPTH):
        for part, inner in _parts(value):
            if explain_failure(inner) is not None:
                name, value = name + part, inner
                break
        else:
            break
    return name, value


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((f"[{key!r}]", inner) for key, inner in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{number}]", inner) for number, inner in enumerate(value))
    elif isinstance(value, FunctionType):
        code = value.__code__
        for name, cell in zip(code.co_freevars, value.__closure__ or ()):
            yield f"'s variable {name}", cell.cell_contents
        for name in code.co_names:
            if name in value.__globals__:
                yield f"'s variable {name}", value.__globals__[name]
    else:
        yield from ((f".{name}", inner) for name, inner in getattr(value, "__dict__", {}).items())


def refuse_unpicklable(named: Mapping[str, Any], receiver: str, error: Exception) -> NoReturn:
    """Raise the TypeError for values of which one can't be sent to another process."""
    for name, value in named.items():
        if explain_failure(value) is not None:
            path, inner = find_culprit(name, value)
            raise TypeError(
                f"{path} can't be pickled for {receiver}: {explain_failure(inner)} (it is {inner!r:.100}); "
                "make it inside the worker, or use threads"
            ) from error
    raise TypeError(f"{', '.join(named)} can't be pickled for {receiver}: {error}") from error
