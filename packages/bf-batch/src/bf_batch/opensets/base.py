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
from bf_index.errors import unknown


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
    """An open data set in memory, images and labels; the first ``trained`` are to train on.

    ``only`` names the classes that are taken, in the order of their new numbers; ``per_class`` is how many
    items of each there are to train on, the first ones. The test has all items of these classes.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        trained: int,
        classes: Sequence[str],
        batch_class: type[Batch] | None = None,
        only: Sequence[str | int] | None = None,
        per_class: int | None = None,
    ) -> None:
        owner = type(self).__name__
        if only is not None:
            images, labels, trained, classes = _take_classes(images, labels, trained, classes, only, owner)
        if per_class is not None:
            chosen = _take_first(labels[:trained], classes, per_class, owner)
            kept = np.concatenate([chosen, np.arange(trained, len(labels))])
            images, labels, trained = images[kept], labels[kept], len(chosen)
        parts = {"train": slice(0, trained), "test": slice(trained, len(labels))}
        super().__init__(len(labels), parts, classes, {"images": images, "labels": labels}, batch_class)


def _take_classes(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    trained: int,
    classes: Sequence[str],
    only: Sequence[str | int],
    owner: str,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], int, list[str]]:
    """Return the items of some classes, labels by their order, how many are to train on, and the names."""
    names = [str(name) for name in only]
    for name in names:
        if name not in classes:
            raise ValueError(unknown("class", name, classes, f"{owner}: only"))
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"{owner}: only must name different classes, at least one, got {list(only)!r}")
    numbers = np.full(len(classes), -1, np.int64)
    numbers[[list(classes).index(name) for name in names]] = np.arange(len(names))
    found = numbers[labels]
    kept = np.flatnonzero(found >= 0)
    return images[kept], found[kept], int((kept < trained).sum()), names


def _take_first(
    labels: NDArray[np.int64], classes: Sequence[str], per_class: int, owner: str
) -> NDArray[np.int64]:
    """Return the positions of the first items of each class, in order."""
    if isinstance(per_class, bool) or not isinstance(per_class, int) or per_class < 1:
        raise ValueError(f"{owner}: per_class must be a whole number of at least 1, got {per_class!r}")
    counts = np.bincount(labels, minlength=len(classes))
    if counts.min() < per_class:
        name = classes[int(counts.argmin())]
        raise ValueError(
            f"{owner}: per_class={per_class}, and of class {name!r} there are {counts.min()} to train on"
        )
    return np.sort(np.concatenate([np.flatnonzero(labels == n)[:per_class] for n in range(len(classes))]))
