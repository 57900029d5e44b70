"""Expressions written as text, such as ``P(R('uniform', -10, 10))``: read without running any code."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from bf_index.errors import unknown
from bf_pipeline.expressions.base import BINARY, UNARY, Expr
from bf_pipeline.expressions.named import B, C, D, I, L, M, V, W, Where
from bf_pipeline.expressions.random import P, R

KINDS: dict[str, Callable[..., Expr]] = {
    **{"B": B, "C": C, "D": D, "I": I, "L": L, "M": M},
    **{"P": P, "R": R, "V": V, "W": W, "Where": Where},
}
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.MatMult: operator.matmul,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}
assert len(_OPERATORS) == len(BINARY) + len(UNARY)


def read_expression(text: str) -> Any:
    """Read an expression of B C D I L M P R V W Where, numbers, texts, containers and operators.

    Anything else (other names, attributes, lambdas, comprehensions) is a ``ValueError`` that shows it.
    """
    try:
        return _read_node(ast.parse(text.strip(), mode="eval").body, text)
    except SyntaxError as error:
        raise ValueError(f"{text!r} is not an expression: {error.msg}") from None


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
        return _OPERATORS[type(node.op)](_read_node(node.left, text), _read_node(node.right, text))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_read_node(node.operand, text))
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _OPERATORS:
        return _OPERATORS[type(node.ops[0])](
            _read_node(node.left, text), _read_node(node.comparators[0], text)
        )
    if isinstance(node, ast.Subscript):
        return _read_node(node.value, text)[_read_node(node.slice, text)]
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
            return owner.attr(*args, **named)
    if isinstance(called, ast.Name):
        if called.id not in KINDS:
            raise ValueError(f"{text!r}: {unknown('name', called.id, KINDS)}")
        return KINDS[called.id](*args, **named)
    raise ValueError(f"{text!r}: {ast.unparse(called)!r} can not be called; known: {', '.join(KINDS)}")
