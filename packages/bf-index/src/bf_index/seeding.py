"""Randomness as an address: a generator is a pure function of a seed and a path of integers."""

from __future__ import annotations

import hashlib
import secrets
from operator import index
from typing import Any

import numpy as np
from numpy.random import Generator, Philox
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

_WORDS_A_COUNT = 4
"""Philox makes four 64-bit words of each value of its counter."""


class _Key(ISeedSequence):
    """A ready key for Philox; given as ``key=`` numpy would first ask the system for entropy (20 us)."""

    __slots__ = ("digest",)

    def __init__(self, digest: bytes) -> None:
        self.digest = digest

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[Any]:
        """Return the first words of the key."""
        return np.frombuffer(self.digest, dtype)[:n_words]


def key_at(seed: int, *path: int, size: int = 16) -> bytes:
    """Return ``size`` bytes (at most 64) that depend on the seed and on each number of the path."""
    address = (index(seed), *map(index, path))
    if address[0] < 0:
        raise ValueError(f"seed must be an integer >= 0, got {seed}")
    return hashlib.blake2b(repr(address).encode(), digest_size=size).digest()


def _source(seed: int, path: tuple[int, ...]) -> Philox:
    key: Any = _Key(key_at(seed, *path))  # numpy's own annotation knows no other kind than SeedSequence
    return Philox(key)


def rng_at(seed: int, *path: int) -> Generator:
    """Return the generator of an address: the same arguments give the same numbers, on any machine.

    It is counter-based (Philox), so nothing needs to be carried, locked or saved.

    >>> float(rng_at(7, 0, 3).random()) == float(rng_at(7, 0, 3).random())
    True
    """
    return Generator(_source(seed, path))


def words_at(start: int, stop: int, seed: int, *path: int) -> NDArray[np.uint64]:
    """Return words ``start`` to ``stop`` of the endless stream of random 64-bit words of an address."""
    source = _source(seed, path)
    skipped = start % _WORDS_A_COUNT
    source.advance(start // _WORDS_A_COUNT)
    return source.random_raw(stop - start + skipped)[skipped:]


def new_seed() -> int:
    """Return a fresh seed below 2**32, small enough to be read aloud and typed again."""
    return secrets.randbits(32)


def check_seed(seed: object) -> int:
    """Return a seed as an int, a fresh one for None; anything else than an integer >= 0 is refused."""
    if seed is None:
        return new_seed()
    if isinstance(seed, (bool, np.bool_)) or not hasattr(seed, "__index__"):
        raise TypeError(f"seed must be an integer >= 0 or None, got {seed!r} ({type(seed).__name__})")
    number = index(seed)
    if number < 0:
        raise ValueError(f"seed must be an integer >= 0 or None, got {number}")
    return number
