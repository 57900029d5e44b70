"""Loading pictures of a batch from the files of its index."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import IO, Any, Literal, Self

import numpy as np

from bf_batch.actions import action
from bf_batch.batch import Batch
from bf_batch.data.jpeg import CHANNELS, Mode
from bf_batch.engines.base import EngineName
from bf_batch.errors import ItemError, item_error
from bf_batch.images.arguments import Floats, id_of, role_of
from bf_batch.images.files.pictures import (
    MAX_PIXELS,
    SKIP,
    DecodeOptions,
    Files,
    Picture,
    PictureCache,
    open_picture,
)
from bf_batch.images.geometry.frames import simplify
from bf_batch.images.geometry.warp import Warp
from bf_batch.images.runtime import spread
from bf_batch.itemwise.run import OnError
from bf_batch.loading import is_place, open_file, path_of
from bf_index import FilesIndex
from bf_index.errors import escape, unknown


class FileActions(Batch):
    """Read JPEG, PNG and other picture files."""

    @action
    def load_images(
        self,
        src: FilesIndex | str | os.PathLike[str] | None = None,
        dst: str = "images",
        *,
        mode: Mode | Literal["stored"] | None = None,
        exif: bool = True,
        cache: PictureCache | None = None,
        max_pixels: int = MAX_PIXELS,
        on_error: OnError = "raise",
    ) -> Self:
        """Read the file of each item into component ``dst``; JPEG files are decoded when pixels are needed.

        ``src`` is None (the files of the index), another FilesIndex with the same ids, the name of a file
        inside each item's folder (``FilesIndex(dirs=True)``) or the folder of files named by id. ``mode`` is
        'rgb', 'gray' (height, width), 'rgba' or 'stored' (the numbers in the file: palettes give their
        indices); None means 'stored' for masks and 'rgb' for other pictures. ``exif=True`` turns pictures as
        their camera was held. ``cache`` remembers decoded pictures.

        A bad file is an ItemError that names it. With ``on_error='skip'`` files are decoded at once, bad ones
        are left out of the batch, and their errors are in ``batch.skipped``.
        """
        if mode not in (None, "stored", *CHANNELS):
            raise ValueError(f"load_images: mode must be 'rgb', 'gray', 'rgba' or 'stored', got {mode!r}")
        if on_error not in ("raise", "skip"):
            raise ValueError(f"load_images: on_error must be 'raise' or 'skip', got {on_error!r}")
        stored = mode == "stored" or (mode is None and role_of(self, dst) == "mask")
        colours: Mode | None = None if stored else mode or "rgb"  # type: ignore[assignment]
        options = DecodeOptions(colours, exif, max_pixels)
        found, errors = _read_all(self, find_openers(self, src), options, cache, whole=on_error == "skip")
        if errors:
            if on_error == "raise":
                raise errors[0]
            self.leave_out(errors)
        good = [one for one in found if one is not None]
        setattr(self, dst, _begin_warp(good, self.indices.tolist(), colours))
        return self

    @action
    def load(
        self,
        src: Any = None,
        fmt: str | None = None,
        dst: str | Sequence[str] | None = None,
        *,
        target: EngineName = "threads",
        on_error: OnError = "raise",
        **options: Any,
    ) -> Self:
        """Fill components as ``Batch.load`` does; files of pictures as ``load_images`` does.

        Pictures go into 'images' unless ``dst`` says otherwise.
        """
        if isinstance(src, (tuple, list)) and not isinstance(dst, str) and dst is not None and is_place(src):
            for part, name in zip(src, dst, strict=True):
                self.load(part, fmt, name, target=target, on_error=on_error, **options)
            return self
        if isinstance(src, FilesIndex) or (
            (dst is None or isinstance(dst, str)) and _are_pictures(self, src, fmt)
        ):
            name = dst if isinstance(dst, str) else "images"
            for option in options:
                if option not in _OPTIONS:
                    raise TypeError(unknown("argument", option, _OPTIONS, "load for pictures"))
            return self.load_images(src, name, on_error=on_error, **options)
        return super().load(src, fmt, dst, target=target, on_error=on_error, **options)


#: What ``load`` passes on where files are pictures.
_OPTIONS = ("mode", "exif", "cache", "max_pixels")


def _are_pictures(batch: Batch, src: Any, fmt: str | None) -> bool:
    """Whether files of a source are pictures, by the format or by the ending of the first one."""
    if fmt is not None or isinstance(src, (tuple, list)) or not is_place(src):
        return fmt == "image"
    if src is None and not isinstance(batch.index, FilesIndex):
        return False
    first = path_of(batch, id_of(batch, 0), None if src is None else os.fspath(src))
    return os.path.splitext(first)[1].lower() in batch.formats["image"].endings


Opener = tuple[str, Callable[[], IO[bytes]]]


def find_openers(batch: Batch, src: Any) -> list[Opener]:
    """Return the path of each item's file and a function that opens it.

    Raises ValueError when the index has no files.
    """
    index: Any = src if isinstance(src, FilesIndex) else batch.index
    place = None if src is None or isinstance(src, FilesIndex) else os.fspath(src)
    found: list[Opener] = []
    for name in batch.indices.tolist():
        path = index.fullpath(name) if index is src else path_of(batch, name, place)
        found.append((path, partial(open_file, path, index, name, 0)))
    return found


Read = tuple[Picture, int]


def _read_all(
    batch: Batch, paths: list[Opener], options: DecodeOptions, cache: PictureCache | None, whole: bool
) -> tuple[list[Read | None], list[ItemError]]:
    """Read and check all files in threads.

    Returns pictures with orientations, None for a bad file, and the errors.
    """
    found: list[Read | None] = [None] * len(paths)
    failed: list[Exception | None] = [None] * len(paths)

    def work(rows: slice) -> None:
        for i in range(rows.start, rows.stop):
            try:
                found[i] = _read_one(*paths[i], options, cache, whole)
            except (OSError, ValueError) as error:
                failed[i] = error

    spread(len(paths), work)
    errors = []
    for i, error in enumerate(failed):
        if error is not None:
            reason = (
                error
                if isinstance(error, OSError)
                else type(error)(f"{escape(paths[i][0])}: {error}; {SKIP}")
            )
            reason.__cause__ = error.__cause__
            errors.append(item_error(reason, id_of(batch, i), f"{type(batch).__name__}.load_images", i))
    return found, errors


def _read_one(
    path: str,
    opened: Callable[[], IO[bytes]],
    options: DecodeOptions,
    cache: PictureCache | None,
    whole: bool,
) -> Read:
    key = None
    if cache is not None and "://" not in path:
        key = cache.key(path, options)
        if (held := cache.get(key)) is not None:
            return held
    with opened() as file:
        picture, orientation = open_picture(file.read(), options, path)
    if (whole or key is not None) and not isinstance(picture, np.ndarray):
        picture = picture.decode()
    if key is not None and cache is not None and isinstance(picture, np.ndarray):
        cache.put(key, picture, orientation)
    return picture, orientation


def _begin_warp(found: list[Read], ids: list[Any], mode: Mode | None) -> Warp:
    """Return pictures as pending geometry: their EXIF orientation is its first step."""
    stored = np.array([_stored_size(picture) for picture, _ in found], dtype=np.int64).reshape(-1, 2)
    turns = [orientation for _, orientation in found]
    sizes = stored.copy()
    turned = np.array([turn >= 5 for turn in turns], dtype=bool)
    sizes[turned] = stored[turned, ::-1]
    warp = Warp(Files([picture for picture, _ in found], ids, mode), simplify(sizes))
    if any(turn != 1 for turn in turns):
        warp.matrices = np.stack([upright_matrix(turn, *size) for turn, size in zip(turns, stored)])
    return warp


def _stored_size(picture: Picture) -> tuple[int, int]:
    if isinstance(picture, np.ndarray):
        return picture.shape[0], picture.shape[1]
    return picture.head.height, picture.head.width


def upright_matrix(orientation: int, height: int, width: int) -> Floats:
    """Return the matrix from points of the upright picture to those of the stored one.

    ``height`` and ``width`` are those of the stored picture.
    """
    across = orientation >= 5
    rows = np.array([[0, 1, 0], [1, 0, 0]] if across else [[1, 0, 0], [0, 1, 0]], dtype=np.float64)
    if orientation in (3, 4, 6, 7):  # the stored picture is read from its last row up
        rows[0] = -rows[0]
        rows[0, 2] = height - 1
    if orientation in (2, 3, 7, 8):  # and from its last column back
        rows[1] = -rows[1]
        rows[1, 2] = width - 1
    return np.vstack([rows, [0.0, 0.0, 1.0]])
