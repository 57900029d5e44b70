"""Values that actions put where a picture has none: which component gets which, checked against its dtype."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bf_batch.core import BatchCore
from bf_batch.images.arguments import Names, owner_of, role_of
from bf_index.errors import unknown

BORDERS: Mapping[str, int] = {"edge": 1, "reflect": 2, "wrap": 3}
"""What lies outside when it is no value, by name and by the number that compiled loops know it by."""
Outside = float | tuple[float, ...] | str
"""A value of pixels, one for each channel, 'edge', 'reflect' or 'wrap'."""


def fill_of(batch: BatchCore, name: str, fill: Any, src: Names, what: str) -> Outside | None:
    """Return what an argument ``fill`` says about one component of ``src``; None: nothing.

    A value or values of channels are those of the pictures, and of masks only where no pictures are named
    with them; a border is for both. A mapping has a value for each component.
    """
    names = [src] if isinstance(src, str) else list(src)
    if isinstance(fill, Mapping):
        for key in fill:
            if key not in names:
                raise ValueError(f"{owner_of(batch, what)}: fill: {unknown('component', key, names, 'src')}")
        fill = fill.get(name)
    elif not isinstance(fill, str) and role_of(batch, name) == "mask" and "image" in _roles(batch, names):
        return None
    return None if fill is None else _as_outside(fill, owner_of(batch, what))


def _roles(batch: BatchCore, names: list[str]) -> set[str]:
    return {role_of(batch, name) for name in names}


def _as_outside(fill: Any, owner: str) -> Outside:
    """Return a value of ``fill`` as a number, a tuple of them or the name of a border."""
    if isinstance(fill, str):
        if fill in BORDERS:
            return fill
        raise ValueError(
            f"{owner}: fill must be a number, one a channel, 'edge', 'reflect' or 'wrap', got {fill!r}"
        )
    if isinstance(fill, (Sequence, np.ndarray)):
        values = tuple(_as_number(value, fill, owner) for value in fill)
        if not values:
            raise ValueError(f"{owner}: fill has no value, got {fill!r}; give a number, or one a channel")
        return values[0] if len(set(values)) == 1 == len(values) else values
    return _as_number(fill, fill, owner)


def _as_number(value: Any, fill: Any, owner: str) -> float:
    number = value.item() if isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0 else value
    if not isinstance(number, (int, float)):
        raise TypeError(
            f"{owner}: fill is a number, one a channel, 'edge', 'reflect' or 'wrap', or a mapping of these "
            f"by component; got {fill!r} ({type(fill).__name__})"
        )
    return number


def check_fill(
    batch: BatchCore, name: str, fill: Outside, kinds: Iterable[tuple[int, np.dtype[Any]]], what: str
) -> None:
    """Raise a ValueError when pictures of kinds, (channels, 0 for none; dtype), can't hold a fill value.

    Pictures of integers take fractions, which are blended and rounded; masks take whole numbers only.
    """
    if isinstance(fill, str):
        return
    values = fill if isinstance(fill, tuple) else (fill,)
    whole = role_of(batch, name) == "mask"
    for channels, dtype in kinds:
        if len(values) not in (1, channels or 1):
            raise ValueError(
                f"{owner_of(batch, what)}: fill has {len(values)} values, got {fill!r} for {name!r} of "
                f"{channels or 1} channels; give one value, or one for each channel"
            )
        if dtype.kind not in "biu":
            continue
        low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        for value in values:
            if not low <= value <= high or (whole and value != math.floor(value)):
                raise ValueError(
                    f"{owner_of(batch, what)}: fill={value!r} has no place in {name!r}, which are {dtype} "
                    f"({low} to {high}); give a {'whole number' if whole else 'value'} in this range"
                    + ("" if whole else ", or another for each component: fill={'images': ..., 'masks': ...}")
                )
