"""The named expressions B C D F I L M V W and Where; R and P are in ``random``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from bf_index.errors import unknown
from bf_pipeline.context import Context
from bf_pipeline.expressions.base import Called, Expr, arguments_as_code, as_code, evaluate, lift
from bf_pipeline.plain_config import UNSET, find_value, list_paths

Mode = Literal["w", "a", "e", "u"]
MODES: tuple[Mode, ...] = ("w", "a", "e", "u")


def check_mode(mode: Any, where: str) -> Mode:
    """Return the mode; ``ValueError`` if it is none of the four."""
    if mode not in MODES:
        raise ValueError(
            f"{where}: mode must be 'w' write, 'a' append, 'e' extend or 'u' update, got {mode!r}"
        )
    checked: Mode = mode
    return checked


def _call_as_code(kind: Expr, *parts: Any, **options: Any) -> str:
    return f"{type(kind).__name__}({arguments_as_code(parts, options)})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class B(Expr):
    """``B('images')`` is the batch's component or attribute, ``B()`` the batch itself.

    As a target of ``update`` or ``save_to`` it is assigned; ``mode`` says how when the step does not.
    """

    name: str | None = None
    mode: Mode | None = None

    def __post_init__(self) -> None:
        if self.mode is not None:
            check_mode(self.mode, repr(self))

    def evaluate(self, context: Context) -> Any:
        """Read it from the batch."""
        return context.batch if self.name is None else getattr(context.batch, self.name)

    def __repr__(self) -> str:
        mode = {} if self.mode is None else {"mode": self.mode}
        return _call_as_code(self, *(() if self.name is None else (self.name,)), **mode)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class V(Expr):
    """``V('history')`` is a variable of the run: the object itself, not a copy.

    ``V('loss', pipeline=training)`` is one of another pipeline's last run (or of a run), to be read only.
    """

    name: str
    mode: Mode | None = None
    pipeline: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"V needs the name of a variable, got {self.name!r}")
        if self.mode is not None:
            check_mode(self.mode, repr(self))

    def evaluate(self, context: Context) -> Any:
        """Read the variable."""
        if self.pipeline is None:
            return context.scope.variables[self.name]
        found = evaluate(self.pipeline, context)
        run = getattr(found, "last_run", found)
        if run is None:
            raise LookupError(
                f"V({self.name!r}, pipeline=...): the pipeline it comes from was not run yet; run it first"
            )
        if not callable(getattr(run, "v", None)):
            raise TypeError(f"V({self.name!r}, pipeline=...): not a pipeline or a run: {found!r}")
        return run.v(self.name)

    def __repr__(self) -> str:
        given = {"mode": self.mode, "pipeline": self.pipeline}
        return _call_as_code(self, self.name, **{k: part for k, part in given.items() if part is not None})


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class C(Expr):
    """``C('model/lr', default)`` is a value of the config by its path; ``C()`` is the whole config.

    As a target it is a value of the run's own config; that of the pipeline stays what it was.
    """

    writable: ClassVar[bool] = True

    path: str | None = None
    default: Any = UNSET

    def evaluate(self, context: Context) -> Any:
        """Read the config."""
        if self.path is None:
            return context.scope.config
        found = find_value(context.scope.config, self.path)
        if found is not UNSET:
            return found
        if self.default is UNSET:
            raise KeyError(self.missing(context.scope.config))
        return evaluate(self.default, context)

    def absent(self, config: Mapping[str, Any]) -> bool:
        """Whether the config lacks the path and no default stands in."""
        return self.path is not None and self.default is UNSET and find_value(config, self.path) is UNSET

    def missing(self, config: Mapping[str, Any]) -> str:
        """Return the message that the path is not in the config, and which are close."""
        return unknown("config path", str(self.path), list_paths(config), "the pipeline's config")

    def __repr__(self) -> str:
        default = () if self.default is UNSET else (self.default,)
        return _call_as_code(self, *(() if self.path is None else (self.path, *default)))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class D(Expr):
    """``D('classes')`` is an attribute of the dataset, ``D()`` the dataset itself.

    As a target it is set on the data set, for all who hold it.
    """

    writable: ClassVar[bool] = True

    name: str | None = None

    def evaluate(self, context: Context) -> Any:
        """Read it from the dataset."""
        return context.scope.dataset if self.name is None else getattr(context.scope.dataset, self.name)

    def __repr__(self) -> str:
        return _call_as_code(self, *(() if self.name is None else (self.name,)))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class M(Expr):
    """``M('net')`` is a model of the run; a dynamic one is built now if it was not yet."""

    name: str

    def evaluate(self, context: Context) -> Any:
        """Return the model."""
        return context.scope.models.get(self.name, context)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class I(Expr):  # noqa: E742
    """``I('current')`` counts the iterations of the run from 1, ``'maximum'`` is their number or None.

    ``'ratio'`` is current / maximum, a ``ValueError`` in an endless run. ``'c'``, ``'m'``, ``'r'`` are the
    same.
    """

    kind: Literal["current", "maximum", "ratio", "c", "m", "r"] = "current"

    def __post_init__(self) -> None:
        if self.kind not in ("current", "maximum", "ratio", "c", "m", "r"):
            raise ValueError(unknown("kind", str(self.kind), ("current", "maximum", "ratio"), "I"))

    def evaluate(self, context: Context) -> Any:
        """Return the number that is asked for."""
        kind, current, maximum = self.kind[0], context.iteration + 1, context.scope.total
        if kind == "c":
            return current
        if kind == "m":
            return maximum
        if maximum is None:
            raise ValueError("I('ratio'): the run has no end; give n_epochs or n_iters")
        return current / maximum

    def __repr__(self) -> str:
        return _call_as_code(self, *(() if self.kind == "current" else (self.kind,)))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class F(Expr):
    """``F(function)`` is what the function returns, called without arguments for each batch.

    ``F(function)(B('images'), C('gamma'))`` is called with these instead.
    """

    function: Any
    args: Any = field(default=(), kw_only=True)
    kwargs: Any = field(default_factory=dict, kw_only=True)
    given: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"F needs a function, got {self.function!r}")

    def __call__(self, *args: Any, **kwargs: Any) -> Expr:
        """Set the arguments, or call what the function returned."""
        if self.given:
            return Called(self, lift(args), lift(kwargs))
        return F(self.function, args=lift(args), kwargs=lift(kwargs), given=True)

    def evaluate(self, context: Context) -> Any:
        """Call the function."""
        function = evaluate(self.function, context)
        return function(*evaluate(self.args, context), **evaluate(self.kwargs, context))

    def __repr__(self) -> str:
        return f"F({as_code(self.function)})" + (
            f"({arguments_as_code(self.args, self.kwargs)})" if self.given else ""
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class L(Expr):
    """``L('masks')`` is a list with one entry per item; ``.attr``, ``[key]``, calls apply to each.

    As a target it takes one value for each item.
    """

    source: Any
    chain: tuple[tuple[Literal["attr", "item", "call"], Any, Any], ...] = ()

    def attr(self, name: str) -> Expr:
        """Return the expression of an attribute of each entry."""
        return L(self.source, (*self.chain, ("attr", name, None)))

    def __getitem__(self, key: Any) -> Expr:
        return L(self.source, (*self.chain, ("item", lift(key), None)))

    def __call__(self, *args: Any, **kwargs: Any) -> Expr:
        """Return the expression that calls each entry."""
        return L(self.source, (*self.chain, ("call", lift(args), lift(kwargs))))

    def evaluate(self, context: Context) -> Any:
        """Make the list."""
        source = self.source
        items = list(getattr(context.batch, source) if isinstance(source, str) else evaluate(source, context))
        for kind, first, second in self.chain:
            if kind == "attr":
                items = [getattr(item, first) for item in items]
            elif kind == "item":
                key = evaluate(first, context)
                items = [item[key] for item in items]
            else:
                args, kwargs = evaluate(first, context), evaluate(second, context)
                items = [item(*args, **kwargs) for item in items]
        return items

    def __repr__(self) -> str:
        text = _call_as_code(self, self.source)
        for kind, first, second in self.chain:
            if kind == "attr":
                text += f".attr({first!r})"
            else:
                text += f"[{as_code(first)}]" if kind == "item" else f"({arguments_as_code(first, second)})"
        return text


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class W(Expr):
    """``W(expr)`` hands the expression itself to the action, unevaluated."""

    expression: Any

    def parts(self) -> tuple[Any, ...]:
        """Return the parts that may hold expressions."""
        return ()

    def evaluate(self, context: Context) -> Any:
        """Return the expression."""
        return self.expression

    def __repr__(self) -> str:
        return _call_as_code(self, self.expression)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Where(Expr):
    """``Where(condition, then, otherwise)``: one of two values; item by item where the condition is an array.

    For a plain condition only the chosen side is evaluated.
    """

    condition: Any
    then: Any
    otherwise: Any

    def __post_init__(self) -> None:
        for name in ("condition", "then", "otherwise"):
            object.__setattr__(self, name, lift(getattr(self, name)))

    def evaluate(self, context: Context) -> Any:
        """Return the side that is chosen."""
        condition = evaluate(self.condition, context)
        if isinstance(condition, np.ndarray) and condition.ndim:
            return np.where(condition, evaluate(self.then, context), evaluate(self.otherwise, context))
        return evaluate(self.then if condition else self.otherwise, context)
