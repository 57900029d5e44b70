"""What foreign weights are copied into, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


class Target(Protocol):
    """A built model, as far as weights are copied into it."""

    name: str

    @property
    def network(self) -> Any:
        """The keras.Model."""

    def head_layers(self) -> list[str]:
        """Return the names of the layers of the head."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was copied, what the model wanted and did not get, what was left over, and what the head kept."""

    loaded: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    head: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} arrays loaded"]
        for name in ("missing", "unexpected", "head"):
            items = getattr(self, name)
            if items:
                rest = f" and {len(items) - 8} more" if len(items) > 8 else ""
                parts.append(f"{name}: {', '.join(items[:8])}{rest}")
        return "; ".join(parts)
