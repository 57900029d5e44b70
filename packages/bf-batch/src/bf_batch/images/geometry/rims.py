"""Where enlarging repeats the edge: the points of a result that are taken, and how sharp outlines are.

A row a picture: top, left, bottom and right, between which points of the result are taken (others are those
nearest to them), and how many pixels of the result one of the picture became (y, x; 1 at least). Enlarged
pictures take points inside their frame only, so that they are as if each step was done by itself: neither
what was cut away before nor the fill value is blended in. A later step that leaves the frame, as a rotation
does, needs these points; from there on the enlarged edge is kept up to half a pixel of the picture, and its
outline is a pixel of the result wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bf_batch.images.arguments import Floats
from bf_batch.images.geometry.frames import Sizes, Step, rows_of

NO_RIM = np.array([[-np.inf, -np.inf, np.inf, np.inf, 1.0, 1.0]])
_SLACK = 1e-6
_REPEATED = 1 + 1e-9
"""The least sharpness where an edge is repeated."""


class Before(NamedTuple):
    """What holds before a step: sizes, maps, and whether four pixels of each axis are blended."""

    sizes: Sizes
    matrices: Floats | None
    cubic: bool


def advance_rims(
    rims: Floats | None, step: Step, before: Before, chosen: NDArray[np.bool_], n: int
) -> Floats | None:
    """Return the rims after one more step of the chosen items; None while no step asked for a repeated edge.

    Cubic interpolation looks beyond the edge when it shrinks, too.
    """
    changed = step.scale != 1 if before.cubic else step.scale > 1
    if rims is None and not (step.repeats and changed.any()):
        return None
    old = np.broadcast_to(NO_RIM if rims is None else rims, (n, 6))
    scale, centre = np.broadcast_to(step.scale, (n, 2)), np.broadcast_to(step.centre, (n, 4))
    middle, after = centre[:, :2] + step.shift, np.broadcast_to(rows_of(step.sizes), (n, 2))
    one, two = (middle + (old[:, at : at + 2] - centre[:, 2:]) * scale for at in (0, 2))
    first, last = np.minimum(one, two), np.maximum(one, two)
    if step.repeats:  # the points between the centres of the outermost pixels, within those known before
        margin = np.where(changed, (scale - 1) / 2, -np.inf)
        moved = np.hstack([margin.clip(first, last), (after - 1 - margin).clip(first, last), old[:, 4:]])
    else:
        ends = [centre[:, 2:] + (end - middle) / scale for end in (0.0, after - 1)]
        inside = [(end >= -0.5 - _SLACK) & (end <= rows_of(before.sizes) - 0.5 + _SLACK) for end in ends]
        straight = (step.angle == 0)[:, None] & (step.shear == 0)
        stays = (inside[0] & inside[1] & straight).all(axis=1, keepdims=True)
        moved = np.where(stays, np.hstack([first, last, old[:, 4:]]), leave_frame(old, before.matrices))
    new = np.where(chosen[:, None], moved, old)
    return None if (new == NO_RIM).all() else new


def leave_frame(rims: Floats, matrices: Floats | None) -> Floats:
    """Return the rims of pictures that are asked for points outside: sharp outlines, no limits."""
    free = np.broadcast_to(NO_RIM, rims.shape).copy()
    free[:, 4:] = rims[:, 4:]
    if matrices is not None:
        apart = np.sqrt((matrices[:, :2, :2] ** 2).sum(axis=2))  # pixels of the picture to one of the result
        grown = np.isfinite(rims[:, :4]).any(axis=1, keepdims=True)
        sharp = np.maximum(1 / np.maximum(apart, 1e-9), _REPEATED)
        free[:, 4:] = np.where(grown, np.maximum(free[:, 4:], sharp), free[:, 4:])
    return free


def join_rims(rims: Sequence[Floats | None], counts: Sequence[int]) -> Floats | None:
    """Return the rims of several batches one after another."""
    if all(one is None for one in rims):
        return None
    some = [NO_RIM if one is None else one for one in rims]
    return np.concatenate([np.broadcast_to(one, (count, 6)) for one, count in zip(some, counts)])
