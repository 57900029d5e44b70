"""A keyed permutation of 0..n-1 in O(1) memory: the image of any position can be computed on its own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_index.seeding import key_at, words_at

ROUNDS = 6
"""With two rounds the counts of a class in batches show the structure; six keep a wide margin."""

SMALL = 1 << 12
"""Up to here sorting random keys is as quick, and gives each of the n! orders the same chance."""

_CHUNK = 1 << 14
"""Positions mixed at a time: the working arrays (64 KiB each) stay in the cache of a core."""

_FACTORS = {np.uint32: (0x9E3779B1, 0x85EBCA6B), np.uint64: (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)}
"""Odd multipliers of the two mixing steps (golden ratio; xxHash)."""


class Permutation:
    """A permutation of 0..n-1 chosen by a key: a Feistel network over a grid just larger than n.

    A position is a cell (left, right) of a grid of ceil(sqrt(n)) by ceil(n / ceil(sqrt(n))). Each round
    adds to one coordinate, modulo its size, a keyed hash of the other: a bijection whatever the hash.
    Images past n - 1 (fewer than 1 in sqrt(n)) are permuted again until they fall inside ('cycle walking').
    """

    __slots__ = ("_dtype", "_half", "_height", "_keys", "_width", "n")

    def __init__(self, n: int, seed: int, *path: int) -> None:
        self.n = n
        self._dtype: Any = np.uint32 if n <= 1 << 32 else np.uint64
        self._half = np.dtype(self._dtype).itemsize * 4
        self._height = math.isqrt(n - 1) + 1
        self._width = -(-n // self._height)
        key = key_at(seed, *path, size=64)
        self._keys = np.frombuffer(key, "<u8")[:ROUNDS].astype(self._dtype)

    def at(self, positions: NDArray[Any]) -> NDArray[np.int64]:
        """Return the images (int64) of a 1-d array of positions below n."""
        images = np.empty(len(positions), np.int64)
        for start in range(0, len(positions), _CHUNK):
            part = positions[start : start + _CHUNK].astype(self._dtype)
            images[start : start + _CHUNK] = self._walk(part)
        return images

    def between(self, start: int, stop: int) -> NDArray[np.int64]:
        """Return the images (int64) of positions start..stop-1."""
        images = np.empty(stop - start, np.int64)
        for first in range(start, stop, _CHUNK):
            last = min(first + _CHUNK, stop)
            images[first - start : last - start] = self._walk(np.arange(first, last, dtype=self._dtype))
        return images

    def _walk(self, positions: NDArray[Any]) -> NDArray[Any]:
        images = self._mix(positions)
        outside = np.flatnonzero(images >= self.n)
        while outside.size:
            again = self._mix(images[outside])
            images[outside] = again
            outside = outside[again >= self.n]
        return images

    def _mix(self, cells: NDArray[Any]) -> NDArray[Any]:
        """Permute cells of the whole grid; works in place where it can, for that is half of the time."""
        kind = self._dtype
        height, width = kind(self._height), kind(self._width)
        half, shift = kind(self._half), kind(self._half - 1)
        first, second = (kind(factor) for factor in _FACTORS[kind])
        left: NDArray[Any] = cells // width
        right = cells - left * width
        mixed, spare = np.empty_like(left), np.empty_like(left)
        for number in range(ROUNDS):
            changed, other, size = (left, right, height) if number % 2 == 0 else (right, left, width)
            np.bitwise_xor(other, self._keys[number], out=mixed)
            np.multiply(mixed, first, out=mixed)
            np.right_shift(mixed, shift, out=spare)
            np.bitwise_xor(mixed, spare, out=mixed)
            np.multiply(mixed, second, out=mixed)
            # The upper half of the word times the size, over 2**half: a number below the size, no division.
            np.right_shift(mixed, half, out=mixed)
            np.multiply(mixed, size, out=mixed)
            np.right_shift(mixed, half, out=mixed)
            # (changed + mixed) modulo size: below zero the unsigned difference wraps to a huge number.
            np.add(changed, mixed, out=changed)
            np.subtract(changed, size, out=mixed)
            np.minimum(changed, mixed, out=changed)
        np.multiply(left, width, out=left)
        np.add(left, right, out=left)
        return left


def sorted_keys(n: int, seed: int, *path: int) -> NDArray[np.int64]:
    """Return a permutation of 0..n-1 as the order of n random 64-bit keys: exactly uniform, O(n) memory."""
    return np.argsort(words_at(0, n, seed, *path), kind="stable")


def permute(start: int, stop: int, n: int, seed: int, *path: int) -> NDArray[np.int64]:
    """Return the images of positions start..stop-1 under the permutation of 0..n-1 of an address."""
    if n <= SMALL:
        return sorted_keys(n, seed, *path)[start:stop]
    return Permutation(n, seed, *path).between(start, stop)
