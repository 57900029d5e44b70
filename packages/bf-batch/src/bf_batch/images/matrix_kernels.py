"""The compiled composition of geometric steps: one call a step for the whole batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from bf_batch.images.kernels import kernel


@kernel
def advance(m: Any, n: int, angle: Any, scale: Any, shear: Any, shift: Any, centre: Any, chosen: Any) -> Any:
    """Matrices (n, 3, 3) after one more affine step of ``m`` (n or 1, 3, 3): result point to source point.

    Each parameter has one row for all items or one an item: ``angle`` in degrees (1), ``scale`` (y, x),
    ``shear`` as tangents (y, x), ``shift`` (y, x) in pixels, ``centre`` (y, x of the result, y, x of the
    frame before).  A point is scaled, sheared, rotated counter-clockwise and shifted; items not chosen
    keep their matrix.
    """
    out = np.empty((n, 3, 3))
    for i in range(n):
        if not chosen[i % chosen.size]:
            out[i] = m[i % m.shape[0]]
            continue
        turn = np.deg2rad(angle[i % angle.size])
        sine, cosine = np.sin(turn), np.cos(turn)
        sy, sx = scale[i % scale.shape[0], 0], scale[i % scale.shape[0], 1]
        hy, hx = shear[i % shear.shape[0], 0], shear[i % shear.shape[0], 1]
        det = 1 - hy * hx
        a = (cosine + hy * sine) / (sy * det)
        b = (sine - hy * cosine) / (sy * det)
        c = (-sine - hx * cosine) / (sx * det)
        d = (cosine - hx * sine) / (sx * det)
        middle = centre[i % centre.shape[0]]
        y = middle[0] + shift[i % shift.shape[0], 0]
        x = middle[1] + shift[i % shift.shape[0], 1]
        ty, tx = middle[2] - a * y - b * x, middle[3] - c * y - d * x
        for row in range(3):
            at = i % m.shape[0]
            p, q, t = m[at, row, 0], m[at, row, 1], m[at, row, 2]
            out[i, row, 0] = p * a + q * c
            out[i, row, 1] = p * b + q * d
            out[i, row, 2] = p * ty + q * tx + t
    return out
