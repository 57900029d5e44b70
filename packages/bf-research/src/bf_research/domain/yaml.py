"""A domain as YAML or JSON data: a list is a sum, a mapping a product, ``zip`` pairs side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

from bf_index.errors import unknown
from bf_research.domain.distributions import DISTRIBUTIONS
from bf_research.domain.domain import Domain, Option
from bf_research.domain.text import domain_from_text

Rename = Callable[[str], str]


def domain_from_data(data: Any, rename: Rename = lambda name: name) -> Domain:
    """Read a domain.

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
        return _product(data, rename)
    if isinstance(data, list) and data:
        return reduce(lambda left, right: left + right, (domain_from_data(part, rename) for part in data))
    raise TypeError(f"domain: a mapping of options, a list of such mappings or text is needed, got {data!r}")


def _product(data: Mapping[Any, Any], rename: Rename) -> Domain:
    domain = Domain()
    for key, value in data.items():
        name = str(key)
        if name == "zip":
            domain = domain * _zip(value, rename)
        elif name not in ("weight", "where"):
            domain = domain * Option(rename(name), _values(name, value))
    if "where" in data:
        domain = domain.where(data["where"])
    return data["weight"] * domain if "weight" in data else domain


def _zip(data: Any, rename: Rename) -> Domain:
    if isinstance(data, Mapping):
        parts: list[Domain] = [
            Option(rename(str(name)), _values(name, value)) for name, value in data.items()
        ]
    else:
        parts = [domain_from_data(part, rename) for part in data] if isinstance(data, list) else []
    if not parts:
        raise TypeError(f"domain: zip is a mapping of options or a list of domains, got {data!r}")
    return reduce(lambda left, right: left @ right, parts)


def _values(name: Any, value: Any) -> Any:
    """Values of an option: a list, or the distribution that a mapping of one key names."""
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
