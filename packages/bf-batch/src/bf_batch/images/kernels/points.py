"""The compiled loops that treat each point by itself: nearest pixels of any dtype, and cubic
interpolation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bf_batch.images.kernels.affine import CONSTANT, fold, kernel, mapped, part


@kernel
def nearest(source: Any, m: Any, pre: Any, field: Any, kind: int, mode: int, fill: Any, out: Any) -> None:
    """Copy the nearest source pixel: (n, h, w, c) to (n, height, width, c) of one dtype; a tie goes to the
    right and down.
    """
    n, h, w, c = source.shape
    tie = 0.5 + 1e-6  # rounding errors of the matrix must not split the columns of an exact halving
    for i in range(n):
        for r in range(out.shape[1]):
            for q in range(out.shape[2]):
                y, x = mapped(
                    m[i], pre[i % pre.shape[0]], field[i % field.shape[0]], kind, float(r), float(q)
                )
                if mode != CONSTANT:
                    y, x = fold(y, h, mode), fold(x, w, mode)
                inside = y + 1e-6 >= -0.5 and y + tie < h and x + 1e-6 >= -0.5 and x + tie < w
                u, v = min(int(np.floor(y + tie)), h - 1), min(int(np.floor(x + tie)), w - 1)
                for k in range(c):
                    out[i, r, q, k] = source[i, u, v, k] if inside or mode != CONSTANT else fill


@part
def weights(t: float, taps: Any) -> None:
    """The four weights of cubic convolution (Keys, a = -1/2: Pillow's and TensorFlow's) at a fraction of a
    pixel.
    """
    taps[0] = ((-0.5 * t + 1.0) * t - 0.5) * t
    taps[1] = (1.5 * t - 2.5) * t * t + 1.0
    taps[2] = ((-1.5 * t + 2.0) * t + 0.5) * t
    taps[3] = (0.5 * t - 0.5) * t * t


@part
def around(start: int, size: int, mode: int, places: Any) -> None:
    """Where the four pixels of one axis are, -1 for one outside."""
    for u in range(4):
        place = start + u
        inside = 0 <= place < size
        places[u] = place if inside else -1 if mode == CONSTANT else int(fold(float(place), size, mode))


@kernel
def cubic(
    source: Any, m: Any, pre: Any, field: Any, how: Any, fill: float, gain: Any, bias: Any, out: Any
) -> None:
    """Do what ``kernels.warp`` does with cubic interpolation over four by four pixels."""
    n, h, w, c = source.shape
    kind, mode = how[0], how[1]
    down, across = np.empty(4), np.empty(4)
    rows, columns = np.empty(4, np.int64), np.empty(4, np.int64)
    low, high, half = (0.0, 255.0, 0.5) if how[2] != 0 else (-np.inf, np.inf, 0.0)
    for i in range(n):
        for r in range(out.shape[1]):
            for q in range(out.shape[2]):
                y, x = mapped(
                    m[i], pre[i % pre.shape[0]], field[i % field.shape[0]], kind, float(r), float(q)
                )
                if mode != CONSTANT:
                    y, x = fold(y, h, mode), fold(x, w, mode)
                y, x = min(max(y, -3.0), h + 3.0), min(max(x, -3.0), w + 3.0)
                u, v = int(np.floor(y)), int(np.floor(x))
                weights(y - u, down)
                weights(x - v, across)
                around(u - 1, h, mode, rows)
                around(v - 1, w, mode, columns)
                for k in range(c):
                    total = 0.0
                    for s in range(4):
                        for t in range(4):
                            inside = rows[s] >= 0 and columns[t] >= 0
                            value = float(source[i, rows[s], columns[t], k]) if inside else fill
                            total += value * down[s] * across[t]
                    out[i, r, q, k] = min(max(total * gain[k] + bias[k], low), high) + half
