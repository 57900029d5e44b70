"""Which pictures are only moved by whole pixels: they are copied, and no value of theirs meets another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.images.geometry.pending import PendingGeometry
from bf_batch.images.runtime import import_extra


def find_still(
    warp: PendingGeometry, pictures: NDArray[Any], rows: slice, matrices: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return which pictures are copied: (k,).

    Such are flips, quarter turns, whole shifts, and items that took no step. Where only some are so, finite
    float32 are left to the loop that the others need, which gives the same values.
    """
    find_moves = import_extra("bf_batch.images.kernels.maps").find_moves
    still: NDArray[np.bool_] = find_moves(matrices)
    if warp.field is not None and warp.pre is not None and still.any():
        still &= find_moves(warp.pre[rows])
        still &= [not field.any() for field in warp.field[rows]]
    if still.all() or not still.any():
        return still
    if pictures.dtype == np.float32 and np.isfinite(pictures[still]).all():
        return np.zeros_like(still)
    return still
