"""Pictures put together of patches that come in any order, in memory or in npy files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from bf_batch.dtypes import limit_to

Overlap = Literal["mean", "smooth", "last"]
OVERLAPS: tuple[Overlap, ...] = ("mean", "smooth", "last")


class Mosaic:
    """Pictures that are put together of patches, batch by batch.

    ``overlap`` says what a pixel of several patches becomes: their 'mean'; with 'smooth' one that counts the
    middle of a patch more than its edge, so that no seams show; or that of the 'last'. With ``folder`` each
    picture is an npy file there, named by its id, and no picture is in memory as a whole. Integers are means
    rounded; in files they need 'last'.

    >>> places = np.zeros(1, [("id", "i8"), ("count", "i8"), ("top", "i8"), ("left", "i8"),
    ...                       ("height", "i8"), ("width", "i8")])
    >>> places[0] = 7, 1, 0, 0, 2, 3
    >>> mosaic = Mosaic().add(np.ones((1, 2, 3)), places)
    >>> mosaic.complete, mosaic[7].shape
    ([7], (2, 3))
    """

    def __init__(self, overlap: Overlap = "mean", folder: str | os.PathLike[str] | None = None) -> None:
        if overlap not in OVERLAPS:
            raise ValueError(f"Mosaic: overlap must be one of {', '.join(OVERLAPS)}, got {overlap!r}")
        self.overlap = overlap
        self._folder = None if folder is None else Path(folder)
        self._pictures: dict[Any, _Picture] = {}

    def add(self, patches: Any, places: NDArray[Any]) -> Mosaic:
        """Take patches (n, h, w) or (n, h, w, c) in, with their places as ``split_to_patches`` gives them."""
        if len(patches) != len(places):
            raise ValueError(f"Mosaic.add: got {len(patches)} patches and {len(places)} places")
        for patch, place in zip(patches, places):
            key, values = place["id"].item(), np.asarray(patch)
            if key not in self._pictures:
                shape = int(place["height"]), int(place["width"]), *values.shape[2:]
                self._pictures[key] = _Picture(self._make(key, shape, values.dtype), int(place["count"]))
            try:
                self._lay(self._pictures[key], values, int(place["top"]), int(place["left"]))
            except ValueError as error:
                error.add_note(f"Mosaic.add: a patch of shape {values.shape} of the picture {key!r}")
                raise
        return self

    def _make(self, key: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Arrays:
        mean = self.overlap != "last"
        if self._folder is None:
            kind = np.dtype(np.float64 if mean and dtype.kind in "biu" else dtype)
            return _Arrays(np.zeros(shape, kind), np.zeros(shape[:2], np.float32) if mean else None, dtype)
        if mean and dtype.kind in "biu":
            raise ValueError(
                f"Mosaic: means of {dtype} need floats, and files hold what they are; give overlap='last', "
                "or patches of floats"
            )
        name = str(key)
        if not name or name.startswith(".") or any(sign in name for sign in ("/", "\\", "\0")):
            raise ValueError(
                f"Mosaic: the id {key!r} can't be the name of a file; use ids that begin with no point and "
                "hold no separators"
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        picture = open_memmap(self._folder / f"{name}.npy", "w+", dtype, shape)
        if not mean:
            return _Arrays(picture, None, dtype)
        weights = self._folder / f".{name}.weights.npy"
        return _Arrays(picture, open_memmap(weights, "w+", np.dtype(np.float32), shape[:2]), dtype, weights)

    def _lay(self, picture: _Picture, patch: NDArray[Any], top: int, left: int) -> None:
        """Lay a patch on its picture; what lies outside is cut off."""
        arrays = picture.arrays
        part = arrays.picture[top : top + patch.shape[0], left : left + patch.shape[1]]
        patch_part = patch[: part.shape[0], : part.shape[1]]
        if arrays.weights is None:
            part[...] = patch_part
        else:
            known = arrays.weights[top : top + patch.shape[0], left : left + patch.shape[1]]
            new = _weigh(patch.shape[:2], self.overlap)[: part.shape[0], : part.shape[1]]
            share = new / (known + new)
            part += (patch_part - part) * share.reshape(*share.shape, *[1] * (patch.ndim - 2))
            known += new
        picture.laid += 1
        if picture.laid == picture.count:
            arrays.finish()

    @property
    def complete(self) -> list[Any]:
        """The ids of the pictures of which all patches came."""
        return [key for key, picture in self._pictures.items() if picture.laid >= picture.count]

    def __len__(self) -> int:
        return len(self._pictures)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._pictures)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return the picture of an id; a ValueError when patches of it are missing."""
        picture = self._pictures[key]
        if picture.laid < picture.count:
            raise ValueError(f"Mosaic: {picture.laid} of {picture.count} patches of the picture {key!r} came")
        return picture.arrays.result()

    def pop(self, key: Any) -> NDArray[Any]:
        """Return the picture of an id as ``[]`` does, and forget it."""
        found = self[key]
        del self._pictures[key]
        return found


class _Arrays:
    """What a picture becomes, how much each pixel of it has got so far, and its dtype."""

    def __init__(
        self, picture: NDArray[Any], weights: Any, dtype: np.dtype[Any], path: Path | None = None
    ) -> None:
        self.picture = picture
        self.weights = weights
        self.dtype = dtype
        self.path = path

    def finish(self) -> None:
        """Write files, and forget the weights."""
        self.weights = None if self.path is not None else self.weights
        if isinstance(self.picture, np.memmap):
            self.picture.flush()
        if self.path is not None:
            self.path.unlink()

    def result(self) -> NDArray[Any]:
        """Return the picture in the dtype of its patches."""
        return limit_to(self.dtype, self.picture)


class _Picture:
    def __init__(self, arrays: _Arrays, count: int) -> None:
        self.arrays = arrays
        self.count = count
        self.laid = 0


def _weigh(size: tuple[int, ...], overlap: Overlap) -> NDArray[np.float32]:
    """Return how much each pixel of a patch counts: alike, or less towards the edges."""
    if overlap == "mean":
        return np.ones(size, np.float32)
    rows, columns = (np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)) / ((n + 1) / 2) for n in size)
    return np.outer(rows, columns).astype(np.float32)
