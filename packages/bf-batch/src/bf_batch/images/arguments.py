"""What the arguments of image actions mean: numbers for each item, pairs, sizes, components, chances."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bf_batch.core import BatchCore
from bf_batch.images.runtime import import_extra
from bf_batch.itemwise.work import PerItem

Floats = NDArray[np.float64]
Level = float | Sequence[float]
"""A value of pixels, or one for each channel."""
Border = Literal["reflect", "edge", "wrap"]
Fill = Level | Border | Mapping[str, Level | Border]
"""What lies outside pictures; by component in a mapping."""
Order = Literal[0, 1, 3]
Names = str | Sequence[str]
Role = Literal["image", "mask", "boxes", "keypoints"]

ALL = np.ones(1, bool)
NONE = np.zeros(1, bool)
_NO_ROLES: Mapping[str, Role] = {}
_BITS = 62  # of a seed in one number of an address
_LOW = (1 << _BITS) - 1


# Numbers


def as_numbers(value: Any, n: int, what: str) -> Floats:
    """Return an argument as floats (1,) or, per item, (n,).

    Raises TypeError for what is no number, ValueError for a wrong length.
    """
    if type(value) is PerItem:
        values = np.asarray(value.values, dtype=np.float64)
        if values.shape == (n,):
            return values
        values = values.reshape(len(value), -1)
        if len(values) != n or values.shape[1] != 1:
            raise ValueError(
                f"{what}: got per-item values of shape {values.shape} for {n} items; give one number an item"
            )
        return values[:, 0]
    if isinstance(value, (bool, str)) or not np.isscalar(value):
        raise TypeError(
            f"{what}: got {value!r} ({type(value).__name__}); give a number, or P(...) for one an item"
        )
    return np.array([value], dtype=np.float64)


def as_pairs(value: Any, n: int, what: str) -> Floats:
    """Return a number or a (y, x) pair as floats (1, 1 or 2) or, per item, (n, 1 or 2)."""
    if type(value) is PerItem:
        values = np.asarray(value.values, dtype=np.float64)
        values = values[:, None] if values.ndim == 1 else values.reshape(len(value), -1)
        if len(values) != n or values.shape[1] not in (1, 2):
            raise ValueError(
                f"{what}: got per-item values of shape {values.shape} for {n} items; "
                "give a number or (y, x) each"
            )
        return values
    values = np.array(value, dtype=np.float64, ndmin=1)[None]
    if values.shape[1:] not in ((1,), (2,)):
        raise TypeError(f"{what}: got {value!r}; give a number, a pair (y, x), or P(...) of these")
    return values


def widen_pairs(values: Floats) -> Floats:
    """Return what ``as_pairs`` returns with two columns, whatever was given."""
    return values if values.shape[1] == 2 else np.repeat(values, 2, axis=1)


def as_size(value: Any, what: str) -> tuple[int, int]:
    """Return a (height, width) argument as two positive ints."""
    if type(value) is not tuple:
        try:
            value = tuple(value)
        except TypeError:
            raise TypeError(f"{what}: got {value!r}; give (height, width)") from None
    return _as_size(value, what)


def as_sizes(value: Any, n: int, what: str) -> tuple[int, int] | NDArray[np.int64]:
    """Return a (height, width) argument as two positive ints or, per item, (n, 2).

    A number an item is both sides.
    """
    if type(value) is not PerItem:
        return as_size(value, what)
    pairs = widen_pairs(as_pairs(value, n, what))
    if not (pairs >= 1).all() or (pairs != np.floor(pairs)).any():
        raise ValueError(f"{what}: got per-item values {value!r}; give (height, width) as positive ints each")
    return pairs.astype(np.int64)


@functools.lru_cache(maxsize=256)
def _as_size(value: tuple[Any, ...], what: str) -> tuple[int, int]:
    good = [isinstance(side, (int, np.integer)) and side > 0 for side in value]
    if good != [True, True]:
        raise ValueError(f"{what}: got {value!r}; give (height, width) as positive ints")
    return int(value[0]), int(value[1])


# Items and components


def choose_items(batch: BatchCore, p: Any, what: str) -> NDArray[np.bool_]:
    """Draw which items an action with probability ``p`` is for: (1,) when all or none of them, else (n,)."""
    kind = type(p)
    if kind is float or kind is int:
        if p == 1:
            return ALL
        if p == 0:
            return NONE
        if 0 < p < 1:
            # a generator for each step would cost more than the step; its address serves as well
            seed, coins = batch.seed, import_extra("bf_batch.images.kernels.maps").throw_coins
            address = (seed & _LOW, seed >> _BITS & _LOW, *batch.address())
            heads: NDArray[np.bool_] = coins(address, len(batch), p)
            return heads
    chance = as_numbers(p, len(batch), f"{what}: p")
    if not ((chance >= 0) & (chance <= 1)).all():
        raise ValueError(f"{owner_of(batch, what)}: p is a probability from 0 to 1, got {p!r}")
    return np.asarray(batch.rng().random(len(batch)) < chance)


def owner_of(batch: BatchCore, what: str) -> str:
    """Return the name of an action or a component with that of its batch, for messages."""
    return f"{type(batch).__name__}.{what}"


def pair_names(src: Names, dst: Names | None, what: str) -> tuple[list[str], list[str]]:
    """Return source and target components as two lists of one length."""
    sources = [src] if isinstance(src, str) else list(src)
    targets = sources if dst is None else [dst] if isinstance(dst, str) else list(dst)
    if len(sources) != len(targets) or not sources:
        raise ValueError(
            f"{what}: got {len(sources)} components in src and {len(targets)} in dst; give as many"
        )
    return sources, targets


def require_component(batch: BatchCore, name: str, what: str) -> Any:
    """Return a component's pixels; a ValueError when it was not loaded."""
    value = getattr(batch, name)
    if value is None:
        raise ValueError(
            f"{what}: component {name!r} of {type(batch).__name__} is empty; load it first, or name another "
            "in src="
        )
    return value


def role_of(batch: BatchCore, name: str) -> Role:
    """Return what a component holds."""
    roles: Mapping[str, Role] = getattr(batch, "roles", _NO_ROLES)
    return roles.get(name, "image")


def id_of(batch: BatchCore, position: int) -> Any:
    """Return the id of an item as Python has it, for messages."""
    found = batch.indices[position]
    return found.item() if isinstance(found, np.generic) else found
