"""Looking names up: whether an expression's name is there, and what to say when it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bf_index.errors import unknown
from bf_pipeline.drawn import P
from bf_pipeline.expressions import Expr
from bf_pipeline.named import B, C, D, I, L, M, V

if TYPE_CHECKING:
    from bf_pipeline.binding import Binder


def fault(expr: Expr, binder: Binder, with_batch: bool) -> str:
    """Say what is wrong with the name in an expression; an empty text when it is known."""
    if isinstance(expr, B | I | L | P) and not with_batch:
        return f"{expr!r} needs a batch, and there is none here"
    if isinstance(expr, V) and expr.name not in binder.variables:
        return f"{unknown('variable', expr.name, binder.variables)}; declare it with init_variable"
    if isinstance(expr, M) and expr.name not in binder.models:
        return f"{unknown('model', expr.name, binder.models)}; declare it with init_model"
    if isinstance(expr, C) and expr.absent(binder.config):
        return expr.missing(binder.config)
    dataset = binder.pipeline.dataset
    if isinstance(expr, D) and expr.name is not None and not hasattr(dataset, expr.name):
        return unknown("attribute", expr.name, _public(dataset), "the dataset")
    name = expr.name if isinstance(expr, B) else expr.source if isinstance(expr, L) else None
    if isinstance(name, str) and binder.batch_class is not None and not _has(binder, name):
        declared = getattr(binder.batch_class, "components", ())
        return unknown("component", name, [*declared, *sorted(binder.components)], binder.owner)
    return ""


def _has(binder: Binder, name: str) -> bool:
    """Whether batches have a component or attribute, or a step before may have given it to them."""
    if name.startswith("_") or name in binder.components or hasattr(binder.batch_class, name):
        return True
    bases = getattr(binder.batch_class, "__mro__", ())
    return any(name in getattr(base, "__annotations__", {}) for base in bases)


def stranger(binder: Binder, name: str) -> str:
    """Say that a name is no action, and what is close."""
    batch_class = binder.batch_class
    if callable(getattr(batch_class, name, None)) and not name.startswith("_"):
        return f"{name!r} of {binder.owner} is a method but not an action; mark it with @action"
    functions = [key for space in binder.pipeline.namespaces for key in _public(space)]
    return unknown("action", name, [*getattr(batch_class, "actions", ()), *functions], binder.owner)


def _public(thing: object) -> list[str]:
    return [name for name in dir(thing) if not name.startswith("_")]
