"""Geometric actions beyond affine ones: perspective, elastic deformation, random crops of classifiers."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from bf_batch.actions import action
from bf_batch.images.arguments import Fill, Floats, Names, Order, as_numbers, as_size
from bf_batch.images.geometry.actions import GeometryActions, joins_resample
from bf_batch.images.geometry.apply import StepOptions, apply_map, apply_step
from bf_batch.images.geometry.frames import Sizes, Step, draw_boxes, rows_of
from bf_batch.images.runtime import import_extra
from bf_batch.itemwise.work import PerItem


class DistortActions(GeometryActions):
    """Perspective, elastic and random resized crops, with the common arguments of ``GeometryActions``."""

    @action(itemwise=True, older={"shape": "size"})
    def random_resized_crop(
        self,
        size: tuple[int, int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        *,
        p: float | PerItem = 1.0,
        order: Order | None = None,
        fuse: bool = True,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Cut a random part of each picture and bring it to ``size``.

        The part has a share ``scale`` of the area and a ratio of sides ``ratio``. As in the papers on
        ImageNet and in torchvision: ten tries (ratio drawn by its logarithm), then the largest centred part
        within the ratios. Of JPEG files only what the cut needs is decoded.
        """
        after = as_size(size, "random_resized_crop: size")
        for name, (low, high) in (("scale", scale), ("ratio", ratio)):
            if not 0 < low <= high:
                raise ValueError(
                    f"random_resized_crop: {name} must be (low, high) with 0 < low <= high, got {(low, high)}"
                )

        def make(sizes: Sizes) -> Step:
            boxes = draw_boxes(np.broadcast_to(rows_of(sizes), (len(self), 2)), scale, ratio, self.rng())
            corner, extent = boxes[:, :2], boxes[:, 2:]
            middle = np.hstack(
                [np.broadcast_to((np.array(after) - 1) / 2, corner.shape), corner + (extent - 1) / 2]
            )
            return Step(after, scale=np.array(after) / extent, centre=middle, repeats=True)

        return apply_step(self, make, p, StepOptions(order, None, fuse, src, dst), "random_resized_crop")

    @action(itemwise=True)
    def perspective(
        self,
        distortion: float | PerItem = 0.5,
        *,
        p: float | PerItem = 1.0,
        order: Order | None = None,
        fill: Fill | None = None,
        fuse: bool = True,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Look at pictures from a random side.

        Each corner moves inwards by up to ``distortion`` of half a side.
        """
        strength = as_numbers(distortion, len(self), "perspective: distortion")
        if not ((strength >= 0) & (strength < 1)).all():
            raise ValueError(f"perspective: distortion must be from 0 to below 1, got {distortion!r}")

        def make(sizes: Sizes) -> tuple[Floats, Sizes]:
            moves = self.rng().random((len(self), 4, 2)) * strength[:, None, None]
            return solve_tilts(np.broadcast_to(rows_of(sizes), (len(self), 2)), moves), sizes

        return apply_map(self, make, _project, p, StepOptions(order, fill, fuse, src, dst), "perspective")

    @action(itemwise=True, pending=joins_resample)
    def transform(
        self,
        matrix: Any,
        size: tuple[int, int] | None = None,
        *,
        axes: Literal["yx", "xy"] = "yx",
        inverse: bool = False,
        p: float | PerItem = 1.0,
        order: Order | None = None,
        fill: Fill | None = None,
        fuse: bool = True,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Move pictures by a matrix, affine (2, 3) or projective (3, 3), or by ``P(...)`` of one an item.

        It maps points (row, column, 1) of a picture to those of the result, with ``inverse`` points of the
        result to those of the picture, as in scipy and Pillow. Pixels have their centres at whole numbers.
        ``axes='xy'`` is for matrices of (column, row, 1), as OpenCV and scikit-image have them. The frame
        stays, or becomes ``size``. Points that a projective matrix moves to infinity are outside.
        """
        backward = read_matrices(matrix, len(self), axes, inverse)
        after = None if size is None else as_size(size, "transform: size")

        def make(sizes: Sizes) -> tuple[Floats, Sizes]:
            return np.broadcast_to(backward, (len(self), 3, 3)), sizes if after is None else after

        return apply_map(self, make, _project, p, StepOptions(order, fill, fuse, src, dst), "transform")

    @action(itemwise=True)
    def elastic(
        self,
        alpha: float | PerItem = 34.0,
        sigma: float = 4.0,
        *,
        p: float | PerItem = 1.0,
        order: Order | None = None,
        fill: Fill | None = None,
        fuse: bool = True,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Deform pictures by a random field (Simard 2003).

        It is uniform noise, blurred by ``sigma`` pixels, times ``alpha``.
        """
        strength = as_numbers(alpha, len(self), "elastic: alpha")
        if not sigma > 0:
            raise ValueError(f"elastic: sigma must be positive, got {sigma!r}")

        def make(sizes: Sizes) -> Any:
            rng, blur = self.rng(), import_extra("bf_batch.images.kernels.colour").blur
            amounts = np.broadcast_to(strength, (len(self),))
            rows = np.broadcast_to(rows_of(sizes), (len(self), 2)).astype(int)
            return [draw_field((h, w), sigma, a, rng, blur) for (h, w), a in zip(rows, amounts)]

        def move(value: Any, chosen: NDArray[np.bool_], fields: list[NDArray[np.float32]]) -> Any:
            return value.displace(fields, chosen)

        return apply_map(self, make, move, p, StepOptions(order, fill, fuse, src, dst), "elastic")


def _project(value: Any, chosen: NDArray[np.bool_], step: tuple[Floats, Sizes]) -> Any:
    return value.project(*step, chosen)


_LEAST = 1e-12
"""The least determinant of a matrix that can be turned around."""
_LAST = np.array([0.0, 0.0, 1.0])
_SWAP = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def read_matrices(matrix: Any, n: int, axes: str, inverse: bool) -> Floats:
    """Return the matrices of ``transform`` from new to old points (row, column, 1): (1, 3, 3) or (n, 3, 3).

    A ValueError for another shape, numbers that are not finite, or a matrix that can't be turned around.
    """
    per_item = isinstance(matrix, PerItem)
    try:
        given = np.asarray(matrix.values if per_item else matrix, np.float64)
    except (TypeError, ValueError):
        given = np.empty(0)
    if given.shape[1:] in ((6,), (9,)) and per_item:
        given = given.reshape(n, -1, 3)
    if not per_item:
        given = given[None]
    if given.shape not in ((n if per_item else 1, 2, 3), (n if per_item else 1, 3, 3)):
        raise ValueError(
            f"transform: got a matrix of shape {given.shape[per_item ^ 1 :]}; give 2 x 3 or 3 x 3 numbers, "
            "or P(...) of one for each item"
        )
    if axes not in ("yx", "xy"):
        raise ValueError(f"transform: axes must be 'yx' (row, column) or 'xy' (column, row), got {axes!r}")
    full = np.broadcast_to(np.eye(3), (len(given), 3, 3)).copy()
    full[:, : given.shape[1]] = given
    full = _SWAP @ full @ _SWAP if axes == "xy" else full
    good = np.asarray(np.isfinite(full).all(axis=(1, 2)))
    good[good] = np.abs(np.linalg.det(full[good])) >= _LEAST
    if not good.all():
        bad = int(np.flatnonzero(~good)[0])
        raise ValueError(
            f"transform: the matrix {given[bad].tolist()} maps pictures to a line or a point, or has numbers "
            "that are not finite; give one that can be turned around"
        )
    backward = full if inverse else np.linalg.inv(full)
    backward[(full[:, 2] == _LAST).all(axis=1), 2] = _LAST  # an affine one stays affine to the last digit
    return np.asarray(backward)


def solve_tilts(sizes: Floats, moves: Floats) -> Floats:
    """Return (n, 3, 3) from new to old points when corners move inwards by parts of half their sides."""
    n = len(sizes)
    last = sizes - 1
    signs = np.array([[0, 0], [0, 1], [1, 1], [1, 0]])
    start = signs[None] * last[:, None]
    end = start + moves * (sizes[:, None] / 2) * (1 - 2 * signs)
    system, right = np.zeros((n, 8, 8)), start.reshape(n, 8)
    for k in range(4):
        y, x = end[:, k, 0], end[:, k, 1]
        for axis in range(2):
            row = 2 * k + axis
            system[:, row, 3 * axis : 3 * axis + 3] = np.stack([y, x, np.ones(n)], axis=1)
            system[:, row, 6:] = -np.stack([y, x], axis=1) * start[:, k, axis : axis + 1]
    found = np.linalg.solve(system, right[..., None])[..., 0]
    return np.concatenate([found, np.ones((n, 1))], axis=1).reshape(n, 3, 3)


def draw_field(size: tuple[int, int], sigma: float, alpha: float, rng: Any, blur: Any) -> NDArray[np.float32]:
    """Draw one displacement field (height, width, 2) in pixels (y, x)."""
    noise = rng.random((1, *size, 2), dtype=np.float32)
    noise *= 2
    noise -= 1
    field = np.empty_like(noise)
    blur(noise, np.array([sigma]), False, field)
    field *= np.float32(alpha)
    return np.asarray(field[0])
