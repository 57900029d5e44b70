"""Masks as runs of equal pixels: areas are found from thousands of runs, not from millions of pixels."""

from __future__ import annotations

import numpy as np


def find_starts(*masks: np.ndarray) -> np.ndarray:
    """Return where runs of pixels that are equal in all masks begin, (runs,) of positions in a flat mask.

    Runs lie along the last axis. Masks (..., W) have one shape.
    """
    change = np.empty(masks[0].shape, bool)
    change[..., 0] = True
    np.not_equal(masks[0][..., 1:], masks[0][..., :-1], out=change[..., 1:])
    for mask in masks[1:]:
        change[..., 1:] |= mask[..., 1:] != mask[..., :-1]
    return np.flatnonzero(change)


def number_areas(mask: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Number the connected areas of equal pixels of each image of a mask (N, ..., W), from 0.

    Neighbours share a side. ``starts`` are those of the mask's runs; returns the number of the area of each.
    """
    flat = mask.reshape(-1)
    values = flat[starts]
    parents = np.arange(len(starts))
    first, second = _touching(mask.shape, starts, values)
    while len(first):
        first, second = parents[first], parents[second]
        apart = first != second
        first, second = first[apart], second[apart]
        low, high = np.minimum(first, second), np.maximum(first, second)
        np.minimum.at(parents, high, low)
        while True:  # each area's runs point to its first one
            further = parents[parents]
            if np.array_equal(further, parents):
                break
            parents = further
    numbers = np.cumsum(parents == np.arange(len(parents))) - 1
    return np.asarray(numbers[parents])


def _touching(
    shape: tuple[int, ...], starts: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of runs of one value that lie beside each other along an axis between first and last."""
    size = int(np.prod(shape))
    pairs = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    for axis in range(1, len(shape) - 1):
        step = int(np.prod(shape[axis + 1 :]))
        # two runs that touch do so at the first pixel of one of them
        places = np.concatenate([starts, starts[starts >= step] - step])
        places = places[(places // step) % shape[axis] < shape[axis] - 1]
        upper, lower = find_run(starts, places, size), find_run(starts, places + step, size)
        same = values[upper] == values[lower]
        pairs.append((upper[same], lower[same]))
    first, second = (np.concatenate(item) for item in zip(*pairs))
    return first, second


def find_first(numbers: np.ndarray) -> np.ndarray:
    """Return where each of the numbers 0, 1, ... stands first."""
    first = np.empty(int(numbers.max()) + 1, np.int64)
    first[numbers[::-1]] = np.arange(len(numbers))[::-1]  # the last one written stays
    return first


def find_run(starts: np.ndarray, places: np.ndarray, size: int) -> np.ndarray:
    """Return the number of the run that holds each place; ``size`` is that of the flat mask."""
    if len(places) * 8 < size:
        return np.searchsorted(starts, places, side="right") - 1
    marks = np.zeros(size, np.int32)
    marks[starts] = 1
    return np.asarray((np.cumsum(marks, dtype=np.int32) - 1)[places])


def lengths(starts: np.ndarray, size: int) -> np.ndarray:
    """Return how many pixels each run has."""
    return np.diff(starts, append=size)
