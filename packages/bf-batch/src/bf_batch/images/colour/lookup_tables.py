"""Tables of 256 bytes: what point-wise colour steps do to byte pictures, as Pillow defines them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Tables = NDArray[np.uint8]
"""(n, 1, 256) one table a picture, or (n, channels, 256)."""

LEVELS = np.arange(256.0)


def rounded(values: Floats) -> Tables:
    """Return values (n, 256) as tables (n, 1, 256): rounded and limited to bytes."""
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)[:, None]


def equalizing(counts: NDArray[np.int64]) -> Tables:
    """Return the tables that spread the histograms (n, c, 256) evenly, as Pillow's ``ImageOps.equalize``."""
    n, c, _ = counts.shape
    tables = np.empty((n, c, 256), np.uint8)
    for place in np.ndindex(n, c):
        own = counts[place]
        filled = own[own > 0]
        step = int(filled[:-1].sum()) // 255
        if len(filled) < 2 or step == 0:
            tables[place] = LEVELS
            continue
        before = np.concatenate([[0], np.cumsum(own)[:-1]])
        tables[place] = np.minimum((step // 2 + before) // step, 255)
    return tables


def stretching(counts: NDArray[np.int64]) -> Tables:
    """Return the tables that bring each channel's darkest and lightest value to 0 and 255."""
    n, c, _ = counts.shape
    tables = np.empty((n, c, 256), np.uint8)
    for place in np.ndindex(n, c):
        found = np.flatnonzero(counts[place])
        low, high = (int(found[0]), int(found[-1])) if len(found) else (0, 255)
        if high <= low:
            tables[place] = LEVELS
            continue
        scale = 255.0 / (high - low)
        tables[place] = np.clip((LEVELS * scale - low * scale).astype(np.int64), 0, 255)
    return tables


def levels_of(pictures: Any) -> NDArray[np.uint8]:
    """Return float pictures of 0..1 as bytes."""
    return np.asarray(np.clip(np.floor(pictures * 255.0 + 0.5), 0, 255), dtype=np.uint8)
