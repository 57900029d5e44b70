"""The compiled loops of filters: weights around a pixel, and the least or the greatest."""

from __future__ import annotations

from typing import Any

import numpy as np

from bf_batch.images.kernels.maps import CONSTANT, copy_line, fold, kernel, part

LEAST, GREATEST = 1, 2


@part
def surround(picture: Any, reach: Any, mode: int, fill: Any, padded: Any) -> None:
    """Copy a picture (h, w, c) into (h + 2 up, (w + 2 aside) c), with what lies around it."""
    h, w, c = picture.shape
    up, aside = reach[0], reach[1]
    source = picture.reshape(h, w * c)
    for y in range(h + 2 * up):
        inside = up <= y < h + up
        line = padded[y]
        if mode == CONSTANT and not inside:
            for x in range(w + 2 * aside):
                for k in range(c):
                    line[x * c + k] = fill[k % fill.size]
            continue
        row = source[y - up if inside else int(fold(float(y - up), h, mode))]
        middle = line[aside * c : (aside + w) * c]
        for j in range(np.uintp(w * c)):
            middle[j] = row[j]
        for side in range(2 * aside):
            x = side if side < aside else w + side
            if mode == CONSTANT:
                for k in range(c):
                    line[x * c + k] = fill[k % fill.size]
            else:
                near = int(fold(float(x - aside), w, mode))
                for k in range(c):
                    line[x * c + k] = row[near * c + k]


@part
def weigh(padded: Any, weights: Any, y: int, c: int, total: Any) -> None:
    """Sum the neighbours of one row of a surrounded picture by their weights (kh, kw)."""
    total[:] = 0
    size = np.uintp(total.size)
    for u in range(weights.shape[0]):
        for v in range(weights.shape[1]):
            weight = weights[u, v]
            if weight != 0:
                near = padded[y + u][v * c : v * c + total.size]
                for j in range(size):
                    total[j] += near[j] * weight


@kernel
def correlate(
    pictures: Any, weights: Any, ending: Any, mode: int, fill: Any, limited: bool, out: Any
) -> None:
    """Replace each pixel of (n, h, w, c) by the sum of its neighbours times weights (k, kh, kw).

    ``ending`` is what it is divided by, so that whole sums stay exact, and what is added. Of several planes
    of weights it is the root of the sum of squares: the steepness of a gradient.
    """
    n, h, w, c = pictures.shape
    planes, up, aside = weights.shape[0], weights.shape[1] // 2, weights.shape[2] // 2
    padded = np.empty((h + 2 * up, (w + 2 * aside) * c), np.float32)
    total, squares = np.empty(w * c, np.float32), np.empty(w * c, np.float32)
    size = np.uintp(w * c)
    low, high = np.float32(0 if limited else -np.inf), np.float32(255 if limited else np.inf)
    divisor, added = np.float32(ending[0]), np.float32(ending[1] + (0.5 if limited else 0.0))
    for i in range(n):
        surround(pictures[i], (up, aside), mode, fill, padded)
        target = out[i].reshape(h, w * c)
        for y in range(h):
            row = target[y]
            if planes == 1:
                weigh(padded, weights[0], y, c, total)
            else:
                squares[:] = 0
                for plane in range(planes):
                    weigh(padded, weights[plane], y, c, total)
                    for j in range(size):
                        squares[j] += total[j] * total[j]
                for j in range(size):
                    total[j] = np.sqrt(squares[j])
            for j in range(size):
                row[j] = min(max(total[j] / divisor + added, low), high)


@kernel
def average(pictures: Any, reach: int, mode: int, fill: Any, limited: bool, out: Any) -> None:
    """Replace each pixel of (n, h, w, c) by the mean of a square of ``2 reach + 1`` pixels around it."""
    n, h, w, c = pictures.shape
    side, wide = 2 * reach + 1, (w + 2 * reach) * c
    padded = np.empty((h + 2 * reach, wide), np.float32)
    sums = np.empty(wide)
    half = 0.5 if limited else 0.0
    for i in range(n):
        surround(pictures[i], (reach, reach), mode, fill, padded)
        target = out[i].reshape(h, w * c)
        sums[:] = 0
        for y in range(side):
            for j in range(np.uintp(wide)):
                sums[j] += padded[y, j]
        for y in range(h):
            if y > 0:
                new, old = padded[y + side - 1], padded[y - 1]
                for j in range(np.uintp(wide)):
                    sums[j] += np.float64(new[j]) - np.float64(old[j])
            row = target[y]
            for k in range(c):
                total = 0.0
                for x in range(side):
                    total += sums[x * c + k]
                row[k] = total / (side * side) + half
                for x in range(1, w):
                    total += sums[(x + side - 1) * c + k] - sums[(x - 1) * c + k]
                    row[x * c + k] = total / (side * side) + half


@kernel
def take_extremes(pictures: Any, reach: int, rank: int, mode: int, fill: Any, out: Any) -> None:
    """Replace each pixel of (n, h, w, c) by the least or the greatest of a square around it."""
    n, h, w, c = pictures.shape
    side, wide = 2 * reach + 1, (w + 2 * reach) * c
    padded = np.empty((h + 2 * reach, wide), out.dtype)
    across = np.empty((h + 2 * reach, w * c), out.dtype)
    size = np.uintp(w * c)
    for i in range(n):
        surround(pictures[i], (reach, reach), mode, fill, padded)
        target = out[i].reshape(h, w * c)
        for y in range(h + 2 * reach):
            line, found = padded[y], across[y]
            copy_line(line, 0, found, 0, w * c)
            for x in range(1, side):
                near = line[x * c : x * c + w * c]
                if rank == LEAST:
                    for j in range(size):
                        found[j] = min(found[j], near[j])
                else:
                    for j in range(size):
                        found[j] = max(found[j], near[j])
        for y in range(h):
            row = target[y]
            copy_line(across[y], 0, row, 0, w * c)
            for u in range(1, side):
                near = across[y + u]
                if rank == LEAST:
                    for j in range(size):
                        row[j] = min(row[j], near[j])
                else:
                    for j in range(size):
                        row[j] = max(row[j], near[j])
