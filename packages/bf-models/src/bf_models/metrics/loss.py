"""The loss as a metric: the mean over items, however many each batch has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from bf_models.errors import unknown
from bf_models.metrics.gathered import Gathered


class Loss(Gathered):
    """Mean losses of batches, weighted by their numbers of items.

    ``gather_metrics('loss', V('loss'), save_to=V('metrics'))`` gathers them. ValueError for a number of items
    below 1, TypeError for a loss that is no number.

    >>> metrics = Loss(1.0, 30)
    >>> metrics.update(Loss(4.0, 10))
    >>> metrics['loss']
    1.75
    """

    #: ``gather_metrics`` hands over one value and the number of items, where two values are not given.
    weighs_items = True

    def __init__(self, loss: Any, items: int = 1) -> None:
        array = np.asarray(loss)
        if array.size != 1 or array.dtype.kind not in "iuf":
            raise TypeError(f"Loss: the mean loss of a batch is a number, got {loss!r}")
        if isinstance(items, bool) or not isinstance(items, int | np.integer) or items < 1:
            raise ValueError(f"Loss: the number of items is a whole number above 0, got {items!r}")
        self._losses, self._items = [float(array.reshape(()))], [int(items)]

    def update(self, other: Loss) -> None:
        """Add the batches of another."""
        if type(other) is not Loss:
            raise TypeError(f"Loss cannot take in {type(other).__name__}")
        self._losses.extend(other._losses)
        self._items.extend(other._items)

    append = update

    def evaluate(self, name: str | Sequence[str] = "loss", agg: Literal["mean"] | None = "mean") -> Any:
        """Return the mean over all items; with ``agg=None`` the losses of the batches, (batches,)."""
        if not isinstance(name, str):
            return {item: self.evaluate(item, agg) for item in name}
        if name != "loss":
            raise ValueError(unknown("metric", name, ("loss",), "Loss"))
        if agg not in ("mean", None):
            raise ValueError(f"metrics: agg is 'mean' or None, got {agg!r}")
        return np.array(self._losses) if agg is None else float(np.average(self._losses, weights=self._items))
