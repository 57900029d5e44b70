"""One geometric step for several components: the same parameters, each component in its own way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bf_batch.errors import ItemError
from bf_batch.images.frames import ALL, Fill, Sizes, Step, numbers
from bf_batch.images.need import need
from bf_batch.images.points import Points
from bf_batch.images.warp import Warp

if TYPE_CHECKING:
    from bf_batch.batch import Batch

Names = str | Sequence[str]
Order = Literal[0, 1, 3]
Role = Literal["image", "mask", "boxes", "keypoints"]
NONE = np.zeros(1, bool)
_NO_ROLES: Mapping[str, Role] = {}
_PICTURES = ("image", "mask")
_BITS = 62  # of a seed in one number of an address
_LOW = (1 << _BITS) - 1


class How(NamedTuple):
    """How a geometric action samples, and what it is applied to."""

    order: Order | None
    fill: Fill | None
    fuse: bool
    src: Names
    dst: Names | None


def choose(batch: Batch, p: Any, what: str) -> NDArray[np.bool_]:
    """Draw which items an action with probability ``p`` is for: (1,) when all or none of them, else (n,)."""
    kind = type(p)
    if kind is float or kind is int:
        if p == 1:
            return ALL
        if p == 0:
            return NONE
        if 0 < p < 1:
            # a generator for each step would cost more than the step; its address serves as well
            seed, coins = batch.seed, need("bf_batch.images.matrix_kernels").coins
            address = (seed & _LOW, seed >> _BITS & _LOW, *batch.address())
            heads: NDArray[np.bool_] = coins(address, len(batch), p)
            return heads
    chance = numbers(p, len(batch), f"{what}: p")
    if not ((chance >= 0) & (chance <= 1)).all():
        raise ValueError(f"{_owner(batch, what)}: p is a probability from 0 to 1, got {p!r}")
    return np.asarray(batch.rng().random(len(batch)) < chance)


def _owner(batch: Batch, what: str) -> str:
    return f"{type(batch).__name__}.{what}"


def names_of(src: Names, dst: Names | None, what: str) -> tuple[list[str], list[str]]:
    """Return source and target components as two lists of one length."""
    sources = [src] if isinstance(src, str) else list(src)
    targets = sources if dst is None else [dst] if isinstance(dst, str) else list(dst)
    if len(sources) != len(targets) or not sources:
        raise ValueError(
            f"{what}: got {len(sources)} components in src and {len(targets)} in dst; give as many"
        )
    return sources, targets


def value_of(batch: Batch, name: str, what: str) -> Any:
    """Return a component's pixels; a ValueError when it was not loaded."""
    value = getattr(batch, name)
    if value is None:
        raise ValueError(
            f"{what}: component {name!r} of {type(batch).__name__} is empty; load it first, or name "
            f"another in src="
        )
    return value


def id_of(batch: Batch, position: int) -> Any:
    """Return the id of an item as Python has it, for messages."""
    found = batch.indices[position]
    return found.item() if isinstance(found, np.generic) else found


def role_of(batch: Batch, name: str) -> Role:
    """Say what a component holds."""
    roles: Mapping[str, Role] = getattr(batch, "roles", _NO_ROLES)
    return roles.get(name, "image")


def unread(batch: Batch, name: str) -> Any:
    """Return a component as it is stored; preloaded pictures as a warp that reads them when it must."""
    rows = batch._bf_unread(name)
    return batch.peek(name) if rows is None else Warp.of(rows, f"{type(batch).__name__}.{name}")


def pending(batch: Batch, name: str, how: How, what: str) -> Warp:
    """Return pictures of a component ready for one more step, with earlier steps pending where they can
    be.
    """
    value: Any = batch._bf_data.get(name)
    if value is None:
        value = unread(batch, name)
    order, fill = how.order, how.fill
    if role_of(batch, name) == "mask":
        order = 0
    if type(value) is Warp and how.fuse and _fits(value, order, fill):
        warp = value
    else:
        pixels = getattr(batch, name)
        if pixels is None:
            value_of(batch, name, _owner(batch, what))  # tells what to do
        warp = Warp.of(pixels, _owner(batch, name))
    if order is None and fill is None:
        return warp
    return warp.with_sampling(warp.order if order is None else order, warp.fill if fill is None else fill)


def _fits(warp: Warp, order: int | None, fill: Fill | None) -> bool:
    """Say whether a step that asks for this sampling can join the steps that are pending."""
    if warp.scaled and (
        warp.fill != 0 or (warp.bias is not None and warp.bias.any()) or warp.channels == "first"
    ):
        return False
    if warp.matrices is None:
        return True
    return (order is None or order == warp.order) and (fill is None or fill == warp.fill)


def apply_step(batch: Batch, make: Callable[[Sizes], Step | None], p: Any, how: How, what: str) -> None:
    """Make one affine step for the frames of the pictures, and let every component of ``src`` take it.

    A step of None changes nothing.
    """
    apply_map(batch, make, _take_step, p, how, what)


def _take_step(value: Warp | Points, chosen: NDArray[np.bool_], step: Step | None) -> Warp | Points:
    return value if step is None else value.affine(step, chosen)


def apply_map(
    batch: Batch, make: Callable[[Sizes], Any], move: Callable[..., Any], p: Any, how: How, what: str
) -> None:
    """Let components take a step: ``make`` gives it from the sizes, ``move`` applies it to a component."""
    chosen = choose(batch, p, what)
    src = how.src
    if type(src) is str and how.dst is None and role_of(batch, src) in _PICTURES:
        warp = pending(batch, src, how, what)
        moved = move(warp, chosen, make(warp.sizes))
        batch._bf_data[src] = moved if how.fuse else moved.resolve()
        return
    what = _owner(batch, what)
    sources, targets = names_of(src, how.dst, what)
    pictures = {n: pending(batch, n, how, what) for n in sources if role_of(batch, n) in _PICTURES}
    if not pictures:
        raise ValueError(
            f"{what}: src={src!r} holds no pictures; name the pictures they belong to as well: "
            f"src=['images', ...]"
        )
    sizes = _common_sizes(batch, pictures, what)
    step = make(sizes)
    for name, target in zip(sources, targets):
        value = pictures.get(name)
        moved = move(value if value is not None else _points(batch, name, sizes, what), chosen, step)
        setattr(batch, target, moved if how.fuse else moved.resolve())


def _points(batch: Batch, name: str, sizes: Sizes, what: str) -> Points:
    value = batch.peek(name)
    if type(value) is Points:
        return value
    return Points.of(
        value_of(batch, name, what), role_of(batch, name), sizes, f"{type(batch).__name__}.{name}"
    )


def _common_sizes(batch: Batch, pictures: dict[str, Warp], what: str) -> Sizes:
    """Return the sizes of the frames; an ItemError names the first item whose pictures differ in size."""
    (first, warp), *others = pictures.items()
    for name, other in others:
        n = len(batch)
        one, two = np.broadcast_to(warp.sizes, (n, 2)), np.broadcast_to(other.sizes, (n, 2))
        differ = np.flatnonzero((one != two).any(axis=1))
        if len(differ):
            i = int(differ[0])
            raise ItemError(
                id_of(batch, i),
                what,
                i,
                f"{first} is {one[i, 0]} x {one[i, 1]} pixels and {name} {two[i, 0]} x {two[i, 1]} "
                f"(height x width); "
                "resize one of them, or process them in steps of their own",
            )
    return warp.sizes
