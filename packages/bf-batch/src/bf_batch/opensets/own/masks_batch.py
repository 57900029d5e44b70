"""Batches of pictures with masks: the class of each pixel."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from bf_batch.actions import action
from bf_batch.errors import ItemError, item_error
from bf_batch.images import ImagesBatch
from bf_batch.images.runtime import spread
from bf_batch.opensets.own.mask_files import read_mask
from bf_index.errors import escape


class MasksBatch(ImagesBatch):
    """Pictures, ``images``, and the class of each of their pixels, ``masks``: uint8, 255 takes no part."""

    @action
    def load_masks(self, dst: str = "masks") -> Self:
        """Read the mask of each item, by the files and the classes of its data set.

        Labels are uint8 (height, width), and 255 for pixels that take no part. A bad file, or a number that
        is no class, is an ItemError that names the file.
        """
        dataset: Any = self.dataset
        files, labels = getattr(dataset, "mask_files", None), getattr(dataset, "mask_labels", None)
        if files is None or labels is None:
            raise ValueError(
                f"{type(self).__name__}.load_masks: the data set has no masks; ImageMasks has, and so does a "
                "data set with the attributes mask_files and mask_labels"
            )
        names = self.indices.tolist()
        found: list[np.ndarray | None] = [None] * len(names)
        failed: list[Exception | None] = [None] * len(names)

        def work(rows: slice) -> None:
            for i in range(rows.start, rows.stop):
                try:
                    found[i] = labels.read(read_mask(files, names[i], labels.colours))
                except (OSError, ValueError) as error:
                    failed[i] = error

        spread(len(names), work)
        for i, error in enumerate(failed):
            if error is not None:
                raise _name_file(error, files.fullpath(names[i]), names[i], i)
        setattr(self, dst, found)
        return self


def _name_file(error: Exception, path: str, name: str, position: int) -> ItemError:
    told = error if isinstance(error, OSError) else ValueError(f"{escape(path)}: {error}")
    made = item_error(told, name, "MasksBatch.load_masks", position)
    made.__cause__ = error
    return made
