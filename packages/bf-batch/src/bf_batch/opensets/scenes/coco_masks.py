"""Masks of COCO: outlines and runs of an annotation file, drawn as the class of each pixel."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.images.runtime import spread
from bf_index.errors import escape
from bf_index.sizes import read_json

IGNORED = 255
_MOST_SIDE = 1 << 14


@dataclass(frozen=True, slots=True)
class Annotations:
    """What an annotation file says: photos with (height, width), objects of each, names of classes."""

    sizes: Mapping[str, tuple[int, int]]
    objects: Mapping[str, Sequence[Mapping[str, Any]]]
    classes: Mapping[int, str]


def read_annotations(path: Path) -> Annotations:
    """Read a file of instances; ValueError that names it for one of another make."""
    told = read_json(path)
    try:
        classes = {int(kind["id"]): str(kind["name"]) for kind in told["categories"]}
        names = {int(photo["id"]): _check_name(photo["file_name"]) for photo in told["images"]}
        sizes = {
            names[int(photo["id"])]: (int(photo["height"]), int(photo["width"])) for photo in told["images"]
        }
        objects: dict[str, list[Mapping[str, Any]]] = {name: [] for name in sizes}
        for entry in told["annotations"]:
            if int(entry["category_id"]) not in classes:
                raise ValueError(f"an object is of the class {entry['category_id']!r}, which is not there")
            objects[names[int(entry["image_id"])]].append(entry)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{escape(path)} is no file of COCO's instances: {escape(error)}") from error
    if not classes or len(classes) >= IGNORED or not sizes:
        raise ValueError(f"{escape(path)} has {len(classes)} classes and {len(sizes)} photos")
    return Annotations(sizes, objects, dict(sorted(classes.items())))


def _check_name(name: Any) -> str:
    stem, ending = os.path.splitext(str(name))
    if os.path.basename(stem) != stem or ending.lower() != ".jpg" or stem in ("", ".", ".."):
        raise ValueError(f"{name!r} is no plain name of a JPEG file")
    return stem


def write_masks(told: Annotations, folder: Path) -> None:
    """Write a PNG for each photo: 0 for the background, 1 on for the classes, 255 for crowds."""
    from PIL import Image

    names = list(told.sizes)
    numbers = {id: place for place, id in enumerate(told.classes, 1)}
    failed: dict[int, str] = {}

    def work(rows: slice) -> None:
        for row in range(rows.start, rows.stop):
            name = names[row]
            try:
                mask = draw_mask(told.sizes[name], told.objects[name], numbers)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                failed[row] = escape(error)
                return
            Image.fromarray(mask).save(folder / f"{name}.png")

    spread(len(names), work)
    for row in sorted(failed):
        raise ValueError(f"COCOSegmentation: the objects of {names[row]!r} can't be drawn: {failed[row]}")


def draw_mask(
    size: tuple[int, int], objects: Sequence[Mapping[str, Any]], numbers: Mapping[int, int]
) -> NDArray[np.uint8]:
    """Return the class of each pixel, uint8 of ``size``: smaller objects lie above larger ones.

    A pixel is of an object if its centre is within the outline; crowds take no part.
    """
    if not (0 < size[0] <= _MOST_SIDE and 0 < size[1] <= _MOST_SIDE):
        raise ValueError(f"a photo of {size[0]} x {size[1]} pixels")
    mask = np.zeros(size, np.uint8)
    crowds = [entry for entry in objects if entry.get("iscrowd")]
    things = sorted((entry for entry in objects if not entry.get("iscrowd")), key=_area, reverse=True)
    for entry in [*crowds, *things]:
        number = IGNORED if entry.get("iscrowd") else numbers[int(entry["category_id"])]
        outline = entry["segmentation"]
        if isinstance(outline, Mapping):
            mask[decode_runs(outline, size)] = number
            continue
        for polygon in outline:
            place, inside = fill_polygon(polygon, size)
            mask[place][inside] = number
    return mask


def _area(entry: Mapping[str, Any]) -> float:
    return float(entry["area"])


def decode_runs(told: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a mask of runs of no and yes, down one column after another; ValueError for another size."""
    counts = told["counts"]
    if tuple(told["size"]) != size or not isinstance(counts, list):
        raise ValueError(f"runs of the size {told['size']!r} for a photo of {size[0]} x {size[1]}")
    if any(type(count) is not int or count < 0 for count in counts) or sum(counts) != size[0] * size[1]:
        raise ValueError("runs that are not as long as the photo has pixels")
    flags = np.arange(len(counts)) % 2 == 1
    return np.repeat(flags, counts).reshape(size, order="F")


def fill_polygon(
    polygon: Sequence[float], size: tuple[int, int]
) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Return the part of a picture that a polygon x, y, x, y ... is in, and which centres are inside.

    Each row is crossed by edges; right of an odd number of crossings is inside (the even-odd rule).
    """
    points = np.array(polygon, np.float64)
    if points.ndim != 1 or len(points) % 2 or len(points) < 6 or not np.isfinite(points).all():
        raise ValueError(f"an outline of {len(polygon)} numbers, not of three points at least")
    x, y = points[0::2], points[1::2]
    top, bottom = (int(np.clip(math.floor(side), 0, size[0])) for side in (y.min(), y.max() + 1))
    left, right = (int(np.clip(math.floor(side), 0, size[1])) for side in (x.min(), x.max() + 1))
    place = slice(top, bottom), slice(left, right)
    crossed = np.zeros((bottom - top, right - left + 1), np.uint8)
    centres = np.arange(top, bottom) + 0.5
    for (x0, x1), (y0, y1) in zip(zip(x, np.roll(x, -1)), zip(y, np.roll(y, -1))):
        rows = np.flatnonzero((y0 <= centres) != (y1 <= centres))
        if len(rows):
            at = x0 + (centres[rows] - y0) * (x1 - x0) / (y1 - y0)
            columns = np.clip(np.ceil(at - 0.5) - left, 0, right - left).astype(np.int64)
            crossed[rows, columns] ^= 1
    return place, np.bitwise_xor.accumulate(crossed, axis=1)[:, :-1].astype(bool)
