"""Boxes and keypoints that follow pictures: their matrices pile up too, and are applied once."""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.images.arguments import Floats
from bf_batch.images.geometry.frames import Sizes, Step, rows_of, select_sizes
from bf_batch.images.runtime import import_extra
from bf_index.errors import escape


class Points:
    """A pending component: for each item boxes (k, 4) or keypoints (k, 2), as (x0, y0, x1, y1) or (x, y).

    Coordinates count from the top left corner of the picture in pixels, so that a picture of width w spans 0
    to w. A box becomes the smallest upright box around its moved corners, cut to the frame; a box that left
    the frame keeps its place with an area of zero, so that labels stay in step. Keypoints are not cut.
    """

    __slots__ = ("fields", "matrices", "role", "sizes", "source")

    def __init__(self, source: list[NDArray[Any]], role: str, sizes: Sizes) -> None:
        self.source = source
        self.role = role
        self.sizes = sizes
        self.matrices: Floats = np.broadcast_to(np.eye(3), (len(source), 3, 3)).copy()
        self.fields: tuple[tuple[Floats, list[NDArray[np.float32]]], ...] = ()

    @classmethod
    def of(cls, values: Any, role: str, sizes: Sizes, owner: str) -> Points:
        """Check the boxes or keypoints of a batch; a ValueError names what has a wrong shape."""
        width = 4 if role == "boxes" else 2
        source = [_as_floats(value, position, role, owner) for position, value in enumerate(values)]
        for position, value in enumerate(source):
            if value.size and (value.ndim != 2 or value.shape[1] != width):
                raise ValueError(
                    f"{owner}: item number {position} has shape {value.shape}; {role} of an item are an "
                    f"array (k, {width})"
                )
        return cls([value.reshape(-1, width) for value in source], role, sizes)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, rows: Any) -> Any:
        found = self.resolve()
        if isinstance(rows, (int, np.integer, slice)):
            return found[rows]
        return [found[row] for row in rows]

    def _moved(self, matrices: Floats, sizes: Sizes) -> Points:
        new = object.__new__(Points)
        new.source, new.role, new.fields = self.source, self.role, self.fields
        new.matrices, new.sizes = matrices, sizes
        return new

    def advance(self, step: Step, chosen: NDArray[np.bool_]) -> Points:
        """Return the points after one more affine step of the chosen items."""
        moved = import_extra("bf_batch.images.kernels.maps").advance(
            self.matrices, len(self), *step[1:6], chosen
        )
        return self._moved(moved, select_sizes(chosen, step.sizes, self.sizes, len(self)))

    def project(self, matrices: Floats, sizes: Sizes, chosen: NDArray[np.bool_]) -> Points:
        """Return the points after a projective step of matrices from new to old points (row, column, 1)."""
        some = np.broadcast_to(chosen, (len(self),))[:, None, None]
        moved = np.where(some, self.matrices @ matrices, self.matrices)
        return self._moved(moved, select_sizes(chosen, sizes, self.sizes, len(self)))

    def displace(self, field: list[NDArray[np.float32]], chosen: NDArray[np.bool_]) -> Points:
        """Return the points after a displacement of the chosen pictures."""
        some = np.broadcast_to(chosen, (len(self),))
        field = [one if yes else np.zeros_like(one) for one, yes in zip(field, some)]
        new = self._moved(np.broadcast_to(np.eye(3), (len(self), 3, 3)).copy(), self.sizes)
        new.fields = (*self.fields, (self.matrices, field))
        return new

    def resolve(self) -> list[NDArray[Any]]:
        """Compute the points of all items: a list of arrays."""
        sizes = np.broadcast_to(rows_of(self.sizes), (len(self), 2))
        return [self._item(i, sizes[i]) for i in range(len(self))]

    def _item(self, i: int, size: Floats) -> NDArray[Any]:
        value = self.source[i]
        if not len(value):
            return value
        if self.role != "boxes":
            return self._move(i, value)
        x0, y0, x1, y1 = value.T
        corners = np.stack([x0, y0, x1, y0, x1, y1, x0, y1], axis=1).reshape(-1, 2)
        moved = self._move(i, corners).reshape(-1, 4, 2)
        limit = size[::-1]
        low, high = np.clip(moved.min(axis=1), 0, limit), np.clip(moved.max(axis=1), 0, limit)
        return np.hstack([low, high])

    def _move(self, i: int, points: Floats) -> Floats:
        """Move points (x, y) of one item forwards: the pictures' matrices lead from the result back."""
        rows = np.column_stack([points[:, ::-1] - 0.5, np.ones(len(points))])
        for matrices, field in self.fields:
            rows = _map_backwards(rows, matrices[i])
            rows[:, :2] = _undo_displacement(rows[:, :2], field[i])
        rows = _map_backwards(rows, self.matrices[i])
        return np.ascontiguousarray(rows[:, 1::-1]) + 0.5


def _as_floats(value: Any, position: int, role: str, owner: str) -> Floats:
    try:
        array = np.asarray(value)
        if array.dtype.kind != "c":
            return array.astype(np.float64)
    except (TypeError, ValueError):
        pass
    raise ValueError(
        f"{owner}: item number {position} holds a {type(value).__name__}, {escape(reprlib.repr(value))}; "
        f"{role} of an item are an array of numbers, (k, {4 if role == 'boxes' else 2})"
    )


def _map_backwards(rows: Floats, matrix: Floats) -> Floats:
    moved = rows @ np.linalg.inv(matrix).T
    return np.asarray(moved / moved[:, 2:])


def _undo_displacement(points: Floats, field: NDArray[np.float32]) -> Floats:
    """Find where points come to lie when the picture is displaced.

    Solves q + field(q) = point for q by iteration.
    """
    displaced = import_extra("bf_batch.images.kernels.maps").displacement_at
    found = points.copy()
    for _ in range(20):
        found = points - np.array([displaced(field, y, x) for y, x in found])
    return found
