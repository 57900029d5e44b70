"""Expressions written as text, such as ``P(R('uniform', -10, 10))``: read without running any code.

What may be named and called is a list (``restricted``); what is calculated while reading is bounded
(``bf_index.bounded``).
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from bf_index.bounded import ARITHMETIC, parse_expression
from bf_index.errors import unknown
from bf_pipeline.expressions.base import BINARY, UNARY, Expr
from bf_pipeline.expressions.named import I, W, Where
from bf_pipeline.expressions.random import PP, P
from bf_pipeline.expressions.restricted import (
    Absolute,
    B,
    C,
    D,
    L,
    M,
    R,
    V,
    attribute,
    call,
    item,
    operate,
)

KINDS: dict[str, Callable[..., Expr]] = {
    **{"B": B, "C": C, "D": D, "I": I, "L": L, "M": M},
    **{"P": P, "PP": PP, "R": R, "V": V, "W": W, "Where": Where},
}
_BINARY: dict[type[ast.AST], str] = {
    **ARITHMETIC,
    ast.Pow: "pow",
    ast.MatMult: "matmul",
    ast.BitAnd: "and_",
    ast.BitOr: "or_",
    ast.BitXor: "xor",
    ast.LShift: "lshift",
    ast.RShift: "rshift",
    ast.Lt: "lt",
    ast.LtE: "le",
    ast.Gt: "gt",
    ast.GtE: "ge",
    ast.Eq: "eq",
    ast.NotEq: "ne",
}
_UNARY: dict[type[ast.AST], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}
assert sorted(_BINARY.values()) == sorted(BINARY)
assert len(_UNARY) == len(UNARY)


def read_expression(text: str) -> Any:
    """Read an expression of B C D I L M P PP R V W Where, numbers, texts, containers and operators.

    ``abs``, ``.attr(name)`` and the methods of arrays in ``restricted.METHODS`` may be called. ``ValueError``
    that shows it for anything else (other names, attributes, lambdas, comprehensions), for names with an
    underscore in front, and for a text, a number or a list that is too long.
    """
    tree = parse_expression(text)
    try:
        return _read_node(tree, text)
    except (TypeError, ArithmeticError, LookupError) as error:
        raise ValueError(f"{text!r}: {error}") from error
    except ValueError as error:
        raise error if str(error).startswith(repr(text)) else ValueError(f"{text!r}: {error}") from error


def _read_node(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List):
        return [_read_node(part, text) for part in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_read_node(part, text) for part in node.elts)
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {
            _read_node(key, text): _read_node(part, text)
            for key, part in zip(node.keys, node.values)
            if key is not None
        }
    if isinstance(node, ast.Slice):
        ends = (node.lower, node.upper, node.step)
        return slice(*(None if end is None else _read_node(end, text) for end in ends))
    if isinstance(node, ast.BinOp):
        return operate(_BINARY[type(node.op)], _read_node(node.left, text), _read_node(node.right, text))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_read_node(node.operand, text))
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _BINARY:
        left, right = _read_node(node.left, text), _read_node(node.comparators[0], text)
        return operate(_BINARY[type(node.ops[0])], left, right)
    if isinstance(node, ast.Subscript):
        owner, key = _read_node(node.value, text), _read_node(node.slice, text)
        return item(owner, key) if isinstance(owner, Expr) else owner[key]
    if isinstance(node, ast.Call):
        return _read_call(node, text)
    raise ValueError(
        f"{text!r}: {ast.unparse(node)!r} can not stand in an expression; known: {', '.join(KINDS)}"
    )


def _read_call(node: ast.Call, text: str) -> Any:
    if any(isinstance(part, ast.Starred) for part in node.args) or any(k.arg is None for k in node.keywords):
        raise ValueError(f"{text!r}: * and ** can not stand in an expression")
    args = [_read_node(part, text) for part in node.args]
    named = {str(keyword.arg): _read_node(keyword.value, text) for keyword in node.keywords}
    called = node.func
    if isinstance(called, ast.Attribute) and called.attr == "attr":
        owner = _read_node(called.value, text)
        if isinstance(owner, Expr):
            return attribute(owner, *args, **named)
    if isinstance(called, ast.Call):
        function = _read_node(called, text)
        if isinstance(function, Expr):
            return call(function, tuple(args), named)
    if isinstance(called, ast.Name):
        if called.id == "abs" and len(args) == 1 and not named:
            return Absolute(args[0]) if isinstance(args[0], Expr) else abs(args[0])
        if called.id not in KINDS:
            raise ValueError(f"{text!r}: {unknown('name', called.id, KINDS)}")
        return KINDS[called.id](*args, **named)
    raise ValueError(f"{text!r}: {ast.unparse(called)!r} can not be called; known: {', '.join(KINDS)}")
