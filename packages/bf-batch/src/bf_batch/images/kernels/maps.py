"""How loops are compiled, and the maps between points: matrices, displacements, borders, one step more."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}


def kernel(function: Function, nogil: bool = True) -> Function:
    """Compile a loop that Python calls, when it is first called, and keep its machine code for later runs."""
    options = {**_OPTIONS, "nogil": nogil}
    try:
        return cast("Function", numba.njit(cache=True, **options)(function))
    except RuntimeError:  # there is no folder to keep it in
        return cast("Function", numba.njit(**options)(function))


def brief_kernel(function: Function) -> Function:
    """Compile a loop of a microsecond or two, which keeps the interpreter's lock.

    Handing the lock to another thread and asking for it again takes longer than the loop.
    """
    return kernel(function, nogil=False)


def part(function: Function) -> Function:
    """Compile a function that only loops call: without a door for Python, which takes long to compile."""
    return cast("Function", numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function))


@intrinsic  # type: ignore[untyped-decorator]
def fetch_ahead(_: Any, numbers: Any, place: Any) -> Any:
    """Ask for the memory at a place of an array: by the time it is read, it has come to the cache."""
    from llvmlite import ir  # type: ignore[import-untyped]  # only compiling needs it

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        pointer = builder.bitcast(builder.gep(array.data, [args[1]]), ir.IntType(8).as_pointer())
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, word, word, word])
        call = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        builder.call(call, [pointer, word(0), word(3), word(1)])  # to read, keep it near, data
        return context.get_dummy_value()

    return numba.types.void(numbers, place), generate


AFFINE, PROJECTIVE, FIELD = 0, 1, 2
CONSTANT, EDGE, REFLECT, WRAP = 0, 1, 2, 3
BAND = 256  # rows of the result whose sources are held in the scratch buffer at once: bounds its memory
BLOCK = 1024  # points handled by one call of the inner loops: their rows of numbers stay in the first cache


@part
def copy_line(line: Any, at: int, target: Any, to: int, width: int) -> None:
    """Copy ``width`` numbers: numba compiles an assignment of slices to a much slower loop."""
    some, wanted = line[at : at + width], target[to : to + width]
    for j in range(np.uintp(width)):
        wanted[j] = some[j]


@part
def fold(position: float, size: int, mode: int) -> float:
    """Return a coordinate inside [0, size - 1]: at the edge, or mirrored without repeating the edge pixel.

    Of pictures that are repeated side by side it is inside [0, size): from the last pixel on to the first.
    """
    last = size - 1
    if mode == EDGE or last == 0:
        return min(max(position, 0.0), float(last))
    if mode == WRAP:
        position %= float(size)
        return position if position < size else 0.0  # as the remainder of a tiny negative one is
    position = abs(position) % (2.0 * last)
    return 2.0 * last - position if position > last else position


@part
def clamp(position: float, low: float, high: float) -> float:
    """Return a coordinate limited to a range."""
    return min(max(position, low), high)


@part
def is_free(rim: Any, rows: int, columns: int) -> bool:
    """Whether a picture takes all points of its result, with an outline of one pixel, see ``place``."""
    limited = rim[0] > 0 or rim[1] > 0 or rim[2] < rows - 1 or rim[3] < columns - 1
    return not (limited or rim[4] > 1 or rim[5] > 1)


@part
def place(position: float, size: int, mode: int, sharpness: float) -> float:
    """Return a coordinate inside the picture or, for a constant border, the ring of one pixel around it.

    ``sharpness`` says how many pixels of the result one of the picture became by enlarging: the edge is
    repeated up to there, and the outline against a constant border is a pixel of the result wide.
    """
    last = size - 1.0
    if mode != CONSTANT:
        if mode == REFLECT and sharpness > 1:
            beyond = 0.5 - 0.5 / sharpness  # the picture reaches so far: the mirror stands there
            span = last + 2 * beyond
            position = abs(position + beyond) % (2 * span) if span > 0 else 0.0
            return clamp((2 * span - position if position > span else position) - beyond, 0.0, last)
        return fold(position, size, mode)
    if sharpness > 1:
        if position < 0:
            position = min(sharpness * (position + 0.5) - 0.5, 0.0)
        elif position > last:
            position = last + max(sharpness * (position - last - 0.5) + 0.5, 0.0)
    return clamp(position, -1.0, last + 1)


@kernel
def displacement_at(field: Any, y: float, x: float) -> tuple[float, float]:
    """Return the bilinear value of a field (height, width, 2) at a point, its edge continued outwards."""
    h, w = field.shape[0], field.shape[1]
    y, x = min(max(y, 0.0), h - 1.0), min(max(x, 0.0), w - 1.0)
    i, j = min(int(y), max(h - 2, 0)), min(int(x), max(w - 2, 0))
    fy, fx = y - i, x - j
    i1, j1 = min(i + 1, h - 1), min(j + 1, w - 1)
    top_y = field[i, j, 0] * (1 - fx) + field[i, j1, 0] * fx
    low_y = field[i1, j, 0] * (1 - fx) + field[i1, j1, 0] * fx
    top_x = field[i, j, 1] * (1 - fx) + field[i, j1, 1] * fx
    low_x = field[i1, j, 1] * (1 - fx) + field[i1, j1, 1] * fx
    return top_y * (1 - fy) + low_y * fy, top_x * (1 - fy) + low_x * fy


@part
def map_point(m: Any, pre: Any, field: Any, kind: int, row: float, column: float) -> tuple[float, float]:
    """Return the source of a result point, by a matrix, a projective one, or that of a displaced point."""
    y, x = row, column
    if kind == FIELD:
        y = pre[0, 0] * row + pre[0, 1] * column + pre[0, 2]
        x = pre[1, 0] * row + pre[1, 1] * column + pre[1, 2]
        z = pre[2, 0] * row + pre[2, 1] * column + pre[2, 2]
        y, x = y / z, x / z
        dy, dx = displacement_at(field, y, x)
        y, x = y + dy, x + dx
    down = m[0, 0] * y + m[0, 1] * x + m[0, 2]
    across = m[1, 0] * y + m[1, 1] * x + m[1, 2]
    if kind == AFFINE:
        return down, across
    depth = m[2, 0] * y + m[2, 1] * x + m[2, 2]
    return down / depth, across / depth


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@part
def mix_bits(z: Any) -> Any:
    """Return a number whose every bit depends on every bit of ``z``."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@brief_kernel
def advance(m: Any, n: int, angle: Any, scale: Any, shear: Any, shift: Any, centre: Any, chosen: Any) -> Any:
    """Return matrices (n, 3, 3) from result to source after one more affine step of ``m`` (n or 1, 3, 3).

    Each parameter has one row for all items or one an item: ``angle`` in degrees (1), ``scale`` (y, x) or one
    for both, ``shear`` as tangents (y, x), ``shift`` (y, x) in pixels, ``centre`` (y, x of the result, y, x
    of the frame before). A point is scaled, sheared, rotated counter-clockwise and shifted; items not chosen
    keep their matrix.
    """
    out = np.empty((n, 3, 3))
    for i in range(n):
        old = i % m.shape[0]
        if not chosen[i % chosen.size]:
            for row in range(3):
                for column in range(3):
                    out[i, row, column] = m[old, row, column]
            continue
        turn = angle[i % angle.size] * math.pi / 180
        sine, cosine = math.sin(turn), math.cos(turn)
        at, to, by = i % scale.shape[0], i % shear.shape[0], i % shift.shape[0]
        hy, hx = shear[to, 0], shear[to, 1]
        down, across = scale[at, 0] * (1 - hy * hx), scale[at, scale.shape[1] - 1] * (1 - hy * hx)
        a, b = (cosine + hy * sine) / down, (sine - hy * cosine) / down
        c, d = (-sine - hx * cosine) / across, (cosine - hx * sine) / across
        mid = i % centre.shape[0]
        y, x = centre[mid, 0] + shift[by, 0], centre[mid, 1] + shift[by, 1]
        ty, tx = centre[mid, 2] - a * y - b * x, centre[mid, 3] - c * y - d * x
        for row in range(3):
            p, q, t = m[old, row, 0], m[old, row, 1], m[old, row, 2]
            out[i, row, 0] = p * a + q * c
            out[i, row, 1] = p * b + q * d
            out[i, row, 2] = p * ty + q * tx + t
    return out


@brief_kernel
def find_moves(m: Any) -> Any:
    """Return which matrices (n, 3, 3) lead from pixels to pixels, one to one and along the axes: (n,)."""
    found, close = np.empty(m.shape[0], np.bool_), 1e-9
    for i in range(m.shape[0]):
        whole = m[i, 2, 0] == 0 and m[i, 2, 1] == 0 and m[i, 2, 2] == 1
        for row in range(2):
            for column in range(3):
                whole = whole and abs(m[i, row, column] - np.rint(m[i, row, column])) < close
        a, b, c, d = abs(m[i, 0, 0]), abs(m[i, 0, 1]), abs(m[i, 1, 0]), abs(m[i, 1, 1])
        straight = abs(a - 1) < close and b < close and c < close and abs(d - 1) < close
        found[i] = whole and (
            straight or (a < close and abs(b - 1) < close and abs(c - 1) < close and d < close)
        )
    return found


@brief_kernel
def throw_coins(address: Any, n: int, p: float) -> Any:
    """Throw a coin for each of ``n`` items: True with probability ``p``.

    The coins depend on the numbers of an address alone (SplitMix64).
    """
    heads, key = np.empty(n, np.bool_), np.uint64(0)
    for number in address:
        key = mix_bits((key + np.uint64(1)) * _GOLDEN ^ np.uint64(number))
    for i in range(n):
        heads[i] = float(mix_bits(key + np.uint64(i + 1) * _GOLDEN) >> np.uint64(11)) * 2.0**-53 < p
    return heads
