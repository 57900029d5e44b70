"""Predictions of each pixel: labels at the size of the picture, shares of classes, masks as PNG."""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch import Batch, ImagesBatch
from bf_batch.opensets.own.mask_labels import choose_palette
from bf_research.prediction.steps import SECTIONS, list_steps, read_steps
from bf_research.trained import Trained

#: The component that keeps (height, width) of each picture before it was resized.
SIZES = "original_sizes"
#: So many probabilities are enlarged at once, 16 MB of them.
_AT_ONCE = 1 << 22
_FRAMES = {"split_to_patches", "stitch_patches", "put_on_background"}
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_BYTE, _WORD = 256, 65536


def note_sizes(batch: Batch) -> None:
    """Keep the sizes of the pictures as they were loaded."""
    if isinstance(batch, ImagesBatch):
        batch.add_components(SIZES, batch.find_sizes())


def find_moves(trained: Trained) -> list[str]:
    """Return the steps that move pixels otherwise than ``resize``, which alone can be undone."""
    listed = [step for section in SECTIONS for step in read_steps(trained, section)]
    return [name for name, _ in list_steps(listed) if name in _list_moves()]


@cache
def _list_moves() -> frozenset[str]:
    """Return the actions that move pixels, but ``resize``: those that join the resample, and a few more."""
    actions = (name for name in dir(ImagesBatch) if hasattr(getattr(ImagesBatch, name), "__bf_action__"))
    takes = {name: inspect.signature(getattr(ImagesBatch, name)).parameters for name in actions}
    joining = {name for name, arguments in takes.items() if "fuse" in arguments}
    return frozenset(joining - {"resize"} | _FRAMES)


def label_maps(proba: NDArray[np.float32], sizes: NDArray[np.int64] | None) -> list[NDArray[np.uint8]]:
    """Return the number of the class of each pixel of each picture, by probabilities (n, h, w, classes).

    They are enlarged, or made smaller, to ``sizes`` (n, 2) before the largest is taken, in strips of bounded
    size. One probability is that of the second of two classes.
    """
    if sizes is None:
        return [_choose(one) for one in proba]
    return [_label(one, int(height), int(width)) for one, (height, width) in zip(proba, sizes)]


def _choose(proba: NDArray[np.float32]) -> NDArray[np.uint8]:
    if proba.shape[-1] == 1:
        return np.asarray(proba[..., 0] >= 0.5, np.uint8)
    return np.asarray(proba.argmax(-1), np.uint8)


def _label(proba: NDArray[np.float32], height: int, width: int) -> NDArray[np.uint8]:
    if proba.shape[:2] == (height, width):
        return _choose(proba)
    labels = np.empty((height, width), np.uint8)
    rows = max(1, _AT_ONCE // (width * proba.shape[2]))
    for top in range(0, height, rows):
        count = min(rows, height - top)
        strip = ImagesBatch(1, preloaded={"images": proba[None]})
        strip.resize((height, width)).crop((count, width), (top, 0))
        labels[top : top + count] = _choose(np.asarray(strip.images)[0])
    return labels


def share_out(maps: Sequence[NDArray[np.uint8]], classes: int) -> NDArray[np.float64]:
    """Return the share of the pixels of each picture that each class has, (n, classes)."""
    return np.stack([np.bincount(one.reshape(-1), minlength=classes) / one.size for one in maps])


@dataclass(frozen=True, slots=True)
class Legend:
    """What stands for each class in a mask: a number, and the colour it is shown in, (red, green, blue)."""

    values: tuple[int, ...]
    palette: tuple[tuple[int, int, int], ...]

    def encode(self, labels: NDArray[np.uint8]) -> bytes:
        """Return a mask as the bytes of a PNG file: numbers with a palette, or of 16 bits where needed."""
        from PIL import Image

        file = io.BytesIO()
        if max(self.values) >= _BYTE:
            Image.fromarray(np.array(self.values, np.uint16)[labels]).save(file, "png")
            return file.getvalue()
        colours = np.zeros((max(self.values) + 1, 3), np.uint8)
        colours[list(self.values)] = self.palette
        picture = Image.fromarray(np.array(self.values, np.uint8)[labels])
        picture.putpalette(colours.tobytes())
        picture.save(file, "png")
        return file.getvalue()


def read_legend(trained: Trained, classes: Sequence[str]) -> Legend:
    """Return what masks of a training had for its classes; without a record their numbers, and usual colours.

    Numbers that masks were read by are written again; masks of colours get a palette of these.
    """
    told = trained.config.get("dataset")
    told = told if isinstance(told, Mapping) else {}
    named, palette = told.get("classes"), told.get("palette")
    values: Sequence[Any] = range(len(classes))
    if isinstance(named, Mapping) and tuple(map(str, named)) == tuple(classes):
        numbers = [value for value in named.values() if _is_number(value)]
        values = numbers if len(set(numbers)) == len(classes) else values
    if not (isinstance(palette, list) and len(palette) == len(classes) and all(map(_is_colour, palette))):
        palette = choose_palette(len(classes))
    return Legend(tuple(values), tuple(_read_colour(colour) for colour in palette))


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _WORD


def _is_colour(value: Any) -> bool:
    return isinstance(value, str) and _COLOUR.fullmatch(value) is not None


def _read_colour(text: str) -> tuple[int, int, int]:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
