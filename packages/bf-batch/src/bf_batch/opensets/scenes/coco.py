"""COCO 2017 (Lin et al. 2014): everyday scenes, outlines of things of 80 kinds as the class of each pixel."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bf_batch.batch import Batch
from bf_batch.opensets.download import Patience, RemoteFile, cache_folder
from bf_batch.opensets.own.mask_labels import MaskLabels
from bf_batch.opensets.scenes.coco_masks import IGNORED, read_annotations, write_masks
from bf_batch.opensets.scenes.photo_masks import Classes, PhotoMasks
from bf_batch.opensets.unpacked import fetch_unpacked, find_inside, make_folder, open_given
from bf_index.errors import escape
from bf_index.sizes import read_json

_SOURCES = ("https://s3.amazonaws.com/images.cocodataset.org", "https://images.cocodataset.org")
_PARTS = {"train": "train2017", "test": "val2017"}
_NOTES = "annotations"
_LIST = "list.json"
"""In a folder of masks: the photos in order, so that the annotations are read once."""


def _make_file(place: str, name: str, sha256: str) -> RemoteFile:
    return RemoteFile(name, sha256, tuple(f"{source}/{place}/{name}" for source in _SOURCES))


class COCOSegmentation(PhotoMasks):
    """Scenes with the class of each pixel, 118,287 to train on and 5,000 to test: 80 kinds and background.

    Masks are drawn once, as PNG files in ``folder``: a smaller thing lies above a larger one, crowds take no
    part (255). Downloaded once: 816 MB and the outlines, 253 MB; with ``train`` 19.3 GB more, and drawing
    takes minutes and 4 GB of memory. ``path`` is a folder with train2017, val2017 and annotations, or their
    archives.
    """

    files: Mapping[str, RemoteFile] = MappingProxyType(
        {
            "train2017": _make_file(
                "zips", "train2017.zip", "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929"
            ),
            "val2017": _make_file(
                "zips", "val2017.zip", "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05"
            ),
            _NOTES: _make_file(
                _NOTES,
                "annotations_trainval2017.zip",
                "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
            ),
        }
    )

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        folder: str | os.PathLike[str] | None = None,
        train: bool = True,
        classes: Classes | None = None,
        palette: Sequence[Any] | None = None,
        batch_class: type[Batch] | None = None,
        patience: Patience = Patience(),  # noqa: B008 (frozen)
    ) -> None:
        place = cache_folder(folder) / "coco"
        wanted = {part: inside for part, inside in _PARTS.items() if train or part != "train"}

        def find(inside: str, has: str) -> Path:
            if path is None:
                root = fetch_unpacked(self.files[inside], place, patience)
            else:
                root = _look_for(Path(path).expanduser(), inside, self.files[inside].name, place)
            return find_inside(root, inside, has, "COCOSegmentation")

        names: list[str] = []
        parts = {}
        for part, inside in wanted.items():
            notes = find(_NOTES, f"instances_{inside}.json") / f"instances_{inside}.json"
            masks, photos, names = _draw(notes, place, inside)
            parts[part] = ((find(inside, f"{photos[0]}.jpg"), masks), photos)
        labels = MaskLabels(("background", *names), tuple(range(len(names) + 1)), IGNORED)
        super().__init__(parts, labels, palette, batch_class, classes)


def _look_for(given: Path, inside: str, archive: str, place: Path) -> Path:
    """Return the folder that is given, or what is in the archive that it has in place of a folder inside."""
    if not given.is_dir():
        raise FileNotFoundError(
            f"COCOSegmentation: path={escape(given)} is no folder; it has train2017, val2017 and "
            "annotations, or their archives"
        )
    if (given / inside).is_dir() or not (given / archive).is_file():
        return given
    return open_given(given / archive, place, "COCOSegmentation")


def _draw(notes: Path, place: Path, inside: str) -> tuple[Path, list[str], list[str]]:
    """Return the folder of masks of an annotation file, drawn unless it is there, names and classes."""
    known = notes.stat()

    def fill(folder: Path) -> None:
        told = read_annotations(notes)
        write_masks(told, folder)
        text = json.dumps({"photos": list(told.sizes), "classes": list(told.classes.values())})
        (folder / _LIST).write_text(text)

    target = place / f"masks-{inside}-{known.st_size:x}-{known.st_mtime_ns:x}"
    listed = read_json(make_folder(target, fill) / _LIST)
    return target, listed["photos"], listed["classes"]
