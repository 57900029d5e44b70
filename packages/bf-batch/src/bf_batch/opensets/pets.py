"""Oxford-IIIT Pets: photos of 37 breeds with masks of the animal."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from bf_batch.batch import Batch
from bf_batch.opensets.archives import unpack
from bf_batch.opensets.base import Openset
from bf_batch.opensets.download import Patience, RemoteFile, cache_folder, fetch
from bf_batch.opensets.own.pictures import PictureSet
from bf_index import FilesIndex
from bf_index.errors import escape

_SOURCES = ("https://thor.robots.ox.ac.uk/datasets/pets", "https://www.robots.ox.ac.uk/~vgg/data/pets/data")
"""The same two archives at both."""


class Pets(PictureSet, Openset):
    """Photos of cats and dogs, 3,680 to train on and 3,669 to test, with the breed and a mask of each.

    ``batch.load()`` reads the photos and ``batch.load(dataset.masks, dst='masks')`` the masks: 1 is the
    animal, 2 the background, 3 the border between them. Downloaded once (811 MB).
    """

    images = RemoteFile(
        "images.tar.gz",
        "67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
        tuple(f"{source}/images.tar.gz" for source in _SOURCES),
    )
    annotations = RemoteFile(
        "annotations.tar.gz",
        "52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
        tuple(f"{source}/annotations.tar.gz" for source in _SOURCES),
    )
    masks: FilesIndex
    """The files of the masks, under the ids of the photos."""

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        batch_class: type[Batch] | None = None,
        patience: Patience = Patience(),  # noqa: B008 (frozen)
    ) -> None:
        place = cache_folder(folder) / "pets"
        photos, notes = (self._unpacked(file, place, patience) for file in (self.images, self.annotations))
        train = _read_list(notes / "annotations" / "trainval.txt")
        test = _read_list(notes / "annotations" / "test.txt")
        names = [name for name, _ in train + test]
        labels = np.array([number for _, number in train + test], np.int64) - 1
        index = FilesIndex.from_paths({name: photos / "images" / f"{name}.jpg" for name in names})
        self.masks = FilesIndex.from_paths(
            {name: notes / "annotations" / "trimaps" / f"{name}.png" for name in names}
        )
        super().__init__(
            index,
            {"train": slice(0, len(train)), "test": slice(len(train), len(names))},
            _name_breeds(names, labels.tolist()),
            {"labels": labels},
            batch_class,
        )

    @staticmethod
    def _unpacked(file: RemoteFile, place: Path, patience: Patience) -> Path:
        target = place / f"{file.name.partition('.')[0]}-{file.sha256[:12]}"
        return target if target.is_dir() else unpack(fetch(file, place, patience), target)


def _read_list(path: Path) -> list[tuple[str, int]]:
    """Return name and number of the breed (from 1) of each line of a list of photos."""
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        fields = line.split()
        if len(fields) < 2 or not fields[1].isdigit() or os.path.basename(fields[0]) != fields[0]:
            raise ValueError(
                f"{escape(path)}, line {number}: expected a name and the number of a breed, got {line!r}"
            )
        found.append((fields[0], int(fields[1])))
    return found


def _name_breeds(names: list[str], labels: list[int]) -> list[str]:
    """Return the breeds in the order of their numbers: a photo is named after its breed."""
    by_number = {label: name.rpartition("_")[0].replace("_", " ") for name, label in zip(names, labels)}
    return [by_number.get(number, f"breed {number + 1}") for number in range(max(by_number) + 1)]
