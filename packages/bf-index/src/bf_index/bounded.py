"""Expressions in text that somebody else wrote: parsed and calculated within bounds, so that each ends."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

MOST_LETTERS = 100_000
"""Letters in an expression."""
MOST_LEVELS = 100
"""Brackets, signs and calls inside each other."""
MOST_BITS = 4_096
"""Bits of a whole number that is calculated: 1,233 digits."""
MOST_ENTRIES = 100_000
"""Entries of a list that is repeated, those of inner lists too, or letters of a text."""

_SEQUENCES = (str, bytes, list, tuple)
_PLAIN = frozenset((bool, int, float, complex, *_SEQUENCES))
_WHOLE = (bool, int)


ARITHMETIC: Mapping[type[ast.AST], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "truediv",
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
}
"""Names of the operators of plain arithmetic, as ``calculate`` takes them."""


def parse_expression(text: str) -> ast.expr:
    """Return the tree of an expression; ``ValueError`` for any other text, a longer or a deeper one."""
    if len(text) > MOST_LETTERS:
        raise ValueError(
            f"an expression has at most {MOST_LETTERS} letters, got {len(text)}: {text[:40]!r}..."
        )
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (RecursionError, MemoryError):
        raise ValueError(_too_deep(text)) from None
    except (SyntaxError, ValueError) as error:
        what = error.msg if isinstance(error, SyntaxError) else error
        raise ValueError(f"{text!r} is not an expression: {what}") from None
    level: list[ast.AST] = [tree]
    for _ in range(MOST_LEVELS):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return tree
    raise ValueError(_too_deep(text))


def _too_deep(text: str) -> str:
    shown = text if len(text) <= 80 else f"{text[:80]}..."
    return f"{shown!r} is nested too deeply: an expression has at most {MOST_LEVELS} levels"


def calculate(name: str, left: Any, right: Any) -> Any:
    """Return the value of a binary function of the module ``operator``.

    ``ValueError`` when it would be too large. Only plain values are measured: those of batches are
    as large as their data.
    """
    if type(left) in _PLAIN and type(right) in _PLAIN:
        _check_size(name, left, right)
    return _FUNCTIONS[name](left, right)


_FUNCTIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    name: getattr(operator, name)
    for name in (
        *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"),
        *("and_", "or_", "xor", "lshift", "rshift", "lt", "le", "gt", "ge", "eq", "ne"),
    )
}


def _check_size(name: str, left: Any, right: Any) -> None:
    if name == "mod" and isinstance(left, str | bytes):
        raise ValueError(f"{_shorten(left)} % ...: texts are not filled in here")
    if name == "mul" and isinstance(left, _SEQUENCES) != isinstance(right, _SEQUENCES):
        sequence, times = (left, right) if isinstance(left, _SEQUENCES) else (right, left)
        if isinstance(times, _WHOLE) and times > 0 and _count(sequence) * times > MOST_ENTRIES:
            raise ValueError(
                f"{_shorten(sequence)} * {_shorten(times)} has more than {MOST_ENTRIES} entries, "
                "and text gives no more"
            )
    if not (isinstance(left, _WHOLE) and isinstance(right, _WHOLE)):
        return
    bits = 0
    if name == "mul":
        bits = left.bit_length() + right.bit_length()
    elif name == "lshift":
        bits = left.bit_length() + max(right, 0)
    elif name == "pow" and left not in (-1, 0, 1):
        bits = (left.bit_length() - 1) * max(right, 0)  # at least so many
    if bits > MOST_BITS:
        sign = {"mul": "*", "lshift": "<<", "pow": "**"}[name]
        raise ValueError(
            f"{_shorten(left)} {sign} {_shorten(right)} has more than {MOST_BITS} bits, "
            "and text gives no more"
        )


def _count(value: Any) -> int:
    """Return the entries of a value, those of inner lists too; no more are counted than are allowed."""
    if isinstance(value, str | bytes):
        return len(value)
    count, waiting = 0, [value]
    while waiting and count <= MOST_ENTRIES:
        inner = waiting.pop()
        count += len(inner)
        waiting.extend(part for part in inner if isinstance(part, list | tuple))
    return count


def _shorten(value: Any) -> str:
    if isinstance(value, _WHOLE) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    text = repr(value[:10] if isinstance(value, _SEQUENCES) else value)
    return text if len(text) <= 40 else f"{text[:40]}..."
