"""The compiled loop for grey pictures of bytes: the four neighbours of a point are fetched as one number.

A bilinear value reads four pixels. Reading memory at computed places is what can't be done for many
points at once, so the four bytes around each pixel are packed into one word beforehand: one such read a
point is left, the rest is vector code.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bf_batch.images.kernels.maps import (
    BLOCK,
    CONSTANT,
    clamp,
    fetch_ahead,
    fold,
    is_free,
    kernel,
    part,
    place,
)

_LANES = 16  # numbers the processor handles at once; rows are packed in whole such steps
_LINE = 64  # bytes that come to the cache at once
_BEGINNING = 4096  # bytes of a picture after which the processor fetches the next ones by itself
_B1, _B2, _B3 = np.uint32(8), np.uint32(16), np.uint32(24)
_LOW = np.uint32(255)


@part
def pack(source: Any, i: int, h: int, w: int, fill: int, below: Any, quads: Any) -> None:
    """Write a word for each pixel of picture ``i``: its byte, and those right, below and right below of it.

    A ring of ``fill`` lies around, so that words start at (-1, -1) and are w + 3 to a row. ``below`` is room
    for the picture and a row after it.
    """
    across, wide, one = np.uintp(w), np.uintp(w + 3), np.uintp(1)
    for j in range(np.uintp(h * w)):
        below[j] = source[np.uintp(i), j]
    for j in range(np.uintp(h * w), np.uintp(below.size)):
        below[j] = fill
    steps = np.uintp((w + _LANES - 1) // _LANES * _LANES)
    for row in range(np.uintp(h)):
        line, at = row * across, (row + one) * wide + one
        for j in range(steps):  # what goes beyond the row is written again by the next one
            top, low = line + j, line + across + j
            quads[at + j] = (
                np.uint32(below[top])
                | np.uint32(below[top + one]) << _B1
                | np.uint32(below[low]) << _B2
                | np.uint32(below[low + one]) << _B3
            )
    beside = np.uint32(fill)
    empty = beside * np.uint32(0x01010101)
    for j in range(wide):
        quads[j] = quads[np.uintp(h + 1) * wide + j] = empty
    for j in range(np.uintp(w - 1)):
        quads[j + one] = (
            empty & np.uint32(0xFFFF) | np.uint32(below[j]) << _B2 | np.uint32(below[j + one]) << _B3
        )
    # the words left of the first column, those of the last one, and the two right of it
    for y in range(-1, h):
        above = np.uint32(below[y * w]) if y >= 0 else beside
        end = np.uint32(below[y * w + w - 1]) if y >= 0 else beside
        start, last = np.uint32(below[(y + 1) * w]), np.uint32(below[(y + 1) * w + w - 1])
        at = np.uintp((y + 1) * (w + 3))
        quads[at] = beside | above << _B1 | beside << _B2 | start << _B3
        quads[at + across] = end | beside << _B1 | last << _B2 | beside << _B3
        quads[at + across + one] = quads[at + across + one + one] = empty


@part
def locate(
    m: Any, first: Any, down: Any, across: Any, mode: int, h: int, w: int, at: Any, ys: Any, xs: Any
) -> None:
    """Find the word of each point of a block of results, and its place between the four pixels.

    ``first`` is (picture, row of the block, points in it); ``down`` and ``across`` are the points' rows
    and columns.
    """
    i, row, count = first
    one, wide = np.float32(1), np.int32(w + 3)
    yr, yc, y0 = np.float32(m[i, 0, 0]), np.float32(m[i, 0, 1]), np.float32(m[i, 0, 0] * row + m[i, 0, 2])
    xr, xc, x0 = np.float32(m[i, 1, 0]), np.float32(m[i, 1, 1]), np.float32(m[i, 1, 0] * row + m[i, 1, 2])
    if mode == CONSTANT:
        bottom, right = np.float32(h), np.float32(w)
        for q in range(np.uintp(count)):
            y = min(max(yr * down[q] + (yc * across[q] + y0), -one), bottom) + one
            x = min(max(xr * down[q] + (xc * across[q] + x0), -one), right) + one
            u, v = np.int32(y), np.int32(x)
            ys[q], xs[q] = y - np.float32(u), x - np.float32(v)
            at[q] = u * wide + v
        return
    for q in range(np.uintp(count)):
        y = np.float32(fold(yr * down[q] + (yc * across[q] + y0), h, mode)) + one
        x = np.float32(fold(xr * down[q] + (xc * across[q] + x0), w, mode)) + one
        u, v = np.int32(y), np.int32(x)
        ys[q], xs[q] = y - np.float32(u), x - np.float32(v)
        at[q] = u * wide + v


@part
def locate_in_rim(
    m: Any, rim: Any, first: Any, down: Any, across: Any, size: Any, at: Any, ys: Any, xs: Any
) -> None:
    """Do what ``locate`` does where enlarging repeats the edge, see ``interpolate.warp``.

    ``size`` is (border mode, h, w).
    """
    (i, row, count), (mode, h, w) = first, size
    for q in range(count):
        r, c = clamp(float(down[q] + row), rim[0], rim[2]), clamp(float(across[q]), rim[1], rim[3])
        y = place(m[i, 0, 0] * r + m[i, 0, 1] * c + m[i, 0, 2], h, mode, rim[4]) + 1.0
        x = place(m[i, 1, 0] * r + m[i, 1, 1] * c + m[i, 1, 2], w, mode, rim[5]) + 1.0
        u, v = int(y), int(x)
        ys[q], xs[q], at[q] = y - u, x - v, u * (w + 3) + v


@part
def blend(
    quads: Any, at: Any, words: Any, ys: Any, xs: Any, gain: Any, bias: Any, line: Any, count: int
) -> None:
    """Fetch the words of points, blend their four bytes and scale."""
    for q in range(np.uintp(count)):
        words[q] = quads[np.uintp(at[q])]
    for q in range(np.uintp(count)):
        word = words[q]
        a = np.float32(np.int32(word & _LOW))
        b = np.float32(np.int32(word >> _B1 & _LOW))
        c = np.float32(np.int32(word >> _B2 & _LOW))
        d = np.float32(np.int32(word >> _B3))
        top, bottom = a + (b - a) * xs[q], c + (d - c) * xs[q]
        line[q] = (top + (bottom - top) * ys[q]) * gain + bias


@kernel
def warp_bytes(
    source: Any,
    picked: Any,
    size: Any,
    m: Any,
    rims: Any,
    how: Any,
    scaling: Any,
    out: Any,
) -> None:
    """Resample pictures of bytes, bilinear, into ``out`` of bytes or float32.

    ``source`` is (pictures, h * w), of which picture ``picked[i]`` becomes ``out[i]``; ``out`` is (n, rows *
    columns); ``size`` is (h, w, rows, columns), ``how`` (border mode, fill, limited to bytes), ``scaling``
    (gain, bias), ``rims`` as in ``interpolate.warp``.
    """
    h, w, rows, columns = size
    (mode, fill, limited), (gain, bias) = how, scaling
    block = min(rows, max(1, BLOCK // columns))
    points = block * columns
    ys, xs, line = np.empty(points, np.float32), np.empty(points, np.float32), np.empty(points, np.float32)
    down, across = np.empty(points, np.float32), np.empty(points, np.float32)
    at, words = np.empty(points, np.uint32), np.empty(points, np.uint32)
    for q in range(points):
        down[q], across[q] = q // columns, q % columns
    quads = np.empty((h + 2) * (w + 3) + _LANES, np.uint32)
    below = np.empty((h + 1) * w + 2 * _LANES, np.uint8)
    low, high, half = np.float32(0), np.float32(255), np.float32(0.5)
    for i in range(picked.size):
        pack(source, picked[i], h, w, fill, below, quads)
        if i + 1 < picked.size:  # pictures picked at random: the processor can't know which comes next
            for byte in range(0, min(h * w, _BEGINNING), _LINE):
                fetch_ahead(source, picked[i + 1] * (h * w) + byte)
        rim = rims[i % rims.shape[0]]
        plain = is_free(rim, rows, columns)
        for first in range(0, rows, block):
            count = (min(first + block, rows) - first) * columns
            if plain:
                locate(m, (i, first, count), down, across, mode, h, w, at, ys, xs)
            else:
                locate_in_rim(m, rim, (i, first, count), down, across, (mode, h, w), at, ys, xs)
            start = first * columns
            if not limited:
                blend(quads, at, words, ys, xs, gain, bias, out[i, start : start + count], count)
                continue
            blend(quads, at, words, ys, xs, gain, bias, line, count)
            for q in range(np.uintp(count)):
                out[np.uintp(i), np.uintp(start) + q] = min(max(line[q], low), high) + half
