"""Conditions on configurations: a function, or an expression in text that is parsed and never run as code."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bf_index.bounded import ARITHMETIC, calculate, parse_expression
from bf_index.errors import unknown

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}


@dataclass(frozen=True)
class Condition:
    """A condition that keeps the configurations for which it is true.

    ``test`` is a function of the configuration, or text such as ``"model != 'vgg7' or model.lr < 0.1"``:
    names of options, literals, comparisons, ``in``, ``and``, ``or``, ``not`` and arithmetic. In text, classes
    and functions are compared by their alias. ``ValueError`` for anything else in the text, at once.
    """

    test: str | Callable[[Mapping[str, Any]], Any]
    names: tuple[str, ...] = field(init=False, compare=False, default=())

    def __post_init__(self) -> None:
        if isinstance(self.test, str):
            found: dict[str, None] = {}
            _check(_parse(self.test), self.test, found)
            object.__setattr__(self, "names", tuple(found))
        elif not callable(self.test):
            raise TypeError(f"where: a function of the configuration or text is needed, got {self.test!r}")

    def check_names(self, known: Iterable[str]) -> None:
        """Raise ``ValueError`` with the close matches when the text names an option that is not there."""
        known = tuple(known)
        for name in self.names:
            if name not in known:
                raise ValueError(f"where({self.test!r}): " + unknown("option", name, known))

    def holds(self, config: Mapping[str, Any], keys: Mapping[str, Any]) -> bool:
        """Whether a configuration is kept; ``config`` has real values, ``keys`` what stands for them."""
        if isinstance(self.test, str):
            return bool(_value(_parse(self.test), keys))
        return bool(self.test(config))

    def __repr__(self) -> str:
        return f"where({self.test!r})" if isinstance(self.test, str) else f"where({self.test.__qualname__})"


def _parse(text: str) -> ast.expr:
    try:
        return parse_expression(text)
    except ValueError as error:
        raise ValueError(f"where({text[:80]!r}): {error}") from None


def _dotted(node: ast.expr) -> str | None:
    """Return the name of the option that a node spells: ``lr``, ``model.lr``; None when it is no name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value)
        return None if base is None else f"{base}.{node.attr}"
    return None


def _check(node: ast.expr, text: str, names: dict[str, None]) -> None:
    """Refuse every kind of expression but the few that a condition needs; collect the names."""
    name = _dotted(node)
    if name is not None:
        names[name] = None
        return
    allowed = (
        isinstance(node, ast.Constant | ast.List | ast.Tuple | ast.BoolOp)
        or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub))
        or (isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC)
        or (isinstance(node, ast.Compare) and all(type(op) in _COMPARE for op in node.ops))
    )
    if not allowed:
        raise ValueError(
            f"where({text!r}): {ast.unparse(node)!r} can't stand in a condition; names of options, literals, "
            "comparisons, in, and, or, not and arithmetic can; for more, pass a function"
        )
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            _check(child, text, names)


def _value(node: ast.expr, keys: Mapping[str, Any]) -> Any:
    name = _dotted(node)
    if name is not None:
        return keys[name]
    match node:
        case ast.Constant():
            return node.value
        case ast.List() | ast.Tuple():
            return [_value(item, keys) for item in node.elts]
        case ast.UnaryOp(op=ast.Not()):
            return not _value(node.operand, keys)
        case ast.UnaryOp():
            return -_value(node.operand, keys)
        case ast.BinOp():
            return calculate(ARITHMETIC[type(node.op)], _value(node.left, keys), _value(node.right, keys))
        case ast.BoolOp(op=ast.And()):
            return all(_value(item, keys) for item in node.values)
        case ast.BoolOp():
            return any(_value(item, keys) for item in node.values)
        case ast.Compare():
            return _compare(node, keys)
    raise ValueError(f"{ast.unparse(node)!r} can't stand in a condition")


def _compare(node: ast.Compare, keys: Mapping[str, Any]) -> bool:
    left = _value(node.left, keys)
    for kind, side in zip(node.ops, node.comparators):
        right = _value(side, keys)
        if not _COMPARE[type(kind)](left, right):
            return False
        left = right
    return True
