"""The compiled loops of medians: of three by three pixels, of a few more, of many, and of many bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from bf_batch.images.kernels.filters import surround
from bf_batch.images.kernels.maps import BLOCK, copy_line, kernel, part


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


@kernel
def take_nines(pictures: Any, reach: int, mode: int, fill: Any, out: Any) -> None:
    """Replace each pixel of (n, h, w, c) by the median of three by three around it: ``reach`` is 1."""
    n, h, w, c = pictures.shape
    padded = np.empty((h + 2, (w + 2) * c), out.dtype)
    step = np.uintp(c)
    for i in range(n):
        surround(pictures[i], (reach, reach), mode, fill, padded)
        target = out[i].reshape(h, w * c)
        for y in range(h):
            row = target[y]
            rows = (padded[y], padded[y + 1], padded[y + 2])
            for j in range(np.uintp(w * c)):
                row[j] = middle_of_nine(rows, j, step)


@part
def exchange(cells: Any, first: int, second: int, width: int) -> None:
    """Put the lesser numbers of two rows of cells in the first one, the greater ones in the second."""
    one, other = cells[first], cells[second]
    for j in range(np.uintp(width)):
        a, b = one[j], other[j]
        one[j] = min(a, b)
        other[j] = max(a, b)


@part
def sort_cells(cells: Any, first: int, count: int, width: int) -> None:
    """Sort rows of cells, from ``first`` on, in each column."""
    for last in range(first + count - 1, first, -1):
        for row in range(first, last):
            exchange(cells, row, row + 1, width)


@part
def find_middle(cells: Any, places: Any, count: int, width: int) -> int:
    """Return the row of cells with the median, in each column, of ``count`` rows at ``places``; both change.

    Of half of them and two more neither the least nor the greatest can be it: they are left out, the next one
    comes in.
    """
    size = taken = min(count // 2 + 2, count)
    while size > 1:
        last = size - 1
        for p in range(size // 2):
            exchange(cells, places[p], places[last - p], width)
        for p in range(1, (size + 1) // 2):
            exchange(cells, places[0], places[p], width)
        for p in range(size // 2, last):
            exchange(cells, places[p], places[last], width)
        if taken < count:
            places[0] = places[taken]
            taken += 1
            size -= 1
        else:
            places[0] = places[size - 2]
            size -= 2
    return int(places[0])


@kernel
def sort_medians(pictures: Any, reach: int, mode: int, fill: Any, out: Any) -> None:
    """Replace each pixel of (n, h, w, c) by the median of a square around it, by comparing rows with rows.

    Once the columns of the square and then its rows are sorted, a cell that has more than half of them at its
    upper left or at its lower right can't be the median. Columns are sorted once for all squares in a row.
    """
    n, h, w, c = pictures.shape
    side = 2 * reach + 1
    half = side * side // 2 + 1
    candidates, count = np.empty(side * side, np.intp), 0
    for u in range(side):
        for v in range(side):
            if (u + 1) * (v + 1) <= half and (side - u) * (side - v) <= half:
                candidates[count] = u * side + v
                count += 1
    padded = np.empty((h + 2 * reach, (w + 2 * reach) * c), out.dtype)
    columns = np.empty((side, (w + 2 * reach) * c), out.dtype)
    cells = np.empty((side * side, BLOCK), out.dtype)
    for i in range(n):
        surround(pictures[i], (reach, reach), mode, fill, padded)
        target = out[i].reshape(h, w * c)
        for y in range(h):
            for u in range(side):
                copy_line(padded[y + u], 0, columns[u], 0, columns.shape[1])
            sort_cells(columns, 0, side, columns.shape[1])
            for start in range(0, w * c, BLOCK):
                width = min(BLOCK, w * c - start)
                for u in range(side):
                    for v in range(side):
                        copy_line(columns[u], start + v * c, cells[u * side + v], 0, width)
                    sort_cells(cells, u * side, side, width)
                middle = find_middle(cells, candidates.copy(), count, width)
                copy_line(cells[middle], 0, target[y], start, width)


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
def choose_medians(pictures: Any, reach: int, mode: int, fill: Any, out: Any) -> None:
    """Replace each pixel of (n, h, w, c) by the median of a square around it, pixel by pixel."""
    n, h, w, c = pictures.shape
    side = 2 * reach + 1
    padded = np.empty((h + 2 * reach, (w + 2 * reach) * c), out.dtype)
    some = np.empty(side * side, out.dtype)
    for i in range(n):
        surround(pictures[i], (reach, reach), mode, fill, padded)
        target = out[i].reshape(h, w * c)
        for y in range(h):
            for j in range(w * c):
                at = 0
                for u in range(side):
                    for v in range(side):
                        some[at] = padded[y + u, j + v * c]
                        at += 1
                target[y, j] = choose_middle(some)


@kernel
def count_medians(pictures: Any, reach: int, mode: int, fill: Any, out: Any) -> None:
    """Take medians of bytes: a histogram of the square moves along the row (Huang 1979)."""
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
