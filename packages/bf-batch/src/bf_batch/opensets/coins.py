"""Coins: cuts of a photo that scikit-image brings along, and masks that a rule makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.batch import Batch
from bf_batch.opensets.base import Openset
from bf_batch.opensets.own.mask_labels import IGNORED, choose_palette
from bf_batch.opensets.own.masks_batch import MasksBatch

_SIDE = 64
#: Grey levels that are surely the table, and surely a coin.
_DARK, _BRIGHT = 40, 150
#: Rows and columns of the photo for each part, and how far apart cuts are: no pixel is in two parts.
_PARTS = {
    "train": (slice(0, 226), slice(0, 250), 12),
    "validation": (slice(226, 303), slice(0, 250), 12),
    "test": (slice(0, 303), slice(250, 384), 32),
}


class Coins(Openset):
    """Cuts of 64 x 64 of a photo of 24 Greek coins: images uint8 (64, 64), masks 1 for a coin, 0 for none.

    The photo comes with scikit-image, masks are made by a rule: what a watershed of the slopes fills from
    levels above 150, not from those below 40, with holes filled and less than seven pixels across removed;
    two pixels at each edge take no part (255). Right of column 250 is the test, the lowest row of coins left
    of it the validation.

    >>> dataset = Coins()
    >>> len(dataset.train), len(dataset.validation), len(dataset.test), dataset.classes
    (224, 32, 24, ('background', 'coin'))
    """

    def __init__(self, batch_class: type[Batch] | None = None) -> None:
        photo, mask = read_photo()
        cuts: list[tuple[Any, Any]] = []
        parts = {}
        for name, (rows, columns, apart) in _PARTS.items():
            tops = range(rows.start, rows.stop - _SIDE + 1, apart)
            lefts = range(columns.start, columns.stop - _SIDE + 1, apart)
            places = [(slice(top, top + _SIDE), slice(left, left + _SIDE)) for top in tops for left in lefts]
            parts[name] = slice(len(cuts), len(cuts) + len(places))
            cuts += places
        preloaded = {
            "images": np.stack([photo[place] for place in cuts]),
            "masks": np.stack([mask[place] for place in cuts]),
        }
        classes = ("background", "coin")
        palette = choose_palette(2)
        super().__init__(len(cuts), parts, classes, preloaded, batch_class or MasksBatch, palette=palette)


def read_photo() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the photo (303, 384) and its mask: 1 for coins, 0 for the table, 255 at edges."""
    try:
        from scipy import ndimage
        from skimage import data, filters, segmentation
    except ImportError as error:
        raise ImportError("Coins come with scikit-image: pip install scikit-image") from error
    photo = data.coins()
    seeds = np.where(photo > _BRIGHT, 2, np.where(photo < _DARK, 1, 0))
    coins = segmentation.watershed(filters.sobel(photo), seeds) == 2
    coins = ndimage.binary_opening(ndimage.binary_fill_holes(coins), iterations=3)
    edges = ndimage.binary_dilation(coins) & ~ndimage.binary_erosion(coins, border_value=1)
    return photo, np.where(edges, IGNORED, coins).astype(np.uint8)
