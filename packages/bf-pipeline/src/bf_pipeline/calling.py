"""From a recorded call to a closure: signatures checked once, constants apart from expressions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bf_index.errors import unknown
from bf_pipeline.expressions import Expr

Run = Callable[..., Any]


def signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """Give a callable's signature; None for the built-in functions that have none."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def mismatch(
    owner: str, function: Callable[..., Any], lead: int, args: tuple[Any, ...], named: Mapping[str, Any]
) -> str:
    """Say why arguments do not fit a function that gets ``lead`` more in front; empty when they do."""
    if hasattr(function, "__bf_parallel__"):
        return _mismatch_of_items(owner, function, named)
    known = signature(function)
    if known is None:
        return ""
    kinds = {parameter.kind for parameter in known.parameters.values()}
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        names = [
            name
            for name, p in known.parameters.items()
            if p.kind is not p.POSITIONAL_ONLY and p.kind is not p.VAR_POSITIONAL
        ]
        names = names[lead:] if inspect.Parameter.VAR_POSITIONAL not in kinds else names
        for name in named:
            if name not in names:
                return unknown("argument", name, names, owner)
    try:
        known.bind(*(None,) * lead, *args, **named)
    except TypeError as error:
        return f"{owner}: {error}" + (f"; got {', '.join(named)}" if named else "")
    return ""


def _mismatch_of_items(owner: str, function: Callable[..., Any], named: Mapping[str, Any]) -> str:
    """Check names only: which of a method's parameters come from the items is known when they are there."""
    wrapper = inspect.signature(function, follow_wrapped=False).parameters.values()
    own = [parameter.name for parameter in wrapper if parameter.kind is parameter.KEYWORD_ONLY]
    taken = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        return ""
    names = [*list(taken)[1:], *own]
    return next((unknown("argument", name, names, owner) for name in named if name not in names), "")


def positional(
    function: Callable[..., Any], args: tuple[Any, ...], named: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Turn named arguments of a method into positional ones where that means the same: it is faster.

    A function that wraps another one may look at the names, so its arguments stay as they are.
    """
    known = signature(function)
    if known is None or not named or hasattr(function, "__wrapped__"):
        return args, dict(named)
    if not inspect.isfunction(function):
        return args, dict(named)
    bound = known.bind(None, *args, **named)
    return bound.args[1:], bound.kwargs


def constant_call(function: Callable[..., Any], args: tuple[Any, ...], named: Mapping[str, Any]) -> Run:
    """Give ``run(batch)`` for arguments that are all known; few positional ones cost least."""
    if named:
        return lambda batch: function(batch, *args, **named)
    if not args:
        return function
    if len(args) == 1:
        (first,) = args
        return lambda batch: function(batch, first)
    if len(args) == 2:
        first, second = args
        return lambda batch: function(batch, first, second)
    return lambda batch: function(batch, *args)


def evaluated_call(
    function: Callable[..., Any],
    number: int,
    args: tuple[Any, ...],
    named: Mapping[str, Any],
    lead: bool = True,
) -> Run:
    """Give ``run(batch, context)`` that evaluates the expressions among the arguments and calls.

    With ``lead`` the batch is the first argument, as a method needs.
    """
    prepare = prepared(args, named)

    def with_batch(batch: Any, context: Any) -> Any:
        context.step, context.draws = number, 0
        values, options = prepare(context)
        return function(batch, *values, **options)

    def without_batch(batch: Any, context: Any) -> Any:
        context.step, context.draws = number, 0
        values, options = prepare(context)
        return function(*values, **options)

    return with_batch if lead else without_batch


def prepared(args: tuple[Any, ...], named: Mapping[str, Any]) -> Callable[[Any], tuple[Any, Any]]:
    """Give ``prepare(context)`` that returns positional and named arguments, expressions evaluated."""
    places = [(place, value) for place, value in enumerate(args) if isinstance(value, Expr)]
    names = [(name, value) for name, value in named.items() if isinstance(value, Expr)]
    constants = dict(named)
    template = list(args)

    def only_positional(context: Any) -> tuple[Any, Any]:
        values = template.copy()
        fill(values, places, context)
        return values, constants

    def both(context: Any) -> tuple[Any, Any]:
        values, options = template.copy(), constants.copy()
        fill(values, places, context)
        fill(options, names, context)
        return values, options

    return both if names else only_positional


def fill(values: Any, expressions: Sequence[tuple[Any, Expr]], context: Any) -> None:
    """Put the values of expressions at their keys; an error tells which of them failed."""
    expr: Expr | None = None
    try:
        for key, expr in expressions:
            values[key] = expr.evaluate(context)
    except Exception as error:
        error.add_note(f"while evaluating {expr!r}")
        raise
