"""Calls of actions and functions: arguments are checked once, and constants kept apart from expressions."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bf_batch.actions import ActionSpec, without_renaming
from bf_index.errors import unknown
from bf_pipeline.bind.blocks import bind_coin
from bf_pipeline.bind.bound import BoundStep
from bf_pipeline.bind.names import Names
from bf_pipeline.context import Context
from bf_pipeline.errors import Location
from bf_pipeline.expressions.base import Expr, lift, walk
from bf_pipeline.expressions.named import MODES, C, Mode
from bf_pipeline.expressions.random import PP, P, R
from bf_pipeline.record.recorded import Call

# ``run(batch)`` or ``run(batch, context)`` of a bound step.
StepFunction = Callable[..., Any]


def signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """Return a callable's signature; None for the built-in functions that have none."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def explain_mismatch(
    owner: str, function: Callable[..., Any], lead: int, args: tuple[Any, ...], named: Mapping[str, Any]
) -> str:
    """Return why arguments do not fit a function that gets ``lead`` more in front; empty when they do."""
    if hasattr(function, "__bf_parallel__"):
        return _explain_mismatch_of_items(owner, function, named)
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


def _explain_mismatch_of_items(owner: str, function: Callable[..., Any], named: Mapping[str, Any]) -> str:
    """Check names only: which of a method's parameters come from the items is known when they are there."""
    wrapper = inspect.signature(function, follow_wrapped=False).parameters.values()
    own = [parameter.name for parameter in wrapper if parameter.kind is parameter.KEYWORD_ONLY]
    taken = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        return ""
    names = [*list(taken)[1:], *own]
    return next((unknown("argument", name, names, owner) for name in named if name not in names), "")


def make_positional(
    function: Callable[..., Any], args: tuple[Any, ...], named: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a method's arguments, named ones as positional ones where that means the same: it is faster.

    A function that wraps another one may look at the names, so its arguments stay as they are.
    """
    known = signature(function)
    if known is None or not named or hasattr(function, "__wrapped__"):
        return args, dict(named)
    if not inspect.isfunction(function):
        return args, dict(named)
    bound = known.bind(None, *args, **named)
    return bound.args[1:], bound.kwargs


def make_constant_call(
    function: Callable[..., Any], args: tuple[Any, ...], named: Mapping[str, Any]
) -> StepFunction:
    """Return ``run(batch)`` for arguments that are all known; few positional ones cost least."""
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


def make_evaluated_call(
    function: Callable[..., Any],
    number: int,
    args: tuple[Any, ...],
    named: Mapping[str, Any],
    lead: bool = True,
) -> StepFunction:
    """Return ``run(batch, context)`` that evaluates the expressions among the arguments and calls.

    With ``lead`` the batch is the first argument, as a method needs.
    """
    prepare = _make_arguments(args, named)

    def with_batch(batch: Any, context: Any) -> Any:
        context.step, context.draws = number, 0
        values, options = prepare(context)
        return function(batch, *values, **options)

    def without_batch(batch: Any, context: Any) -> Any:
        context.step, context.draws = number, 0
        values, options = prepare(context)
        return function(*values, **options)

    return with_batch if lead else without_batch


def _make_arguments(args: tuple[Any, ...], named: Mapping[str, Any]) -> Callable[[Any], tuple[Any, Any]]:
    """Return ``prepare(context)``, which returns positional and named arguments, expressions evaluated."""
    places = [(place, value) for place, value in enumerate(args) if isinstance(value, Expr)]
    names = [(name, value) for name, value in named.items() if isinstance(value, Expr)]
    constants = dict(named)
    template = list(args)

    def only_positional(context: Any) -> tuple[Any, Any]:
        values = template.copy()
        _fill_in(values, places, context)
        return values, constants

    def both(context: Any) -> tuple[Any, Any]:
        values, options = template.copy(), constants.copy()
        _fill_in(values, places, context)
        _fill_in(options, names, context)
        return values, options

    return both if names else only_positional


def _fill_in(values: Any, expressions: Sequence[tuple[Any, Expr]], context: Any) -> None:
    """Put the values of expressions at their keys; an error names the one that failed."""
    expr: Expr | None = None
    try:
        for key, expr in expressions:
            values[key] = expr.evaluate(context)
    except Exception as error:
        error.add_note(f"while evaluating {expr!r}")
        raise


def bind_action(names: Names, call: Call, number: int) -> BoundStep | None:
    """Bind an action of the batch class, or a function of a namespace; anything else is a mistake."""
    name, where, kwargs = call.name, call.where, dict(call.kwargs)
    joined, joined_in_parent = names.take_joined()
    if names.batch_class is None:
        names.mistake(
            where, f"action {name!r}: the pipeline has no dataset; give one with pipeline << dataset"
        )
        return None
    spec = getattr(names.batch_class, "actions", {}).get(name)
    if spec is None:
        function = names.function(name)
        if function is not None:
            return bind_function(names, name, where, number, function, call.args, kwargs)
        names.mistake(where, f"step {number}: {names.unknown_action(name)}")
        return None
    function = without_renaming(getattr(names.batch_class, name))
    if spec.older:
        try:
            kwargs = _rename_older(spec, kwargs, where)
        except TypeError as error:
            names.mistake(where, str(error))
            return None
    takes_p = spec.itemwise or "p" in getattr(signature(function), "parameters", ())
    coin = None if takes_p else kwargs.pop("p", None)
    checked = {key: value for key, value in kwargs.items() if key != "p" or not spec.itemwise}
    args = (*joined, *call.args)
    if text := explain_mismatch(f"action {name!r} of {names.owner}", function, 1, args, checked):
        names.mistake(where, text)
        return None
    names.check((args, kwargs, coin), where, name)
    args, kwargs = make_positional(function, args, kwargs)
    args, kwargs = tuple(map(lift, args)), {key: lift(value) for key, value in kwargs.items()}
    parent = joined_in_parent or names.needs_parent((args, kwargs))
    contextual = any(isinstance(value, Expr) for value in (*args, *kwargs.values()))
    if contextual:
        run = make_evaluated_call(function, number, args, kwargs)
    else:
        run = make_constant_call(function, args, kwargs)
    pending = spec.pending is not None and _leaves_pending(spec.pending, function, args, kwargs)
    step = BoundStep(number, name, where, run, contextual, parent, spec.resizes, pending and coin is None)
    return step if coin is None else bind_coin(names, step, coin)


def _rename_older(spec: ActionSpec, kwargs: dict[str, Any], where: Location) -> dict[str, Any]:
    """Return arguments by the names they have now; a warning points at the step that has older ones."""
    kwargs, hints = spec.rename(kwargs)
    for hint in hints:
        warnings.warn_explicit(hint, FutureWarning, where.file, where.line, registry=_HINTS)
    return kwargs


_HINTS: dict[Any, Any] = {}
"""The hints given so far, so that each step gets its own once."""


def bind_function(
    names: Names,
    name: str,
    where: Location,
    number: int,
    function: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> BoundStep | None:
    """Bind a call of a plain function: no batch in front, its result goes to ``save_to``."""
    target = kwargs.pop("save_to", None)
    mode: Mode = "w"
    # Without a target, or when it is none of ours, the function has a `mode` of its own.
    if target is not None and kwargs.get("mode") in MODES:
        mode = kwargs.pop("mode")
    in_parent = kwargs.pop("in_parent", False)
    if not callable(function):
        names.mistake(where, f"{name}: a function is needed, got {function!r}")
        return None
    if not isinstance(function, Expr) and (text := explain_mismatch(name, function, 0, args, kwargs)):
        names.mistake(where, text)
        return None
    names.check((function, args, kwargs), where, name)
    write = names.writer(target, mode, where, name)
    parent = in_parent or names.needs_parent((function, args, kwargs)) or names.needs_parent(target)
    values = (lift(function), *map(lift, args))
    named = {key: lift(value) for key, value in kwargs.items()}
    run = make_evaluated_call(_call_function, number, values, named, lead=False)

    def step(batch: Any, context: Context) -> Any:
        result = run(batch, context)
        if write is not None:
            write(result, context)
        return context.batch

    return BoundStep(number, name, where, step, True, parent)


def _leaves_pending(leaves: Any, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call leaves its work pending: by its arguments, which must take no work either."""
    if not all(isinstance(expr, P | PP | R | C) for expr in walk((args, kwargs))):
        return False
    known = signature(function)
    return known is not None and bool(leaves(known.bind(None, *args, **kwargs).arguments))


def _call_function(function: Any, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)
