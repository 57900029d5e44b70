"""Pictures of a batch side by side, with labels and masks, for notebooks and reports."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.images.need import need

if TYPE_CHECKING:
    from bf_batch.batch import Batch

_INCHES = 1.8


def show(
    batch: Batch,
    n: int = 16,
    *,
    src: str = "images",
    labels: str | None = "labels",
    masks: str | None = "masks",
    classes: Sequence[str] | None = None,
    columns: int = 8,
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Draw the first ``n`` pictures in a grid and return the matplotlib figure; with ``path`` also write
    it there.

    Labels are written above (by name with ``classes``), masks laid over in colour, when the batch has
    these components. Floats outside 0..1 are stretched from their least to their greatest value.
    """
    pictures = getattr(batch, src)
    if pictures is None:
        raise ValueError(f"show: component {src!r} of {type(batch).__name__} is empty; load it first")
    count = min(n, len(batch))
    if count < 1 or columns < 1:
        raise ValueError(f"show: n and columns must be at least 1, got n={n}, columns={columns}")
    wide = min(columns, count)
    high = -(-count // wide)
    figure = need("matplotlib.figure", "show").Figure(
        figsize=(_INCHES * wide, (_INCHES + 0.3) * high), layout="tight"
    )
    names = _component(batch, labels)
    covers = _component(batch, masks)
    for position in range(count):
        axes = figure.add_subplot(high, wide, position + 1)
        axes.set_axis_off()
        picture = presentable(np.asarray(pictures[position]))
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1 if picture.dtype.kind == "f" else 255)
        if covers is not None:
            mask = np.squeeze(np.asarray(covers[position]))
            axes.imshow(np.ma.masked_equal(mask, 0), cmap="tab10", alpha=0.5, interpolation="nearest")
        if names is not None:
            axes.set_title(_title(names[position], classes), fontsize=9)
    if path is not None:
        figure.savefig(path)
    return figure


def _component(batch: Batch, name: str | None) -> Any:
    return None if name is None or name not in batch.components else getattr(batch, name)


def _title(label: Any, classes: Sequence[str] | None) -> str:
    value = np.asarray(label)
    if value.ndim == 1 and value.size > 1:  # a soft label
        value = np.asarray(value.argmax())
    if classes is not None and value.size == 1:
        return classes[int(value)]
    return str(value.item()) if value.size == 1 else str(label)


def presentable(picture: NDArray[Any]) -> NDArray[Any]:
    """Return a picture as matplotlib takes it: (h, w) or (h, w, 3 or 4), bytes or floats of 0..1."""
    if picture.ndim == 3 and picture.shape[2] not in (3, 4):
        picture = picture[..., picture.shape[2] // 2]  # one channel, or the middle slice of a volume
    if picture.dtype == np.uint8:
        return picture
    floats = picture.astype(np.float64)
    low, high = float(np.nanmin(floats)), float(np.nanmax(floats))
    if picture.dtype.kind == "f" and low >= 0 and high <= 1:
        return floats
    return (floats - low) / (high - low or 1.0)
