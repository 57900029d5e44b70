"""Pictures of a batch side by side, with what belongs to them, for notebooks and reports."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.core import BatchCore
from bf_batch.images.arguments import role_of
from bf_batch.images.checks import check_picture
from bf_batch.images.runtime import import_extra

_INCHES = 1.8
_LETTERS = 24  # of a title that is as wide as its picture
_CHANNELS = (1, 3, 4)
_COLOURS = 10  # of the palette of masks
_MARKS = ("boxes", "keypoints")


def show(
    batch: BatchCore,
    n: int = 16,
    *,
    src: str = "images",
    labels: str | None = "labels",
    masks: str | None = "masks",
    classes: Sequence[str] | None = None,
    columns: int = 8,
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Draw the first ``n`` pictures in a grid and return the matplotlib figure.

    With ``path`` it is also written there. Labels are written above (by name with ``classes``) and masks laid
    over, a colour a class, when the batch has these components; components whose role is boxes or keypoints
    are drawn too. Floats outside 0..1 are stretched from their least to their greatest value; of pictures
    with other than 1, 3 or 4 channels, as volumes, the middle channel is shown.
    """
    pictures = getattr(batch, src)
    if pictures is None:
        raise ValueError(f"show: component {src!r} of {type(batch).__name__} is empty; load it first")
    count = min(n, len(batch))
    if count < 1 or columns < 1:
        raise ValueError(f"show: n and columns must be at least 1, got n={n}, columns={columns}")
    wide = min(columns, count)
    high = -(-count // wide)
    figure = _figure_class()(figsize=(_INCHES * wide, (_INCHES + 0.3) * high), layout="tight")
    names, covers = _get_component(batch, labels), _get_component(batch, masks)
    places = [_get_component(batch, name) for name in batch.components if role_of(batch, name) in _MARKS]
    for position in range(count):
        axes = figure.add_subplot(high, wide, position + 1)
        axes.set_axis_off()
        picture = to_displayable(check_picture(batch, src, pictures[position], position, "show"))
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1 if picture.dtype.kind == "f" else 255)
        axes.autoscale(False)  # points outside must not shrink the picture
        if covers is not None:
            _lay_over(axes, check_picture(batch, str(masks), covers[position], position, "show"))
        for each in places:
            if each is not None:
                _draw_marks(axes, np.asarray(each[position]))
        if names is not None:
            axes.set_title(_format_title(names[position], classes), fontsize=9)
    if path is not None:
        figure.savefig(path)
    return figure


@functools.cache
def _figure_class() -> Any:
    """Return matplotlib's figure, made to show itself in notebooks that have not imported pyplot."""

    class Grid(import_extra("matplotlib.figure", "show").Figure):  # type: ignore[misc]
        def _repr_png_(self) -> bytes:
            stream = BytesIO()
            self.savefig(stream, format="png")
            return stream.getvalue()

    return Grid


def _get_component(batch: BatchCore, name: str | None) -> Any:
    return None if name is None or name not in batch.components else getattr(batch, name)


def _lay_over(axes: Any, mask: NDArray[Any]) -> None:
    """Draw a mask (height, width) of classes, 0 left clear, or (height, width, classes) of one or more."""
    if mask.ndim == 3:
        mask = mask.argmax(axis=2) if mask.shape[2] > 1 else mask[..., 0]
    classes = np.rint(mask).astype(np.int64)
    colours = np.ma.masked_array((classes - 1) % _COLOURS, classes == 0)
    axes.imshow(colours, cmap="tab10", vmin=0, vmax=_COLOURS - 1, alpha=0.5, interpolation="nearest")


def _draw_marks(axes: Any, values: NDArray[Any]) -> None:
    """Draw boxes (k, 4) as frames or keypoints (k, 2) as dots; they count from the corner of the picture."""
    for value in values - 0.5 if values.size else ():
        if len(value) == 2:
            axes.plot(*value, marker="o", markersize=4, color="red", markeredgecolor="white")
            continue
        x0, y0, x1, y1 = value
        axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color="red", linewidth=1.5)


def _format_title(label: Any, classes: Sequence[str] | None) -> str:
    value = np.asarray(label)
    if value.ndim == 1 and value.size > 1:  # a soft label
        value = np.asarray(value.argmax())
    if classes is not None and value.size == 1:
        title = classes[int(value.item())]
    else:
        title = str(value.item()) if value.size == 1 else str(label)
    return title if len(title) <= _LETTERS else title[: _LETTERS - 1] + "…"


def to_displayable(picture: NDArray[Any]) -> NDArray[Any]:
    """Return a picture as matplotlib takes it: (h, w) or (h, w, 3 or 4), bytes or floats of 0..1."""
    if picture.ndim == 3 and picture.shape[0] in _CHANNELS and picture.shape[2] not in _CHANNELS:
        picture = np.moveaxis(picture, 0, 2)
    if picture.ndim == 3 and picture.shape[2] not in (3, 4):
        picture = picture[..., picture.shape[2] // 2]
    if picture.dtype == np.uint8:
        return picture
    floats = picture.astype(np.float64)
    low, high = float(np.nanmin(floats)), float(np.nanmax(floats))
    if picture.dtype.kind == "f" and low >= 0 and high <= 1:
        return floats
    return (floats - low) / (high - low or 1.0)
