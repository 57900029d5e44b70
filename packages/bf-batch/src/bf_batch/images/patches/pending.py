"""A component of patches that are not cut yet: pictures larger than memory are read patch by patch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bf_batch.components import assemble
from bf_batch.data.lazy_rows import LazyRows
from bf_batch.images.fills import Outside
from bf_batch.images.patches.grid import cut_out


class Cut(NamedTuple):
    """One patch: pictures, the number of the one that it is of, its frame, and where the patch lies."""

    source: Any
    item: int
    frame: tuple[int, int]
    corner: tuple[int, int]
    size: tuple[int, int]
    fill: Outside

    def read(self) -> NDArray[Any]:
        """Return the pixels: a view of a picture in memory where the patch lies inside."""
        return np.asarray(cut_out(self._read_part, self.frame, self.corner, self.size, self.fill))

    def _read_part(self, rows: slice, columns: slice) -> Any:
        if type(self.source) is LazyRows:
            return self.source.read_part(self.item, (rows, columns))
        return np.asarray(self.source[self.item])[rows, columns]


class Patches:
    """A pending component of patches; those of files are cut out of what is read of the file for them."""

    __slots__ = ("cuts",)
    stays_pending = True

    def __init__(self, cuts: list[Cut]) -> None:
        self.cuts = cuts

    def __len__(self) -> int:
        return len(self.cuts)

    def __getitem__(self, rows: Any) -> Any:
        return self.cuts[rows].read() if isinstance(rows, (int, np.integer)) else self.take(rows)

    def take(self, rows: Any) -> Patches:
        """Return the patches at some rows."""
        return Patches(self.cuts[rows] if isinstance(rows, slice) else [self.cuts[row] for row in rows])

    @staticmethod
    def join(values: Sequence[Patches]) -> Patches:
        """Return the patches of several batches one after another."""
        return values[0] if len(values) == 1 else Patches([cut for value in values for cut in value.cuts])

    @property
    def weight(self) -> int:
        """How many pixels there are."""
        return sum(cut.size[0] * cut.size[1] for cut in self.cuts)

    def resolve(self) -> Any:
        """Cut the patches: an array when all have one shape and dtype, else a list of arrays."""
        found = [cut.read() for cut in self.cuts]
        same = len({(one.shape, one.dtype) for one in found}) == 1
        return assemble(found) if same else found

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how patches travel to other processes: of files as where they lie, others as pixels."""
        if all(type(cut.source) is LazyRows and not cut.source.in_memory for cut in self.cuts):
            return Patches, (self.cuts,)
        return _as_is, (self.resolve(),)


def _as_is(value: Any) -> Any:
    return value
