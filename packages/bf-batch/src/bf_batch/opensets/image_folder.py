"""ImageFolder: your own photos, one folder a class."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.batch import Batch
from bf_batch.dataset import Dataset
from bf_batch.images import ImagesBatch
from bf_batch.opensets.base import Openset
from bf_index import FilesIndex, split_positions
from bf_index.errors import escape

_SHOWN = 5
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")

PARTS = {
    "train": "train", "test": "test", "val": "validation", "valid": "validation", "validation": "validation",
}  # fmt: skip
"""Folders that are parts of a data set and not classes, and what the parts are called here."""


@dataclass(frozen=True, slots=True)
class ClassFolders:
    """Pictures found in folders named after their classes."""

    index: FilesIndex
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    parts: Mapping[str, NDArray[np.int64]]


def find_classes(path: str | os.PathLike[str], parts: Mapping[str, str]) -> ClassFolders:
    """Return the pictures below ``path/class`` or, when every folder there is a part, ``path/part/class``."""
    root = os.fspath(path)
    if not os.path.isdir(root):
        raise FileNotFoundError(f"no folder {root!r} (working folder {os.getcwd()!r})")
    index = FilesIndex(f"{root}/**/*", relative=True)
    if not any(name.lower().endswith(ENDINGS) for name in index):
        raise FileNotFoundError(f"no pictures below {root!r}; known endings: {', '.join(ENDINGS)}")
    index = index.filter(_is_photo)
    folders = [name.split("/")[:-1] for name in index]
    depth = 1 if {folder[0] for folder in folders if folder} <= set(parts) else 0
    names = []
    for name, folder in zip(index, folders):
        if len(folder) <= depth:
            raise ValueError(f"{root!r}: the picture {name!r} is in no folder of a class")
        names.append(folder[depth])
    classes, labels = _number_classes(root, sorted(parts) if depth else [""], names)
    found: dict[str, NDArray[np.int64]] = {}
    if depth:
        tops = np.array([parts[folder[0]] for folder in folders])
        found = {part: np.flatnonzero(tops == part) for part in dict.fromkeys(tops.tolist())}
    return ClassFolders(index, labels, classes, found)


def _number_classes(
    root: str, parts: list[str], names: list[str]
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the classes, and the number of that of each picture: its place among all folders, sorted.

    A folder without pictures keeps its number, for other parts and runs may have pictures of it, and a
    warning names it; one whose name begins with a dot or two underscores is no class.
    """
    seen, classes = set(names), set(names)
    for part in parts:
        with suppress(FileNotFoundError), os.scandir(os.path.join(root, part)) as entries:
            classes |= {e.name for e in entries if e.is_dir() and not e.name.startswith((".", "__"))}
    if empty := sorted(classes - seen):
        warnings.warn(
            f"{escape(root)}: {len(empty)} folders of classes have no pictures, such as "
            f"{', '.join(map(repr, empty[:_SHOWN]))}; they keep their numbers. "
            f"Known endings: {', '.join(ENDINGS)}",
            stacklevel=4,
        )
    ordered = tuple(sorted(classes))
    numbers = {name: number for number, name in enumerate(ordered)}
    return ordered, np.array([numbers[name] for name in names], np.int64)


class ImageFolder(Openset):
    """Photos below ``path/class/`` or ``path/train/class/``, ``path/test/class/`` and so on.

    Parameters
    ----------
    path : the folder
    shares : of train, test and validation when the folders themselves are no parts; None for no parts.
        Each part gets the classes in the same proportions
    seed : fixes which photos go to which part

    Batches have labels (int64 numbers of ``classes``, which are sorted) and read their photos with
    ``batch.load()``; ids are paths relative to the folder.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        shares: Any = None,
        seed: int = 0,
        batch_class: type[Batch] | None = None,
    ) -> None:
        found = find_classes(path, PARTS)
        parts: dict[str, Any] = dict(found.parts)
        if shares is not None:
            if parts:
                raise ValueError(
                    f"ImageFolder: {escape(path)} has the parts {', '.join(map(escape, parts))}; "
                    "leave out shares"
                )
            split = split_positions(len(found.labels), shares, True, seed, found.labels)
            named = zip(("train", "test", "validation"), split)
            parts = {name: positions for name, positions in named if positions is not None}
        super().__init__(found.index, parts, found.classes, {"labels": found.labels}, batch_class)

    @classmethod
    def unlabelled(
        cls, path: str | os.PathLike[str], batch_class: type[Batch] | None = None, **labelling: Any
    ) -> Dataset:
        """Return the photos of a folder, however deep, of a pattern or of one file, without labels and parts.

        The arguments are those of the class; what says how photos are labelled and shared out is not used.
        """
        root = os.fspath(path)
        is_folder = os.path.isdir(root)
        index = FilesIndex(f"{root}/**/*", relative=True) if is_folder else FilesIndex(root)
        if not any(map(_is_photo, index)):
            raise FileNotFoundError(f"no pictures below {root!r}; known endings: {', '.join(ENDINGS)}")
        index = index.filter(_is_photo)
        return Dataset(index, ImagesBatch if batch_class is None else batch_class)


def _is_photo(name: str) -> bool:
    return name.lower().endswith(ENDINGS)
