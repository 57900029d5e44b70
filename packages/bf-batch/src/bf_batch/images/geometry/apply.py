"""One geometric step for several components: the same parameters, each component by its role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from bf_batch.core import BatchCore
from bf_batch.errors import ItemError
from bf_batch.images.arguments import (
    Fill,
    Names,
    Order,
    choose_items,
    id_of,
    owner_of,
    pair_names,
    require_component,
    role_of,
)
from bf_batch.images.checks import check_pictures, require_pictures
from bf_batch.images.fills import Outside, check_fill, fill_of
from bf_batch.images.geometry.frames import Sizes, Step
from bf_batch.images.geometry.points import Points
from bf_batch.images.geometry.warp import Warp

BatchT = TypeVar("BatchT", bound=BatchCore)
_PICTURES = ("image", "mask")


class StepOptions(NamedTuple):
    """Options of a geometric step: how it samples, and which components it is for."""

    order: Order | None
    fill: Fill | None
    fuse: bool
    src: Names
    dst: Names | None


def peek_pictures(batch: BatchCore, name: str, what: str) -> Any:
    """Return a component as it is stored; preloaded pictures as a warp that reads them when it must."""
    rows = batch._bf_unread(name)
    return batch.peek(name) if rows is None else Warp.of(check_pictures(batch, name, rows, what))


def begin_step(batch: BatchCore, name: str, how: StepOptions, what: str) -> Warp:
    """Return pictures of a component ready for one more step.

    Earlier steps stay pending where the new one can join them, else they are computed.
    """
    value: Any = batch._bf_data.get(name)
    if value is None:
        value = peek_pictures(batch, name, what)
    order = how.order
    fill = None if how.fill is None else fill_of(batch, name, how.fill, how.src, what)
    if role_of(batch, name) == "mask":
        order = 0
    if type(value) is Warp and how.fuse and _can_join(value, order, fill):
        warp = value
    else:
        warp = Warp.of(require_pictures(batch, name, what))
    if order is None and fill is None:
        return warp
    if fill is not None and fill != 0:
        check_fill(batch, name, fill, warp.kinds, what)
    return warp.with_sampling(warp.order if order is None else order, warp.fill if fill is None else fill)


def _can_join(warp: Warp, order: int | None, fill: Outside | None) -> bool:
    """Whether a step that asks for this sampling can join the steps that are pending."""
    if warp.is_scaled:  # a fill value is in the units of the scaled pictures, but 0 and borders are in any
        after = warp.fill if fill is None else fill
        shifted = warp.bias is not None and any(warp.bias)
        if (
            warp.channels == "first"
            or warp.rounds
            or not (isinstance(after, str) or (after == 0 and not shifted))
        ):
            return False
    if warp.matrices is None:
        return True
    return (order is None or order == warp.order) and (fill is None or fill == warp.fill)


def apply_step(
    batch: BatchT, make: Callable[[Sizes], Step | None], p: Any, how: StepOptions, what: str
) -> BatchT:
    """Let every component of ``src`` take one affine step, made from the sizes of the pictures.

    A step of None changes nothing. Returns the batch.
    """
    return apply_map(batch, make, _take_step, p, how, what)


def _take_step(value: Warp | Points, chosen: NDArray[np.bool_], step: Step | None) -> Warp | Points:
    return value if step is None else value.advance(step, chosen)


def apply_map(
    batch: BatchT,
    make: Callable[[Sizes], Any],
    move: Callable[..., Any],
    p: Any,
    how: StepOptions,
    what: str,
) -> BatchT:
    """Let components take a step that ``make`` makes from the sizes and ``move`` applies to a component.

    Returns the batch.
    """
    chosen = choose_items(batch, p, what)
    src = how.src
    if type(src) is str and how.dst is None and role_of(batch, src) in _PICTURES:
        warp = begin_step(batch, src, how, what)
        moved = move(warp, chosen, make(warp.sizes))
        batch._bf_data[src] = moved if how.fuse else moved.resolve()
        return batch
    owner = owner_of(batch, what)
    sources, targets = pair_names(src, how.dst, owner)
    pictures = {n: begin_step(batch, n, how, what) for n in sources if role_of(batch, n) in _PICTURES}
    if not pictures:
        raise ValueError(
            f"{owner}: src={src!r} holds no pictures; name the pictures they belong to as well: "
            "src=['images', ...]"
        )
    sizes = check_sizes(batch, {name: warp.sizes for name, warp in pictures.items()}, owner)
    step = make(sizes)
    for name, target in zip(sources, targets):
        value = pictures.get(name)
        moved = move(value if value is not None else _begin_points(batch, name, sizes, owner), chosen, step)
        setattr(batch, target, moved if how.fuse else moved.resolve())
    return batch


def _begin_points(batch: BatchCore, name: str, sizes: Sizes, what: str) -> Points:
    value = batch.peek(name)
    if type(value) is Points:
        return value
    return Points.of(
        require_component(batch, name, what), role_of(batch, name), sizes, f"{type(batch).__name__}.{name}"
    )


def check_sizes(batch: BatchCore, frames: dict[str, Sizes], what: str) -> Sizes:
    """Return the sizes of the frames; an ItemError names the first item whose pictures differ in size."""
    (first, sizes), *others = frames.items()
    for name, other in others:
        n = len(batch)
        one, two = np.broadcast_to(sizes, (n, 2)), np.broadcast_to(other, (n, 2))
        differ = np.flatnonzero((one != two).any(axis=1))
        if len(differ):
            i = int(differ[0])
            raise ItemError(
                id_of(batch, i),
                what,
                i,
                f"{first} is {one[i, 0]} x {one[i, 1]} pixels and {name} {two[i, 0]} x {two[i, 1]} "
                "(height x width); resize one of them, or process them in steps of their own",
            )
    return sizes
