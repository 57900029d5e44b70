"""What waits to be resampled: pictures, and for each the map from its result back to it."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bf_batch.data.lazy_rows import LazyRows
from bf_batch.images.arguments import Floats
from bf_batch.images.fills import Outside
from bf_batch.images.geometry.frames import Sizes


class PendingGeometry:
    """Pictures, and for each a matrix from the points of the result to those of the picture.

    ``source`` is an array (n, h, w) or (n, h, w, c) or rows of one that are still unread, a list of arrays
    (h, w) or (h, w, c), or an object like ``Files`` that decodes them. ``order`` is 0 (nearest), 1 (linear)
    or 3 (cubic), ``fill`` what lies outside: a value, one for each channel, 'edge', 'reflect' or 'wrap',
    and ``rims`` where enlarging repeats the edge (see ``rims``). With a ``field`` a point goes through the
    matrix of ``pre``, is displaced, and goes through that of ``matrices``. ``gain`` and ``bias`` (one or one
    a channel) scale the result to ``dtype``; with ``relative`` integers are parts of the greatest number of
    their own dtype.
    """

    def __init__(self, source: Any, sizes: Sizes, order: int = 1, fill: Outside = 0.0) -> None:
        self.source = source
        self.sizes = sizes
        self.order = order
        self.fill = fill
        self.matrices: Floats | None = None
        self.pre: Floats | None = None
        self.field: list[NDArray[np.float32]] | None = None
        self.rims: Floats | None = None
        self.projective = False
        self.dtype: np.dtype[Any] | None = None
        self.gain: tuple[float, ...] | None = None
        self.bias: tuple[float, ...] | None = None
        self.relative = False
        self.channels: str | None = None

    def __len__(self) -> int:
        return len(self.source)

    def _copy(self) -> Self:
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new

    def read(self) -> Self:
        """Return a copy whose pictures are read."""
        new = self._copy()
        if type(new.source) is LazyRows:
            new.source = new.source.read()
        return new

    @property
    def stored_dtypes(self) -> set[np.dtype[Any]]:
        """The dtypes that the pictures have before scaling."""
        return {dtype for _, dtype in self.kinds}

    @property
    def kinds(self) -> set[tuple[int, np.dtype[Any]]]:
        """The numbers of channels (0 for none) and dtypes that the pictures have before scaling."""
        source = self.source
        if isinstance(source, list):
            return {(picture.shape[2] if picture.ndim == 3 else 0, picture.dtype) for picture in source}
        if isinstance(source, np.ndarray) or type(source) is LazyRows:
            return {(source.shape[3] if len(source.shape) == 4 else 0, source.dtype)}
        found: set[tuple[int, np.dtype[Any]]] = source.kinds
        return found

    @property
    def is_scaled(self) -> bool:
        """Whether the result is scaled: more geometry would then mix up the units of fill values."""
        return self.dtype is not None

    @property
    def weight(self) -> int:
        """How many numbers the results hold; one channel is counted for pictures in files."""
        shape: tuple[int, ...] = getattr(self.source, "shape", ())
        channels = shape[-1] if len(shape) == 4 else 1
        if isinstance(self.sizes, tuple):
            return len(self) * self.sizes[0] * self.sizes[1] * channels
        return int(self.sizes.prod(axis=1).sum()) * channels
