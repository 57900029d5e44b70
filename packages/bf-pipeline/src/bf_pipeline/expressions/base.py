"""Named expressions: a tree of frozen values with one method, ``evaluate(context)``."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NoReturn

from bf_pipeline.context import Context

# name of the operator's function in the standard library's `operator` -> how it is written
BINARY = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "truediv": "/",
    "floordiv": "//",
    "mod": "%",
    "pow": "**",
    "matmul": "@",
    "and_": "&",
    "or_": "|",
    "xor": "^",
    "lshift": "<<",
    "rshift": ">>",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "eq": "==",
    "ne": "!=",
}
UNARY = {"neg": "-", "pos": "+", "invert": "~"}
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")


class Expr:
    """A value that is known only when a batch is there.

    Operators, ``expr[key]``, ``expr(args)`` and ``expr.attr(name)`` make new expressions. What Python insists
    to know at once (truth, length, iteration) is refused with advice.
    """

    __slots__ = ()
    # Without this numpy would take `array + expression` apart element by element.
    __array_ufunc__ = None

    def evaluate(self, context: Context) -> Any:
        """Return the value for the batch and the run in the context; every kind of expression has its own."""
        raise TypeError(f"{type(self).__name__} has no evaluate(context)")

    def parts(self) -> tuple[Any, ...]:
        """Return what this expression is made of: where binding looks for further expressions."""
        return tuple(getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]

    def attr(self, name: str) -> Expr:
        """Return the expression of an attribute: ``B('images').attr('shape')``."""
        return Attribute(self, name)

    def __getitem__(self, key: Any) -> Expr:
        return Item(self, lift(key))

    def __call__(self, *args: Any, **kwargs: Any) -> Expr:
        """Return the expression that calls this one's value."""
        return Called(self, lift(args), lift(kwargs))

    def __abs__(self) -> Expr:
        return Called(abs, lift((self,)), {})

    def __hash__(self) -> int:
        return id(self) >> 4

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} has no truth value while the pipeline is being built; "
            "use Where(condition, then, otherwise) for a choice, and & | ~ for and, or, not"
        )

    def __iter__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} is not iterable: its value is known only when a batch is there; use F(list)"
        )

    def __len__(self) -> NoReturn:
        raise TypeError(f"{self!r} has no length while the pipeline is being built; use F(len)({self!r})")

    def __contains__(self, item: Any) -> NoReturn:
        raise TypeError(f"'in' can not look into {self!r}; use F(operator.contains)({self!r}, {item!r})")

    def __format__(self, how: str) -> NoReturn:
        raise TypeError(f"{self!r} has no value to write into a text yet; use F('... {{}}'.format)({self!r})")

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(f"numpy can not take {self!r} now; use F(function)({self!r})")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(as_code(part) for part in self.parts())})"

    if TYPE_CHECKING:  # the operators below come from the table; a type checker has to be told

        def __add__(self, other: Any) -> Expr: ...
        def __radd__(self, other: Any) -> Expr: ...
        def __sub__(self, other: Any) -> Expr: ...
        def __rsub__(self, other: Any) -> Expr: ...
        def __mul__(self, other: Any) -> Expr: ...
        def __rmul__(self, other: Any) -> Expr: ...
        def __truediv__(self, other: Any) -> Expr: ...
        def __rtruediv__(self, other: Any) -> Expr: ...
        def __floordiv__(self, other: Any) -> Expr: ...
        def __rfloordiv__(self, other: Any) -> Expr: ...
        def __mod__(self, other: Any) -> Expr: ...
        def __rmod__(self, other: Any) -> Expr: ...
        def __pow__(self, other: Any) -> Expr: ...
        def __rpow__(self, other: Any) -> Expr: ...
        def __matmul__(self, other: Any) -> Expr: ...
        def __rmatmul__(self, other: Any) -> Expr: ...
        def __and__(self, other: Any) -> Expr: ...
        def __rand__(self, other: Any) -> Expr: ...
        def __or__(self, other: Any) -> Expr: ...
        def __ror__(self, other: Any) -> Expr: ...
        def __xor__(self, other: Any) -> Expr: ...
        def __rxor__(self, other: Any) -> Expr: ...
        def __lshift__(self, other: Any) -> Expr: ...
        def __rlshift__(self, other: Any) -> Expr: ...
        def __rshift__(self, other: Any) -> Expr: ...
        def __rrshift__(self, other: Any) -> Expr: ...
        def __lt__(self, other: Any) -> Expr: ...
        def __le__(self, other: Any) -> Expr: ...
        def __gt__(self, other: Any) -> Expr: ...
        def __ge__(self, other: Any) -> Expr: ...
        def __eq__(self, other: object) -> Expr: ...  # type: ignore[override]
        def __ne__(self, other: object) -> Expr: ...  # type: ignore[override]
        def __neg__(self) -> Expr: ...
        def __pos__(self) -> Expr: ...
        def __invert__(self) -> Expr: ...


def walk(value: Any) -> Iterator[Expr]:
    """Yield every expression in a value: the value itself, what it is made of, what containers hold."""
    if isinstance(value, Expr):
        yield value
        for part in value.parts():
            yield from walk(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from walk(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from walk(key)
            yield from walk(part)
    elif isinstance(value, slice):
        yield from walk((value.start, value.stop, value.step))


def lift(value: Any) -> Any:
    """Return a container that holds expressions as one expression, and anything else as it is."""
    if isinstance(value, list | tuple | dict | slice) and next(walk(value), None) is not None:
        return Container(value)
    return value


def evaluate(value: Any, context: Context) -> Any:
    """Return the value of an expression, and anything else as it is."""
    return value.evaluate(context) if isinstance(value, Expr) else value


def as_code(value: Any) -> str:
    """Return a value as it reads in code: functions and classes by name."""
    if isinstance(value, Container):
        return as_code(value.value)
    if isinstance(value, list):
        return f"[{', '.join(map(as_code, value))}]"
    if type(value) is tuple:
        return f"({', '.join(map(as_code, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{as_code(key)}: {as_code(part)}' for key, part in value.items())}}}"
    if callable(value) and not isinstance(value, Expr):
        return str(getattr(value, "__qualname__", None) or repr(value))
    if type(value) is float and not math.isfinite(value):
        return f"float({str(value)!r})"  # `inf` and `nan` are no names of Python
    return repr(value)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Container(Expr):
    """A list, tuple, dict (keys too) or slice that holds expressions."""

    value: Any

    def evaluate(self, context: Context) -> Any:
        """Return the container with values in place of expressions."""
        return _fill(self.value, context)

    def __repr__(self) -> str:
        return as_code(self.value)


def _fill(value: Any, context: Context) -> Any:
    if isinstance(value, Expr):
        return value.evaluate(context)
    if isinstance(value, dict):
        return {_fill(key, context): _fill(part, context) for key, part in value.items()}
    if isinstance(value, list):
        return [_fill(part, context) for part in value]
    if isinstance(value, tuple):
        filled = [_fill(part, context) for part in value]
        return type(value)(*filled) if hasattr(value, "_fields") else tuple(filled)
    if isinstance(value, slice):
        return slice(*_fill((value.start, value.stop, value.step), context))
    return value


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Operation(Expr):
    """``left sign right``, where one or both are expressions."""

    name: str
    left: Any
    right: Any

    def evaluate(self, context: Context) -> Any:
        """Apply the operator."""
        left, right = self.left, self.right
        if isinstance(left, Expr):
            left = left.evaluate(context)
        if isinstance(right, Expr):
            right = right.evaluate(context)
        return _FUNCTIONS[self.name](left, right)

    def __repr__(self) -> str:
        return f"({as_code(self.left)} {BINARY[self.name]} {as_code(self.right)})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Signed(Expr):
    """``sign operand``."""

    name: str
    operand: Expr

    def evaluate(self, context: Context) -> Any:
        """Apply the operator."""
        return _FUNCTIONS[self.name](self.operand.evaluate(context))

    def __repr__(self) -> str:
        return f"({UNARY[self.name]}{self.operand!r})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Item(Expr):
    """``operand[key]``."""

    operand: Expr
    key: Any

    def evaluate(self, context: Context) -> Any:
        """Look the key up."""
        return self.operand.evaluate(context)[evaluate(self.key, context)]

    def __repr__(self) -> str:
        return f"{self.operand!r}[{_key_as_code(self.key)}]"


def _key_as_code(key: Any) -> str:
    if isinstance(key, Container):
        return _key_as_code(key.value)
    if isinstance(key, slice):
        ends = ["" if end is None else as_code(end) for end in (key.start, key.stop, key.step)]
        return ":".join(ends if key.step is not None else ends[:2])
    if type(key) is tuple and key:
        return ", ".join(map(_key_as_code, key)) + ("," if len(key) == 1 else "")
    return as_code(key)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Attribute(Expr):
    """``operand.name``, as ``operand.attr(name)``."""

    operand: Expr
    name: str

    def evaluate(self, context: Context) -> Any:
        """Read the attribute."""
        return getattr(self.operand.evaluate(context), self.name)

    def __repr__(self) -> str:
        return f"{self.operand!r}.attr({self.name!r})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Called(Expr):
    """``function(*args, **kwargs)``, where any of them may be an expression."""

    function: Any
    args: Any
    kwargs: Any

    def evaluate(self, context: Context) -> Any:
        """Call the function."""
        function = evaluate(self.function, context)
        return function(*evaluate(self.args, context), **evaluate(self.kwargs, context))

    def __repr__(self) -> str:
        return f"{as_code(self.function)}({arguments_as_code(self.args, self.kwargs)})"


def arguments_as_code(args: Any, kwargs: Any) -> str:
    """Return positional and named arguments as they read in a call."""
    args = args.value if isinstance(args, Container) else args
    kwargs = kwargs.value if isinstance(kwargs, Container) else kwargs
    return ", ".join(
        [
            *map(_argument_as_code, args),
            *(f"{name}={_argument_as_code(value)}" for name, value in kwargs.items()),
        ]
    )


def _argument_as_code(value: Any) -> str:
    """Return an argument as code, without the brackets that an operation needs elsewhere."""
    text = as_code(value)
    return text[1:-1] if isinstance(value, Operation | Signed) else text


_FUNCTIONS: dict[str, Callable[..., Any]] = {name: getattr(operator, name) for name in (*BINARY, *UNARY)}


def _make_binary(name: str) -> Callable[[Expr, Any], Expr]:
    return lambda self, other: Operation(name, self, lift(other))


def _make_reflected(name: str) -> Callable[[Expr, Any], Expr]:
    return lambda self, other: Operation(name, lift(other), self)


def _make_unary(name: str) -> Callable[[Expr], Expr]:
    return lambda self: Signed(name, self)


for _name in BINARY:
    setattr(Expr, f"__{_name.strip('_')}__", _make_binary(_name))
    if _name not in COMPARISONS:
        setattr(Expr, f"__r{_name.strip('_')}__", _make_reflected(_name))
for _name in UNARY:
    setattr(Expr, f"__{_name}__", _make_unary(_name))
