"""The compiled loops for maps along the axes (crop, resize, flip), and for no map at all."""

from __future__ import annotations

from typing import Any

import numpy as np

from bf_batch.images.kernels.interpolate import finish, repeat_channels
from bf_batch.images.kernels.maps import CONSTANT, clamp, copy_line, kernel, part, place


@part
def mix_rows(flat: Any, i: int, fy: Any, start: int, fill: Any, body: Any) -> None:
    """Blend rows i and i + 1 of a picture (height, width * channels); a row outside it is ``fill``."""
    h = flat.shape[0]
    if fy == 0 and 0 <= i < h:
        copy_line(flat[i], start, body, 0, body.size)
        return
    if i < 0 or i >= h - 1:
        only = np.float32(1 - fy if i >= 0 else fy)
        if i >= h or (fy == 0 and i < 0):
            copy_line(fill, 0, body, 0, body.size)
            return
        edge, rest = flat[max(i, 0)][start : start + body.size], np.float32(1) - only
        for j in range(np.uintp(body.size)):
            body[j] = np.float32(edge[j]) * only + fill[j] * rest
        return
    a, b = flat[i][start : start + body.size], flat[i + 1][start : start + body.size]
    for j in range(np.uintp(body.size)):
        body[j] = np.float32(a[j]) + (np.float32(b[j]) - np.float32(a[j])) * fy


@part
def read_across(blend: Any, at: Any, fx: Any, c: int, whole: bool, line: Any) -> None:
    """Interpolate along one blended row; where all points are ``whole`` pixels, copy them."""
    step = np.uintp(c)
    if whole:
        for q in range(np.uintp(at.size)):
            for k in range(step):
                line[q * step + k] = blend[np.uintp(at[q]) + k]
        return
    if c == 3:
        for q in range(np.uintp(at.size)):
            a, f = np.uintp(at[q]), fx[q]
            for k in range(np.uintp(3)):
                line[q * np.uintp(3) + k] = blend[a + k] + (blend[a + np.uintp(3) + k] - blend[a + k]) * f
        return
    for q in range(np.uintp(at.size)):
        a, f = np.uintp(at[q]), fx[q]
        for k in range(step):
            line[q * step + k] = blend[a + k] + (blend[a + step + k] - blend[a + k]) * f


@part
def warp_one_straight(
    source: Any, m: Any, rim: Any, mode: int, fill: Any, gains: Any, biases: Any, limited: bool, out: Any
) -> None:
    """Resample one picture along its axes."""
    h, w, c = source.shape
    rows, columns = out.shape[0], out.shape[1]
    flat, target = source.reshape(h, w * c), out.reshape(rows, columns * c)
    start, end = clamp(0.0, rim[1], rim[3]), clamp(columns - 1.0, rim[1], rim[3])
    ends = m[1, 1] * start + m[1, 2], m[1, 1] * end + m[1, 2]
    left, right = 0, w
    if mode == CONSTANT:
        left = int(min(max(np.floor(min(ends)) - 1, 0.0), w - 1.0))
        right = int(min(max(np.floor(max(ends)) + 3, left + 1.0), float(w)))
    around = repeat_channels(fill, right - left + 3)
    blend = around.copy()
    body = blend[c : c + (right - left) * c]
    at, fx = np.empty(columns, np.uint32), np.empty(columns, np.float32)
    line = np.empty(columns * c, np.float32)
    for q in range(columns):
        x = place(m[1, 1] * clamp(float(q), rim[1], rim[3]) + m[1, 2], w, mode, rim[5])
        j = int(np.floor(x))
        at[q], fx[q] = (j - left + 1) * c, x - j
    whole = not fx.any()
    for r in range(rows):
        y = place(m[0, 0] * clamp(float(r), rim[0], rim[2]) + m[0, 2], h, mode, rim[4])
        i = int(np.floor(y))
        mix_rows(flat, i, np.float32(y - i), left * c, around, body)
        read_across(blend, at, fx, c, whole, line)
        finish(line, gains, biases, limited, target[r])


@kernel
def warp_straight(
    source: Any, m: Any, rims: Any, how: Any, fill: Any, gain: Any, bias: Any, out: Any
) -> None:
    """Do what ``warp`` does, bilinear, for matrices along the axes (crop, resize, flip).

    Two rows are blended, then read across.
    """
    n, _h, _w, _c = source.shape
    gains, biases = repeat_channels(gain, out.shape[2]), repeat_channels(bias, out.shape[2])
    for i in range(n):
        rim = rims[i % rims.shape[0]]
        warp_one_straight(source[i], m[i], rim, how[1], fill, gains, biases, how[2] != 0, out[i])


@kernel
def convert(source: Any, gain: Any, bias: Any, limited: bool, out: Any) -> None:
    """Scale pixels (pixels, channels) channel by channel, and round and limit them to 0..255 for bytes."""
    n, c = source.shape
    block = 512
    gains, biases = repeat_channels(gain, block), repeat_channels(bias, block)
    flat, target = source.reshape(n * c), out.reshape(n * c)
    for start in range(0, n * c, block * c):
        end = min(start + block * c, n * c)
        finish(flat[start:end], gains, biases, limited, target[start:end])


@kernel
def average(source: Any, top: Any, down: Any, left: Any, across: Any, limited: bool, out: Any) -> None:
    """Average rows ``top[r] ...`` by weights ``down[r]``, then columns ``left[q] ...`` by ``across[q]``."""
    n, h, w, c = source.shape
    flat, line = source.reshape(n, h, w * c), np.empty(w * c, np.float32)
    half = 0.5 if limited else 0.0
    for i in range(n):
        for r in range(out.shape[1]):
            line[:] = 0
            for t in range(down.shape[1]):
                weight, row = np.float32(down[r, t]), flat[i, top[r] + t]
                if weight == 0:
                    continue
                for j in range(np.uintp(w * c)):
                    line[j] += np.float32(row[j]) * weight
            for q in range(out.shape[2]):
                for k in range(c):
                    total = 0.0
                    for t in range(across.shape[1]):
                        if across[q, t] != 0:
                            total += line[(left[q] + t) * c + k] * across[q, t]
                    out[i, r, q, k] = total + half
