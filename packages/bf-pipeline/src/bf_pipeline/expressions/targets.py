"""Where a step puts what it got: variables, components, config, parts of them; in one of four modes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, cast

import numpy as np

from bf_batch import Dataset
from bf_pipeline.context import Context
from bf_pipeline.expressions.base import Attribute, Container, Expr, Item, evaluate
from bf_pipeline.expressions.named import B, C, D, L, Mode, V
from bf_pipeline.plain_config import UNSET, find_value, make_plain, replace_value

Write = Callable[[Any, Context], None]

HINT = (
    "a target is V(name), B(name), C(path), D(name), a part of them such as V(name)[key] or .attr(name), "
    "L(name) for each item, an array to fill, or a list or dict of targets"
)


def find_roots(target: Any) -> Iterator[Expr]:
    """Yield the V, B, C, D and L expressions that a target writes into."""
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
    elif isinstance(target, L) and isinstance(target.source, str) and not target.chain:
        yield target.source


def explain_target(target: Any) -> str:
    """Return why something can not be a target; an empty text when it can."""
    target = target.value if isinstance(target, Container) else target
    if isinstance(target, list | tuple | dict):
        parts = target.values() if isinstance(target, dict) else target
        return next((text for part in parts if (text := explain_target(part))), "")
    if isinstance(target, Item | Attribute):
        return explain_target(target.operand)
    if isinstance(target, V) and target.pipeline is not None:
        return f"{target!r} can not be written to: it belongs to another run, which alone may change it"
    if isinstance(target, C | D):
        return _explain_read_only(target)
    if isinstance(target, L) and (target.chain or isinstance(target.source, str)):
        return (
            "" if not target.chain or target.chain[-1][0] != "call" else f"{target!r} is what a call returns"
        )
    if isinstance(target, np.ndarray | V) or (isinstance(target, B) and target.name is not None):
        return ""
    return f"{target!r} can not be written to; {HINT}"


def _explain_read_only(target: C | D) -> str:
    name = target.path if isinstance(target, C) else target.name
    if name is None:
        return f"{target!r} can not be written to as a whole; name a part of it"
    if not target.writable:
        return f"{target!r} can not be written to by text; a pipeline written in Python may do so"
    if isinstance(target, D) and (
        hasattr(Dataset, name) or name in ("index", "batch_class") or name[0] == "_"
    ):
        return f"{target!r} can not be written to: {name!r} is a word of data sets themselves"
    return ""


def make_writer(target: Any, mode: Mode) -> Write:
    """Return ``write(value, context)`` for a target; the target's own mode goes before the step's."""
    target = target.value if isinstance(target, Container) else target
    if isinstance(target, V | B):
        own: Mode = target.mode or mode
        write = _write_variable if isinstance(target, V) else _write_component
        return lambda value, context: write(cast(str, target.name), value, own, context)
    if isinstance(target, C):
        return lambda value, context: _write_config(cast(str, target.path), value, mode, context)
    if isinstance(target, D):
        return lambda value, context: _write_data(cast(str, target.name), value, mode, context)
    if isinstance(target, L):
        return lambda value, context: _write_each(target, value, mode, context)
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


def _write_config(path: str, value: Any, mode: Mode, context: Context) -> None:
    config = context.scope.config
    if mode != "w":
        old = find_value(config, path)
        value = combine(None if old is UNSET else make_plain(old), value, mode, f"C({path!r})")
    # A run whose steps write to its config has one of its own, which the steps after a rebatch share.
    cast("dict[str, Any]", config).update(replace_value(config, path, value))


def _write_data(name: str, value: Any, mode: Mode, context: Context) -> None:
    dataset = context.scope.dataset
    if mode != "w":
        value = combine(getattr(dataset, name, None), value, mode, f"D({name!r})")
    setattr(dataset, name, value)


def _write_each(target: L, value: Any, mode: Mode, context: Context) -> None:
    """Write to an attribute or a key of each entry, or the whole list: one value for each item."""
    if isinstance(value, str | bytes | dict) or not hasattr(value, "__len__"):
        raise TypeError(f"{target!r}: one value for each item is needed, got {type(value).__name__}")
    if not target.chain:
        _write_component(cast(str, target.source), list(value), mode, context)
        return
    *way, (kind, last, _) = target.chain
    holders = L(target.source, tuple(way)).evaluate(context)
    if len(holders) != len(value):
        raise ValueError(f"{target!r}: got {len(value)} values for {len(holders)} items")
    key = evaluate(last, context)
    for holder, one in zip(holders, value):
        if kind == "attr":
            new = one if mode == "w" else combine(getattr(holder, key), one, mode, repr(target))
            setattr(holder, key, new)
        else:
            holder[key] = one if mode == "w" else combine(holder[key], one, mode, repr(target))


def _write_component(name: str, value: Any, mode: Mode, context: Context) -> None:
    batch = context.batch
    batch_class = type(batch)
    known = name in batch.components or hasattr(batch_class, name) or name in batch.__dict__
    if not known and not _is_promised(batch_class, name):
        if _is_single(value) and mode == "w":
            batch.add_attributes(**{name: value})
            return
        batch.add_components(name)
    if mode != "w":
        value = combine(getattr(batch, name, None), value, mode, f"B({name!r})")
    setattr(batch, name, value)


def _is_single(value: Any) -> bool:
    """Whether a value has no items, so that it can be no component: a number, a text, a mapping."""
    if isinstance(value, str | bytes | dict | set | frozenset):
        return True
    try:
        len(value)
    except TypeError:
        return value is not None and not hasattr(value, "resolve")
    return False


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
