"""Filters: each pixel becomes a sum, the median or an extreme of those around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bf_batch.actions import action
from bf_batch.batch import Batch
from bf_batch.dtypes import white_of
from bf_batch.images.arguments import Level, Names, owner_of
from bf_batch.images.arrays import from_native, read_only, to_native
from bf_batch.images.colour.recolour import Pictures, Recolour, new_output, replace_pictures
from bf_batch.images.fills import BORDERS, Outside, check_fill, fill_of
from bf_batch.images.runtime import import_extra
from bf_batch.itemwise.work import PerItem
from bf_index.errors import unknown

_WEIGHTED = (
    "blur",
    "contour",
    "detail",
    "edge_enhance",
    "edge_enhance_more",
    "emboss",
    "find_edges",
    "sharpen",
    "smooth",
    "smooth_more",
)
"""Weights that Pillow has under these names."""
#: Up to these sizes comparing rows is the fastest way to a median; bytes can be counted.
_SORTED, _SORTED_BYTES = 21, 9
_WINDOWS = ("box", "median", "minimum", "maximum")
KINDS = (*_WEIGHTED, "sobel", *_WINDOWS)
_MOST = 255  # pixels a side of a window

Loop = Callable[[Pictures, int, tuple[int, Any], Pictures], None]
"""``loop(pictures, size, (border, values outside), out)``."""


class FilterActions(Batch):
    """Filters of bytes or floats; they read the pixels, so pending geometry is computed first."""

    @action(itemwise=True, older={"mode": "kind"})
    def filter(
        self,
        kind: str | Any,
        size: float | PerItem = 3,
        *,
        scale: float = 1.0,
        offset: float = 0.0,
        fill: Level | str | Mapping[str, Level | str] = "reflect",
        p: float | PerItem = 1.0,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Filter pictures by a name, or by weights (rows, columns), odd numbers of both.

        Of Pillow are 'blur', 'smooth', 'smooth_more', 'sharpen', 'detail', 'edge_enhance',
        'edge_enhance_more', 'find_edges', 'contour' and 'emboss'. 'sobel' is the steepness, at most full
        white. 'box' is the mean of ``size`` by ``size`` pixels, odd; 'median', 'minimum' and 'maximum' are
        what they say. Own weights are laid on each pixel as they are (as scipy's ``correlate``), the sum is
        divided by ``scale``, and ``offset`` parts of full white are added. ``fill`` is what lies outside:
        'reflect' (as ``numpy.pad``), 'edge', 'wrap', or a value. Bytes are rounded and limited, floats are
        not.
        """
        loop = _choose_loop(kind, scale, offset, owner_of(self, "filter"))

        def make(name: str) -> Recolour:
            outside = fill_of(self, name, fill, src, "filter")
            outside = 0.0 if outside is None else outside

            def function(pictures: Pictures, size: Any) -> Pictures:
                check_fill(self, name, outside, [(pictures.shape[3], pictures.dtype)], "filter")
                return _filter(pictures, _check_sizes(size), loop, outside)

            return function

        return replace_pictures(self, "filter", make, p, src, dst, size=size)


def _filter(pictures: Pictures, sizes: NDArray[np.int64], loop: Loop, outside: Outside) -> Pictures:
    """Filter pictures (n, h, w, c), each by a window of its own size."""
    ready = to_native(pictures)
    unit = 1.0 if pictures.dtype == ready.dtype else white_of(pictures.dtype)
    border = (
        (BORDERS[outside], np.zeros(1, np.float32))
        if isinstance(outside, str)
        else (0, (np.atleast_1d(outside) / unit).astype(np.float32))
    )
    out = new_output(ready)
    some = np.unique(sizes)
    if len(some) == 1:
        loop(ready, int(some[0]), border, out)
    else:
        for size in some:
            rows = np.flatnonzero(sizes == size)
            part = np.empty((len(rows), *ready.shape[1:]), ready.dtype)
            loop(read_only(ready[rows]), int(size), border, part)
            out[rows] = part
    return from_native(pictures.dtype, out)


def _check_sizes(sizes: NDArray[np.float64]) -> NDArray[np.int64]:
    whole = sizes.astype(np.int64)
    if not ((whole == sizes) & (whole % 2 == 1) & (whole >= 1) & (whole <= _MOST)).all():
        bad = sizes[(whole != sizes) | (whole % 2 != 1) | (whole < 1) | (whole > _MOST)][0]
        raise ValueError(f"filter: size is an odd number of pixels from 1 to {_MOST}, got {bad:g}")
    return whole


def _choose_loop(kind: Any, scale: float, offset: float, owner: str) -> Loop:
    """Return what filters pictures; a ValueError for an unknown name or weights that are none."""
    if not isinstance(kind, str):
        return _weigh(_as_weights(kind, owner)[None], _check_scale(scale, owner), offset)
    name = kind.lower()
    if (scale, offset) != (1.0, 0.0):
        raise ValueError(f"{owner}: scale= and offset= are for weights of your own, not for {kind!r}")
    if name in _WEIGHTED:
        from PIL import ImageFilter

        (columns, rows), divisor, added, weights = getattr(ImageFilter, name.upper()).filterargs
        # Pillow lays the first row of weights on the pixels below
        return _weigh(np.array(weights, np.float64).reshape(1, rows, columns)[:, ::-1], divisor, added / 255)
    if name == "sobel":
        across = np.outer([1.0, 2.0, 1.0], [-1.0, 0.0, 1.0])
        return _weigh(np.stack([across, across.T]), 4 * np.sqrt(2), 0.0)
    if name in _WINDOWS:
        return _WINDOW_LOOPS[name]
    hint = "; blur(sigma=...) is the Gauss filter" if "gauss" in name else ""
    raise ValueError(f"{owner}: {unknown('kind', kind, KINDS, 'filter')}{hint}")


def _check_scale(scale: Any, owner: str) -> float:
    if not isinstance(scale, (int, float)) or not np.isfinite(scale) or scale == 0:
        raise ValueError(f"{owner}: scale divides weights; give a number other than 0, got {scale!r}")
    return float(scale)


def _as_weights(weights: Any, owner: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(weights, np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    odd = array.ndim == 2 and array.shape[0] % 2 == 1 == array.shape[1] % 2
    if not odd or max(array.shape) > _MOST or not np.isfinite(array).all():
        raise ValueError(
            f"{owner}: kind is a name ({', '.join(KINDS)}) or weights (rows, columns) of finite numbers, odd "
            f"numbers of both up to {_MOST}; got {f'shape {array.shape}' if array.size else repr(weights)}"
        )
    return array


def _loops() -> Any:
    return import_extra("bf_batch.images.kernels.filters")


def _weigh(planes: NDArray[np.float64], scale: float, offset: float) -> Loop:
    weights = np.ascontiguousarray(planes, np.float32)

    def loop(pictures: Pictures, size: int, border: tuple[int, Any], out: Pictures) -> None:
        limited = out.dtype == np.uint8
        ending = float(scale), float(offset * (255 if limited else 1))
        _loops().correlate(pictures, weights, ending, *border, limited, out)

    return loop


def _take_mean(pictures: Pictures, size: int, border: tuple[int, Any], out: Pictures) -> None:
    _loops().average(pictures, size // 2, *border, out.dtype == np.uint8, out)


def _take_median(pictures: Pictures, size: int, border: tuple[int, Any], out: Pictures) -> None:
    loops = import_extra("bf_batch.images.kernels.medians")
    if size == 3:
        take = loops.take_nines
    elif size <= (_SORTED_BYTES if out.dtype == np.uint8 else _SORTED):
        take = loops.sort_medians
    else:
        take = loops.count_medians if out.dtype == np.uint8 else loops.choose_medians
    take(pictures, size // 2, *border, out)


def _take_least(pictures: Pictures, size: int, border: tuple[int, Any], out: Pictures) -> None:
    _loops().take_extremes(pictures, size // 2, _loops().LEAST, *border, out)


def _take_greatest(pictures: Pictures, size: int, border: tuple[int, Any], out: Pictures) -> None:
    _loops().take_extremes(pictures, size // 2, _loops().GREATEST, *border, out)


_WINDOW_LOOPS: Mapping[str, Loop] = {
    "box": _take_mean,
    "median": _take_median,
    "minimum": _take_least,
    "maximum": _take_greatest,
}
