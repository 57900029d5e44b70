"""What a training came to: numbers for a sweep, a text for a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bf_research.tracking.tracker import Location


@dataclass(frozen=True)
class Outcome:
    """The end of one training: its last metrics, how long it took, where it is recorded."""

    name: str
    metrics: Mapping[str, float]
    iterations: int
    seconds: float
    location: Location | None = None

    def __str__(self) -> str:
        numbers = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        lines = [f"{self.name}: {numbers} ({self.iterations} iterations in {self.seconds:.0f} s)"]
        if self.location is not None:
            lines.append(str(self.location))
        return "\n".join(lines)
