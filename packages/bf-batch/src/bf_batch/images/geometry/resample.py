"""From pending geometry to pixels: which compiled loop serves it, and how results are laid out."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.data.lazy_rows import LazyRows
from bf_batch.images.arrays import NATIVE, cast_into, outputs, read_only
from bf_batch.images.geometry.pending import PendingGeometry
from bf_batch.images.runtime import import_extra, spread

_NO_FIELD = np.zeros((1, 1, 1, 2), np.float32)
_NO_PRE = np.eye(3)[None].copy()
_MODES = {"edge": 1, "reflect": 2}
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
        _interpolate_packed(warp, whole, rows, warp.matrices, out)
    else:
        matrices: Any = warp.matrices
        spread(n, lambda part: _interpolate_packed(warp, whole, rows[part], matrices[part], out[part]))
    return _lay_out(warp, out, flat)


def _resample_each(warp: PendingGeometry) -> Any:
    """Resample pictures of many sizes, or still in files: one compiled call each."""
    n, sizes, source = len(warp), warp.sizes, warp.source
    kind = _common_kind(source)
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
    if matrices is None or warp.projective or warp.field is not None or warp.fill == "reflect":
        return source.whole(i), None
    height, width = warp.sizes if isinstance(warp.sizes, tuple) else warp.sizes[i]
    picture, matrix = source.part(i, matrices[i], (int(height), int(width)))
    return picture, matrix[None]


def _common_kind(source: Any) -> tuple[int, np.dtype[Any]] | None:
    """Return (channels, 0 for none; dtype) when all pictures agree in them, else None."""
    if isinstance(source, np.ndarray):
        return (source.shape[3] if source.ndim == 4 else 0), source.dtype
    if not isinstance(source, list):
        kind: tuple[int, np.dtype[Any]] | None = source.kind
        return kind
    kinds = {(p.shape[2] if p.ndim == 3 else 0, p.dtype) for p in source}
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

    Dtypes that the compiled loops do not know are converted.
    """
    c = pictures.shape[3]
    gain = _constant_row(c, 1.0) if warp.gain is None else _per_channel(warp.gain, c)
    bias = _constant_row(c, 0.0) if warp.bias is None else _per_channel(warp.bias, c)
    moved = warp.matrices is not None
    if warp.matrices is not None and matrices is None:
        matrices = warp.matrices[rows]
    if moved and warp.order == 0:
        target = out if warp.dtype is None else np.empty(out.shape, pictures.dtype)
        _copy_nearest(warp, pictures, rows, matrices, target)
        pictures, moved = target, False
        if warp.dtype is None:
            return
    if pictures.dtype not in NATIVE:
        pictures = pictures.astype(np.float32)
    target = out if out.dtype in NATIVE else np.empty(out.shape, np.float32)
    pictures = read_only(pictures)
    if not moved:
        loops = import_extra("bf_batch.images.kernels.axes")
        loops.convert(pictures.reshape(-1, c), gain, bias, target.dtype == np.uint8, target.reshape(-1, c))
    else:
        _interpolate(warp, pictures, rows, matrices, (gain, bias), target)
    if target is not out:
        cast_into(target, out)


def _interpolate(
    warp: PendingGeometry,
    pictures: Any,
    rows: slice,
    matrices: Any,
    scaling: tuple[Any, Any],
    out: NDArray[Any],
) -> None:
    """Interpolate, linear or cubic; maps along the axes of larger pictures have loops of their own."""
    if _fits_packing(warp, pictures):
        _interpolate_packed(warp, pictures, np.arange(len(pictures)), matrices, out)
        return
    mode, level = _border(warp)
    kind = 2 if warp.field is not None else int(warp.projective)
    limited = out.dtype == np.uint8
    if kind == 0 and warp.order == 1 and pictures[0].size > _SMALL and _is_along_axes(matrices):
        straight = import_extra("bf_batch.images.kernels.axes").warp_straight
        straight(pictures, matrices, _loop_options(kind, mode, limited), level, *scaling, out)
        return
    pre = _NO_PRE if warp.pre is None else warp.pre[rows]
    field = _NO_FIELD if warp.field is None else np.stack(warp.field[rows])
    if warp.order == 1:
        loop = import_extra("bf_batch.images.kernels.interpolate").warp
    else:
        loop = import_extra("bf_batch.images.kernels.interpolate").warp_cubic
    loop(pictures, matrices, pre, field, _loop_options(kind, mode, limited), level, *scaling, out)


def _border(warp: PendingGeometry) -> tuple[int, float]:
    """Return the mode of the border and the value outside as the compiled loops want them."""
    return (_MODES[warp.fill], 0.0) if isinstance(warp.fill, str) else (0, float(warp.fill))


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
        and (isinstance(warp.fill, str) or warp.fill in _BYTES)
        and (warp.dtype is None or warp.dtype in NATIVE)
    )


def _interpolate_packed(
    warp: PendingGeometry, pictures: NDArray[Any], picked: NDArray[np.intp], matrices: Any, out: Any
) -> None:
    """Interpolate the picked ones of pictures (n, h, w) or (n, h, w, 1) by the loop on packed bytes."""
    mode, level = _border(warp)
    gain = 1.0 if warp.gain is None else _per_channel(warp.gain, 1)[0]
    bias = 0.0 if warp.bias is None else _per_channel(warp.bias, 1)[0]
    size = pictures.shape[1], pictures.shape[2], out.shape[1], out.shape[2]
    flat = read_only(pictures.reshape(len(pictures), -1))
    rest = np.float32(gain), np.float32(bias), out.dtype == np.uint8, out.reshape(len(out), -1)
    loop = import_extra("bf_batch.images.kernels.packed_bytes").warp_bytes
    loop(flat, picked, size, matrices, mode, int(level), *rest)


def _is_along_axes(matrices: NDArray[np.float64]) -> bool:
    return not (matrices[:, 0, 1].any() or matrices[:, 1, 0].any())


def _copy_nearest(
    warp: PendingGeometry, pictures: NDArray[Any], rows: slice, matrices: Any, out: NDArray[Any]
) -> None:
    """Copy nearest pixels of any dtype, as unsigned integers of the same width."""
    fill = np.zeros((), out.dtype) if isinstance(warp.fill, str) else np.asarray(warp.fill).astype(out.dtype)
    unsigned = _UNSIGNED.get(out.dtype.itemsize)
    if unsigned is None:
        raise TypeError(f"can't resample pictures of dtype {out.dtype}; make them numbers of at most 64 bits")
    mode = _MODES.get(warp.fill, 0) if isinstance(warp.fill, str) else 0
    kind = 2 if warp.field is not None else int(warp.projective)
    pre = _NO_PRE if warp.pre is None else warp.pre[rows]
    field = _NO_FIELD if warp.field is None else np.stack(warp.field[rows])
    pictures = read_only(
        pictures.view(unsigned) if pictures.flags.c_contiguous else _as_unsigned(pictures, unsigned)
    )
    loops = import_extra("bf_batch.images.kernels.interpolate")
    loops.copy_nearest(
        pictures, matrices, pre, field, kind, mode, fill.view(unsigned)[()], out.view(unsigned)
    )


def _as_unsigned(pictures: NDArray[Any], unsigned: Any) -> NDArray[Any]:
    return np.ascontiguousarray(pictures).view(unsigned)


@functools.lru_cache(maxsize=64)
def _constant_row(c: int, value: float) -> NDArray[np.float32]:
    return np.full(c, value, np.float32)


@functools.lru_cache(maxsize=64)
def _loop_options(kind: int, mode: int, limited: bool) -> NDArray[np.int64]:
    return np.array([kind, mode, limited])


def _per_channel(values: NDArray[np.float32], c: int) -> NDArray[np.float32]:
    if len(values) == c:
        return values
    if len(values) != 1:
        raise ValueError(f"got {len(values)} values (a channel each) for pictures of {c} channels")
    return np.repeat(values, c)
