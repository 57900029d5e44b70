"""What waits to be resampled: pictures, and for each the map from its result back to it."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bf_batch.data.lazy_rows import LazyRows
from bf_batch.images.arguments import Fill, Floats
from bf_batch.images.geometry.frames import Sizes


class PendingGeometry:
    """Pictures, and for each a matrix from the points of the result to those of the picture.

    ``source`` is an array (n, h, w) or (n, h, w, c) or rows of one that are still unread, a list of arrays
    (h, w) or (h, w, c), or an object like ``Files`` that decodes them. ``order`` is 0 (nearest), 1 (linear)
    or 3 (cubic), ``fill`` what lies outside: a value, 'edge' or 'reflect'. With a ``field`` a point goes
    through the matrix of ``pre``, is displaced, and goes through that of ``matrices``. ``gain`` and ``bias``
    scale the result to ``dtype``.
    """

    def __init__(self, source: Any, sizes: Sizes, order: int = 1, fill: Fill = 0.0) -> None:
        self.source = source
        self.sizes = sizes
        self.order = order
        self.fill = fill
        self.matrices: Floats | None = None
        self.pre: Floats | None = None
        self.field: list[NDArray[np.float32]] | None = None
        self.projective = False
        self.dtype: np.dtype[Any] | None = None
        self.gain: NDArray[np.float32] | None = None
        self.bias: NDArray[np.float32] | None = None
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
    def stored_dtype(self) -> np.dtype[Any]:
        """The dtype of the pictures before scaling."""
        source = self.source
        if isinstance(source, list):
            return source[0].dtype if source else np.dtype(np.float32)
        dtype: np.dtype[Any] = source.dtype
        return dtype

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
