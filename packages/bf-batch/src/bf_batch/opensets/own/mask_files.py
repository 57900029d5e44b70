"""Mask files: read as they are stored, and looked at before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.data import jpeg
from bf_batch.images.files.pictures import DecodeOptions, open_picture
from bf_batch.images.runtime import spread
from bf_batch.opensets.own.mask_labels import has_colours, pack, show_colour
from bf_index import FilesIndex
from bf_index.errors import escape

_STORED, _COLOURS = DecodeOptions(None, exif=False), DecodeOptions("rgb", exif=False)
_SHOWN = 3


def read_mask(index: FilesIndex, name: str, colours: bool) -> NDArray[Any]:
    """Return what the mask of an item holds: numbers (height, width), or colours (height, width, 3).

    ValueError for a file that is no picture, and for JPEG, which changes numbers when it is written.
    """
    with index.open(name) as file:
        data = file.read()
    if jpeg.is_jpeg(data):
        raise ValueError("it is a JPEG file, which does not keep the numbers of a mask; save masks as PNG")
    picture, _ = open_picture(data, _COLOURS if colours else _STORED, index.fullpath(name))
    assert isinstance(picture, np.ndarray), "only JPEG files stay encoded"
    return picture


@dataclass(frozen=True, slots=True)
class Scan:
    """What masks have: pixels by number or colour for each item, sizes, a palette where a file has one."""

    found: tuple[Mapping[int, int], ...]
    sizes: NDArray[np.int64]
    colours: bool
    palette: tuple[str, ...] | None

    def sum(self) -> dict[int, int]:
        """Return the pixels of all masks by number or colour."""
        total: dict[int, int] = {}
        for counts in self.found:
            for value, count in counts.items():
                total[value] = total.get(value, 0) + count
        return dict(sorted(total.items()))


def scan_masks(index: FilesIndex, colours: bool | None, owner: str) -> Scan:
    """Read all masks and count their numbers or colours; ``colours`` None: whichever they have.

    ValueError names the files that can't be read.
    """
    names = index.indices.tolist()
    found: list[Mapping[int, int]] = [{}] * len(names)
    sizes = np.zeros((len(names), 2), np.int64)
    coloured = np.zeros(len(names), bool)
    reasons: dict[int, str] = {}

    def look(rows: slice) -> None:
        for row in range(rows.start, rows.stop):
            try:
                stored = read_mask(index, names[row], bool(colours))
                sizes[row] = stored.shape[:2]
                coloured[row] = has_colours(stored)
                if coloured[row] and colours is None:
                    return  # all are read again, as colours
                found[row] = _count(pack(stored, bool(colours)))
            except (OSError, ValueError) as error:
                reasons[row] = escape(error).partition("\n")[0]

    spread(len(names), look)
    if reasons:
        bad = sorted(reasons)
        shown = "; ".join(f"{escape(index.fullpath(names[row]))}: {reasons[row]}" for row in bad[:_SHOWN])
        more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise ValueError(f"{owner}: {len(bad)} of {len(names)} masks can't be read: {shown}{more}")
    if coloured.any() and colours is None:
        return scan_masks(index, True, owner)
    return Scan(tuple(found), sizes, bool(colours), None if colours else read_palette(index, names[0]))


def _count(packed: NDArray[Any]) -> dict[int, int]:
    """Count the pixels of each number, run by run: masks are areas of one number."""
    flat = packed.reshape(-1)
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=flat.size)
    values, places = np.unique(flat[starts], return_inverse=True)
    counts = np.bincount(places.reshape(-1), weights=lengths).astype(np.int64)
    return dict(zip(values.tolist(), counts.tolist()))


def read_palette(index: FilesIndex, name: str) -> tuple[str, ...] | None:
    """Return the colours of the palette that a mask file has, by number; None without one."""
    from PIL import Image

    with index.open(name) as file, Image.open(file) as picture:
        if picture.mode != "P":
            return None
        levels = picture.getpalette("RGB") or []
    packed = np.array(levels, np.int64).reshape(-1, 3) @ np.array([1 << 16, 1 << 8, 1])
    return tuple(show_colour(value) for value in packed.tolist())


def check_sizes(pictures: NDArray[np.int64], masks: NDArray[np.int64], index: FilesIndex, owner: str) -> None:
    """Raise ValueError for masks of another size than their pictures; sizes are (n, 2) of height, width."""
    differ = np.flatnonzero((pictures != masks).any(axis=1))
    if not len(differ):
        return
    names = index.indices
    shown = "; ".join(
        f"{escape(index.fullpath(str(names[row])))} is {masks[row, 0]} x {masks[row, 1]}, its picture "
        f"{pictures[row, 0]} x {pictures[row, 1]}"
        for row in differ[:_SHOWN].tolist()
    )
    more = f"; and {len(differ) - _SHOWN} more" if len(differ) > _SHOWN else ""
    raise ValueError(
        f"{owner}: {len(differ)} of {len(names)} masks have another size (height x width): {shown}{more}; "
        "resize these masks (nearest), or leave the pairs out"
    )
