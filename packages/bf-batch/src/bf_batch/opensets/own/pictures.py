"""Picture files looked at before anything is trained: which are none, and what sizes the others have."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bf_batch.batch import Batch
from bf_batch.data.formats import check_picture
from bf_batch.dataset import Dataset
from bf_batch.images import ImagesBatch
from bf_batch.images.runtime import spread
from bf_index import FilesIndex
from bf_index.errors import escape

Unreadable = Literal["raise", "leave_out"]
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_SHOWN = 3
_TAIL = 64
#: What the last bytes of a whole file hold, by the format.
_ENDS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pictures:
    """Files that are pictures, by position in the index, with (height, width) and the number of channels."""

    positions: NDArray[np.int64]
    sizes: NDArray[np.int64]
    channels: int


def is_picture(name: str) -> bool:
    """Whether the name of a file ends as those of pictures do."""
    return name.lower().endswith(ENDINGS)


def find_pictures(path: str | os.PathLike[str]) -> FilesIndex:
    """Return the pictures of a folder, however deep, of a pattern or of one file.

    Ids are paths relative to the folder. ``FileNotFoundError`` where there is none.
    """
    root = os.fspath(path)
    is_folder = os.path.isdir(root)
    if not is_folder and not set("*?[") & set(root) and not os.path.exists(root):
        raise FileNotFoundError(f"no file and no folder {root!r} (working folder {os.getcwd()!r})")
    try:
        index = FilesIndex(f"{root}/**/*" if is_folder else root, relative=is_folder)
    except FileNotFoundError:  # nothing at all
        index = None
    if index is None or not any(map(is_picture, index)):
        raise FileNotFoundError(
            f"no pictures below {root!r} (working folder {os.getcwd()!r}); known endings: {list_endings()}"
        )
    return index.filter(is_picture)


def look_at(index: FilesIndex, unreadable: Unreadable, owner: str) -> Pictures:
    """Read the heads and ends of all files; a ValueError names those that are no whole pictures.

    With ``unreadable='leave_out'`` they are left out, and a line of the log names them. What is damaged
    between head and end is found when it is decoded.
    """
    from PIL import Image

    if unreadable not in ("raise", "leave_out"):
        raise ValueError(f"{owner}: unreadable must be 'raise' or 'leave_out', got {unreadable!r}")
    names = index.indices.tolist()
    found: list[tuple[int, int, int] | None] = [None] * len(names)
    reasons: dict[int, str] = {}

    def read(rows: slice) -> None:
        for row in range(rows.start, rows.stop):
            try:
                with index.open(names[row]) as file:
                    found[row] = _read_head(Image, file)
            except Image.UnidentifiedImageError:
                reasons[row] = "no picture of a known format"
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                reasons[row] = escape(error).partition("\n")[0]

    spread(len(names), read)
    if reasons:
        bad = sorted(reasons)
        shown = "; ".join(f"{escape(index.fullpath(names[row]))}: {reasons[row]}" for row in bad[:_SHOWN])
        more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        told = f"{owner}: {len(bad)} of {len(names)} files are no pictures that can be read: {shown}{more}"
        if unreadable == "raise" or len(bad) == len(names):
            raise ValueError(f"{told}. Mend or remove them, or leave them out with unreadable=leave_out")
        _log.warning("%s. They are left out", told)
    good = [head for head in found if head is not None]
    positions = np.array([row for row, head in enumerate(found) if head is not None], np.int64)
    sizes = np.array([head[:2] for head in good], np.int64).reshape(-1, 2)
    return Pictures(positions, sizes, max(head[2] for head in good))


def _read_head(pillow: Any, file: IO[bytes]) -> tuple[int, int, int]:
    with pillow.open(file) as picture:
        check_picture(picture)
        width, height = picture.size
        if not _has_end(picture.format, file):
            picture.load()  # says what is wrong; some files have an end that we do not know
        turned = picture.getexif().get(0x0112, 1) >= 5 if picture.format in ("JPEG", "MPO") else False
        grey = picture.mode in ("1", "L", "I", "I;16", "F")
    return (width, height, 1 if grey else 3) if turned else (height, width, 1 if grey else 3)


def _has_end(format: str | None, file: IO[bytes]) -> bool:
    """Whether a file ends as one that was written whole does; the file stays where it is read."""
    end = _ENDS.get(str(format))
    if end is None:
        return False
    place = file.tell()
    file.seek(0, os.SEEK_END)
    file.seek(max(file.tell() - _TAIL, 0))
    tail = file.read()
    file.seek(place)
    return end in tail


def pick_parts(
    parts: Mapping[str, NDArray[np.int64]], kept: NDArray[np.int64], count: int
) -> dict[str, NDArray[np.int64]]:
    """Return parts as positions among the items that are kept of ``count``."""
    moved = np.full(count, -1, np.int64)
    moved[kept] = np.arange(len(kept))
    return {name: moved[positions][moved[positions] >= 0] for name, positions in parts.items()}


class PictureSet:
    """Data sets of pictures that can be had without what is known of them."""

    batches: ClassVar[type[Batch]] = ImagesBatch

    @classmethod
    def unlabelled(
        cls,
        path: str | os.PathLike[str],
        unreadable: Unreadable | None = None,
        batch_class: type[Batch] | None = None,
        **labelling: Any,
    ) -> Dataset:
        """Return the pictures of a folder, however deep, of a pattern or of one file, to predict for.

        They have neither labels nor masks, and no parts. The arguments are those of the class; what says how
        pictures are labelled is not used. They are looked at unless ``unreadable`` is None.
        """
        index = find_pictures(path)
        if unreadable is not None:
            index = index.subset(look_at(index, unreadable, cls.__name__).positions)
        return Dataset(index, batch_class or cls.batches)


def list_endings() -> str:
    """Return the known endings for a message."""
    return ", ".join(ENDINGS)
