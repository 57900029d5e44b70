"""Saying which part of a value can't be pickled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any, NoReturn

from bf_batch.engines.pickling import dumps

_DEPTH = 8


def fails(value: Any) -> str | None:
    """Return why a value can't be pickled, None when it can."""
    try:
        dumps(value, protocol=5, buffer_callback=lambda _: None)
    except Exception as error:  # noqa: BLE001  pickling runs code of any type
        return f"{type(error).__name__}: {error}"
    return None


def culprit(name: str, value: Any) -> tuple[str, Any]:
    """Return the path and value of the innermost part that can't be pickled."""
    for _ in range(_DEPTH):
        for part, inner in _parts(value):
            if fails(inner) is not None:
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


def refuse(named: Mapping[str, Any], receiver: str, error: Exception) -> NoReturn:
    """Raise the TypeError for values of which one can't be sent to another process."""
    for name, value in named.items():
        if fails(value) is not None:
            path, inner = culprit(name, value)
            raise TypeError(
                f"{path} can't be pickled for {receiver}: {fails(inner)} (it is {inner!r:.100}); "
                "make it inside the worker, or use threads"
            ) from error
    raise TypeError(f"{', '.join(named)} can't be pickled for {receiver}: {error}") from error
