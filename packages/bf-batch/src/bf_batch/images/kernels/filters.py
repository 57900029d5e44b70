"""The compiled loops of filters: weights around a pixel, and the middle, the least or the greatest."""

from __future__ import annotations

from typing import Any

import numpy as np

from bf_batch.images.kernels.maps import CONSTANT, fold, kernel, part

MIDDLE, LEAST, GREATEST = 0, 1, 2


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


@part
def order_pair(a: Any, b: Any) -> Any:
    """Return two numbers, the lesser one first."""
    return min(a, b), max(a, b)


@part
def middle_of_nine(rows: Any, at: Any, step: Any) -> Any:
    """Return the median of three by three numbers (Smith 1996): the middle of columns that are sorted."""
    a, b, c = rows[0], rows[1], rows[2]
    one, two = at + step, at + step + step
    x0, x1 = order_pair(a[at], b[at])
    x1, x2 = order_pair(x1, c[at])
    x0, x1 = order_pair(x0, x1)
    y0, y1 = order_pair(a[one], b[one])
    y1, y2 = order_pair(y1, c[one])
    y0, y1 = order_pair(y0, y1)
    z0, z1 = order_pair(a[two], b[two])
    z1, z2 = order_pair(z1, c[two])
    z0, z1 = order_pair(z0, z1)
    low = max(x0, y0, z0)
    high = min(x2, y2, z2)
    p, q = order_pair(x1, y1)
    middle = max(p, min(q, z1))
    p, q = order_pair(low, middle)
    return max(p, min(q, high))


@part
def choose_middle(values: Any) -> Any:
    """Return the median of an odd number of values, whose order is changed (quickselect, Hoare)."""
    wanted, low, high = values.size // 2, 0, values.size - 1
    while low < high:
        pivot, i, j = values[(low + high) // 2], low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i, j = i + 1, j - 1
        if wanted <= j:
            high = j
        elif wanted >= i:
            low = i
        else:
            break
    return values[wanted]


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
            found[:] = line[: w * c]
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
            row[:] = across[y]
            for u in range(1, side):
                near = across[y + u]
                if rank == LEAST:
                    for j in range(size):
                        row[j] = min(row[j], near[j])
                else:
                    for j in range(size):
                        row[j] = max(row[j], near[j])


@kernel
def take_medians(pictures: Any, reach: int, mode: int, fill: Any, out: Any) -> None:
    """Replace each pixel of (n, h, w, c) by the median of a square around it."""
    n, h, w, c = pictures.shape
    side = 2 * reach + 1
    padded = np.empty((h + 2 * reach, (w + 2 * reach) * c), out.dtype)
    some = np.empty(side * side, out.dtype)
    step = np.uintp(c)
    for i in range(n):
        surround(pictures[i], (reach, reach), mode, fill, padded)
        target = out[i].reshape(h, w * c)
        for y in range(h):
            row = target[y]
            if reach == 1:
                rows = (padded[y], padded[y + 1], padded[y + 2])
                for j in range(np.uintp(w * c)):
                    row[j] = middle_of_nine(rows, j, step)
                continue
            for j in range(w * c):
                at = 0
                for u in range(side):
                    for v in range(side):
                        some[at] = padded[y + u, j + v * c]
                        at += 1
                row[j] = choose_middle(some)


@kernel
def count_medians(pictures: Any, reach: int, mode: int, fill: Any, out: Any) -> None:
    """Do what ``take_medians`` does on bytes: a histogram of the square moves along the row (Huang 1979)."""
    n, h, w, c = pictures.shape
    side = 2 * reach + 1
    padded = np.empty((h + 2 * reach, (w + 2 * reach) * c), np.uint8)
    counts, coarse = np.empty(256, np.int32), np.empty(16, np.int32)
    wanted = side * side // 2
    for i in range(n):
        surround(pictures[i], (reach, reach), mode, fill, padded)
        target = out[i].reshape(h, w * c)
        for y in range(h):
            for k in range(c):
                counts[:] = 0
                coarse[:] = 0
                for x in range(-1, w):
                    for u in range(side):
                        line = padded[y + u]
                        if x < 0:
                            for v in range(side - 1):
                                value = line[v * c + k]
                                counts[value] += 1
                                coarse[value >> 4] += 1
                            continue
                        if x > 0:
                            value = line[(x - 1) * c + k]
                            counts[value] -= 1
                            coarse[value >> 4] -= 1
                        value = line[(x + side - 1) * c + k]
                        counts[value] += 1
                        coarse[value >> 4] += 1
                    if x < 0:
                        continue
                    left, block = wanted, 0
                    while coarse[block] <= left:
                        left -= coarse[block]
                        block += 1
                    level = block * 16
                    while counts[level] <= left:
                        left -= counts[level]
                        level += 1
                    target[y, x * c + k] = level
