"""From pending geometry to pixels: which compiled loop serves it, and how results are laid out."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.data.lazy_rows import LazyRows
from bf_batch.dtypes import limit_to, white_of
from bf_batch.images.arrays import NATIVE, outputs, read_only
from bf_batch.images.fills import BORDERS
from bf_batch.images.geometry.pending import PendingGeometry
from bf_batch.images.geometry.rims import NO_RIM
from bf_batch.images.geometry.still import find_still
from bf_batch.images.runtime import import_extra, spread

_NO_FIELD = np.zeros((1, 1, 1, 2), np.float32)
_NO_PRE = np.eye(3)[None].copy()
_MUCH = 1 << 20  # numbers of a result from which it is worth waking other threads
_SMALL = 4096  # numbers in a picture below which the loop over points is faster than the one over rows
_BYTES = range(256)
_WORDS = 1 << 20  # pixels of the largest picture that is packed into words
_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def resample(warp: PendingGeometry) -> Any:
    """Compute the pixels of pending pictures.

    Returns an array when all results have one size and kind, else a list of arrays.
    """
    source = warp.source
    if type(source) is LazyRows:
        if (whole := source.whole) is not None and _fits_packing(warp, whole):
            return _resample_rows(warp, whole, source.rows)
        return resample(warp.read())
    if isinstance(source, np.ndarray) and source.dtype != object:
        if warp.matrices is None and warp.dtype is None:
            return source
        if isinstance(warp.sizes, tuple):
            return _resample_stack(warp, source)
    return _resample_each(warp)


def _resample_stack(warp: PendingGeometry, source: NDArray[Any]) -> NDArray[Any]:
    """Resample pictures of one size to one size by one compiled call, or by one a thread for much work."""
    n, flat = len(source), source.ndim == 3
    pictures = source[..., None] if flat else source
    height, width = warp.sizes
    out = outputs.take((n, int(height), int(width), pictures.shape[3]), warp.dtype or source.dtype)
    if out.size < _MUCH:
        _compute(warp, pictures, slice(0, n), out)
    else:
        spread(n, lambda rows: _compute(warp, pictures[rows], rows, out[rows]))
    return _lay_out(warp, out, flat)


def _resample_rows(warp: PendingGeometry, whole: NDArray[Any], rows: NDArray[np.intp]) -> NDArray[Any]:
    """Resample pictures of a data set in memory: the compiled loop reads them where they are."""
    n, flat = len(rows), whole.ndim == 3
    height, width = warp.sizes
    out = outputs.take((n, int(height), int(width), 1), warp.dtype or whole.dtype)
    if out.size < _MUCH:
        _interpolate_packed(warp, whole, rows, slice(0, n), out)
    else:
        spread(n, lambda part: _interpolate_packed(warp, whole, rows[part], part, out[part]))
    return _lay_out(warp, out, flat)


def _resample_each(warp: PendingGeometry) -> Any:
    """Resample pictures of many sizes, or still in files: one compiled call each."""
    n, sizes, source = len(warp), warp.sizes, warp.source
    kind = _common_kind(warp)
    results: list[Any] = [None] * n
    stack = None
    if isinstance(sizes, tuple) and kind is not None:
        stack = outputs.take((n, *sizes, kind[0] or 1), warp.dtype or kind[1])

    def work(rows: slice) -> None:
        for i in range(rows.start, rows.stop):
            if warp.matrices is None and warp.dtype is None:
                results[i] = _read_whole(source, i, None if stack is None else stack[i])
                continue
            picture, matrix = _read_reached(warp, i)
            flat = picture.ndim == 2
            four = picture[None, ..., None] if flat else picture[None]
            height, width = sizes if isinstance(sizes, tuple) else sizes[i]
            shape = 1, int(height), int(width), four.shape[3]
            out = np.empty(shape, warp.dtype or picture.dtype) if stack is None else stack[i : i + 1]
            _compute(warp, four, slice(i, i + 1), out, matrix)
            results[i] = None if stack is not None else _lay_out(warp, out, flat)[0]

    points = n * sizes[0] * sizes[1] if isinstance(sizes, tuple) else int(sizes.prod(axis=1).sum())
    spread(n, work, many=not isinstance(source, list) or points > _MUCH)
    if stack is not None and kind is not None:
        return _lay_out(warp, stack, kind[0] == 0)
    return results


def _read_whole(source: Any, i: int, into: Any = None) -> NDArray[Any]:
    """Return one picture as it is, in a buffer (height, width, channels) if there is one."""
    if not isinstance(source, (list, np.ndarray)):
        found: NDArray[Any] = source.whole(i, into)
        return found
    if into is not None:
        into[...] = source[i].reshape(into.shape)
    return np.asarray(source[i])


def _read_reached(warp: PendingGeometry, i: int) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    """Return one picture, of files only what the map of a result reaches, with the map to it."""
    source, matrices = warp.source, warp.matrices
    if isinstance(source, (list, np.ndarray)):
        return source[i], None
    if matrices is None or warp.projective or warp.field is not None or warp.fill in ("reflect", "wrap"):
        return source.whole(i), None
    height, width = warp.sizes if isinstance(warp.sizes, tuple) else warp.sizes[i]
    rim = NO_RIM[0] if warp.rims is None else warp.rims[i]
    ends = rim[[0, 2]].clip(0, height - 1), rim[[1, 3]].clip(0, width - 1)
    picture, matrix = source.part(i, matrices[i], ends)
    return picture, matrix[None]


def _common_kind(warp: PendingGeometry) -> tuple[int, np.dtype[Any]] | None:
    """Return (channels, 0 for none; dtype) of the results when all pictures agree in them, else None."""
    kinds = warp.kinds
    if warp.channels is not None:  # results have an axis of channels, whether their pictures have one or not
        kinds = {(channels or 1, dtype) for channels, dtype in kinds}
    if warp.dtype is not None:
        kinds = {(channels, warp.dtype) for channels, _ in kinds}
    return kinds.pop() if len(kinds) == 1 else None


def _lay_out(warp: PendingGeometry, out: NDArray[Any], flat: bool) -> NDArray[Any]:
    """Return results (n, h, w, c) with the axes asked for: as the source, channels last or channels first."""
    if warp.channels == "first":
        return np.ascontiguousarray(np.moveaxis(out, 3, 1))
    if warp.channels == "last":
        return out
    return out[..., 0] if flat else out


def _compute(
    warp: PendingGeometry,
    pictures: NDArray[Any],
    rows: slice,
    out: NDArray[Any],
    matrices: NDArray[np.float64] | None = None,
) -> None:
    """Compute rows of the results from their pictures (k, h, w, c).

    Pictures that are only moved by whole pixels are copied, so that each value stays what it is.
    """
    if warp.matrices is None:
        _scale(warp, pictures, out)
        return
    matrices = warp.matrices[rows] if matrices is None else matrices
    if warp.order == 0:
        _copy(warp, pictures, rows, matrices, out)
        return
    if pictures.dtype != np.uint8:
        still = find_still(warp, pictures, rows, matrices)
        if still.all():
            _copy(warp, pictures, rows, matrices, out)
            return
        if still.any():
            places = np.arange(len(warp.source))[rows]
            for some, work in ((still, _copy), (~still, _interpolate)):
                part = np.empty((int(some.sum()), *out.shape[1:]), out.dtype)
                work(warp, pictures[some], places[some], matrices[some], part)
                out[some] = part
            return
    _interpolate(warp, pictures, rows, matrices, out)


def _copy(warp: PendingGeometry, pictures: NDArray[Any], rows: Any, matrices: Any, out: NDArray[Any]) -> None:
    """Copy nearest pixels, then scale them."""
    target = out if warp.dtype is None else np.empty(out.shape, pictures.dtype)
    _copy_nearest(warp, pictures, rows, matrices, target)
    if target is not out:
        _scale(warp, target, out)


def _scale(warp: PendingGeometry, pictures: NDArray[Any], out: NDArray[Any]) -> None:
    """Scale pixels in their places; numbers that the compiled loop would round are left to numpy."""
    c = pictures.shape[3]
    gain, bias = _scaling(warp, pictures.dtype)
    if pictures.dtype in NATIVE and out.dtype in NATIVE:
        loop, limited = import_extra("bf_batch.images.kernels.axes").convert, out.dtype == np.uint8
        flat = read_only(pictures).reshape(-1, c)
        loop(flat, _channel_row(gain, c), _channel_row(bias, c), limited, out.reshape(-1, c))
    elif (gain, bias) == ((1.0,), (0.0,)):
        out[...] = limit_to(out.dtype, pictures)
    else:
        scaled = pictures * _check_channels(gain, c, "values")
        out[...] = limit_to(out.dtype, scaled + _check_channels(bias, c, "values"))


def _scaling(warp: PendingGeometry, dtype: np.dtype[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return what pixels of a dtype are multiplied by and what is added."""
    if warp.gain is None or warp.bias is None:
        return (1.0,), (0.0,)
    if warp.relative and (white := white_of(dtype)) != 1:
        return tuple(gain / white for gain in warp.gain), warp.bias
    return warp.gain, warp.bias


def _interpolate(
    warp: PendingGeometry, pictures: NDArray[Any], rows: Any, matrices: Any, out: NDArray[Any]
) -> None:
    """Interpolate, linear or cubic; maps along the axes of larger pictures have loops of their own.

    Dtypes that the compiled loops do not know are converted.
    """
    if _fits_packing(warp, pictures):
        _interpolate_packed(warp, pictures, np.arange(len(pictures)), rows, out, matrices)
        return
    c = pictures.shape[3]
    scaling = [_channel_row(values, c) for values in _scaling(warp, pictures.dtype)]
    ready = read_only(pictures if pictures.dtype in NATIVE else pictures.astype(np.float32))
    target = out if out.dtype in NATIVE else np.empty(out.shape, np.float32)
    mode, level = _border(warp, c)
    kind = 2 if warp.field is not None else int(warp.projective)
    how = _loop_options(kind, mode, target.dtype == np.uint8)
    rims = NO_RIM if warp.rims is None else np.ascontiguousarray(warp.rims[rows])
    large = ready[0].size > _SMALL and warp.fill != "wrap"
    if kind == 0 and warp.order == 1 and large and _is_along_axes(matrices):
        straight = import_extra("bf_batch.images.kernels.axes").warp_straight
        straight(ready, matrices, rims, how, level, *scaling, target)
    else:
        loops = import_extra("bf_batch.images.kernels.interpolate")
        loop = loops.warp if warp.order == 1 else loops.warp_cubic
        loop(ready, matrices, _bend(warp, rows), rims, how, level, *scaling, target)
    if target is not out:
        out[...] = limit_to(out.dtype, target)


def _bend(warp: PendingGeometry, rows: Any) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return the matrices before a displacement and the displacements."""
    if warp.field is None or warp.pre is None:
        return _NO_PRE, _NO_FIELD
    some = warp.field[rows] if isinstance(rows, slice) else [warp.field[row] for row in rows]
    return warp.pre[rows], np.stack(some)


def _border(warp: PendingGeometry, c: int) -> tuple[int, NDArray[np.float32]]:
    """Return the mode of the border and the values outside as the compiled loops want them."""
    fill = warp.fill
    if isinstance(fill, str):
        return BORDERS[fill], _channel_row((0.0,), c)
    return 0, _channel_row(fill if isinstance(fill, tuple) else (fill,), c, "fill")


def _fits_packing(warp: PendingGeometry, pictures: NDArray[Any]) -> bool:
    """Whether pictures (n, h, w) or (n, h, w, c) fit the loop on packed bytes.

    It takes grey pictures of bytes with bytes around them, and words that need little memory.
    """
    shape = pictures.shape
    return (
        pictures.dtype == np.uint8
        and shape[3:] in ((), (1,))
        and warp.order == 1
        and warp.matrices is not None
        and not warp.projective
        and warp.field is None
        and shape[1] * shape[2] <= _WORDS
        and (warp.fill in ("edge", "reflect") if isinstance(warp.fill, str) else warp.fill in _BYTES)
        and (warp.dtype is None or warp.dtype in NATIVE)
    )


def _interpolate_packed(
    warp: PendingGeometry,
    pictures: NDArray[Any],
    picked: NDArray[np.intp],
    rows: Any,
    out: Any,
    matrices: Any = None,
) -> None:
    """Interpolate the picked ones of pictures (n, h, w) or (n, h, w, 1) by the loop on packed bytes."""
    fill: Any = warp.fill
    mode, level = (BORDERS[fill], 0) if isinstance(fill, str) else (0, int(fill))
    gain, bias = _scaling(warp, pictures.dtype)
    scaling = _check_one(gain), _check_one(bias)
    if matrices is None and warp.matrices is not None:
        matrices = warp.matrices[rows]
    rims = NO_RIM if warp.rims is None else np.ascontiguousarray(warp.rims[rows])
    size = pictures.shape[1], pictures.shape[2], out.shape[1], out.shape[2]
    flat = read_only(pictures.reshape(len(pictures), -1))
    how = mode, level, out.dtype == np.uint8
    loop = import_extra("bf_batch.images.kernels.packed_bytes").warp_bytes
    loop(flat, picked, size, matrices, rims, how, scaling, out.reshape(len(out), -1))


def _is_along_axes(matrices: NDArray[np.float64]) -> bool:
    return not (matrices[:, 0, 1].any() or matrices[:, 1, 0].any())


def _copy_nearest(
    warp: PendingGeometry, pictures: NDArray[Any], rows: Any, matrices: Any, out: NDArray[Any]
) -> None:
    """Copy nearest pixels of any dtype, as unsigned integers of the same width."""
    unsigned = _UNSIGNED.get(out.dtype.itemsize)
    if unsigned is None:
        raise TypeError(f"can't resample pictures of dtype {out.dtype}; make them numbers of at most 64 bits")
    outside: Any = 0 if isinstance(warp.fill, str) else warp.fill
    level = _check_channels(outside if isinstance(outside, tuple) else (outside,), out.shape[3], "fill")
    fill = limit_to(out.dtype, np.asarray(level))
    mode = BORDERS.get(warp.fill, 0) if isinstance(warp.fill, str) else 0
    kind = 2 if warp.field is not None else int(warp.projective)
    bits = read_only(np.ascontiguousarray(pictures).view(unsigned))
    loops = import_extra("bf_batch.images.kernels.interpolate")
    loops.copy_nearest(
        bits, matrices, *_bend(warp, rows), kind, mode, fill.view(unsigned), out.view(unsigned)
    )


@functools.lru_cache(maxsize=64)
def _loop_options(kind: int, mode: int, limited: bool) -> NDArray[np.int64]:
    return np.array([kind, mode, limited])


@functools.lru_cache(maxsize=256)
def _channel_row(values: tuple[float, ...], c: int, what: str = "values") -> NDArray[np.float32]:
    return np.array(_check_channels(values, c, what), np.float32)


def _check_channels(values: tuple[float, ...], c: int, what: str) -> tuple[float, ...]:
    """Return a value for each of ``c`` channels."""
    if len(values) == c:
        return values
    if len(values) != 1:
        raise ValueError(f"{what}: got {len(values)} values (a channel each) for pictures of {c} channels")
    return values * c


@functools.lru_cache(maxsize=256)
def _check_one(values: tuple[float, ...]) -> np.float32:
    return np.float32(_check_channels(values, 1, "values")[0])
