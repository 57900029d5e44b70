"""Pictures with pending geometry: matrices pile up, pixels are resampled once, when they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.data.lazy_rows import LazyRows, concatenate
from bf_batch.dtypes import white_of
from bf_batch.images.arguments import Floats
from bf_batch.images.fills import Outside
from bf_batch.images.geometry.frames import Sizes, Step, select_sizes, simplify, sizes_of
from bf_batch.images.geometry.pending import PendingGeometry
from bf_batch.images.geometry.resample import resample
from bf_batch.images.geometry.rims import Before, advance_rims, join_rims, leave_frame
from bf_batch.images.runtime import import_extra

IDENTITY = np.eye(3)[None].copy()
_AFFINE = np.array([0.0, 0.0, 1.0])
_STEPS = "bf_batch.images.kernels.maps"


class Warp(PendingGeometry):
    """A pending component: pictures and the geometry that waits, resampled when they are read.

    A warp is never changed: steps return new ones.
    """

    @classmethod
    def of(cls, pictures: Any) -> Warp:
        """Return pictures, as ``require_pictures`` gives them, with no geometry pending yet."""
        if type(pictures) is not LazyRows and not (
            isinstance(pictures, np.ndarray) and pictures.dtype != object
        ):
            pictures = list(pictures)
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
        new.rims = None if self.rims is None else self.rims[rows]
        if self.field is not None:
            new.field = [self.field[i] for i in positions]
        return new

    def with_sampling(self, order: int, fill: Outside) -> Warp:
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
        moved = import_extra(_STEPS).advance(IDENTITY if last is None else last, n, *step[1:6], chosen)
        new = self._with_matrices(moved, select_sizes(chosen, step.sizes, self.sizes, n))
        if step.repeats or self.rims is not None:
            before = Before(self.sizes, self.matrices, self.order == 3)
            new.rims = advance_rims(self.rims, step, before, chosen, n)
        return new

    def project(self, matrices: Floats, sizes: Sizes, chosen: NDArray[np.bool_]) -> Warp:
        """Return the pictures after a projective step: (n, 3, 3) from new to old points (row, column, 1)."""
        last = self._last_matrices()
        some = np.broadcast_to(chosen, (len(self),))[:, None, None]
        new = self._with_matrices(
            np.where(some, last @ matrices, last), select_sizes(chosen, sizes, self.sizes, len(self))
        )
        new.projective = self.projective or (self.field is None and bool((matrices[:, 2] != _AFFINE).any()))
        new.rims = self._leave_frame(chosen)
        return new

    def _leave_frame(self, chosen: NDArray[np.bool_]) -> Floats | None:
        """Return the rims after a step of the chosen items that takes points outside their frame."""
        if self.rims is None:
            return None
        return np.where(chosen[:, None], leave_frame(self.rims, self.matrices), self.rims)

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

    def displace(self, field: list[NDArray[np.float32]], chosen: NDArray[np.bool_]) -> Warp:
        """Return the chosen pictures displaced by fields (height, width, 2) of pixels (y, x) in this frame.

        Pictures that another displacement is pending for are resampled first.
        """
        if self.field is not None:
            done = Warp.of(self.resolve()).with_sampling(self.order, self.fill)
            return done.displace(field, chosen)
        new = self._copy()
        new.matrices = self.matrices if self.matrices is not None else self._identity()
        new.pre = self._identity()
        new.field = [
            f if yes else np.zeros_like(f) for f, yes in zip(field, np.broadcast_to(chosen, (len(self),)))
        ]
        new.rims = self._leave_frame(chosen)
        return new

    def _identity(self) -> Floats:
        return np.broadcast_to(np.eye(3), (len(self), 3, 3)).copy()

    def finish(
        self,
        dtype: np.dtype[Any],
        gain: Any = 1.0,
        bias: Any = 0.0,
        channels: str | None = None,
        relative: bool = False,
    ) -> Warp:
        """Return the same with pixels times ``gain`` plus ``bias`` (numbers or one a channel) at the end.

        With ``relative`` integers are first divided by the greatest number of their dtype.
        """
        if self.rounds:
            return Warp.of(self.resolve()).finish(dtype, gain, bias, channels, relative)
        new = self._copy()
        if self.gain is not None and self.bias is not None:
            if relative and self.dtype is not None:
                gain = np.divide(gain, white_of(self.dtype))
            gain, bias = np.multiply(self.gain, gain), np.multiply(self.bias, gain) + bias
        else:
            new.relative = relative
        new.gain, new.bias = _as_row(gain), _as_row(bias)
        new.dtype = dtype
        new.channels = channels if channels is not None else self.channels
        return new

    @property
    def rounds(self) -> bool:
        """Whether the result is rounded or limited: what comes later must not see the numbers before."""
        kind = self.dtype
        if kind is None or kind.kind == "f":
            return False
        return (self.gain, self.bias) != (_ONE, _ZERO) or self.stored_dtypes != {kind}

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
        joined.rims = join_rims([warp.rims for warp in warps], [len(warp) for warp in warps])
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
            and (self.order, self.fill) == (other.order, other.fill)
            and self._ending() == other._ending()
        )

    def _ending(self) -> tuple[Any, ...]:
        return self.dtype, self.gain, self.bias, self.channels, self.relative


_ONE, _ZERO = (1.0,), (0.0,)


def _as_row(value: Any) -> tuple[float, ...]:
    return (value,) if type(value) is float else tuple(np.array(value, np.float64, ndmin=1).tolist())


def _as_is(value: Any) -> Any:
    return value
