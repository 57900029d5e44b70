"""The compiled loops of geometry: coordinates, borders, interpolation. Importing it imports numba.

Coordinates are pixel centres: the picture of height h covers [-0.5, h - 0.5], and a matrix maps (row,
column, 1) of the result to (row, column) of the source.  Loops index with unsigned integers, since numba
adds a test for negative indices to signed ones, and work on one row of coordinates at a time, which the
compiler turns into vector code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}


def kernel(function: Function, nogil: bool = True) -> Function:
    """Compile a loop that Python calls, when it is first called, and keep its machine code for later runs."""
    options = {**_OPTIONS, "nogil": nogil}
    try:
        return cast("Function", numba.njit(cache=True, **options)(function))
    except RuntimeError:  # there is no folder to keep it in
        return cast("Function", numba.njit(**options)(function))


def brief(function: Function) -> Function:
    """Compile a loop of a microsecond or two: it keeps the interpreter's lock, since handing that to another
    thread and asking for it again takes longer than the loop.
    """
    return kernel(function, nogil=False)


def part(function: Function) -> Function:
    """Compile a function that only loops call: without a door for Python, which takes long to compile."""
    return cast("Function", numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function))


AFFINE, PROJECTIVE, FIELD = 0, 1, 2
CONSTANT, EDGE, REFLECT = 0, 1, 2
BAND = 256  # rows of the result whose sources are held in the scratch buffer at once: bounds its memory
BLOCK = 1024  # points handled by one call of the inner loops: their rows of numbers stay in the first cache


@part
def fold(position: float, size: int, mode: int) -> float:
    """A coordinate brought inside [0, size - 1]: to the edge, or mirrored without repeating the edge
    pixel.
    """
    last = size - 1
    if mode == EDGE or last == 0:
        return min(max(position, 0.0), float(last))
    position = abs(position) % (2.0 * last)
    return 2.0 * last - position if position > last else position


@kernel
def displaced(field: Any, y: float, x: float) -> tuple[float, float]:
    """The bilinear value of a displacement field (height, width, 2) at a point, its edge continued
    outwards.
    """
    h, w = field.shape[0], field.shape[1]
    y, x = min(max(y, 0.0), h - 1.0), min(max(x, 0.0), w - 1.0)
    i, j = min(int(y), max(h - 2, 0)), min(int(x), max(w - 2, 0))
    fy, fx = y - i, x - j
    i1, j1 = min(i + 1, h - 1), min(j + 1, w - 1)
    top_y = field[i, j, 0] * (1 - fx) + field[i, j1, 0] * fx
    low_y = field[i1, j, 0] * (1 - fx) + field[i1, j1, 0] * fx
    top_x = field[i, j, 1] * (1 - fx) + field[i, j1, 1] * fx
    low_x = field[i1, j, 1] * (1 - fx) + field[i1, j1, 1] * fx
    return top_y * (1 - fy) + low_y * fy, top_x * (1 - fy) + low_x * fy


@part
def mapped(m: Any, pre: Any, field: Any, kind: int, row: float, column: float) -> tuple[float, float]:
    """The source point of one result point, by matrix, projective matrix, or matrix of a displaced point."""
    y, x = row, column
    if kind == FIELD:
        y = pre[0, 0] * row + pre[0, 1] * column + pre[0, 2]
        x = pre[1, 0] * row + pre[1, 1] * column + pre[1, 2]
        z = pre[2, 0] * row + pre[2, 1] * column + pre[2, 2]
        y, x = y / z, x / z
        dy, dx = displaced(field, y, x)
        y, x = y + dy, x + dx
    down = m[0, 0] * y + m[0, 1] * x + m[0, 2]
    across = m[1, 0] * y + m[1, 1] * x + m[1, 2]
    if kind == AFFINE:
        return down, across
    depth = m[2, 0] * y + m[2, 1] * x + m[2, 2]
    return down / depth, across / depth


@part
def reach(m: Any, kind: int, mode: int, band: Any, box: Any, h: int, w: int) -> None:
    """Write into ``box`` (top, bottom, left, right) which part of the source a band of results can touch.

    ``band`` is (first row, end row, columns) of the result.
    """
    box[0], box[1], box[2], box[3] = 0, h, 0, w
    if kind != AFFINE:
        return
    for axis in range(2):
        size = h if axis == 0 else w
        start = m[axis, 0] * band[0] + m[axis, 2]
        down, across = m[axis, 0] * (band[1] - 1 - band[0]), m[axis, 1] * (band[2] - 1)
        low, high = start + min(down, 0.0) + min(across, 0.0), start + max(down, 0.0) + max(across, 0.0)
        if mode == REFLECT and (low < 0 or high > size - 1):
            continue
        first = int(min(max(np.floor(low) - 2, 0.0), size - 1.0))
        box[2 * axis] = first
        box[2 * axis + 1] = int(min(max(np.floor(high) + 4, first + 1.0), float(size)))


@part
def surround(source: Any, box: Any, mode: int, fill: float, scratch: Any) -> None:
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
            for j in range(head + body + tail):
                scratch[at + j] = fill
        else:
            for j in range(body):
                scratch[at + head + j] = flat[line + j]
            for k in range(np.uintp(c)):
                scratch[at + k] = fill if mode == CONSTANT else flat[np.uintp(row + before) + k]
                end = fill if mode == CONSTANT else flat[np.uintp(row + after) + k]
                scratch[at + head + body + k] = scratch[at + head + body + head + k] = end
        at += head + body + tail


@part
def coordinates(m: Any, pre: Any, field: Any, kind: int, first: int, width: int, ys: Any, xs: Any) -> None:
    """Fill the source coordinates of whole rows of results, from row ``first`` on."""
    for r in range(ys.size // width):
        row, at = first + r, r * width
        if kind == AFFINE:
            y, x = np.float32(m[0, 0] * row + m[0, 2]), np.float32(m[1, 0] * row + m[1, 2])
            dy, dx = np.float32(m[0, 1]), np.float32(m[1, 1])
            for q in range(np.uint32(width)):
                ys[np.uintp(at) + q] = y + dy * np.float32(q)
                xs[np.uintp(at) + q] = x + dx * np.float32(q)
        else:
            for q in range(width):
                ys[at + q], xs[at + q] = mapped(m, pre, field, kind, float(row), float(q))


@part
def settle(ys: Any, xs: Any, box: Any, mode: int, h: int, w: int) -> None:
    """Bring coordinates inside the picture and its ring, then count them from the ring's corner."""
    if mode == REFLECT:
        for q in range(ys.size):
            ys[q] = np.float32(fold(ys[q], h, mode))
            xs[q] = np.float32(fold(xs[q], w, mode))
    out = np.float32(1 if mode == CONSTANT else 0)
    bottom, right = np.float32(h - 1 + out), np.float32(w - 1 + out)
    up, aside = np.float32(1 - box[0]), np.float32(1 - box[2])
    for q in range(np.uintp(ys.size)):
        ys[q] = min(max(ys[q], -out), bottom) + up
        xs[q] = min(max(xs[q], -out), right) + aside


@part
def gather_linear(scratch: Any, wide: int, c: int, ys: Any, xs: Any, at: Any, line: Any) -> None:
    """Bilinear values out of the scratch buffer at coordinates counted from its corner."""
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
def repeated(values: Any, times: int) -> Any:
    """One number a channel, repeated for a row of pixels."""
    row = np.empty(values.size * times, np.float32)
    for k in range(row.size):
        row[k] = values[k % values.size]
    return row


@kernel
def warp(
    source: Any, m: Any, pre: Any, field: Any, how: Any, fill: float, gain: Any, bias: Any, out: Any
) -> None:
    """Resample pictures (n, h, w, c), uint8 or float32, into ``out`` (n, height, width, c), uint8 or float32.

    ``how`` is (kind of map, border mode, limited to bytes); gain and bias hold one number a
    channel.
    """
    n, h, w, c = source.shape
    rows, width = out.shape[1], out.shape[2]
    flat = out.reshape(n, rows * width * c)
    kind, mode, limited = how[0], how[1], how[2] != 0
    block = min(rows, max(1, BLOCK // width))
    points = block * width
    ys, xs, at = np.empty(points, np.float32), np.empty(points, np.float32), np.empty(points, np.uint32)
    line = np.empty(points * c, np.float32)
    gains, biases = repeated(gain, points), repeated(bias, points)
    band, box = np.empty(3, np.int64), np.empty(4, np.int64)
    scratch = np.empty(0, np.float32)
    for i in range(n):
        here, bent = pre[i % pre.shape[0]], field[i % field.shape[0]]
        for top in range(0, rows, BAND):
            band[0], band[1], band[2] = top, min(top + BAND, rows), width
            reach(m[i], kind, mode, band, box, h, w)
            wide = (box[3] - box[2] + 3) * c
            need = (box[1] - box[0] + 3) * wide
            if scratch.size < need:
                scratch = np.empty(need, np.float32)
            surround(source[i], box, mode, fill, scratch)
            for first in range(top, band[1], block):
                count = (min(first + block, band[1]) - first) * width
                y, x = ys[:count], xs[:count]
                coordinates(m[i], here, bent, kind, first, width, y, x)
                settle(y, x, box, mode, h, w)
                gather_linear(scratch, wide, c, y, x, at, line)
                finish(line, gains, biases, limited, flat[i, first * width * c : (first * width + count) * c])
