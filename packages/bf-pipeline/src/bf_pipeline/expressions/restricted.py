"""Expressions as text may hold them: they read data, and reach no function and no private name.

Each has the name of the expression that Python code writes, is one, and looks at what it finds: an attribute
that is a function, a class or a module is refused, so that whatever text hands on can not be called.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FrameType, ModuleType, TracebackType
from typing import Any

import numpy as np

from bf_index.bounded import calculate
from bf_pipeline.context import Context
from bf_pipeline.expressions import base, named, random
from bf_pipeline.expressions.base import Expr, arguments_as_code, evaluate, lift
from bf_pipeline.samplers import Sampler

METHODS = frozenset(
    (
        *("all", "any", "argmax", "argmin", "argsort", "astype", "clip", "copy", "cumprod", "cumsum"),
        *("diagonal", "flatten", "item", "max", "mean", "min", "nonzero", "prod", "ravel", "reshape"),
        *("round", "squeeze", "std", "sum", "swapaxes", "tolist", "trace", "transpose", "var"),
    )
)
"""Methods of arrays that text may call: none of them reaches a file or another object."""
MOST_VALUES = 1 << 28
"""Values that ``size`` of R in text may ask for."""

_INTERNALS = (ModuleType, FrameType, CodeType, TracebackType)
_ADVICE = "text gives values only; a pipeline written in Python may do more"


def check_name(name: Any, where: str) -> None:
    """Refuse what is no text, and names with an underscore in front: ``ValueError``."""
    if not isinstance(name, str):
        raise ValueError(f"{where}: a name must be a text in quotes, got {name!r}")
    if name.startswith("_"):
        raise ValueError(f"{where}: {name!r} is a private name; {_ADVICE}")


def check_value(value: Any, where: Expr) -> Any:
    """Return a value; ``TypeError`` when it could be called or leads into the program."""
    if callable(value) or isinstance(value, _INTERNALS):
        raise TypeError(f"{where!r} is a {type(value).__name__}, no data; {_ADVICE}")
    return value


def _check_key(key: Any, where: str) -> None:
    if isinstance(key, str):
        check_name(key, where)


def _get_attribute(owner: Any, name: str, where: Expr) -> Any:
    return check_value(getattr(owner, name), where)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class B(named.B):
    """A component or attribute of the batch, or the batch itself."""

    def __post_init__(self) -> None:
        named.B.__post_init__(self)
        if self.name is not None:
            check_name(self.name, "B")

    def evaluate(self, context: Context) -> Any:
        """Read it from the batch."""
        return context.batch if self.name is None else _get_attribute(context.batch, self.name, self)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class V(named.V):
    """A variable of the run, or of the run of a pipeline that is found in the config."""

    def __post_init__(self) -> None:
        named.V.__post_init__(self)
        check_name(self.name, "V")
        if self.pipeline is not None and not isinstance(self.pipeline, Expr):
            raise ValueError(f"V: pipeline is an expression such as C('import_from'), got {self.pipeline!r}")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class C(named.C):
    """A value of the config by its path, to be read only: it may say what models may name."""

    writable = False

    def __post_init__(self) -> None:
        if self.path is not None:
            check_name(self.path, "C")
            for name in self.path.split("/"):
                check_name(name, "C")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class D(named.D):
    """An attribute of the dataset, or the dataset itself, to be read only."""

    writable = False

    def __post_init__(self) -> None:
        if self.name is not None:
            check_name(self.name, "D")

    def evaluate(self, context: Context) -> Any:
        """Read it from the dataset."""
        data = context.scope.dataset
        return data if self.name is None else _get_attribute(data, self.name, self)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class M(named.M):
    """A model of the run."""

    def __post_init__(self) -> None:
        check_name(self.name, "M")

    def __repr__(self) -> str:
        return f"M({self.name!r})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class L(named.L):
    """A list with one entry per item; attributes, keys and methods of arrays apply to each."""

    def __post_init__(self) -> None:
        if isinstance(self.source, str):
            check_name(self.source, "L")
        for kind, first, _ in self.chain:
            if kind == "attr":
                check_name(first, "attr")
            elif kind == "item":
                _check_key(first, "a key")

    def evaluate(self, context: Context) -> Any:
        """Make the list."""
        source = self.source
        items = list(getattr(context.batch, source) if isinstance(source, str) else evaluate(source, context))
        chain = list(self.chain)
        while chain:
            kind, first, _ = chain.pop(0)
            if kind == "item":
                key = evaluate(first, context)
                _check_key(key, repr(self))
                items = [check_value(item[key], self) for item in items]
            elif chain and chain[0][0] == "call":
                args, kwargs = (evaluate(part, context) for part in chain.pop(0)[1:])
                items = [_call_method(item, first, args, kwargs, self) for item in items]
            else:
                items = [_get_attribute(item, first, self) for item in items]
        return items


@dataclass(frozen=True, slots=True, eq=False, repr=False, init=False)
class R(random.R):
    """A random value of a distribution by name, of a sampler, or of values to choose from."""

    def __init__(self, distribution: Any, *args: Any, size: Any = None, **kwargs: Any) -> None:
        try:
            size = _check_size(size)
        except TypeError as error:
            raise ValueError(str(error)) from None
        random.R.__init__(self, distribution, *args, size=size, **kwargs)
        if self.draw is None:  # known with the batch
            object.__setattr__(self, "draw", _draw_of_known)

    def check_found_size(self, size: Any) -> random.Size:
        """Return the size that an expression gave; refused beyond ``MOST_VALUES``."""
        found: random.Size = _check_size(size)
        return found


def _check_size(size: Any) -> Any:
    size = random.check_size(lift(size))
    if (
        not isinstance(size, Expr)
        and size is not None
        and math.prod(np.atleast_1d(size).tolist()) > MOST_VALUES
    ):
        raise ValueError(f"R: size {size!r} is more than the {MOST_VALUES} values that text may ask for")
    return size


def _draw_of_known(found: Any, rng: np.random.Generator, args: Any, kwargs: Any, size: random.Size) -> Any:
    """Draw from what an expression gave, if it is not a function."""
    known = isinstance(found, str | int | np.integer | Sequence | np.ndarray | Sampler)
    if not known and not type(found).__module__.startswith("scipy.stats."):
        raise TypeError(f"R: a {type(found).__name__} is no distribution that text may draw from; {_ADVICE}")
    return random.choose_draw(found)(found, rng, args, kwargs, size)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Attribute(base.Attribute):
    """``operand.attr(name)``."""

    def __post_init__(self) -> None:
        check_name(self.name, "attr")

    def evaluate(self, context: Context) -> Any:
        """Read the attribute."""
        return _get_attribute(self.operand.evaluate(context), self.name, self)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Item(base.Item):
    """``operand[key]``."""

    def __post_init__(self) -> None:
        _check_key(self.key, "a key")

    def evaluate(self, context: Context) -> Any:
        """Look the key up."""
        key = evaluate(self.key, context)
        _check_key(key, repr(self))
        return check_value(self.operand.evaluate(context)[key], self)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Method(Expr):
    """``owner.attr(name)(*args, **kwargs)``: one of ``METHODS`` of an array."""

    owner: Expr
    name: str
    args: Any
    kwargs: Any

    def evaluate(self, context: Context) -> Any:
        """Call the method."""
        args, kwargs = evaluate(self.args, context), evaluate(self.kwargs, context)
        return _call_method(self.owner.evaluate(context), self.name, args, kwargs, self)

    def __repr__(self) -> str:
        return f"{self.owner!r}.attr({self.name!r})({arguments_as_code(self.args, self.kwargs)})"


def _call_method(owner: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], where: Expr) -> Any:
    if not isinstance(owner, np.ndarray | np.generic):
        raise TypeError(f"{where!r}: text calls methods of arrays only, this is a {type(owner).__name__}")
    return getattr(owner, name)(*args, **kwargs)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Absolute(Expr):
    """``abs(operand)``."""

    operand: Expr

    def evaluate(self, context: Context) -> Any:
        """Return the magnitude."""
        return abs(self.operand.evaluate(context))

    def __repr__(self) -> str:
        return f"abs({arguments_as_code((self.operand,), {})})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Operation(base.Operation):
    """``left sign right``, within the bounds of ``calculate``."""

    def evaluate(self, context: Context) -> Any:
        """Apply the operator."""
        return calculate(self.name, evaluate(self.left, context), evaluate(self.right, context))


def attribute(owner: Expr, name: Any) -> Expr:
    """Return the expression of an attribute."""
    return (
        L(owner.source, (*owner.chain, ("attr", name, None)))
        if isinstance(owner, L)
        else Attribute(owner, name)
    )


def item(owner: Expr, key: Any) -> Expr:
    """Return the expression of a key."""
    key = lift(key)
    if isinstance(owner, L):
        return L(owner.source, (*owner.chain, ("item", key, None)))
    return Item(owner, key)


def call(function: Expr, args: Any, kwargs: Any) -> Expr:
    """Return the expression of a call of one of ``METHODS``; ``ValueError`` for anything else."""
    args, kwargs = lift(args), lift(kwargs)
    if isinstance(function, L) and function.chain and function.chain[-1][0] == "attr":
        _check_method(function.chain[-1][1], function)
        return L(function.source, (*function.chain, ("call", args, kwargs)))
    if not isinstance(function, Attribute):
        raise ValueError(f"{function!r} can not be called; {_ADVICE}")
    _check_method(function.name, function)
    return Method(function.operand, function.name, args, kwargs)


def _check_method(name: str, function: Expr) -> None:
    if name not in METHODS:
        raise ValueError(
            f"{function!r} can not be called; methods of arrays that can: {', '.join(sorted(METHODS))}"
        )


def operate(name: str, left: Any, right: Any) -> Any:
    """Return ``left sign right``: an expression if one of them is one, else the value."""
    left, right = lift(left), lift(right)
    if isinstance(left, Expr) or isinstance(right, Expr):
        return Operation(name, left, right)
    return calculate(name, left, right)
