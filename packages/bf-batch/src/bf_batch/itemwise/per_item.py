"""One value for each item of a batch: what a per-item expression of a pipeline evaluates to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PerItem:
    """Values for the items of a batch in their order; item-wise actions give each item its own.

    >>> PerItem([10, 20, 30])[1]
    20
    """

    values: Sequence[Any] | Any

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, position: int) -> Any:
        return self.values[position]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)


def check_per_item(arguments: dict[str, Any], n: int, action: str) -> bool:
    """Say whether any argument is per item; one with another number of values is a ValueError."""
    found = False
    for name, value in arguments.items():
        if type(value) is PerItem:
            found = True
            if len(value) != n:
                raise ValueError(
                    f"{action}: argument {name} has {len(value)} per-item values for {n} items; "
                    "give one value for each item"
                )
    return found
