"""Where a step puts what it got: variables, components, parts of them, arrays; in one of four modes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, cast

import numpy as np

from bf_pipeline.context import Context
from bf_pipeline.expressions.base import Attribute, Container, Expr, Item, evaluate
from bf_pipeline.expressions.named import B, Mode, V

Write = Callable[[Any, Context], None]

HINT = (
    "a target is V(name), B(name), a part of them such as V(name)[key] or .attr(name), an array to fill, "
    "or a list or dict of targets"
)


def find_roots(target: Any) -> Iterator[Expr]:
    """Yield the V and B expressions that a target writes into."""
    if isinstance(target, Container):
        target = target.value
    if isinstance(target, list | tuple):
        for part in target:
            yield from find_roots(part)
    elif isinstance(target, dict):
        for part in target.values():
            yield from find_roots(part)
    elif isinstance(target, Item | Attribute):
        yield from find_roots(target.operand)
    elif isinstance(target, Expr):
        yield target


def find_assigned(target: Any) -> Iterator[str]:
    """Yield the names of the components and attributes of the batch that a target assigns as a whole."""
    target = target.value if isinstance(target, Container) else target
    if isinstance(target, list | tuple | dict):
        for part in target.values() if isinstance(target, dict) else target:
            yield from find_assigned(part)
    elif isinstance(target, B) and target.name is not None:
        yield target.name


def explain_target(target: Any) -> str:
    """Return why something can not be a target; an empty text when it can."""
    target = target.value if isinstance(target, Container) else target
    if isinstance(target, list | tuple | dict):
        parts = target.values() if isinstance(target, dict) else target
        return next((text for part in parts if (text := explain_target(part))), "")
    if isinstance(target, Item | Attribute):
        return explain_target(target.operand)
    if isinstance(target, np.ndarray | V) or (isinstance(target, B) and target.name is not None):
        return ""
    return f"{target!r} can not be written to; {HINT}"


def make_writer(target: Any, mode: Mode) -> Write:
    """Return ``write(value, context)`` for a target; the target's own mode goes before the step's."""
    target = target.value if isinstance(target, Container) else target
    if isinstance(target, V | B):
        own: Mode = target.mode or mode
        write = _write_variable if isinstance(target, V) else _write_component
        return lambda value, context: write(cast(str, target.name), value, own, context)
    if isinstance(target, Item):
        return lambda value, context: _write_item(target, value, mode, context)
    if isinstance(target, Attribute):
        return lambda value, context: _write_attribute(target, value, mode, context)
    if isinstance(target, np.ndarray):
        return lambda value, context: _fill(target, value)
    if isinstance(target, dict):
        by_key = {key: make_writer(part, mode) for key, part in target.items()}
        return lambda value, context: _write_by_key(by_key, value, context)
    if isinstance(target, list | tuple):
        in_order = [make_writer(part, mode) for part in target]
        return lambda value, context: _write_in_order(in_order, value, context)
    raise TypeError(explain_target(target))


def combine(old: Any, value: Any, mode: Mode, name: str) -> Any:
    """Return what a place holds after a value came in: the same object where it can take the value in.

    ``'w'`` replaces; ``'a'`` appends one value to a list (a set or dict takes it in); ``'e'`` extends by
    several; ``'u'`` calls ``update``. On None ``'a'`` starts a list with the value, ``'e'`` a list of the
    values, ``'u'`` takes the value itself.
    """
    if mode == "w":
        return value
    if old is None:
        return [value] if mode == "a" else list(value) if mode == "e" else value
    if isinstance(old, np.ndarray) and mode in "ae":
        value = np.asarray(value)
        return np.concatenate([old, value[None] if mode == "a" else value])
    if mode == "a" and isinstance(old, set):
        old.add(value) if not isinstance(value, set) else old.update(value)
        return old
    method = {"a": "append", "e": "extend", "u": "update"}[mode]
    if not hasattr(old, method) and hasattr(old, "update"):
        method = "update"
    if not hasattr(old, method):
        raise TypeError(
            f"{name}: mode {mode!r} needs a value with .{method}(), it holds {type(old).__name__}"
        )
    getattr(old, method)(value)
    return old


def _write_variable(name: str, value: Any, mode: Mode, context: Context) -> None:
    variables = context.scope.variables
    variables[name] = combine(variables[name], value, mode, f"V({name!r})")


def _write_component(name: str, value: Any, mode: Mode, context: Context) -> None:
    batch = context.batch
    batch_class = type(batch)
    known = name in batch.components or hasattr(batch_class, name) or name in batch.__dict__
    if not known and not _is_promised(batch_class, name):
        batch.add_components(name)
    if mode != "w":
        value = combine(getattr(batch, name, None), value, mode, f"B({name!r})")
    setattr(batch, name, value)


def is_declared(batch_class: Any, name: str) -> bool:
    """Whether batches of a class have a place of this name: a component, an attribute, any private name."""
    return hasattr(batch_class, name) or _is_promised(batch_class, name)


def _is_promised(batch_class: Any, name: str) -> bool:
    return name[:1] == "_" or name in _list_annotated(batch_class)


@lru_cache(maxsize=64)
def _list_annotated(batch_class: Any) -> frozenset[str]:
    bases = getattr(batch_class, "__mro__", ())
    return frozenset(name for base in bases for name in getattr(base, "__annotations__", ()))


def _write_item(target: Item, value: Any, mode: Mode, context: Context) -> None:
    holder, key = target.operand.evaluate(context), evaluate(target.key, context)
    if mode != "w":
        old = holder.get(key) if isinstance(holder, dict) else holder[key]
        value = combine(old, value, mode, repr(target))
    if isinstance(holder, np.ndarray) and not holder.flags.writeable and isinstance(target.operand, B):
        # A view of the preloaded data: only the batch's own copy may change.
        holder = holder.copy()
        setattr(context.batch, cast(str, target.operand.name), holder)
    holder[key] = value


def _write_attribute(target: Attribute, value: Any, mode: Mode, context: Context) -> None:
    holder = target.operand.evaluate(context)
    if mode != "w":
        value = combine(getattr(holder, target.name), value, mode, repr(target))
    setattr(holder, target.name, value)


def _fill(array: np.ndarray, value: Any) -> None:
    array[...] = value


def _write_by_key(writers: dict[Any, Write], value: Any, context: Context) -> None:
    missing = [key for key in writers if key not in value]
    if missing:
        raise KeyError(f"save_to: no output {missing[0]!r}; there are {', '.join(map(repr, value))}")
    for key, write in writers.items():
        write(value[key], context)


def _write_in_order(writers: list[Write], value: Any, context: Context) -> None:
    if not isinstance(value, list | tuple | np.ndarray) or len(value) != len(writers):
        got = (
            f"{len(value)} values"
            if isinstance(value, list | tuple | np.ndarray)
            else f"one {type(value).__name__}"
        )
        raise ValueError(f"save_to: {len(writers)} targets, got {got}")
    for write, part in zip(writers, value):
        write(part, context)
