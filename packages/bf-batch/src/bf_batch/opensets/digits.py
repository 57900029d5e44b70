"""Digits: the 1,797 digits of 8 x 8 that scikit-learn brings along."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bf_batch.batch import Batch
from bf_batch.opensets.base import ArrayOpenset, fix_order

_ORDER_SEED = 1797
"""Fixes which digits are for the test, and the order of all."""


class Digits(ArrayOpenset):
    """Small handwritten digits: images uint8 (8, 8, 1) from 0 to 16, labels int64 0..9; 1,438 to train on.

    >>> len(Digits().test)
    359
    """

    def __init__(
        self,
        batch_class: type[Batch] | None = None,
        only: Sequence[str | int] | None = None,
        per_class: int | None = None,
    ) -> None:
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise ImportError("Digits come with scikit-learn: pip install scikit-learn") from error
        bunch = load_digits()
        labels = bunch.target.astype(np.int64)
        order, trained = fix_order(labels, _ORDER_SEED)
        images = bunch.images[order].astype(np.uint8)[..., np.newaxis]
        super().__init__(
            images, labels[order], trained, [str(digit) for digit in range(10)], batch_class, only, per_class
        )
