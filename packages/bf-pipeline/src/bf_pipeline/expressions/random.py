"""R, a random value drawn at an address, and P and PP, one value for each item."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bf_batch import PerItem
from bf_index.errors import unknown
from bf_pipeline.context import Context
from bf_pipeline.expressions.base import Expr, arguments_as_code, as_code, evaluate, lift

# Methods of a generator that are not distributions.
_NOT_DRAWN = {"bytes", "shuffle", "permuted", "spawn", "bit_generator"}
DISTRIBUTIONS = tuple(
    name for name in dir(np.random.Generator) if not name.startswith("_") and name not in _NOT_DRAWN
)
Size = int | tuple[int, ...] | None
"""How many values; an expression of them, too, where ``R`` is written."""
Draw = Callable[[np.random.Generator, tuple[Any, ...], dict[str, Any], Size], Any]


@dataclass(frozen=True, slots=True, eq=False, repr=False, init=False)
class R(Expr):
    """``R('uniform', -10, 10)``: a random value, new for each batch, the same for the same seed and place.

    The distribution is the name of a method of ``numpy.random.Generator``, a frozen scipy distribution, a
    sampler, a callable that takes ``size=`` (and ``rng=``, if it wants to be repeatable), or an int or a
    sequence to choose from. Arguments and ``size`` may be expressions. Without ``size`` it is one value,
    inside ``P`` one per item. A sampler of one coordinate gives plain values, of several a row for each.
    """

    distribution: Any
    args: Any
    kwargs: Any
    size: Any
    draw: Any

    def __init__(self, distribution: Any, *args: Any, size: Size | Expr = None, **kwargs: Any) -> None:
        if "seed" in kwargs:
            raise TypeError(
                "R takes no seed: give one to run(seed=...); values depend on it and on the place only"
            )
        draw = choose_draw(distribution)
        values = (lift(distribution), lift(args), lift(kwargs), check_size(lift(size)), draw)
        for name, value in zip(("distribution", "args", "kwargs", "size", "draw"), values):
            object.__setattr__(self, name, value)

    def parts(self) -> tuple[Any, ...]:
        """Return the parts that may hold expressions."""
        return (self.distribution, self.args, self.kwargs, self.size)

    def evaluate(self, context: Context) -> Any:
        """Draw at the address of this step."""
        rng, size, wanted = context.rng(), self.size, context.size
        args, kwargs = self.args, self.kwargs
        if isinstance(size, Expr):
            size = self.check_found_size(_evaluate_alone(size, context))
        if wanted is not None:
            own = () if size is None else (size,) if isinstance(size, int) else tuple(size)
            size = (wanted, *own) if own else wanted
            context.size = None
        try:
            if isinstance(args, Expr):
                args = args.evaluate(context)
            if isinstance(kwargs, Expr):
                kwargs = kwargs.evaluate(context)
            distribution = evaluate(self.distribution, context)
        finally:
            context.size = wanted
        draw = self.draw or choose_draw(distribution)
        return draw(distribution, rng, args, kwargs, size)

    def check_found_size(self, size: Any) -> Size:
        """Return the size that an expression gave; ``TypeError`` or ``ValueError`` if it can be none."""
        found: Size = check_size(size)
        return found

    def __repr__(self) -> str:
        size = "" if self.size is None else f", size={self.size!r}"
        rest = arguments_as_code(self.args, self.kwargs)
        return f"R({as_code(self.distribution)}{', ' if rest else ''}{rest}{size})"


def _evaluate_alone(value: Expr, context: Context) -> Any:
    """Return the value of an expression inside ``P`` as if it stood outside: one, not one per item."""
    wanted, context.size = context.size, None
    try:
        return value.evaluate(context)
    finally:
        context.size = wanted


def check_size(size: Any) -> Any:
    """Return a size, or an expression of one; ``TypeError`` or ``ValueError`` for anything else."""
    if size is None or isinstance(size, Expr):
        return size
    extents = size if isinstance(size, tuple | list) else (size,)
    for extent in extents:
        if isinstance(extent, bool) or not hasattr(extent, "__index__"):
            raise TypeError(
                f"R: size is a whole number >= 0, several in a tuple, or an expression, got {size!r}"
            )
        if extent < 0:
            raise ValueError(f"R: size is a whole number >= 0 or several, got {size!r}")
    return tuple(map(int, extents)) if isinstance(size, tuple | list) else int(size)


def choose_draw(distribution: Any) -> Any:
    """Return the function that draws; None while the distribution is an expression and so not known."""
    if isinstance(distribution, Expr):
        return None
    if isinstance(distribution, str):
        if distribution not in DISTRIBUTIONS:
            raise ValueError(unknown("distribution", distribution, DISTRIBUTIONS, "R"))
        return _draw_by_name
    if callable(getattr(distribution, "rvs", None)):
        return _draw_by_scipy
    if callable(getattr(distribution, "values", None)) and callable(getattr(distribution, "sample", None)):
        return _draw_by_sampler
    if callable(distribution):
        return _draw_by_seeded_function if _takes_rng(distribution) else _draw_by_function
    if isinstance(distribution, int | np.integer | Sequence | np.ndarray):
        return _draw_by_choice
    raise TypeError(
        "R needs the name of a numpy distribution, a frozen scipy distribution, a sampler, a callable with "
        f"size=, an int or a sequence to choose from; got {distribution!r}"
    )


def _takes_rng(function: Any) -> bool:
    try:
        return "rng" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # built-in functions have no signature
        return False


def _draw_by_name(name: str, rng: np.random.Generator, args: Any, kwargs: Any, size: Size) -> Any:
    if size is None:
        return getattr(rng, name)(*args, **kwargs)
    return getattr(rng, name)(*args, size=size, **kwargs)


def _draw_by_scipy(frozen: Any, rng: np.random.Generator, args: Any, kwargs: Any, size: Size) -> Any:
    drawn = frozen.rvs(*args, size=1 if size is None else size, random_state=rng, **kwargs)
    return drawn if size is not None else np.asarray(drawn)[0]


def _draw_by_sampler(sampler: Any, rng: np.random.Generator, args: Any, kwargs: Any, size: Size) -> Any:
    if size is None:
        return sampler.draw(rng)
    if isinstance(size, tuple):
        drawn = sampler.values(int(np.prod(size)), rng)
        return drawn.reshape(size + drawn.shape[1:])
    return sampler.values(size, rng)


def _draw_by_seeded_function(
    function: Any, rng: np.random.Generator, args: Any, kwargs: Any, size: Size
) -> Any:
    return _draw_by_function(function, rng, args, {**kwargs, "rng": rng}, size)


def _draw_by_function(function: Any, rng: np.random.Generator, args: Any, kwargs: Any, size: Size) -> Any:
    if size is None:
        return function(*args, size=1, **kwargs)[0]
    return function(*args, size=size, **kwargs)


def _draw_by_choice(choices: Any, rng: np.random.Generator, args: Any, kwargs: Any, size: Size) -> Any:
    choose: Any = rng.choice
    return choose(choices, *args, size=size, **kwargs)


@dataclass(frozen=True, slots=True, eq=False, repr=False, init=False)
class P(Expr):
    """``P(R('uniform', -10, 10))``: one value for each item of the batch; ``P([1, 2, 3])`` deals them out.

    Every ``R`` inside draws as many values as the batch has items. What comes out must have one value per
    item. It evaluates to a ``PerItem``, which item-wise actions take apart.
    """

    expression: Any

    def __init__(self, expression: Any) -> None:
        lifted = lift(expression)
        if not isinstance(lifted, Expr | Sequence | np.ndarray | PerItem) or isinstance(lifted, str):
            raise TypeError(
                f"P needs an expression or a sequence with one value per item, got {expression!r}"
            )
        object.__setattr__(self, "expression", lifted)

    def evaluate(self, context: Context) -> Any:
        """Return one value for each item."""
        values, count = self.expression, len(context.batch)
        if isinstance(values, Expr):
            outer = context.size
            context.size = count
            try:
                values = values.evaluate(context)
            finally:
                context.size = outer
        try:
            got = len(values)
        except TypeError:
            raise TypeError(
                f"{self!r}: one value per item is needed, got the single value {values!r}"
            ) from None
        if got != count:
            raise ValueError(f"{self!r}: got {got} values for a batch of {count} items")
        return PerItem(values)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PP(Expr):
    """``PP(F(make))``: the expression is evaluated once for each item of the batch, one after another.

    ``P`` evaluates once for the whole batch and deals the values out, which is faster; ``PP`` is for what
    gives a single value, such as a function without arguments, or one array for each item.
    """

    expression: Any

    def __post_init__(self) -> None:
        if not isinstance(lifted := lift(self.expression), Expr):
            raise TypeError(f"PP needs an expression, got {self.expression!r}; P deals out values at hand")
        object.__setattr__(self, "expression", lifted)

    def evaluate(self, context: Context) -> Any:
        """Return one value for each item."""
        return PerItem([_evaluate_alone(self.expression, context) for _ in range(len(context.batch))])
