"""What all metrics can do: give a value by its name in brackets, and a copy."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self


class Gathered(ABC):
    """Metrics that were gathered: ``metrics['f1_score']`` is ``metrics.evaluate('f1_score')``."""

    @abstractmethod
    def evaluate(self, name: str | Sequence[str]) -> Any:
        """Return the value of a metric, or a dict of several."""

    def __getitem__(self, name: str | Sequence[str]) -> Any:
        names = [name] if isinstance(name, str) else name
        if not (isinstance(names, list | tuple) and all(isinstance(one, str) for one in names)):
            raise TypeError(f"{type(self).__name__}[...] takes names of metrics, got {name!r}")
        return self.evaluate(name)

    def copy(self) -> Self:
        """Return metrics of the same counts; what is added to one of them is not added to the other."""
        made = copy.copy(self)
        for name, value in vars(made).items():
            if isinstance(value, list):  # arrays are replaced, never changed
                setattr(made, name, value.copy())
        return made
