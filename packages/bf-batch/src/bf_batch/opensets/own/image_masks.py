"""ImageMasks: pictures, and a mask for each that says the class of every pixel."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bf_batch.batch import Batch
from bf_batch.opensets.base import Openset
from bf_batch.opensets.own.columns import take_column, take_paths
from bf_batch.opensets.own.mask_files import Scan, check_sizes, read_palette, scan_masks
from bf_batch.opensets.own.mask_labels import (
    AUTO,
    MaskLabels,
    Others,
    choose_palette,
    name_classes,
    read_value,
    show_colour,
)
from bf_batch.opensets.own.masks_batch import MasksBatch
from bf_batch.opensets.own.pairs import Pairs, Unmatched, find_pairs, locate_files
from bf_batch.opensets.own.parts import make_parts, name_parts
from bf_batch.opensets.own.pictures import PictureSet, Unreadable, look_at, pick_parts
from bf_batch.opensets.own.table import read_table
from bf_index import FilesIndex
from bf_index.errors import escape

_OWNER = "ImageMasks"


class ImageMasks(PictureSet, Openset):
    """Pictures in files, and a mask for each: a PNG of numbers, of a palette, or of colours.

    Parameters
    ----------
    path : the folder of pictures, or a pattern such as ``data/*/images/*.jpg``; where a table is given the
        folder that its paths begin in, by default that of the table
    masks : the folder of masks or a pattern; names are those of pictures up to the ending, or what the stars
        of two patterns match is equal
    table : in place of masks, a csv or parquet file of pairs, in the columns ``file`` and ``mask`` (by
        default the first two), and ``part``, which says what a pair is for: train, test, validation
    classes : None for all numbers or colours that masks have, how many classes there are, a list of names, or
        a mapping of names to numbers or colours ('#804080' or [128, 64, 128])
    ignore : what stands for pixels that take no part; 'auto' is 255, unless masks have only 0 and 255
    others : 'raise' names a mask with a number that is no class, 'ignore' has such pixels take no part
    palette : colours of the classes in predicted masks, by default those of the masks
    shares : of train, test and validation, where folders called train, test and val above all pictures, or
        the column, don't say the parts; 'auto' is 0.8 to train on
    seed : fixes which pairs go to which part
    unmatched : 'raise' names pictures without masks and masks without pictures, 'leave_out' leaves them out
    unreadable : 'raise' names files that are no pictures, 'leave_out' leaves them out
    scan : read all masks at once, to find the classes and to name what is wrong; without it ``classes`` is
        needed, and only the heads of masks are read
    strict : refuse a class that some part has and none of the pictures to train on

    Batches read their files by ``load()`` and ``load_masks()``. ``mask_labels`` says what is in the files,
    ``sizes`` has (height, width), ``pixels`` (n, classes) how many each picture has of each class.
    """

    batches: ClassVar[type[Batch]] = MasksBatch
    mask_labels: MaskLabels
    mask_files: FilesIndex

    def __init__(  # noqa: PLR0913 (the settings of one section)
        self,
        path: str | os.PathLike[str] | None = None,
        masks: str | os.PathLike[str] | None = None,
        *,
        table: str | os.PathLike[str] | None = None,
        file: str | None = None,
        mask: str | None = None,
        part: str | None = None,
        classes: Any = None,
        ignore: Any = AUTO,
        others: Others = "raise",
        palette: Any = None,
        shares: Any = AUTO,
        seed: int = 0,
        unmatched: Unmatched = "raise",
        unreadable: Unreadable = "raise",
        scan: bool = True,
        strict: bool = False,
        batch_class: type[Batch] | None = None,
    ) -> None:
        where = _OWNER if masks is None else f"{_OWNER}: {escape(masks)}"
        if table is not None:
            if masks is not None:
                raise ValueError(f"{_OWNER}: masks and table both say where masks are; give one of them")
            where = escape(table)
            pairs = _read_pairs(table, path, (file, mask, part))
        elif path is None or masks is None:
            raise ValueError(
                f"{_OWNER}: where are pictures and masks? path=FOLDER masks=FOLDER, or table=FILE.csv"
            )
        else:
            pairs = find_pairs(os.fspath(path), os.fspath(masks), unmatched, _OWNER)
        pictures, files = FilesIndex.from_paths(pairs.pictures), FilesIndex.from_paths(pairs.masks)
        seen = look_at(pictures, unreadable, _OWNER)
        kept = seen.positions
        if unreadable == "leave_out":
            kept = np.intersect1d(kept, look_at(files, unreadable, f"{_OWNER}: masks").positions)
        sizes = seen.sizes[np.searchsorted(seen.positions, kept)]
        pictures, files = pictures.subset(kept), files.subset(kept)
        found, labels = _look(files, classes, ignore, others, scan, where)
        own_sizes = look_at(files, "raise", where).sizes if found is None else found.sizes
        check_sizes(sizes, own_sizes, files, where)
        pixels = None if found is None else _count_classes(found, labels, files, where)
        told = pick_parts(pairs.parts, kept, len(pairs.pictures))
        parts = make_parts(len(kept), None, told, shares, seed, where)
        if strict and pixels is not None:
            _refuse_untrained(pixels, parts, labels, where)
        super().__init__(
            pictures,
            parts,
            labels.names,
            batch_class=batch_class or MasksBatch,
            mask_labels=labels,
            mask_files=files,
            palette=_settle_palette(palette, labels, found, files),
            pixels=pixels,
            sizes=sizes,
            channels=seen.channels,
        )


def _read_pairs(
    table: str | os.PathLike[str], path: str | os.PathLike[str] | None, columns: tuple[str | None, ...]
) -> Pairs:
    """Return the pairs of a table of paths."""
    where, rows = escape(table), read_table(table)
    known = list(map(str, rows.columns))
    if len(known) < 2:
        raise ValueError(f"{where}: columns of pictures and masks are needed, got {', '.join(known)}")
    root = os.path.dirname(os.fspath(table)) if path is None else os.fspath(path)
    listed = [
        take_paths(rows, default if name is None else name, where)
        for name, default in zip(columns[:2], known)
    ]
    if len(set(listed[0])) != len(listed[0]):
        twice = Counter(listed[0]).most_common(1)[0][0]
        raise ValueError(f"{where}: the picture {twice!r} is there twice; keep one row for each")
    advice = "path=FOLDER says where paths begin, and file=NAME mask=NAME which columns have them"
    pictures, masks = (locate_files(root, names, where, advice) for names in listed)
    part = columns[2]
    given = {} if part is None else name_parts(take_column(rows, part, where), f"{where}, column {part}")
    return Pairs(pictures, dict(zip(listed[0], (masks[name] for name in listed[1]))), given)


def _look(
    files: FilesIndex, classes: Any, ignore: Any, others: Others, scan: bool, where: str
) -> tuple[Scan | None, MaskLabels]:
    """Return what masks have, if they are looked at, and what it means."""
    if not scan:
        return None, name_classes(classes, ignore, others, None, False, where)
    values = list(classes.values()) if hasattr(classes, "values") else []
    colours = any(read_value(value, where)[1] for value in values) if values else None
    found = scan_masks(files, colours, where)
    return found, name_classes(classes, ignore, others, found.sum(), found.colours, where)


def _count_classes(found: Scan, labels: MaskLabels, files: FilesIndex, where: str) -> NDArray[np.int64]:
    """Return pixels (n, classes) of each class; ValueError names a mask with what is no class."""
    numbers = {value: number for number, value in enumerate(labels.values)}
    pixels = np.zeros((len(found.found), len(numbers)), np.int64)
    strange: list[str] = []
    for row, counts in enumerate(found.found):
        for value, count in counts.items():
            if value in numbers:
                pixels[row, numbers[value]] = count
            elif value != labels.ignored and labels.others == "raise":
                path = files.fullpath(str(files.indices[row]))
                strange.append(f"{escape(path)} has {labels.show(value)} ({count} pixels)")
    if strange:
        more = f", and {len(strange) - 1} more" if len(strange) > 1 else ""
        raise ValueError(
            f"{where}: {strange[0]}{more}, which is no class; {labels.describe()}. Say what it is by "
            "classes, or leave such pixels out: ignore=VALUE, or others=ignore for all"
        )
    return pixels


def _refuse_untrained(pixels: NDArray[np.int64], parts: Any, labels: MaskLabels, where: str) -> None:
    trained = pixels[parts["train"]].sum(axis=0)
    lacking = np.flatnonzero((trained == 0) & (pixels.sum(axis=0) > 0)).tolist()
    if lacking:
        names = ", ".join(repr(labels.names[number]) for number in lacking)
        raise ValueError(
            f"{where}: no picture to train on has pixels of {names}; give a larger share "
            "to train on or another seed, or allow it with strict=false"
        )


def _settle_palette(palette: Any, labels: MaskLabels, found: Scan | None, files: FilesIndex) -> list[str]:
    """Return the colour of each class: as said, else as in the masks, else colours of our own."""
    if palette is not None:
        told = list(palette.values()) if hasattr(palette, "values") else list(palette)
        read = [read_value(value, f"{_OWNER}: palette") for value in told]
        if len(read) != len(labels.names) or not all(kind for _, kind in read):
            raise ValueError(
                f"{_OWNER}: palette: a colour as '#804080' for each of the {len(labels.names)} classes, got "
                f"{told!r}"
            )
        return [show_colour(value) for value, _ in read]
    if labels.colours:
        return [show_colour(value) for value in labels.values]
    own = read_palette(files, str(files.indices[0])) if found is None else found.palette
    if own is not None and max(labels.values) < len(own):
        colours = [own[value] for value in labels.values]
        if len(set(colours)) == len(colours):
            return colours
    return choose_palette(len(labels.names))
