"""Batches of rows: numbers that describe each item, and its label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from bf_batch.actions import action
from bf_batch.batch import Batch


class RowsBatch(Batch):
    """Rows of numbers, ``features`` (n, columns), with ``labels``."""

    components = "features", "labels"

    @action
    def normalize(self, mean: float | Sequence[float], std: float | Sequence[float]) -> Self:
        """Replace features by float32 ``(feature - mean) / std``; numbers are one for all or one a column."""
        deviation = np.asarray(std, np.float64)
        if not (deviation > 0).all():
            raise ValueError(f"normalize: std must be positive, got {std!r}")
        features: Any = self.to_dict()["features"]
        centred = np.asarray(features, np.float64) - np.asarray(mean, np.float64)
        self.features = (centred / deviation).astype(np.float32)
        return self
