"""What all open data sets share: parts that are fixed, names of the classes, images ready for a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.batch import Batch
from bf_batch.dataset import Dataset
from bf_batch.images import ImagesBatch
from bf_index import split_positions


def fix_order(labels: NDArray[Any], seed: int) -> tuple[NDArray[np.int64], int]:
    """Return an order of all items in which a stratified 80 % to train on come first, and their number."""
    parts = split_positions(len(labels), 0.8, shuffle=True, seed=seed, stratify=labels)
    train, test = np.asarray(parts.train), np.asarray(parts.test)
    return np.concatenate([train, test]), len(train)


class Openset(Dataset):
    """A data set with the parts ``train`` and ``test`` that its authors fixed.

    Images are uint8 of shape (height, width, channels), labels int64 numbers of ``classes``.
    """

    classes: tuple[str, ...]

    def __init__(
        self,
        index: Any,
        parts: Mapping[str, Any],
        classes: Sequence[str] | None,
        preloaded: Any = None,
        batch_class: type[Batch] | None = None,
        **attributes: Any,
    ) -> None:
        if batch_class is None:
            batch_class = ImagesBatch
        super().__init__(index, batch_class, preloaded, **attributes)
        if classes is not None:  # without them there is no attribute: numbers are told
            self.classes = tuple(classes)
        self._bf_parts = {name: self.subset(positions) for name, positions in parts.items()}

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.classes)


class ArrayOpenset(Openset):
    """An open data set in memory, images and labels; the first ``trained`` are to train on."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        trained: int,
        classes: Sequence[str],
        batch_class: type[Batch] | None = None,
    ) -> None:
        parts = {"train": slice(0, trained), "test": slice(trained, len(labels))}
        super().__init__(len(labels), parts, classes, {"images": images, "labels": labels}, batch_class)
