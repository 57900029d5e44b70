"""Components that are computed when they are read, or for several batches in one go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from bf_batch.core import BatchCore


@runtime_checkable
class Pending(Protocol):
    """A component that is not computed yet: the first read calls ``resolve`` and stores what it returns.

    One with a true attribute ``stays_pending`` is not computed ahead of that: it has ``take(rows)`` and a
    static ``join(values)``, so that batches of parts of it can be made.
    """

    def __len__(self) -> int: ...

    def resolve(self) -> Any:
        """Compute the component: an array or a list with one value for each item."""
        ...


def weigh(batch: BatchCore) -> int:
    """Return how many numbers the pending components of a batch will hold, as far as they tell."""
    return sum(getattr(value, "weight", 0) for value in batch._bf_data.values())


class PendingGroup:
    """The pending components of several batches: joined here, computed anywhere, delivered here.

    A pending value may have a static method ``join(values)``: one pending value that stands for several of
    its type, or None when they do not fit together. Only ``compute`` is long, and it holds no lock of the
    interpreter while it runs compiled code; so it is the part for a thread.
    """

    __slots__ = ("_alone", "_joined")

    def __init__(self, batches: Sequence[BatchCore]) -> None:
        self._joined: list[tuple[str, list[BatchCore], Any]] = []
        self._alone: list[tuple[BatchCore, str]] = []
        waiting: dict[tuple[str, Any], list[BatchCore]] = {}
        for batch in batches:
            for name, value in batch._bf_data.items():
                if type(value) is not np.ndarray and hasattr(value, "resolve"):
                    waiting.setdefault((name, getattr(value, "join", None)), []).append(batch)
        for (name, join), some in waiting.items():
            one = None
            if join is not None and len(some) > 1:
                one = join([batch._bf_data[name] for batch in some])
            if one is not None:
                self._joined.append((name, some, one))
            else:
                self._alone += [(batch, name) for batch in some]

    def compute(self) -> None:
        """Compute everything; what any of the components raises is raised."""
        for place, (name, some, one) in enumerate(self._joined):
            self._joined[place] = name, some, one.resolve()
        for batch, name in self._alone:
            getattr(batch, name)

    def deliver(self) -> None:
        """Hand each batch its part of what was computed for several."""
        for name, some, values in self._joined:
            end = 0
            for batch in some:
                start, end = end, end + len(batch)
                setattr(batch, name, values[start:end])
