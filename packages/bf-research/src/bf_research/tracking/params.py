"""A configuration as flat parameters: dotted names and short texts, secrets left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

#: MLflow refuses longer values; the whole configuration is an artifact anyway.
LONGEST_VALUE = 6000
_SECRET = re.compile(r"(?i)(password|passwd|secret|token|api_?key|credential)")
_FORBIDDEN = re.compile(r"[^\w\-./ :]")


def flatten(config: Mapping[str, Any]) -> dict[str, str]:
    """Return ``{'model.lr': '0.1'}`` for ``{'model': {'lr': 0.1}}``; values of secret names become ``***``.

    >>> flatten({'model': {'depth': 18}, 'steps': ['a', 'b'], 'api_key': 'x'})
    {'model.depth': '18', 'steps': "['a', 'b']", 'api_key': '***'}
    """
    return {
        _FORBIDDEN.sub("_", name): "***" if _SECRET.search(name) else str(value)[:LONGEST_VALUE]
        for name, value in _leaves(config, "")
    }


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    elif _holds_mappings(value):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{name}.{number}")
    elif name:
        yield name, value


def _holds_mappings(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str | bytes)
        and any(isinstance(item, Mapping) for item in value)
    )
