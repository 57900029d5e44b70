"""The compiled loops for maps along the axes (crop, resize, flip), and for no map at all."""

from __future__ import annotations

from typing import Any

import numpy as np

from bf_batch.images.kernels.interpolate import finish, repeat_channels
from bf_batch.images.kernels.maps import CONSTANT, fold, kernel, part


@part
def mix_rows(flat: Any, i: int, fy: Any, start: int, fill: float, body: Any) -> None:
    """Blend rows i and i + 1 of a picture (height, width * channels); a row outside it is the fill value."""
    h = flat.shape[0]
    if i < 0 or i >= h - 1:
        only = np.float32(1 - fy if i >= 0 else fy)
        if i >= h or (fy == 0 and i < 0):
            body[:] = fill
            return
        edge, rest = flat[max(i, 0)][start : start + body.size], np.float32(fill) * (np.float32(1) - only)
        for j in range(np.uintp(body.size)):
            body[j] = np.float32(edge[j]) * only + rest
        return
    a, b = flat[i][start : start + body.size], flat[i + 1][start : start + body.size]
    for j in range(np.uintp(body.size)):
        body[j] = np.float32(a[j]) + (np.float32(b[j]) - np.float32(a[j])) * fy


@part
def read_across(blend: Any, at: Any, fx: Any, c: int, line: Any) -> None:
    """Interpolate along one blended row."""
    step = np.uintp(c)
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
    source: Any, m: Any, mode: int, fill: float, gains: Any, biases: Any, limited: bool, out: Any
) -> None:
    """Resample one picture along its axes."""
    h, w, c = source.shape
    rows, columns = out.shape[0], out.shape[1]
    flat, target = source.reshape(h, w * c), out.reshape(rows, columns * c)
    ends = m[1, 2], m[1, 1] * (columns - 1) + m[1, 2]
    left, right = 0, w
    if mode == CONSTANT:
        left = int(min(max(np.floor(min(ends)) - 1, 0.0), w - 1.0))
        right = int(min(max(np.floor(max(ends)) + 3, left + 1.0), float(w)))
    blend = np.full((right - left + 3) * c, fill, np.float32)
    body = blend[c : c + (right - left) * c]
    at, fx = np.empty(columns, np.uint32), np.empty(columns, np.float32)
    line = np.empty(columns * c, np.float32)
    for q in range(columns):
        x = m[1, 1] * q + m[1, 2]
        x = min(max(x, -1.0), float(w)) if mode == CONSTANT else fold(x, w, mode)
        j = int(np.floor(x))
        at[q], fx[q] = (j - left + 1) * c, x - j
    for r in range(rows):
        y = m[0, 0] * r + m[0, 2]
        y = min(max(y, -1.0), float(h)) if mode == CONSTANT else fold(y, h, mode)
        i = int(np.floor(y))
        mix_rows(flat, i, np.float32(y - i), left * c, fill, body)
        read_across(blend, at, fx, c, line)
        finish(line, gains, biases, limited, target[r])


@kernel
def warp_straight(source: Any, m: Any, how: Any, fill: float, gain: Any, bias: Any, out: Any) -> None:
    """Do what ``warp`` does, bilinear, for matrices along the axes (crop, resize, flip).

    Two rows are blended, then read across.
    """
    n, _h, _w, _c = source.shape
    gains, biases = repeat_channels(gain, out.shape[2]), repeat_channels(bias, out.shape[2])
    for i in range(n):
        warp_one_straight(source[i], m[i], how[1], fill, gains, biases, how[2] != 0, out[i])


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
                for j in range(np.uintp(w * c)):
                    line[j] += np.float32(row[j]) * weight
            for q in range(out.shape[2]):
                for k in range(c):
                    total = 0.0
                    for t in range(across.shape[1]):
                        total += line[(left[q] + t) * c + k] * across[q, t]
                    out[i, r, q, k] = total + half
