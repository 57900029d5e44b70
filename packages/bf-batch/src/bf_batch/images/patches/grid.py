"""Where the patches of a picture lie, and what one of them holds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.images.fills import Outside


def find_starts(side: int, size: int, stride: int, drop_last: bool, padded: bool) -> NDArray[np.int64]:
    """Return where patches begin along one side of a picture.

    They are those of ``numpy.lib.stride_tricks.sliding_window_view(...)[::stride]``; if a rest remains, one
    more is laid at the end of the side, or where its turn is with ``padded``, or none with ``drop_last``.
    """
    whole = np.arange(0, side - size + 1, stride, dtype=np.int64) if side >= size else np.empty(0, np.int64)
    end = int(whole[-1]) + size if len(whole) else 0
    if drop_last or end == side:
        return whole
    if padded:
        return np.arange(0, len(whole) * stride + max(side - len(whole) * stride, 1), stride, dtype=np.int64)
    return np.append(whole, side - size) if side >= size else whole


def cut_out(
    read: Any, frame: tuple[int, int], corner: tuple[int, int], size: tuple[int, int], fill: Outside
) -> Any:
    """Return a part of a picture of ``size``, whose pixels ``read(rows, columns)`` gives for two slices.

    What lies below and to the right of the picture is filled.
    """
    (top, left), (height, width) = corner, size
    bottom, right = min(top + height, frame[0]), min(left + width, frame[1])
    if bottom - top == height and right - left == width:
        return read(slice(top, bottom), slice(left, right))
    if not isinstance(fill, str):
        part = read(slice(top, bottom), slice(left, right))
        whole = np.empty((height, width, *part.shape[2:]), part.dtype)
        whole[...] = np.asarray(fill if part.ndim == 3 or not isinstance(fill, tuple) else fill[0])
        whole[: bottom - top, : right - left] = part
        return whole
    rows, columns = (_fold(np.arange(at, at + n), side, fill) for at, n, side in zip(corner, size, frame))
    first, start = rows.min(), columns.min()
    part = read(slice(first, rows.max() + 1), slice(start, columns.max() + 1))
    return part[np.ix_(rows - first, columns - start)]


def _fold(places: NDArray[np.int64], side: int, fill: str) -> NDArray[np.int64]:
    """Return places within a side for those beyond it: of the edge, mirrored, or of the other end."""
    if fill == "wrap":
        return places % side
    if fill == "edge" or side == 1:
        return places.clip(0, side - 1)
    folded = places % (2 * side - 2)
    return np.minimum(folded, 2 * side - 2 - folded)
