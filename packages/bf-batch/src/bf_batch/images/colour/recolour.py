"""How colour actions run: on the chosen items, on bytes by tables or on floats of 0..1."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bf_batch.core import BatchCore
from bf_batch.images.arguments import (
    ALL,
    Floats,
    Names,
    as_numbers,
    choose_items,
    pair_names,
)
from bf_batch.images.arrays import find_dark_range, from_native, outputs, to_native
from bf_batch.images.checks import require_pictures
from bf_batch.images.runtime import import_extra

BatchT = TypeVar("BatchT", bound=BatchCore)
Pictures = NDArray[Any]
Tables = NDArray[np.uint8]
"""(n, 1, 256) one table a picture, or (n, channels, 256)."""
Recolour = Callable[..., Pictures]
"""Makes new pictures of pictures (k, h, w, c), uint8 or float32, and an array (k,) for each parameter."""

LEVELS = np.arange(256.0)
_BY_WHITE = frozenset(
    ["adjust_gamma", "invert", "solarize", "posterize", "equalize", "autocontrast", "add", "noise", "salt"]
)
"""Actions whose results depend on which number is white."""


def recolour(
    batch: BatchT, what: str, function: Recolour, p: Any, src: Names, dst: Names | None, **parameters: Any
) -> BatchT:
    """Replace the chosen pictures of components by what ``function`` makes of them.

    Parameters are numbers or ``PerItem``. Bytes and float32 are handed on as they are, other integers as
    floats of 0..1, other floats as float32; results come back in the dtype of the pictures. Returns the
    batch.
    """
    return replace_pictures(batch, what, lambda _: convert_for(function), p, src, dst, **parameters)


def replace_pictures(
    batch: BatchT,
    what: str,
    make: Callable[[str], Recolour],
    p: Any,
    src: Names,
    dst: Names | None,
    **parameters: Any,
) -> BatchT:
    """Do what ``recolour`` does with the function that ``make`` returns for a component, in any dtype."""
    owner = f"{type(batch).__name__}.{what}"
    n = len(batch)
    chosen = choose_items(batch, p, what)
    values = {
        name: np.broadcast_to(as_numbers(value, n, f"{what}: {name}"), (n,))
        for name, value in parameters.items()
    }
    for name, target in zip(*pair_names(src, dst, owner)):
        pictures = require_pictures(batch, name, what)
        function = make(name)
        if what in _BY_WHITE:
            warn_of_dark(pictures, name, owner)
        if not chosen.any():
            result = pictures
        elif isinstance(pictures, np.ndarray) and pictures.dtype != object:
            result = _recolour_stack(pictures, function, chosen, values)
        else:
            picked = np.broadcast_to(chosen, (n,))
            result = [
                _recolour_one(np.asarray(picture), function, i, values) if picked[i] else picture
                for i, picture in enumerate(pictures)
            ]
        setattr(batch, target, result)
    return batch


def _recolour_stack(
    pictures: Pictures, function: Recolour, chosen: NDArray[np.bool_], values: dict[str, Any]
) -> Pictures:
    """Recolour the chosen ones of an array of pictures (n, h, w) or (n, h, w, c)."""
    flat = pictures.ndim == 3
    four = pictures[..., None] if flat else pictures
    if chosen.size == 1 or chosen.all():
        result = function(four, **values)
    else:
        rows = np.flatnonzero(chosen)
        changed = function(four[rows], **{k: v[rows] for k, v in values.items()})
        result = new_output(four)
        result[...] = four
        result[rows] = changed
    return result[..., 0] if flat else result


def convert_for(function: Recolour) -> Recolour:
    """Return a function of bytes and float32 as one of pictures of any dtype."""

    def convert(pictures: Pictures, **values: Any) -> Pictures:
        ready = to_native(pictures)
        changed = function(ready, **values)
        return pictures if changed is ready else from_native(pictures.dtype, changed)

    return convert


def warn_of_dark(pictures: Any, name: str, owner: str) -> None:
    """Warn of pictures of wide integers that hold the values of a narrower dtype: they are all but black."""
    found = find_dark_range(pictures)
    if found is not None:
        kind, bits = found
        warnings.warn(
            f"{owner}: pictures in {name!r} are {kind}, of which {np.iinfo(kind).max} is white, but hold no "
            f"value above {(1 << bits) - 1}: they count as black; give them the dtype of their values, as "
            "with to_array('uint8')",
            RuntimeWarning,
            stacklevel=4,
        )


def _recolour_one(picture: Pictures, function: Recolour, i: int, values: dict[str, Any]) -> Pictures:
    """Recolour one picture of a list, with the parameters of item ``i``."""
    own = {name: each[i : i + 1] for name, each in values.items()}
    return np.asarray(_recolour_stack(picture[None], function, ALL, own)[0])


def colour_loops() -> Any:
    """Return the compiled loops of colour."""
    return import_extra("bf_batch.images.kernels.colour")


def new_output(pictures: Pictures) -> Pictures:
    """Return an array for results like some pictures."""
    return outputs.take(pictures.shape, pictures.dtype)


def has_colours(pictures: Pictures, what: str) -> bool:
    """Whether pictures have colours; a ValueError for other numbers of channels than 1, 3 and 4."""
    c = pictures.shape[3]
    if c not in (1, 3, 4):
        raise ValueError(f"{what}: needs grey, RGB or RGBA pictures, got {c} channels")
    return bool(c != 1)


# Tables


def look_up(pictures: Pictures, tables: NDArray[np.uint8]) -> Pictures:
    """Return bytes replaced by tables (n, 1 or c, 256)."""
    out = new_output(pictures)
    colour_loops().look_up(pictures, tables, out)
    return out


def apply_curve(pictures: Pictures, curve: Callable[[Any, Any], Any], values: Any) -> Pictures:
    """Apply ``curve(level, value)`` on the scale of 0..1.

    Bytes are looked up in a table; floats are computed and limited to 0..1.
    """
    if pictures.dtype == np.uint8:
        return look_up(pictures, round_to_tables(255.0 * curve(LEVELS[None] / 255.0, values[:, None])))
    shaped = values.astype(np.float32).reshape(-1, 1, 1, 1)
    return np.asarray(np.clip(curve(pictures, shaped), 0.0, 1.0), dtype=np.float32)


def count_levels(pictures: Pictures) -> NDArray[np.int64]:
    """Return histograms (n, c, 256) of byte pictures."""
    counts = np.zeros((len(pictures), pictures.shape[3], 256), np.int64)
    colour_loops().count_histograms(pictures, counts)
    return counts


def round_to_tables(values: Floats) -> Tables:
    """Return values (n, 256) as tables (n, 1, 256): rounded and limited to bytes."""
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)[:, None]


def equalizing_tables(counts: NDArray[np.int64]) -> Tables:
    """Return the tables that spread histograms (n, c, 256) evenly, as Pillow's ``ImageOps.equalize``."""
    n, c, _ = counts.shape
    tables = np.empty((n, c, 256), np.uint8)
    for place in np.ndindex(n, c):
        own = counts[place]
        filled = own[own > 0]
        step = int(filled[:-1].sum()) // 255
        if len(filled) < 2 or step == 0:
            tables[place] = LEVELS
            continue
        before = np.concatenate([[0], np.cumsum(own)[:-1]])
        tables[place] = np.minimum((step // 2 + before) // step, 255)
    return tables


def stretching_tables(counts: NDArray[np.int64]) -> Tables:
    """Return the tables that bring each channel's darkest and lightest value to 0 and 255."""
    n, c, _ = counts.shape
    tables = np.empty((n, c, 256), np.uint8)
    for place in np.ndindex(n, c):
        found = np.flatnonzero(counts[place])
        low, high = (int(found[0]), int(found[-1])) if len(found) else (0, 255)
        if high <= low:
            tables[place] = LEVELS
            continue
        scale = 255.0 / (high - low)
        tables[place] = np.clip((LEVELS * scale - low * scale).astype(np.int64), 0, 255)
    return tables


def to_levels(pictures: Any) -> NDArray[np.uint8]:
    """Return float pictures of 0..1 as bytes."""
    return np.asarray(np.clip(np.floor(pictures * 255.0 + 0.5), 0, 255), dtype=np.uint8)
