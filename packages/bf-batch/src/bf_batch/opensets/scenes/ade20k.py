"""ADE20K (Zhou et al. 2017): scenes in which each pixel is of one of 150 classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bf_batch.batch import Batch
from bf_batch.opensets.download import Patience, RemoteFile, cache_folder
from bf_batch.opensets.own.mask_labels import MOST, MaskLabels
from bf_batch.opensets.scenes.photo_masks import Classes, PhotoMasks
from bf_batch.opensets.unpacked import fetch_unpacked, find_inside, open_given
from bf_index.errors import escape

_PARTS = {"train": "training", "test": "validation"}


class ADE20K(PhotoMasks):
    """Scenes with the class of each pixel, 20,210 to train on and 2,000 to test: the 150 of the challenge.

    Numbers in the files are 1 to 150 (0 takes no part), in batches 0 to 149 (255). Downloaded once (967 MB),
    or ``path`` is the archive, or the folder that it was unpacked to.
    """

    file = RemoteFile(
        "ADEChallengeData2016.zip",
        "7ff1be44964418441f542a7cc1e1a650e7dc0fc275f5d23252bc9bbdbc977b29",
        ("https://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",),
    )

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        folder: str | os.PathLike[str] | None = None,
        classes: Classes | None = None,
        palette: Sequence[Any] | None = None,
        batch_class: type[Batch] | None = None,
        patience: Patience = Patience(),  # noqa: B008 (frozen)
    ) -> None:
        place = cache_folder(folder) / "ade20k"
        root = (
            fetch_unpacked(self.file, place, patience) if path is None else open_given(path, place, "ADE20K")
        )
        root = find_inside(root, "ADEChallengeData2016", "objectInfo150.txt", "ADE20K")
        names = _read_names(root / "objectInfo150.txt")
        parts = {}
        for part, inside in _PARTS.items():
            folders = root / "images" / inside, root / "annotations" / inside
            parts[part] = (folders, _list_stems(folders[0]))
        labels = MaskLabels(tuple(names), tuple(range(1, len(names) + 1)), 0)
        super().__init__(parts, labels, palette, batch_class, classes)


def _read_names(path: Path) -> list[str]:
    """Return the names of the classes, of which the table says several each; two alike get their numbers."""
    names: list[str] = []
    for number, line in enumerate(path.read_text().splitlines()):
        fields = [field.strip() for field in line.split("\t") if field.strip()]
        if number == 0 or not fields:
            continue
        if len(fields) < 5 or fields[0] != str(len(names) + 1):
            raise ValueError(
                f"{escape(path)}, line {number + 1}: expected the class {len(names) + 1}, its shares and its "
                f"name, got {line[:80]!r}"
            )
        name = fields[-1].partition(",")[0]
        names.append(f"{name} {fields[0]}" if name in names else name)
    if not 2 <= len(names) <= MOST:
        raise ValueError(f"{escape(path)} has {len(names)} classes")
    return names


def _list_stems(folder: Path) -> list[str]:
    names = sorted(name.removesuffix(".jpg") for name in os.listdir(folder) if name.endswith(".jpg"))
    if not names:
        raise ValueError(f"ADE20K: {escape(folder)} has no photos")
    return names
