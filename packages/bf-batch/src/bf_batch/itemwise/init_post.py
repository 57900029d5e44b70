"""Calls of a user's init and post functions with the arguments that they take."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of a function: the positional ones in order, all names, whether it takes any more."""

    positional: tuple[str, ...]
    named: frozenset[str]
    any_positional: bool
    any_named: bool


def read_parameters(function: Callable[..., Any]) -> Parameters:
    """Return the parameters of a function; TypeError or ValueError for a builtin that has no signature."""
    try:
        return _read_cached(function)
    except TypeError:  # it has no hash
        return _read_signature(function)


def _read_signature(function: Callable[..., Any]) -> Parameters:
    parameters = inspect.signature(function).parameters.values()
    positional = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
    named = frozenset(p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))
    kinds = {p.kind for p in parameters}
    return Parameters(
        positional,
        named,
        inspect.Parameter.VAR_POSITIONAL in kinds,
        inspect.Parameter.VAR_KEYWORD in kinds,
    )


_read_cached = functools.lru_cache(maxsize=512)(_read_signature)


def wants_rng(function: Callable[..., Any]) -> bool:
    """Whether a function wants a generator: it has a parameter ``rng``."""
    try:
        return "rng" in read_parameters(function).named
    except (TypeError, ValueError):  # a builtin without a signature
        return False


def call_hook(hook: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], own: int) -> Any:
    """Call a hook with its own first arguments and with those of the action that it takes.

    A hook that takes ``*args`` and ``**kwargs`` gets all of them, one that takes nothing more gets none.
    """
    inner = getattr(hook, "__func__", None)  # of a bound method: the cache must not keep the batch alive
    found = read_parameters(hook if inner is None else inner)
    positional = found.positional if inner is None else found.positional[1:]
    if not found.any_named:
        kwargs = {name: value for name, value in kwargs.items() if name in found.named}
    if not found.any_positional:
        free = [name for name in positional[own:] if name not in kwargs]
        args = args[: own + len(free)]
    return hook(*args, **kwargs)
