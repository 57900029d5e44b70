"""Cutting pictures into patches, which become the items of the batch, and putting them together again."""

from __future__ import annotations

from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from bf_batch.actions import action
from bf_batch.batch import Batch
from bf_batch.components import take_rows
from bf_batch.core import BatchCore
from bf_batch.data.lazy_rows import LazyRows
from bf_batch.errors import ItemError
from bf_batch.images.arguments import (
    ALL,
    Fill,
    Names,
    as_size,
    id_of,
    owner_of,
    pair_names,
    require_component,
    role_of,
)
from bf_batch.images.checks import check_pictures, require_pictures
from bf_batch.images.fills import check_fill, fill_of
from bf_batch.images.geometry.apply import check_sizes
from bf_batch.images.geometry.frames import Sizes, Step, rows_of, sizes_of
from bf_batch.images.geometry.points import Points
from bf_batch.images.geometry.warp import Warp
from bf_batch.images.patches.grid import find_starts
from bf_batch.images.patches.mosaic import OVERLAPS, Mosaic, Overlap
from bf_batch.images.patches.pending import Cut, Patches
from bf_index import DatasetIndex

BatchT = TypeVar("BatchT", bound=BatchCore)
PLACES = "places"
_PICTURES = ("image", "mask")


class PatchActions(Batch):
    """Patches of pictures as items, and pictures of patches."""

    @action(resizes=True, older={"patch_shape": "size"}, adds=(PLACES,))
    def split_to_patches(
        self,
        size: tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        drop_last: bool = False,
        *,
        fill: Fill | None = None,
        src: Names = "images",
    ) -> Self:
        """Cut pictures into (height, width) patches, each an item of the batch, row by row.

        ``stride`` is the way from one to the next, down and across; by default the size, so that they do not
        overlap. Where a rest remains at the right or below, the last patches are laid at the edge; with
        ``fill`` (a value, 'edge', 'reflect' or 'wrap') they stay in their grid and are filled, and with
        ``drop_last`` they are left out. Masks, boxes and keypoints in ``src`` follow; other components are
        repeated. The component ``places`` says of each patch which picture it is of (``id``, ``count`` of its
        patches, ``height`` and ``width``) and where it lies (``top``, ``left``). Patches are cut, and files
        read, when they are needed: ``rebatch`` after it makes batches of a few patches of large pictures.
        """
        after = as_size(size, "split_to_patches: size")
        step = after if stride is None else as_size(_as_pair(stride), "split_to_patches: stride")
        sources, _ = pair_names(src, None, owner_of(self, "split_to_patches"))
        pictures = {name: _peek(self, name) for name in sources if role_of(self, name) in _PICTURES}
        if not pictures:
            raise ValueError(
                f"{owner_of(self, 'split_to_patches')}: src={src!r} holds no pictures; name the pictures "
                "they belong to as well: src=['images', ...]"
            )
        frames = {name: sizes_of(value) for name, value in pictures.items()}
        sizes = check_sizes(self, frames, owner_of(self, "split_to_patches"))
        frame, items, corners = _lay_out(self, sizes, after, step, drop_last, fill is not None)
        values = {
            name: _split(
                self, name, pictures.get(name), (sizes, frame), (items, corners, after), fill, sources
            )
            for name in self.components
            if name != PLACES
        }
        values[PLACES] = _describe(self, frame, items, corners)
        return _make_batch(self, values, len(items))

    @action(resizes=True)
    def stitch_patches(
        self, overlap: Overlap | None = None, *, src: Names = "images", dst: Names | None = None
    ) -> Self:
        """Put patches together to the pictures that they were cut from, each an item of the batch again.

        ``src`` are arrays of patches, as predictions, of any channels. ``overlap`` says what pixels of
        several patches become: the 'mean', for other than masks if not said; a 'smooth' mean that counts the
        middle of patches more; or those of the 'last'. All patches of a picture must be in the batch; for
        others there is ``bf_batch.images.Mosaic``. Pixels of no patch are 0. Other components are those of
        the first patch of each picture.
        """
        if overlap is not None and overlap not in OVERLAPS:
            raise ValueError(f"stitch_patches: overlap must be one of {', '.join(OVERLAPS)}, got {overlap!r}")
        sources, targets = pair_names(src, dst, owner_of(self, "stitch_patches"))
        if PLACES not in self.components:
            raise ValueError(
                f"{owner_of(self, 'stitch_patches')}: the batch has no component {PLACES!r}, which "
                "split_to_patches adds; a pipeline that stitches has to split before"
            )
        places = require_component(self, PLACES, owner_of(self, "stitch_patches"))
        _, first, counts = np.unique(places["id"], return_index=True, return_counts=True)
        order = np.argsort(first)
        first, counts = first[order], counts[order]
        short = np.flatnonzero(counts != places["count"][first])
        if len(short):
            place = places[first[short[0]]]
            raise ValueError(
                f"{owner_of(self, 'stitch_patches')}: {counts[short[0]]} of the {place['count']} patches of "
                f"the picture {place['id'].item()!r} are in the batch; stitch before batches are cut anew, "
                "or collect patches of many batches in a bf_batch.images.Mosaic"
            )
        values = {
            name: take_rows(getattr(self, name), first)
            for name in self.components
            if name not in (PLACES, *sources)
        }
        for name, target in zip(sources, targets):
            how = overlap or ("last" if role_of(self, name) == "mask" else "mean")
            mosaic = Mosaic(how).add(require_pictures(self, name, "stitch_patches"), places)
            found = [mosaic.pop(place["id"].item()) for place in places[first]]
            same = len({one.shape for one in found}) == 1
            values[target] = np.stack(found) if same else found
        return _make_batch(self, values, len(first))


def _as_pair(stride: Any) -> Any:
    return (stride, stride) if isinstance(stride, (int, np.integer)) else stride


def _peek(batch: BatchCore, name: str) -> Any:
    """Return pictures of a component as they are: rows of files stay unread."""
    rows = batch._bf_unread(name)
    if rows is not None:
        return check_pictures(batch, name, rows, "split_to_patches")
    value = batch.peek(name)
    nothing_waits = type(value) is Warp and value.matrices is None and value.dtype is None
    if nothing_waits and isinstance(value.source, (LazyRows, list, np.ndarray)):
        return value.source
    return require_pictures(batch, name, "split_to_patches")


def _lay_out(
    batch: BatchCore, sizes: Sizes, size: tuple[int, int], stride: tuple[int, int], drop: bool, padded: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the frames of all pictures (n, 2), and of each patch its picture and its corner."""
    frames = np.broadcast_to(rows_of(sizes).astype(np.int64), (len(batch), 2))
    items, corners, known = [], [], {}
    for number, frame in enumerate(frames.tolist()):
        key = tuple(frame)
        if key not in known:
            down, across = (find_starts(*both, drop, padded) for both in zip(frame, size, stride))
            if not len(down) * len(across) and not drop:
                raise ItemError(
                    id_of(batch, number),
                    owner_of(batch, "split_to_patches"),
                    number,
                    f"a picture of {frame[0]} x {frame[1]} pixels has no room for a patch of {size[0]} "
                    f"x {size[1]} (height x width); give fill=, a smaller size, or drop_last=True",
                )
            known[key] = np.stack(np.meshgrid(down, across, indexing="ij"), axis=2).reshape(-1, 2)
        corners.append(known[key])
        items.append(np.full(len(known[key]), number))
    if not sum(map(len, corners)):
        raise ValueError(
            f"{owner_of(batch, 'split_to_patches')}: no picture of the batch has room for a patch of "
            f"{size[0]} x {size[1]} (height x width); give fill= or a smaller size"
        )
    return frames, np.concatenate(items), np.concatenate(corners)


def _split(
    batch: BatchCore,
    name: str,
    pictures: Any,
    frames: tuple[Sizes, NDArray[np.int64]],
    grid: tuple[NDArray[np.int64], NDArray[np.int64], tuple[int, int]],
    fill: Fill | None,
    sources: list[str],
) -> Any:
    """Return what becomes of a component: patches, moved points, or its values again and again."""
    items, corners, size = grid
    what = "split_to_patches"
    if pictures is not None:
        outside = fill_of(batch, name, fill, sources, what) if fill is not None else None
        outside = 0.0 if outside is None else outside
        if fill is not None:
            check_fill(batch, name, outside, Warp.of(pictures).kinds, what)
        shapes = [(height, width) for height, width in frames[1].tolist()]
        where = [(top, left) for top, left in corners.tolist()]
        return Patches(
            [Cut(pictures, item, shapes[item], at, size, outside) for item, at in zip(items.tolist(), where)]
        )
    if name in sources:
        owner = f"{type(batch).__name__}.{name}"
        values = require_component(batch, name, owner)
        points = Points.of([values[item] for item in items], role_of(batch, name), size, owner)
        return points.advance(Step(size, shift=-corners.astype(np.float64)), ALL)
    rows = batch._bf_unread(name)
    if rows is not None and rows.ndim > 2:  # pictures that nobody named: read when they are asked for
        frame = rows.shape[1], rows.shape[2]
        return Patches([Cut(rows, item, frame, (0, 0), frame, 0.0) for item in items.tolist()])
    value = getattr(batch, name)
    if isinstance(value, np.ndarray) and value.ndim > 2:
        return [value[item] for item in items]
    return take_rows(value, items)


def _describe(
    batch: BatchCore, frames: NDArray[np.int64], items: NDArray[np.int64], corners: NDArray[np.int64]
) -> NDArray[Any]:
    """Return the places of patches as an array of records."""
    ids = np.asarray(batch.indices)
    ids = ids.astype(str) if ids.dtype == object else ids
    names = ("count", "top", "left", "height", "width")
    places = np.empty(len(items), [("id", ids.dtype), *((name, np.int64) for name in names)])
    places["id"] = ids[items]
    places["count"] = np.bincount(items, minlength=len(frames))[items]
    places["top"], places["left"] = corners.T
    places["height"], places["width"] = frames[items].T
    return places


def _make_batch(batch: BatchT, values: dict[str, Any], count: int) -> BatchT:
    """Return a batch like another one with other items: ids are numbers from 0 on."""
    kind: Any = batch._bf_plain_class or type(batch)
    made: BatchT = kind(DatasetIndex(count), seed=batch.seed, place=batch.place)
    made.step = batch.step
    for name, value in values.items():
        if name in made.components:
            setattr(made, name, value)
        else:
            made.add_components(name, value)
    return made
