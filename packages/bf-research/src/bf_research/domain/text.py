"""A domain as text, the same text as in Python; it is parsed and never run as code."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from bf_index.errors import unknown
from bf_research.domain.distributions import DISTRIBUTIONS
from bf_research.domain.domain import Domain, Option

_NAMES = ("Option", "Domain", *DISTRIBUTIONS)


def domain_from_text(text: str, rename: Callable[[str], str] = lambda name: name) -> Domain:
    """Read a domain: ``"Option('model', ['vgg7', 'resnet18']) * Option('lr', loguniform(1e-4, 1e-1))"``.

    Options, ``* + @``, weights, ``.where('...')``, literals and the distributions are understood;
    ``ValueError`` for anything else. ``rename`` is asked for the name of every option.

    >>> domain_from_text("0.3 * Option('lr', [.1, .01]) + Option('n', integers(1, 3))")
    0.3 * Option('lr', [0.1, 0.01]) + Option('n', integers(1, 3))
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"domain {text!r}: not an expression: {error.msg}") from None
    found = _Reader(text, rename).read(tree)
    if not isinstance(found, Domain):
        raise ValueError(f"domain {text!r}: not a domain but {found!r}; write Option('name', [values])")
    return found


class _Reader:
    """Turns the parsed text into a domain, node by node."""

    def __init__(self, text: str, rename: Callable[[str], str]) -> None:
        self._text, self._rename = text, rename

    def read(self, node: ast.expr) -> Any:
        """Give the domain, distribution or literal that a node stands for."""
        match node:
            case ast.BinOp(op=ast.Mult()):
                return self._operate(node, lambda left, right: left * right)
            case ast.BinOp(op=ast.Add()):
                return self._operate(node, lambda left, right: left + right)
            case ast.BinOp(op=ast.MatMult()):
                return self._operate(node, lambda left, right: left @ right)
            case ast.Call(func=ast.Name(id=name)):
                return self._call(node, name)
            case ast.Call(func=ast.Attribute(attr="where", value=base), args=[ast.Constant(value=str(test))]):
                domain = self.read(base)
                if isinstance(domain, Domain) and not node.keywords:
                    return domain.where(test)
        try:
            return ast.literal_eval(node)
        except ValueError:
            raise self._error(node, "can't stand in a domain") from None

    def _operate(self, node: ast.BinOp, operate: Callable[[Any, Any], Any]) -> Domain:
        left, right = self.read(node.left), self.read(node.right)
        if not isinstance(left, Domain) and not isinstance(right, Domain):
            raise self._error(node, "has no option")
        try:
            return operate(left, right)  # type: ignore[no-any-return]
        except TypeError:
            raise self._error(node, f"can't be: {left!r} and {right!r}") from None

    def _call(self, node: ast.Call, name: str) -> Any:
        args = [self.read(arg) for arg in node.args]
        kwargs = {str(word.arg): self.read(word.value) for word in node.keywords}
        if name == "Option" and len(args) == 2 and not kwargs and isinstance(args[0], str):
            return Option(self._rename(args[0]), args[1])
        if name == "Domain" and not kwargs and (not args or isinstance(args[0], Domain)):
            return Domain(*args)
        if name in DISTRIBUTIONS:
            try:
                return DISTRIBUTIONS[name](*args, **kwargs)
            except TypeError as error:
                raise self._error(node, f"does not fit: {error}") from None
        if name in _NAMES:
            raise self._error(node, "does not fit: write Option('name', [values])")
        raise ValueError(f"domain {self._text!r}: {unknown('name', name, _NAMES)}")

    def _error(self, node: ast.expr, what: str) -> ValueError:
        return ValueError(
            f"domain {self._text!r}: {ast.unparse(node)!r} {what}; options, * + @, weights, .where('...'), "
            f"literals and {', '.join(DISTRIBUTIONS)} can"
        )
