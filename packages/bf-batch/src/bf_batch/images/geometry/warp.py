"""Pictures with pending geometry: matrices pile up, pixels are resampled once, when they are read."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.data.lazy_rows import LazyRows, concatenate
from bf_batch.images.arguments import Fill, Floats
from bf_batch.images.geometry.frames import Sizes, Step, select_sizes, simplify, sizes_of
from bf_batch.images.geometry.pending import PendingGeometry
from bf_batch.images.geometry.resample import resample
from bf_batch.images.runtime import import_extra

IDENTITY = np.eye(3)[None].copy()
_STEPS = "bf_batch.images.kernels.maps"


class Warp(PendingGeometry):
    """A pending component: pictures and the geometry that waits, resampled when they are read.

    A warp is never changed: steps return new ones.
    """

    @classmethod
    def of(cls, pictures: Any, owner: str) -> Warp:
        """Return pictures with no geometry pending yet.

        Raises TypeError or ValueError for what holds no pictures.
        """
        if type(pictures) is LazyRows or (isinstance(pictures, np.ndarray) and pictures.dtype != object):
            if pictures.ndim not in (3, 4):
                raise ValueError(
                    f"{owner}: got an array of shape {pictures.shape}; pictures are (items, height, width) "
                    "or (items, height, width, channels)"
                )
        else:
            pictures = [np.asarray(picture) for picture in pictures]
            for position, picture in enumerate(pictures):
                if picture.ndim not in (2, 3) or picture.dtype == object:
                    raise ValueError(
                        f"{owner}: item number {position} is an array of shape {picture.shape} and dtype "
                        f"{picture.dtype}; pictures are (height, width) or (height, width, channels)"
                    )
        return cls(pictures, sizes_of(pictures))

    def __getitem__(self, rows: Any) -> Any:
        return self.resolve()[rows] if isinstance(rows, (int, np.integer)) else self.take(rows)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how a warp travels to other processes: as the pixels it stands for."""
        return _as_is, (self.resolve(),)

    def take(self, rows: Any) -> Warp:
        """Return the pending pictures at some rows."""
        new = self.read()
        positions = range(len(self))[rows] if isinstance(rows, slice) else rows
        if isinstance(new.source, list):
            new.source = [new.source[position] for position in positions]
        else:
            new.source = new.source[rows]
        if not isinstance(self.sizes, tuple):
            new.sizes = simplify(np.asarray(self.sizes)[rows])
        new.matrices = None if self.matrices is None else self.matrices[rows]
        new.pre = None if self.pre is None else self.pre[rows]
        if self.field is not None:
            new.field = [self.field[i] for i in positions]
        return new

    def with_sampling(self, order: int, fill: Fill) -> Warp:
        """Return the same with another interpolation or border, which holds for all steps pending."""
        if order == self.order and fill == self.fill:
            return self
        new = self._copy()
        new.order, new.fill = order, fill
        return new

    def advance(self, step: Step, chosen: NDArray[np.bool_]) -> Warp:
        """Return the pictures after one more affine step of the chosen items."""
        last = self.matrices if self.field is None else self.pre
        n = len(self.source)
        moved = import_extra(_STEPS).advance(IDENTITY if last is None else last, n, *step[1:], chosen)
        return self._with_matrices(moved, select_sizes(chosen, step.sizes, self.sizes, n))

    def project(self, matrices: Floats, sizes: Sizes, chosen: NDArray[np.bool_]) -> Warp:
        """Return the pictures after a projective step: (n, 3, 3) from new to old points (row, column, 1)."""
        last = self._last_matrices()
        some = np.broadcast_to(chosen, (len(self),))[:, None, None]
        new = self._with_matrices(
            np.where(some, last @ matrices, last), select_sizes(chosen, sizes, self.sizes, len(self))
        )
        new.projective = self.projective or self.field is None
        return new

    def _last_matrices(self) -> Floats:
        """Return the matrices that the next step multiplies: those after the displacement if there is one."""
        last = self.matrices if self.field is None else self.pre
        return self._identity() if last is None else last

    def _with_matrices(self, matrices: Floats, sizes: Sizes) -> Warp:
        new = self._copy()
        if self.field is None:
            new.matrices = matrices
        else:
            new.pre = matrices
        new.sizes = sizes
        return new

    def displace(self, field: list[NDArray[np.float32]]) -> Warp:
        """Return the pictures displaced by a field each, (height, width, 2) of pixels (y, x), in this frame.

        Pictures that another displacement is pending for are resampled first.
        """
        if self.field is not None:
            done = Warp.of(self.resolve(), "displaced pictures").with_sampling(self.order, self.fill)
            return done.displace(field)
        new = self._copy()
        new.matrices = self.matrices if self.matrices is not None else self._identity()
        new.pre = self._identity()
        new.field = field
        return new

    def _identity(self) -> Floats:
        return np.broadcast_to(np.eye(3), (len(self), 3, 3)).copy()

    def finish(
        self, dtype: np.dtype[Any], gain: Any = 1.0, bias: Any = 0.0, channels: str | None = None
    ) -> Warp:
        """Return the same with pixels times ``gain`` plus ``bias`` (numbers or one a channel) at the end."""
        new = self._copy()
        if self.gain is not None and self.bias is not None:
            gain, bias = np.multiply(self.gain, gain), np.multiply(self.bias, gain) + bias
        new.gain, new.bias = _as_row(gain), _as_row(bias)
        new.dtype = dtype
        new.channels = channels if channels is not None else self.channels
        return new

    def resolve(self) -> Any:
        """Compute the pixels: an array when all pictures have one size, else a list of arrays."""
        return resample(self)

    @staticmethod
    def join(warps: Sequence[Warp]) -> Warp | None:
        """Return one warp for the pictures of several, so that one pass serves them; None if kinds differ."""
        first = warps[0]
        if not all(first._is_like(other) for other in warps[1:]):
            return None
        joined = first._copy()
        joined.source = concatenate([warp.source for warp in warps])
        if first.matrices is not None:
            joined.matrices = np.concatenate([warp.matrices for warp in warps])  # type: ignore[arg-type, misc]
        return joined

    def _is_like(self, other: Warp) -> bool:
        """Whether one pass serves both: the same kind of pictures, an affine map each, the same end."""
        mine, theirs = self.source, other.source
        return (
            isinstance(mine, (np.ndarray, LazyRows))
            and isinstance(theirs, (np.ndarray, LazyRows))
            and (mine.shape[1:], mine.dtype) == (theirs.shape[1:], theirs.dtype)
            and mine.dtype != object
            and isinstance(self.sizes, tuple)
            and self.sizes == other.sizes
            and not (self.projective or other.projective)
            and self.field is None is other.field
            and (self.matrices is None) == (other.matrices is None)
            and (self.order, self.fill, self.dtype, self.channels)
            == (other.order, other.fill, other.dtype, other.channels)
            and _are_equal(self.gain, other.gain)
            and _are_equal(self.bias, other.bias)
        )


def _as_row(value: Any) -> NDArray[np.float32]:
    return _constant_row(value) if type(value) is float else np.array(value, np.float32, ndmin=1)


@functools.lru_cache(maxsize=64)
def _constant_row(value: float) -> NDArray[np.float32]:
    return np.array([value], np.float32)


def _are_equal(mine: Any, theirs: Any) -> bool:
    return mine is theirs or (mine is not None and theirs is not None and np.array_equal(mine, theirs))


def _as_is(value: Any) -> Any:
    return value
