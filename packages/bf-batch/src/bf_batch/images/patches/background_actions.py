"""Pasting pictures on backgrounds: masks, boxes and keypoints go along."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bf_batch.actions import action
from bf_batch.batch import Batch
from bf_batch.components import assemble
from bf_batch.core import BatchCore
from bf_batch.dtypes import white_of
from bf_batch.errors import ItemError
from bf_batch.images.arguments import (
    Floats,
    Names,
    choose_items,
    id_of,
    owner_of,
    pair_names,
    require_component,
    role_of,
)
from bf_batch.images.checks import check_picture, require_pictures
from bf_batch.images.geometry.apply import check_sizes
from bf_batch.images.geometry.frames import Origin, Sizes, Step, find_corners, rows_of, sizes_of
from bf_batch.images.geometry.points import Points
from bf_batch.itemwise.work import PerItem


class BackgroundActions(Batch):
    """Pictures on backgrounds."""

    @action(itemwise=True)
    def put_on_background(
        self,
        background: Any,
        origin: Origin = "random",
        *,
        mask: Any = None,
        p: float | PerItem = 1.0,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Paste pictures on a background, whose size they get.

        ``background`` is a picture, a component that has one for each item, or ``P(...)`` of one each; of one
        channel it is that of all. ``origin`` says where on it the picture lies, as for ``crop``; what does
        not fit is cut off. ``mask`` names a component: of a mask all classes but 0 are pasted, of pictures
        their parts of full white; an array is one for all pictures. Masks, boxes and keypoints in ``src``
        follow, and masks are 0 where the background is.
        """
        chosen = np.broadcast_to(choose_items(self, p, "put_on_background"), (len(self),))
        owner = owner_of(self, "put_on_background")
        sources, targets = pair_names(src, dst, owner)
        pictures = {
            name: require_pictures(self, name, "put_on_background")
            for name in sources
            if role_of(self, name) in ("image", "mask")
        }
        if not pictures:
            raise ValueError(
                f"{owner}: src={src!r} holds no pictures; name the pictures they belong to as well: "
                "src=['images', ...]"
            )
        sizes = check_sizes(self, {name: sizes_of(value) for name, value in pictures.items()}, owner)
        grounds = _read_backgrounds(self, background)
        after = sizes_of(grounds)
        corners = np.broadcast_to(
            find_corners(origin, sizes, after, self, "put_on_background"), (len(self), 2)
        )
        shares = _read_mask(self, mask, sizes)
        for name, target in zip(sources, targets):
            if name in pictures:
                whole = role_of(self, name) == "mask"
                done = [
                    _paste(self, name, i, one, None if whole else grounds[i], corners[i], shares[i], rows)
                    if chosen[i]
                    else one
                    for i, (one, rows) in enumerate(zip(pictures[name], _rows(after, len(self))))
                ]
                same = len({(one.shape, one.dtype) for one in done}) == 1
                setattr(self, target, assemble(done) if same else done)
            else:
                points = _begin_points(self, name, sizes)
                setattr(self, target, points.advance(Step(after, shift=corners), chosen))
        return self


def _begin_points(batch: BatchCore, name: str, sizes: Sizes) -> Points:
    value = batch.peek(name)
    owner = f"{type(batch).__name__}.{name}"
    known = type(value) is Points
    return (
        value
        if known
        else Points.of(require_component(batch, name, owner), role_of(batch, name), sizes, owner)
    )


def _rows(sizes: Sizes, n: int) -> list[tuple[int, int]]:
    rows = np.broadcast_to(rows_of(sizes).astype(int), (n, 2))
    return [(height, width) for height, width in rows.tolist()]


def _read_backgrounds(batch: BatchCore, background: Any) -> list[NDArray[Any]]:
    """Return a background for each item; an ItemError or a ValueError for what is no picture."""
    n, what = len(batch), "put_on_background"
    if isinstance(background, str):
        return list(require_pictures(batch, background, what))
    each = background.values if isinstance(background, PerItem) else None
    listed = isinstance(background, list) and background and isinstance(background[0], np.ndarray)
    if listed or (isinstance(background, np.ndarray) and background.ndim == 4):  # a component's value
        each = background
    if each is not None:
        if len(each) != n:
            raise ValueError(f"{owner_of(batch, what)}: got {len(each)} backgrounds for {n} items")
        return [check_picture(batch, "background", one, i, what) for i, one in enumerate(each)]
    one = np.asarray(background)
    if one.ndim not in (2, 3) or one.dtype.kind not in "biuf" or not one.size:
        raise ValueError(
            f"{owner_of(batch, what)}: got a background of shape {one.shape} and dtype {one.dtype}; give a "
            "picture (height, width) or (height, width, channels), the name of a component, or P(...)"
        )
    return [one] * n


def _read_mask(batch: BatchCore, mask: Any, sizes: Sizes) -> list[Any]:
    """Return for each item how much of each pixel is pasted, (h, w) of 0..1 or bool, or None for all."""
    n, what = len(batch), "put_on_background"
    if mask is None:
        return [None] * n
    if isinstance(mask, str):
        found = list(require_pictures(batch, mask, what))
        check_sizes(batch, {"the pictures": sizes, mask: sizes_of(found)}, owner_of(batch, what))
        whole = role_of(batch, mask) == "mask"
    else:
        found, whole = [np.asarray(mask)] * n, np.asarray(mask).dtype.kind == "b"
        if found[0].shape[:2] != sizes or found[0].ndim > 3:
            raise ValueError(
                f"{owner_of(batch, what)}: got a mask of shape {found[0].shape} for pictures of {sizes}; "
                "give one of their size (height, width), or the name of a component"
            )
    shares = []
    for one in found:
        flat = one[..., 0] if one.ndim == 3 else one
        if one.ndim == 3 and one.shape[2] != 1:
            raise ValueError(f"{owner_of(batch, what)}: a mask has one channel, got shape {one.shape}")
        shares.append(flat != 0 if whole else flat.astype(np.float32) / white_of(flat.dtype))
    return shares


def _paste(
    batch: BatchCore,
    name: str,
    i: int,
    picture: NDArray[Any],
    ground: NDArray[Any] | None,
    corner: Floats,
    share: Any,
    size: tuple[int, int],
) -> NDArray[Any]:
    """Return a background with a picture on it; None is one of zeros."""
    if ground is None:
        whole = np.zeros((*size, *picture.shape[2:]), picture.dtype)
    else:
        whole = _fit_channels(batch, name, i, picture, ground)
        channels = whole.shape[2:] and whole.shape[2]
        if picture.ndim == 3 and picture.shape[2] == 1 and channels not in (0, 1):
            picture = np.repeat(picture, channels, axis=2)
        elif picture.ndim == 2 and channels:
            picture = np.repeat(picture[..., None], channels, axis=2)
    top, left = (int(place) for place in corner)
    rows = slice(max(top, 0), min(top + picture.shape[0], size[0]))
    columns = slice(max(left, 0), min(left + picture.shape[1], size[1]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return whole
    part = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    new = picture[part]
    if share is None:
        whole[rows, columns] = new
        return whole
    weight = share[part] if new.ndim == 2 else share[part][..., None]
    if weight.dtype == bool or ground is None:
        np.copyto(
            whole[rows, columns], new, where=weight.astype(bool) if weight.dtype == bool else weight >= 0.5
        )
        return whole
    old = whole[rows, columns].astype(np.float64)
    mixed = old + (new - old) * weight
    whole[rows, columns] = np.rint(mixed) if whole.dtype.kind in "iu" else mixed
    return whole


def _fit_channels(
    batch: BatchCore, name: str, i: int, picture: NDArray[Any], ground: NDArray[Any]
) -> NDArray[Any]:
    """Return a copy of a background with as many channels as the picture has, or more than its one."""
    have = 1 if ground.ndim == 2 else ground.shape[2]
    want = 1 if picture.ndim == 2 else picture.shape[2]
    if ground.dtype != picture.dtype or (have != want and 1 not in (have, want)):
        raise ItemError(
            id_of(batch, i),
            owner_of(batch, "put_on_background"),
            i,
            f"{name} are {picture.dtype} of {want} channels and the background is {ground.dtype} of {have}; "
            "bring them to one dtype by to_array(), to one number of channels by rgb() or gray()",
        )
    if have == want:
        return ground.reshape(*ground.shape[:2], *picture.shape[2:]).copy()
    if have == 1:
        return np.repeat(ground.reshape(*ground.shape[:2], 1), want, axis=2)
    return ground.copy()
