"""The geometric actions of image batches: each adds a step to pending matrices, pixels are resampled once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np

from bf_batch.actions import action
from bf_batch.batch import Batch
from bf_batch.images.arguments import (
    Fill,
    Names,
    Order,
    Role,
    as_numbers,
    as_pairs,
    as_size,
    as_sizes,
    widen_pairs,
)
from bf_batch.images.geometry.antialias import resize_smoothly
from bf_batch.images.geometry.apply import StepOptions, apply_map, apply_step
from bf_batch.images.geometry.frames import (
    NAMES,
    Origin,
    Sizes,
    Step,
    centres_of,
    find_corners,
    rows_of,
    simplify,
)
from bf_batch.itemwise.work import PerItem


def joins_resample(arguments: Mapping[str, Any]) -> bool:
    """Whether a geometric step joins the one resample at the end, by its arguments."""
    return arguments.get("fuse", True) is True and not arguments.get("antialias", False)


class GeometryActions(Batch):
    """Rotate, scale, crop and the like.

    All take ``p`` (the chance of each item), ``src`` and ``dst`` (a component or several, which get the same
    random parameters; the role of a component is read from ``roles``), ``order`` (0 nearest, 1 linear, 3
    cubic; masks always 0), ``fill`` (the value outside, 'edge', 'reflect' or 'wrap'; None: as the steps
    before, at first 0) and ``fuse`` (False: resample at once, in steps). Numbers may be ``PerItem``. Pairs
    are (vertical, horizontal), sizes (height, width).
    """

    roles: ClassVar[dict[str, Role]] = {"masks": "mask", "boxes": "boxes", "keypoints": "keypoints"}

    @action(itemwise=True, pending=joins_resample)
    def rotate(
        self,
        angle: float | PerItem,
        expand: bool = False,
        *,
        p: float | PerItem = 1.0,
        order: Order | None = None,
        fill: Fill | None = None,
        fuse: bool = True,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Turn pictures counter-clockwise by an angle in degrees about their centre.

        ``expand`` enlarges the frame so that the corners stay inside.
        """
        turns = as_numbers(angle, len(self), "rotate: angle")

        def make(sizes: Sizes) -> Step:
            after = sizes
            if expand:
                turn, rows = np.abs(np.deg2rad(turns))[:, None], rows_of(sizes)
                grown = rows * np.abs(np.cos(turn)) + rows[:, ::-1] * np.abs(np.sin(turn))
                after = simplify(np.ceil(grown - 1e-9).astype(np.int64))
            return Step(after, angle=turns, centre=centres_of(after, sizes))

        return apply_step(self, make, p, StepOptions(order, fill, fuse, src, dst), "rotate")

    @action(itemwise=True, pending=joins_resample, older={"preserve_shape": "preserve_size"})
    def scale(
        self,
        factor: float | tuple[float, float] | PerItem,
        preserve_size: bool = False,
        *,
        p: float | PerItem = 1.0,
        order: Order | None = None,
        fill: Fill | None = None,
        fuse: bool = True,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Enlarge (factor > 1) or shrink pictures.

        With ``preserve_size`` the frame stays, and its centre is the fixed point.
        """
        factors = as_pairs(factor, len(self), "scale: factor")
        if not factors.min() > 0:
            raise ValueError(
                f"scale: factor must be positive, got {float(factors.min())}; flip() mirrors pictures"
            )

        def make(sizes: Sizes) -> Step:
            if preserve_size:
                return Step(sizes, scale=factors, centre=centres_of(sizes, sizes))
            after = np.maximum(np.rint(rows_of(sizes) * factors), 1).astype(np.int64)
            return resize_step(sizes, simplify(after))

        return apply_step(self, make, p, StepOptions(order, fill, fuse, src, dst), "scale")

    @action(itemwise=True, pending=joins_resample, older={"shape": "size"})
    def crop(
        self,
        size: tuple[int, int] | PerItem,
        origin: Origin = "center",
        *,
        p: float | PerItem = 1.0,
        fill: Fill | None = None,
        fuse: bool = True,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Cut out (height, width) pixels, or ``P(...)`` for an own size each; outside the picture is filled.

        ``origin`` is 'center', 'random' (each item its own), a corner ('top_left', ...), or where the top
        left corner of the cut is: a pair of ints in pixels, or of floats from 0 to 1 as parts of the room
        there is.
        """
        after = as_sizes(size, len(self), "crop: size")

        def make(sizes: Sizes) -> Step | None:
            same = isinstance(sizes, tuple) and isinstance(after, tuple) and after == sizes
            if same and isinstance(origin, str) and origin in NAMES:
                return None
            return Step(after, shift=-find_corners(origin, after, sizes, self, "crop"))

        return apply_step(self, make, p, StepOptions(None, fill, fuse, src, dst), "crop")

    @action(itemwise=True, pending=joins_resample)
    def flip(
        self,
        mode: Literal["lr", "ud"] = "lr",
        *,
        p: float | PerItem = 1.0,
        fuse: bool = True,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Mirror pictures: left to right ('lr') or upside down ('ud')."""
        if mode not in _MIRRORS:
            raise ValueError(f"flip: mode must be 'lr' or 'ud', got {mode!r}")

        def make(sizes: Sizes) -> Step:
            return Step(sizes, scale=_MIRRORS[mode], centre=centres_of(sizes, sizes))

        return apply_step(self, make, p, StepOptions(None, None, fuse, src, dst), "flip")

    @action(itemwise=True, pending=joins_resample)
    def resize(
        self,
        size: tuple[int | None, int | None],
        antialias: bool = False,
        *,
        p: float | PerItem = 1.0,
        order: Order | None = None,
        fuse: bool = True,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Bring pictures to (height, width); a None keeps the ratio of the sides.

        With ``antialias`` a filter as wide as the shrinking averages fine patterns out, as in Pillow's
        bilinear resize; it is done at once, so put it before or after other geometry.
        """
        height, width = check_open_size(size)

        def make(sizes: Sizes) -> Step:
            if height is not None and width is not None:
                return resize_step(sizes, (height, width))
            rows = rows_of(sizes)
            ratio = height / rows[:, :1] if height is not None else width / rows[:, 1:]  # type: ignore[operator]
            after = np.maximum(np.rint(rows * ratio), 1).astype(np.int64)
            return resize_step(sizes, simplify(after))

        how = StepOptions(order, None, fuse, src, dst)
        if antialias:
            return apply_map(self, make, resize_smoothly, p, how, "resize")
        return apply_step(self, make, p, how, "resize")

    @action(itemwise=True, pending=joins_resample, older={"shape": "size"})
    def fit(
        self,
        size: tuple[int, int],
        margin: float = 0.0,
        *,
        p: float | PerItem = 1.0,
        order: Order | None = None,
        fuse: bool = True,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Bring pictures to (height, width): the largest part of that ratio in the middle, resized.

        ``margin`` is the share of each side of that part which is cut off: 0.0625 is torchvision's resize to
        256 and crop to 224. A picture that has the size already stays as it is.
        """
        after = as_size(size, "fit: size")
        if not 0 <= margin < 0.5:
            raise ValueError(f"fit: margin must be from 0 to below 0.5, got {margin!r}")

        def make(sizes: Sizes) -> Step | None:
            rows = rows_of(sizes)
            same = (rows == after).all(axis=1)
            if same.all():
                return None
            factor = (np.array(after) / rows).max(axis=1) / (1 - 2 * margin)
            both = np.where(same, 1.0, factor)[:, None].repeat(2, axis=1)
            return Step(after, scale=both, centre=centres_of(after, sizes), repeats=True)

        return apply_step(self, make, p, StepOptions(order, None, fuse, src, dst), "fit")

    @action(itemwise=True, pending=joins_resample, older={"mode": "fill"})
    def shift(
        self,
        offset: float | tuple[float, float] | PerItem,
        *,
        p: float | PerItem = 1.0,
        order: Order | None = None,
        fill: Fill | None = None,
        fuse: bool = True,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Move pictures by (down, right) pixels in a frame that stays.

        With ``fill='wrap'`` what leaves at one side comes in at the other.
        """
        fill = 0.0 if isinstance(fill, str) and str(fill) == "const" else fill  # as older pipelines say it
        moves = widen_pairs(as_pairs(offset, len(self), "shift: offset"))
        return apply_step(
            self, lambda sizes: Step(sizes, shift=moves), p, StepOptions(order, fill, fuse, src, dst), "shift"
        )

    @action(itemwise=True, pending=joins_resample)
    def shear(
        self,
        angle: float | PerItem,
        axis: Literal["x", "y"] = "x",
        *,
        p: float | PerItem = 1.0,
        order: Order | None = None,
        fill: Fill | None = None,
        fuse: bool = True,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Slant pictures about their centre by an angle in degrees.

        Lower rows go to the right ('x'), or right columns down ('y').
        """
        tangents = np.tan(np.deg2rad(as_numbers(angle, len(self), "shear: angle")))
        if axis not in ("x", "y"):
            raise ValueError(f"shear: axis must be 'x' or 'y', got {axis!r}")
        zeros = np.zeros_like(tangents)
        slant = np.column_stack([zeros, tangents] if axis == "x" else [tangents, zeros])

        def make(sizes: Sizes) -> Step:
            return Step(sizes, shear=slant, centre=centres_of(sizes, sizes))

        return apply_step(self, make, p, StepOptions(order, fill, fuse, src, dst), "shear")

    @action(itemwise=True, pending=joins_resample)
    def pad(
        self,
        border: int | tuple[int, ...],
        *,
        p: float | PerItem = 1.0,
        fill: Fill | None = None,
        fuse: bool = True,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Add pixels around: one number, (vertical, horizontal) or (top, bottom, left, right)."""
        top, bottom, left, right = _check_border(border)

        def make(sizes: Sizes) -> Step:
            after = simplify((rows_of(sizes) + np.array([top + bottom, left + right])).astype(np.int64))
            return Step(after, shift=np.array([[top, left]], dtype=np.float64))

        return apply_step(self, make, p, StepOptions(None, fill, fuse, src, dst), "pad")


_MIRRORS = {"lr": np.array([[1.0, -1.0]]), "ud": np.array([[-1.0, 1.0]])}


def resize_step(before: Sizes, after: Sizes) -> Step:
    """Return the step that brings pictures to new sizes: edges fall on edges, not centres on centres."""
    scale = rows_of(after) / rows_of(before)
    return Step(after, scale=scale, centre=centres_of(after, before), repeats=True)


def check_open_size(size: Any) -> tuple[int | None, int | None]:
    """Check a (height, width) argument where one may be None."""
    height, width = size if isinstance(size, (tuple, list)) and len(size) == 2 else (None, None)
    known = [side for side in (height, width) if side is not None]
    if not known or not all(isinstance(side, (int, np.integer)) and side > 0 for side in known):
        raise ValueError(
            f"resize: got size {size!r}; give (height, width) as positive ints, one of them may be None"
        )
    return height, width


def _check_border(border: Any) -> tuple[int, int, int, int]:
    values: list[Any] = [border] if isinstance(border, (int, np.integer)) else list(border)
    if len(values) not in (1, 2, 4) or not all(isinstance(v, (int, np.integer)) and v >= 0 for v in values):
        raise ValueError(
            f"pad: got border {border!r}; give a number of pixels, (vertical, horizontal) or "
            "(top, bottom, left, right)"
        )
    if len(values) == 4:
        return values[0], values[1], values[2], values[3]
    return values[0], values[0], values[-1], values[-1]
