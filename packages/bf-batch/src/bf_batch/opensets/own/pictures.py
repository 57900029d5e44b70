"""Picture files looked at before anything is trained: which are none, and what sizes the others have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bf_batch.data.formats import check_picture
from bf_batch.images.runtime import spread
from bf_index import FilesIndex
from bf_index.errors import escape

Unreadable = Literal["raise", "leave_out"]
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Pictures:
    """Files that are pictures, by position in the index, with (height, width) and the number of channels."""

    positions: NDArray[np.int64]
    sizes: NDArray[np.int64]
    channels: int


def is_picture(name: str) -> bool:
    """Whether the name of a file ends as those of pictures do."""
    return name.lower().endswith(ENDINGS)


def look_at(index: FilesIndex, unreadable: Unreadable, owner: str) -> Pictures:
    """Read the heads of all files; a ValueError names those that are no pictures."""
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
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                reasons[row] = escape(error).partition("\n")[0]

    spread(len(names), read)
    if reasons and (unreadable == "raise" or len(reasons) == len(names)):
        bad = sorted(reasons)
        shown = "; ".join(f"{escape(index.fullpath(names[row]))}: {reasons[row]}" for row in bad[:_SHOWN])
        more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise ValueError(
            f"{owner}: {len(bad)} of {len(names)} files are no pictures that can be read: {shown}{more}. "
            "Mend or remove them, or leave them out with unreadable=leave_out"
        )
    good = [head for head in found if head is not None]
    positions = np.array([row for row, head in enumerate(found) if head is not None], np.int64)
    sizes = np.array([head[:2] for head in good], np.int64).reshape(-1, 2)
    return Pictures(positions, sizes, max(head[2] for head in good))


def _read_head(pillow: Any, file: IO[bytes]) -> tuple[int, int, int]:
    with pillow.open(file) as picture:
        check_picture(picture)
        width, height = picture.size
        turned = picture.getexif().get(0x0112, 1) >= 5 if picture.format in ("JPEG", "MPO") else False
        grey = picture.mode in ("1", "L", "I", "I;16", "F")
    return (width, height, 1 if grey else 3) if turned else (height, width, 1 if grey else 3)


def pick_parts(
    parts: Mapping[str, NDArray[np.int64]], kept: NDArray[np.int64], count: int
) -> dict[str, NDArray[np.int64]]:
    """Return parts as positions among the items that are kept of ``count``."""
    moved = np.full(count, -1, np.int64)
    moved[kept] = np.arange(len(kept))
    return {name: moved[positions][moved[positions] >= 0] for name, positions in parts.items()}


def list_endings() -> str:
    """Return the known endings for a message."""
    return ", ".join(ENDINGS)
