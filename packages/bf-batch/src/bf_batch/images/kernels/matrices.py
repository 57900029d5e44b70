"""Compiled parts of recording a step for a whole batch: which items it is for, and the new matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bf_batch.images.kernels.affine import brief, part

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@part
def mixed(z: Any) -> Any:
    """A number whose every bit depends on every bit of ``z``."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@brief
def advance(m: Any, n: int, angle: Any, scale: Any, shear: Any, shift: Any, centre: Any, chosen: Any) -> Any:
    """Matrices (n, 3, 3) after one more affine step of ``m`` (n or 1, 3, 3): result point to source point.

    Each parameter has one row for all items or one an item: ``angle`` in degrees (1), ``scale`` (y, x) or
    one for both, ``shear`` as tangents (y, x), ``shift`` (y, x) in pixels, ``centre`` (y, x of the result,
    y, x of the frame before).  A point is scaled, sheared, rotated counter-clockwise and shifted; items
    not chosen keep their matrix.
    """
    out = np.empty((n, 3, 3))
    for i in range(n):
        old = i % m.shape[0]
        if not chosen[i % chosen.size]:
            for row in range(3):
                for column in range(3):
                    out[i, row, column] = m[old, row, column]
            continue
        turn = angle[i % angle.size] * math.pi / 180
        sine, cosine = math.sin(turn), math.cos(turn)
        at, to, by = i % scale.shape[0], i % shear.shape[0], i % shift.shape[0]
        hy, hx = shear[to, 0], shear[to, 1]
        down, across = scale[at, 0] * (1 - hy * hx), scale[at, scale.shape[1] - 1] * (1 - hy * hx)
        a, b = (cosine + hy * sine) / down, (sine - hy * cosine) / down
        c, d = (-sine - hx * cosine) / across, (cosine - hx * sine) / across
        mid = i % centre.shape[0]
        y, x = centre[mid, 0] + shift[by, 0], centre[mid, 1] + shift[by, 1]
        ty, tx = centre[mid, 2] - a * y - b * x, centre[mid, 3] - c * y - d * x
        for row in range(3):
            p, q, t = m[old, row, 0], m[old, row, 1], m[old, row, 2]
            out[i, row, 0] = p * a + q * c
            out[i, row, 1] = p * b + q * d
            out[i, row, 2] = p * ty + q * tx + t
    return out


@brief
def coins(address: Any, n: int, p: float) -> Any:
    """Throw a coin for each of ``n`` items: True with probability ``p``, by the numbers of an address
    (SplitMix64).
    """
    heads, key = np.empty(n, np.bool_), np.uint64(0)
    for number in address:
        key = mixed((key + np.uint64(1)) * _GOLDEN ^ np.uint64(number))
    for i in range(n):
        heads[i] = float(mixed(key + np.uint64(i + 1) * _GOLDEN) >> np.uint64(11)) * 2.0**-53 < p
    return heads
