"""Photos with masks: what the sets for segmentation share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bf_batch.batch import Batch
from bf_batch.opensets.base import Openset
from bf_batch.opensets.own.mask_labels import MaskLabels, choose_palette, read_value, show_colour
from bf_batch.opensets.own.masks_batch import MasksBatch
from bf_batch.opensets.own.pairs import locate_files
from bf_batch.opensets.own.pictures import PictureSet
from bf_index import FilesIndex
from bf_index.errors import unknown

Classes = Sequence[str] | Mapping[str, int]
Folders = tuple[Path, Path]
"""A folder of photos, and one of their masks."""


class PhotoMasks(PictureSet, Openset):
    """Photos in files with a mask for each, read by ``batch.load().load_masks()``; 255 takes no part.

    ``mask_files`` are the files of the masks by the ids of the photos, ``mask_labels`` says what is in them,
    ``palette`` has a colour for each class.
    """

    batches = MasksBatch
    mask_labels: MaskLabels
    mask_files: FilesIndex
    palette: list[str]

    def __init__(
        self,
        parts: Mapping[str, tuple[Folders, Sequence[str]]],
        labels: MaskLabels,
        palette: Sequence[Any] | None,
        batch_class: type[Batch] | None,
        classes: Classes | None = None,
    ) -> None:
        """Take the folders and the names of each part; photos end in .jpg, masks in .png.

        ``palette`` has a colour for each class of ``classes``, if these are given, else of ``labels``.
        """
        owner = type(self).__name__
        labels = _pick_classes(classes, labels, owner)
        advice = "the data set is not whole; unpack or download it anew"
        photos: dict[str, str] = {}
        masks: dict[str, str] = {}
        places: dict[str, slice] = {}
        for part, ((ours, theirs), names) in parts.items():
            begin = len(photos)
            found = locate_files(str(ours), [f"{name}.jpg" for name in names], owner, advice)
            beside = locate_files(str(theirs), [f"{name}.png" for name in names], owner, advice)
            photos.update(zip(names, found.values()))
            masks.update(zip(names, beside.values()))
            places[part] = slice(begin, len(photos))
        if sum(len(names) for _, names in parts.values()) != len(photos):
            raise ValueError(f"{owner}: a photo is named twice")
        super().__init__(
            FilesIndex.from_paths(photos),
            {part: np.arange(place.start, place.stop) for part, place in places.items()},
            labels.names,
            batch_class=batch_class or MasksBatch,
            mask_files=FilesIndex.from_paths(masks),
            mask_labels=labels,
            palette=_read_palette(palette, labels, owner),
        )


def _pick_classes(classes: Classes | None, labels: MaskLabels, owner: str) -> MaskLabels:
    """Return some of the classes: their names, or names of one's own with the numbers that masks have.

    Pixels of the others take no part.
    """
    if classes is None:
        return labels
    numbers = dict(zip(labels.names, labels.values))
    if isinstance(classes, Mapping):
        picked = {str(name): value for name, value in classes.items()}
        if strange := [value for value in picked.values() if value not in labels.values]:
            raise ValueError(f"{owner}: classes: masks have no number {strange[0]!r}; {labels.describe()}")
    else:
        if isinstance(classes, str):
            raise ValueError(f"{owner}: classes are a list of names, got {classes!r}")
        for name in classes:
            if name not in numbers:
                raise ValueError(f"{owner}: {unknown('class', name, numbers)}")
        picked = {name: numbers[name] for name in classes}
    if len(picked) < 2 or len(set(picked.values())) < len(picked) or len(picked) < len(classes):
        raise ValueError(f"{owner}: classes: two or more that differ, got {classes!r}")
    whole = len(picked) == len(labels.names)
    return replace(
        labels,
        names=tuple(picked),
        values=tuple(picked.values()),
        others="raise" if whole else "ignore",
    )


def _read_palette(palette: Sequence[Any] | None, labels: MaskLabels, owner: str) -> list[str]:
    if palette is None:
        return choose_palette(len(labels.names))
    colours = [read_value(value, f"{owner}: palette") for value in palette]
    if len(colours) != len(labels.names) or not all(is_colour for _, is_colour in colours):
        raise ValueError(
            f"{owner}: palette: a colour as '#804080' for each of the {len(labels.names)} classes, got "
            f"{len(colours)}"
        )
    return [show_colour(value) for value, _ in colours]
