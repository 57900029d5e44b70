"""Batches of rows: numbers that describe each item, and its label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Self

from bf_batch.actions import action
from bf_batch.batch import Batch
from bf_batch.transforms.normalizer import Normalizer, choose_normalizer


class RowsBatch(Batch):
    """Rows of numbers, ``features`` (n, columns), with ``labels``."""

    components = "features", "labels"

    @action
    def normalize(
        self,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        *,
        by: Normalizer | Mapping[str, Any] | str | PathLike[str] | None = None,
    ) -> Self:
        """Replace features by float32 ``(feature - mean) / std``; numbers are one for all or one a column.

        ``by`` is a ``Normalizer``, its state or its file, in place of numbers.
        """
        normalizer = choose_normalizer(mean, std, by)
        features: Any = self.to_dict()["features"]
        self.features = normalizer(features)
        return self
