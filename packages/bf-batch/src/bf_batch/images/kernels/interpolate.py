"""The compiled loops of any map: coordinates, borders, interpolation.

Coordinates are pixel centres: the picture of height h covers [-0.5, h - 0.5], and a matrix maps (row,
column, 1) of the result to (row, column) of the source. Loops index with unsigned integers, since numba
adds a test for negative indices to signed ones, and work on one row of coordinates at a time, which the
compiler turns into vector code.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bf_batch.images.kernels.maps import (
    AFFINE,
    BAND,
    BLOCK,
    CONSTANT,
    EDGE,
    REFLECT,
    WRAP,
    clamp,
    fold,
    is_free,
    kernel,
    map_point,
    part,
    place,
)


@part
def reach(m: Any, rim: Any, kind: int, mode: int, band: Any, box: Any, h: int, w: int) -> None:
    """Write into ``box`` (top, bottom, left, right) which part of the source a band of results can touch.

    ``band`` is (first row, end row, columns) of the result.
    """
    box[0], box[1], box[2], box[3] = 0, h, 0, w
    if kind != AFFINE:
        return
    top, bottom = clamp(float(band[0]), rim[0], rim[2]), clamp(band[1] - 1.0, rim[0], rim[2])
    left, right = clamp(0.0, rim[1], rim[3]), clamp(band[2] - 1.0, rim[1], rim[3])
    for axis in range(2):
        size = h if axis == 0 else w
        start = m[axis, 0] * top + m[axis, 1] * left + m[axis, 2]
        down, across = m[axis, 0] * (bottom - top), m[axis, 1] * (right - left)
        low, high = start + min(down, 0.0) + min(across, 0.0), start + max(down, 0.0) + max(across, 0.0)
        if mode >= REFLECT and (low < 0 or high > size - 1):
            continue
        first = int(min(max(np.floor(low) - 2, 0.0), size - 1.0))
        box[2 * axis] = first
        box[2 * axis + 1] = int(min(max(np.floor(high) + 4, first + 1.0), float(size)))


@part
def surround(source: Any, box: Any, mode: int, fill: Any, scratch: Any) -> None:
    """Copy a box of the source (height, width, channels) as float32 with a ring of what lies around it.

    The ring is one pixel above and to the left, and two below and to the right.
    """
    h, w, c = source.shape
    flat = source.reshape(h * w * c)
    body, head, tail = np.uintp((box[3] - box[2]) * c), np.uintp(c), np.uintp(2 * c)
    before = int(fold(box[2] - 1.0, w, EDGE if mode == CONSTANT else mode)) * c
    after = int(fold(float(box[3]), w, EDGE if mode == CONSTANT else mode)) * c
    at = np.uintp(0)
    for y in range(box[0] - 1, box[1] + 2):
        row = int(fold(float(y), h, EDGE if mode == CONSTANT else mode)) * w * c
        line = np.uintp(row + box[2] * c)
        if mode == CONSTANT and (y < 0 or y >= h):
            for j in range(np.uintp(box[3] - box[2] + 3)):
                for k in range(np.uintp(c)):
                    scratch[at + j * head + k] = fill[k]
        else:
            for j in range(body):
                scratch[at + head + j] = flat[line + j]
            for k in range(np.uintp(c)):
                scratch[at + k] = fill[k] if mode == CONSTANT else flat[np.uintp(row + before) + k]
                end = fill[k] if mode == CONSTANT else flat[np.uintp(row + after) + k]
                scratch[at + head + body + k] = scratch[at + head + body + head + k] = end
        at += head + body + tail


@part
def fill_coordinates(
    m: Any, pre: Any, field: Any, rim: Any, kind: int, first: int, width: int, ys: Any, xs: Any
) -> None:
    """Fill the source coordinates of whole rows of results, from row ``first`` on."""
    rows = ys.size // width
    if kind == AFFINE and is_free(rim, first + rows, width):
        for r in range(rows):
            row, at = first + r, r * width
            y, x = np.float32(m[0, 0] * row + m[0, 2]), np.float32(m[1, 0] * row + m[1, 2])
            dy, dx = np.float32(m[0, 1]), np.float32(m[1, 1])
            for q in range(np.uint32(width)):
                ys[np.uintp(at) + q] = y + dy * np.float32(q)
                xs[np.uintp(at) + q] = x + dx * np.float32(q)
        return
    for r in range(rows):
        near, at = clamp(float(first + r), rim[0], rim[2]), r * width
        for q in range(width):
            column = clamp(float(q), rim[1], rim[3])
            ys[at + q], xs[at + q] = map_point(m, pre, field, kind, near, column)


@part
def settle(ys: Any, xs: Any, rim: Any, box: Any, mode: int, h: int, w: int) -> None:
    """Bring coordinates inside the picture and its ring, then count them from the ring's corner."""
    if mode >= REFLECT or rim[4] > 1 or rim[5] > 1:
        for q in range(ys.size):
            ys[q] = np.float32(place(ys[q], h, mode, rim[4]))
            xs[q] = np.float32(place(xs[q], w, mode, rim[5]))
    out = np.float32(1 if mode == CONSTANT else 0)
    after = np.float32(1 if mode == WRAP else out)  # between the last pixel and the first one
    bottom, right = np.float32(h - 1) + after, np.float32(w - 1) + after
    up, aside = np.float32(1 - box[0]), np.float32(1 - box[2])
    for q in range(np.uintp(ys.size)):
        ys[q] = min(max(ys[q], -out), bottom) + up
        xs[q] = min(max(xs[q], -out), right) + aside


@part
def gather_linear(scratch: Any, wide: int, c: int, ys: Any, xs: Any, at: Any, line: Any) -> None:
    """Interpolate out of the scratch buffer at coordinates counted from its corner."""
    for q in range(np.uintp(ys.size)):
        i, j = np.int32(ys[q]), np.int32(xs[q])
        ys[q], xs[q] = ys[q] - np.float32(i), xs[q] - np.float32(j)
        at[q] = i * np.int32(wide) + j * np.int32(c)
    one, across, down = np.uintp(1), np.uintp(c), np.uintp(wide)
    if c == 1:
        for q in range(np.uintp(ys.size)):
            a = np.uintp(at[q])
            b = a + down
            top = scratch[a] + (scratch[a + one] - scratch[a]) * xs[q]
            low = scratch[b] + (scratch[b + one] - scratch[b]) * xs[q]
            line[q] = top + (low - top) * ys[q]
        return
    for q in range(np.uintp(ys.size)):
        a = np.uintp(at[q])
        b = a + down
        fy, fx = ys[q], xs[q]
        for k in range(across):
            top = scratch[a + k] + (scratch[a + across + k] - scratch[a + k]) * fx
            low = scratch[b + k] + (scratch[b + across + k] - scratch[b + k]) * fx
            line[q * across + k] = top + (low - top) * fy


@part
def finish(line: Any, gain: Any, bias: Any, limited: bool, row: Any) -> None:
    """Scale a row, and round and limit it to 0..255 when the result is bytes."""
    if limited:
        low, high, half = np.float32(0), np.float32(255), np.float32(0.5)
        for j in range(np.uintp(row.size)):
            row[j] = min(max(line[j] * gain[j] + bias[j], low), high) + half
    else:
        for j in range(np.uintp(row.size)):
            row[j] = line[j] * gain[j] + bias[j]


@part
def repeat_channels(values: Any, times: int) -> Any:
    """Return one number a channel, repeated for a row of pixels."""
    row = np.empty(values.size * times, np.float32)
    for k in range(row.size):
        row[k] = values[k % values.size]
    return row


@kernel
def warp(
    source: Any, m: Any, bend: Any, rims: Any, how: Any, fill: Any, gain: Any, bias: Any, out: Any
) -> None:
    """Resample pictures (n, h, w, c) into ``out`` (n, height, width, c), both uint8 or float32.

    ``bend`` is (matrices before, displacements); ``rims`` (n or 1, 6) are the top, left, bottom and right
    within which points of the result are taken, and how sharp outlines are (y, x), see ``place``. ``how`` is
    (kind of map, border mode, limited to bytes); fill, gain and bias hold one number a channel.
    """
    pre, field = bend
    n, h, w, c = source.shape
    rows, width = out.shape[1], out.shape[2]
    flat = out.reshape(n, rows * width * c)
    kind, mode, limited = how[0], how[1], how[2] != 0
    block = min(rows, max(1, BLOCK // width))
    points = block * width
    ys, xs, at = np.empty(points, np.float32), np.empty(points, np.float32), np.empty(points, np.uint32)
    line = np.empty(points * c, np.float32)
    gains, biases = repeat_channels(gain, points), repeat_channels(bias, points)
    band, box = np.empty(3, np.int64), np.empty(4, np.int64)
    scratch = np.empty(0, np.float32)
    for i in range(n):
        here, bent, rim = pre[i % pre.shape[0]], field[i % field.shape[0]], rims[i % rims.shape[0]]
        for top in range(0, rows, BAND):
            band[0], band[1], band[2] = top, min(top + BAND, rows), width
            reach(m[i], rim, kind, mode, band, box, h, w)
            wide = (box[3] - box[2] + 3) * c
            need = (box[1] - box[0] + 3) * wide
            if scratch.size < need:
                scratch = np.empty(need, np.float32)
            surround(source[i], box, mode, fill, scratch)
            for first in range(top, band[1], block):
                count = (min(first + block, band[1]) - first) * width
                y, x = ys[:count], xs[:count]
                fill_coordinates(m[i], here, bent, rim, kind, first, width, y, x)
                settle(y, x, rim, box, mode, h, w)
                gather_linear(scratch, wide, c, y, x, at, line)
                finish(line, gains, biases, limited, flat[i, first * width * c : (first * width + count) * c])


@kernel
def copy_nearest(
    source: Any, m: Any, pre: Any, field: Any, kind: int, mode: int, fill: Any, out: Any
) -> None:
    """Copy nearest pixels: (n, h, w, c) to (n, height, width, c) of one dtype; a tie goes right and down."""
    n, h, w, c = source.shape
    tie = 0.5 + 1e-6  # rounding errors of the matrix must not split the columns of an exact halving
    for i in range(n):
        for r in range(out.shape[1]):
            for q in range(out.shape[2]):
                y, x = map_point(
                    m[i], pre[i % pre.shape[0]], field[i % field.shape[0]], kind, float(r), float(q)
                )
                if mode != CONSTANT:
                    y, x = fold(y, h, mode), fold(x, w, mode)
                inside = y + 1e-6 >= -0.5 and y + tie < h and x + 1e-6 >= -0.5 and x + tie < w
                u, v = int(np.floor(y + tie)), int(np.floor(x + tie))
                if mode == WRAP:
                    u, v = u % h, v % w
                u, v = min(u, h - 1), min(v, w - 1)
                for k in range(c):
                    out[i, r, q, k] = source[i, u, v, k] if inside or mode != CONSTANT else fill[k]


@part
def cubic_weights(t: float, taps: Any) -> None:
    """Write the four weights of cubic convolution at a fraction of a pixel.

    It is that of Keys with a = -1/2, as in Pillow and TensorFlow.
    """
    taps[0] = ((-0.5 * t + 1.0) * t - 0.5) * t
    taps[1] = (1.5 * t - 2.5) * t * t + 1.0
    taps[2] = ((-1.5 * t + 2.0) * t + 0.5) * t
    taps[3] = (0.5 * t - 0.5) * t * t


@part
def place_taps(start: int, low: int, high: int, size: int, mode: int, places: Any) -> None:
    """Write where the four pixels of one axis are, limited to ``low`` and ``high``; -1 for one outside."""
    for u in range(4):
        at = min(max(start + u, low), high)
        inside = 0 <= at < size
        places[u] = at if inside else -1 if mode == CONSTANT else int(fold(float(at), size, mode))


@part
def frame_of(m: Any, rim: Any, axis: int, kind: int, ends: Any) -> bool:
    """Write the first and last pixel of the picture that an enlarged frame has along one axis.

    Whether there are such: the map leads along the axes, and the frame lies on whole pixels.
    """
    ends[0], ends[1] = -(1 << 40), 1 << 40
    if (
        kind != AFFINE
        or m[0, 1] != 0
        or m[1, 0] != 0
        or not (np.isfinite(rim[axis]) and np.isfinite(rim[axis + 2]))
    ):
        return False
    one, two = m[axis, axis] * rim[axis] + m[axis, 2], m[axis, axis] * rim[axis + 2] + m[axis, 2]
    low, high = np.rint(min(one, two)), np.rint(max(one, two))
    if abs(low - min(one, two)) > 1e-6 or abs(high - max(one, two)) > 1e-6:
        return False
    ends[0], ends[1] = int(low), int(high)
    return True


@part
def cover(position: float, size: int, mode: int, sharpness: float) -> float:
    """Return how much of a point of the result the enlarged picture covers along one axis."""
    if mode != CONSTANT or sharpness <= 1:
        return 1.0
    at = place(position, size, mode, sharpness)
    return 1.0 + min(at, 0.0) - max(at - (size - 1.0), 0.0)


@kernel
def warp_cubic(
    source: Any, m: Any, bend: Any, rims: Any, how: Any, fill: Any, gain: Any, bias: Any, out: Any
) -> None:
    """Do what ``warp`` does with cubic interpolation over four by four pixels."""
    pre, field = bend
    n, h, w, c = source.shape
    kind, mode = how[0], how[1]
    down, across = np.empty(4), np.empty(4)
    rows, columns = np.empty(4, np.int64), np.empty(4, np.int64)
    tall, wide = np.empty(2, np.int64), np.empty(2, np.int64)
    low, high, half = (0.0, 255.0, 0.5) if how[2] != 0 else (-np.inf, np.inf, 0.0)
    for i in range(n):
        here, bent, rim = pre[i % pre.shape[0]], field[i % field.shape[0]], rims[i % rims.shape[0]]
        # the edge is repeated for all four pixels where they are known, else for the point
        freely = frame_of(m[i], rim, 0, kind, tall), frame_of(m[i], rim, 1, kind, wide)
        modes = (
            EDGE if mode == CONSTANT and rim[4] > 1 else mode,
            EDGE if mode == CONSTANT and rim[5] > 1 else mode,
        )
        for r in range(out.shape[1]):
            for q in range(out.shape[2]):
                row = float(r) if freely[0] else clamp(float(r), rim[0], rim[2])
                column = float(q) if freely[1] else clamp(float(q), rim[1], rim[3])
                y, x = map_point(m[i], here, bent, kind, row, column)
                share = cover(y, h, mode, rim[4]) * cover(x, w, mode, rim[5])
                if mode >= REFLECT:
                    y = y if freely[0] else place(y, h, mode, rim[4])
                    x = x if freely[1] else place(x, w, mode, rim[5])
                else:
                    y, x = clamp(y, -3.0, h + 3.0), clamp(x, -3.0, w + 3.0)
                u, v = int(np.floor(y)), int(np.floor(x))
                cubic_weights(y - u, down)
                cubic_weights(x - v, across)
                place_taps(u - 1, tall[0], tall[1], h, modes[0], rows)
                place_taps(v - 1, wide[0], wide[1], w, modes[1], columns)
                for k in range(c):
                    total = 0.0
                    for s in range(4):
                        for t in range(4):
                            inside = rows[s] >= 0 and columns[t] >= 0
                            value = float(source[i, rows[s], columns[t], k]) if inside else fill[k]
                            total += value * down[s] * across[t]
                    total = fill[k] + (total - fill[k]) * share if share < 1 else total
                    out[i, r, q, k] = min(max(total * gain[k] + bias[k], low), high) + half
