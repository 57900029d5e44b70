"""A domain as text, the same text as in Python, and as data of YAML or JSON; neither is run as code."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

from bf_index.bounded import parse_expression
from bf_index.errors import unknown
from bf_research.domain.domain import Domain, Option
from bf_research.domain.option import DISTRIBUTIONS

Rename = Callable[[str], str]
_NAMES = ("Option", "Domain", "range", *DISTRIBUTIONS)
#: A range in a text may have so many values, which are made at once.
_LONGEST_RANGE = 1_000_000


def domain_from_text(text: str, rename: Rename = lambda name: name) -> Domain:
    """Read a domain: ``"Option('model', ['vgg7', 'resnet18']) * Option('lr', loguniform(1e-4, 1e-1))"``.

    Options, ``* + @``, weights, ``.where('...')``, literals, ``range`` and the distributions are understood;
    ``ValueError`` for anything else, and for a range of more than a million values. ``rename`` is asked for
    the name of every option.

    >>> domain_from_text("0.3 * Option('lr', [.1, .01]) + Option('n', integers(1, 3))")
    0.3 * Option('lr', [0.1, 0.01]) + Option('n', integers(1, 3))
    """
    try:
        tree = parse_expression(text)
    except ValueError as error:
        raise ValueError(f"domain {text[:80]!r}: {error}") from None
    found = _Reader(text, rename).read(tree)
    if not isinstance(found, Domain):
        raise ValueError(f"domain {text!r}: not a domain but {found!r}; write Option('name', [values])")
    return found


class _Reader:
    """A reader that turns parsed text into a domain, node by node."""

    def __init__(self, text: str, rename: Rename) -> None:
        self._text, self._rename = text, rename

    def read(self, node: ast.expr) -> Any:
        """Return the domain, distribution or literal that a node stands for."""
        match node:
            case ast.BinOp(op=ast.Mult()):
                return self._operate(node, lambda left, right: left * right)
            case ast.BinOp(op=ast.Add()):
                return self._operate(node, lambda left, right: left + right)
            case ast.BinOp(op=ast.MatMult()):
                return self._operate(node, lambda left, right: left @ right)
            case ast.Call(func=ast.Name(id=name)):
                return self._read_call(node, name)
            case ast.Call(func=ast.Attribute(attr="where", value=base), args=[ast.Constant(value=str(test))]):
                domain = self.read(base)
                if isinstance(domain, Domain) and not node.keywords:
                    return domain.where(test)
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError):
            raise self._make_error(node, "can't stand in a domain") from None

    def _operate(self, node: ast.BinOp, operate: Callable[[Any, Any], Any]) -> Domain:
        left, right = self.read(node.left), self.read(node.right)
        if not isinstance(left, Domain) and not isinstance(right, Domain):
            raise self._make_error(node, "has no option")
        try:
            return operate(left, right)  # type: ignore[no-any-return]
        except TypeError:
            raise self._make_error(node, f"can't be: {left!r} and {right!r}") from None

    def _read_call(self, node: ast.Call, name: str) -> Any:
        args = [self.read(arg) for arg in node.args]
        kwargs = {str(word.arg): self.read(word.value) for word in node.keywords}
        if name == "Option" and len(args) == 2 and not kwargs and isinstance(args[0], str):
            return Option(self._rename(args[0]), args[1])
        if name == "Domain" and not kwargs and (not args or isinstance(args[0], Domain)):
            return Domain(*args)
        if name == "range" and not kwargs:
            return self._read_range(node, args)
        if name in DISTRIBUTIONS:
            try:
                return DISTRIBUTIONS[name](*args, **kwargs)
            except TypeError as error:
                raise self._make_error(node, f"does not fit: {error}") from None
        if name in _NAMES:
            raise self._make_error(node, "does not fit: write Option('name', [values])")
        raise ValueError(f"domain {self._text!r}: {unknown('name', name, _NAMES)}")

    def _read_range(self, node: ast.Call, args: list[Any]) -> list[int]:
        try:
            found = range(*args)
        except (TypeError, ValueError) as error:
            raise self._make_error(node, f"does not fit: {error}") from None
        if found[_LONGEST_RANGE:]:
            many = f"has more than {_LONGEST_RANGE:,} values; integers(low, high) draws from as many"
            raise self._make_error(node, many)
        return list(found)

    def _make_error(self, node: ast.expr, what: str) -> ValueError:
        return ValueError(
            f"domain {self._text!r}: {ast.unparse(node)!r} {what}; options, * + @, weights, .where('...'), "
            f"literals and {', '.join(DISTRIBUTIONS)} can"
        )


def domain_from_data(data: Any, rename: Rename = lambda name: name) -> Domain:
    """Read a domain from data of YAML or JSON.

    A mapping is the product of its options, ``{model: [vgg7, resnet18], lr: {loguniform: [1e-4, 1e-1]}}``. In
    it ``zip`` is a mapping (or a list of domains) walked side by side, ``weight`` the share in a random
    order, ``where`` a condition in text. A list is the sum of its parts, text is an expression.
    ``ValueError`` or ``TypeError`` for anything else. ``rename`` is asked for the name of every option.

    >>> domain_from_data([{'zip': {'a': [1, 2], 'b': [3, 4]}}, {'weight': 0.3, 'n': {'integers': [1, 3]}}])
    (Option('a', [1, 2]) @ Option('b', [3, 4])) + 0.3 * Option('n', integers(1, 3))
    """
    if data is None:
        return Domain()
    if isinstance(data, str):
        return domain_from_text(data, rename)
    if isinstance(data, Mapping):
        return _read_product(data, rename)
    if isinstance(data, list) and data:
        return reduce(lambda left, right: left + right, (domain_from_data(part, rename) for part in data))
    raise TypeError(f"domain: a mapping of options, a list of such mappings or text is needed, got {data!r}")


def _read_product(data: Mapping[Any, Any], rename: Rename) -> Domain:
    domain = Domain()
    for key, value in data.items():
        name = str(key)
        if name == "zip":
            domain = domain * _read_zip(value, rename)
        elif name not in ("weight", "where"):
            domain = domain * Option(rename(name), _read_values(name, value))
    if "where" in data:
        domain = domain.where(data["where"])
    return data["weight"] * domain if "weight" in data else domain


def _read_zip(data: Any, rename: Rename) -> Domain:
    if isinstance(data, Mapping):
        parts: list[Domain] = [
            Option(rename(str(name)), _read_values(name, value)) for name, value in data.items()
        ]
    else:
        parts = [domain_from_data(part, rename) for part in data] if isinstance(data, list) else []
    if not parts:
        raise TypeError(f"domain: zip is a mapping of options or a list of domains, got {data!r}")
    return reduce(lambda left, right: left @ right, parts)


def _read_values(name: Any, value: Any) -> Any:
    """Return the values of an option: a list, or the distribution that a mapping of one key names."""
    if not isinstance(value, Mapping):
        return value
    if len(value) != 1:
        raise TypeError(
            f"option {name!r}: a list of values or one distribution is needed, got {dict(value)!r}"
        )
    ((kind, arguments),) = value.items()
    if kind not in DISTRIBUTIONS:
        raise ValueError(f"option {name!r}: {unknown('distribution', kind, DISTRIBUTIONS)}")
    try:
        if isinstance(arguments, Mapping):
            return DISTRIBUTIONS[kind](**arguments)
        return DISTRIBUTIONS[kind](*arguments)
    except TypeError as error:
        raise TypeError(f"option {name!r}: {kind} does not fit: {error}") from None
