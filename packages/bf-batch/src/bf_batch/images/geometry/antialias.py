"""Resizing with a filter as wide as the shrinking needs, so that fine patterns average out, as in Pillow."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.dtypes import limit_to
from bf_batch.images.arguments import Floats
from bf_batch.images.arrays import NATIVE, read_only
from bf_batch.images.geometry.frames import Sizes, Step, select_sizes
from bf_batch.images.geometry.points import Points
from bf_batch.images.geometry.warp import Warp
from bf_batch.images.runtime import import_extra


def resize_smoothly(value: Warp | Points, chosen: NDArray[np.bool_], step: Step) -> Warp | Points:
    """Resize pictures with the filter; masks, boxes and keypoints take the step as any other."""
    if isinstance(value, Points) or value.order == 0:
        return value.advance(step, chosen)
    n = len(value)
    pictures: Any = value.resolve()
    sizes: Sizes = select_sizes(chosen, step.sizes, value.sizes, n)
    if isinstance(pictures, np.ndarray) and isinstance(sizes, tuple):
        done: Any = filter_to_size(pictures, sizes)
    else:
        each = np.broadcast_to(np.array(sizes), (n, 2)).tolist()
        done = [filter_to_size(p[None], (h, w))[0] for p, (h, w) in zip(pictures, each)]
        if isinstance(sizes, tuple) and len({(p.shape, p.dtype) for p in done}) == 1:
            done = np.stack(done)
    return Warp.of(done).with_sampling(value.order, value.fill)


def filter_to_size(pictures: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Return pictures (n, h, w) or (n, h, w, c) of another size, in their dtype."""
    if pictures.shape[1:3] == tuple(size):
        return pictures
    four = read_only(pictures[..., None] if pictures.ndim == 3 else pictures)
    if four.dtype not in NATIVE:
        four = read_only(four.astype(np.float32))
    out = np.empty((len(four), *size, four.shape[3]), four.dtype)
    rows, columns = triangle_weights(four.shape[1], size[0]), triangle_weights(four.shape[2], size[1])
    import_extra("bf_batch.images.kernels.axes").average(four, *rows, *columns, out.dtype == np.uint8, out)
    result = limit_to(pictures.dtype, out)
    return result[..., 0] if pictures.ndim == 3 else result


@functools.lru_cache(maxsize=256)
def triangle_weights(before: int, after: int) -> tuple[NDArray[np.int64], Floats]:
    """Return where each filter begins and its weights (after, taps): a triangle whose sum is one."""
    ratio = before / after
    wide = max(ratio, 1.0)
    centre = (np.arange(after) + 0.5) * ratio
    first = np.maximum((centre - wide + 0.5).astype(np.int64), 0)
    taps = int(np.ceil(2 * wide)) + 1
    place = first[:, None] + np.arange(taps)
    weights = np.maximum(1 - np.abs((place + 0.5 - centre[:, None]) / wide), 0) * (place < before)
    return np.minimum(first, max(before - taps, 0)), _align_weights(weights, first, before, taps)


def _align_weights(weights: Floats, first: NDArray[np.int64], before: int, taps: int) -> Floats:
    """Shift the weights of filters that reach beyond the last pixel, so that all have their taps inside."""
    moved = first - np.minimum(first, max(before - taps, 0))
    kept = np.zeros((len(weights), min(taps, before)))
    for row, (line, by) in enumerate(zip(weights, moved)):
        part = line[: kept.shape[1] - by]
        kept[row, by : by + len(part)] = part
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))
