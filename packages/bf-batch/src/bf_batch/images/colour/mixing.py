"""Mixing the items of a batch with each other: partners, soft labels, pasted parts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray


def partners(n: int, rng: Generator) -> NDArray[np.int64]:
    """Draw for each item another one: a random permutation."""
    return rng.permutation(n)


def mixed_labels(
    labels: Any, other: NDArray[np.int64], share: NDArray[np.float64], classes: int | None, what: str
) -> NDArray[np.float32]:
    """Return float32 (n, classes) with the item's own share and the rest for its partner.

    Labels are numbers of classes, which needs ``classes``, or already (n, classes).
    """
    values = np.asarray(labels)
    if values.ndim == 1:
        if classes is None:
            raise ValueError(
                f"{what}: labels are numbers of classes; say how many there are: {what}(classes=10)"
            )
        if not np.issubdtype(values.dtype, np.integer) or (
            len(values) and not 0 <= values.min() <= values.max() < classes
        ):
            raise ValueError(
                f"{what}: labels must be integers from 0 to {classes - 1}, got {values.dtype} from "
                f"{values.min()} to "
                f"{values.max()}"
            )
        values = np.eye(classes, dtype=np.float32)[values]
    weight = share.astype(np.float32)[:, None]
    return np.asarray(values * weight + values[other] * (1 - weight), dtype=np.float32)


def pasted(
    pictures: NDArray[Any], other: NDArray[np.int64], share: NDArray[np.float64], rng: Generator
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Paste a part of the partner into each picture; return them and the share of its own pixels each one
    kept.
    """
    n, h, w = pictures.shape[:3]
    sides = np.sqrt(1 - share)
    middle = rng.random((n, 2)) * (h, w)
    half = np.stack([h * sides, w * sides], axis=1) / 2
    low = np.clip(np.rint(middle - half), 0, (h, w)).astype(int)
    high = np.clip(np.rint(middle + half), 0, (h, w)).astype(int)
    mixed = pictures.copy()
    for i, ((top, left), (bottom, right)) in enumerate(zip(low, high)):
        mixed[i, top:bottom, left:right] = pictures[other[i], top:bottom, left:right]
    return mixed, 1 - (high - low).prod(axis=1) / (h * w)
