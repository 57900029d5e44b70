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
from bf_batch.opensets.base import Openset
from bf_batch.opensets.own.labels import refuse_lacking
from bf_batch.opensets.own.parts import make_parts
from bf_batch.opensets.own.pictures import (
    ENDINGS,
    PictureSet,
    Unreadable,
    find_pictures,
    look_at,
    pick_parts,
)
from bf_index import FilesIndex
from bf_index.errors import escape

_SHOWN = 5
_STRICT = "add photos, remove the folder, or allow it with strict=false"

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
    index = find_pictures(root)
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


class ImageFolder(PictureSet, Openset):
    """Photos below ``path/class/`` or ``path/train/class/``, ``path/test/class/`` and so on.

    Parameters
    ----------
    path : the folder
    shares : of train, test and validation when the folders themselves are no parts; None for no parts.
        Each part gets the classes in the same proportions. 'auto': the parts that the folders are, else
        0.8 to train on; folders of train and validation alone are train and test
    seed : fixes which photos go to which part
    unreadable : 'raise' names files that are no pictures, 'leave_out' leaves them out; None: they are not
        looked at. Looked at, they have ``sizes`` (height, width), and ``channels``, 1 if all are grey, else 3
    strict : refuse a class without photos, and one that has photos in one part and none in another

    Batches have labels (int64 numbers of ``classes``, which are sorted) and read their photos with
    ``batch.load()``; ids are paths relative to the folder.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        shares: Any = None,
        seed: int = 0,
        unreadable: Unreadable | None = None,
        strict: bool = False,
        batch_class: type[Batch] | None = None,
    ) -> None:
        with warnings.catch_warnings():
            if strict:  # they are refused below
                warnings.simplefilter("ignore")
            found = find_classes(path, PARTS)
        index, labels, parts = found.index, found.labels, dict(found.parts)
        seen: dict[str, Any] = {}
        if unreadable is not None:
            pictures = look_at(index, unreadable, "ImageFolder")
            parts = pick_parts(parts, pictures.positions, len(index))
            index, labels = index.subset(pictures.positions), labels[pictures.positions]
            seen = {"sizes": pictures.sizes, "channels": pictures.channels}
        where = os.fspath(path)
        if shares is not None:
            parts = make_parts(len(labels), labels, parts, shares, seed, f"ImageFolder: {where}")
        if strict:
            if len(found.classes) < 2:
                raise ValueError(
                    f"{escape(where)}: one folder, {found.classes[0]!r}, is one class; give the folder "
                    "above, with a folder for each class"
                )
            refuse_lacking(labels, found.classes, parts or {"it": slice(None)}, where, _STRICT)
        super().__init__(index, parts, found.classes, {"labels": labels}, batch_class, **seen)
