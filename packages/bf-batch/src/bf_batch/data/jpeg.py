"""JPEG files: their headers, and decoding by libjpeg-turbo, no more rows and no finer than needed."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Mode = Literal["rgb", "gray", "rgba"]
SPACES = {"rgb": "RGB", "gray": "GRAY", "rgba": "RGBA"}
CHANNELS = {"rgb": 3, "gray": 1, "rgba": 4}
ORIENTATION = 0x0112
"""The number of the orientation in EXIF data."""
_NUMBERS = {3: "H", 4: "I", 8: "h", 9: "i"}
"""The types of whole numbers in EXIF data; SHORT (3) is the rule, and Pillow reads these as well."""
_ROW_BLOCK = 16  # rows of the largest block that shares its colour: files are cut between blocks
_START, _END, _SCAN, _APP1 = b"\xff\xd8\xff", b"\xff\xd9", 0xDA, 0xE1
_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_LEFT_OVER = "extraneous bytes before marker"
_BASELINE = frozenset({0xC0, 0xC1})


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a JPEG file says: stored size, number of components, EXIF orientation (1 to 8)."""

    height: int
    width: int
    components: int
    orientation: int
    baseline: bool
    height_at: int
    """Where in the file the two bytes of the height are."""


def is_jpeg(data: bytes) -> bool:
    """Whether a file starts as JPEG files do."""
    return data[:3] == _START


def read_header(data: bytes) -> Header:
    """Read the header of a JPEG file; a ValueError when it is damaged or the file ends too early."""
    orientation, at = 1, 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise ValueError(f"damaged JPEG: no marker at byte {at}")
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        length = data[at + 2] << 8 | data[at + 3]
        if marker == _APP1 and data[at + 4 : at + 10] == b"Exif\0\0":
            orientation = _read_orientation(data[at + 10 : at + 2 + length])
        if marker in _FRAMES and at + 10 <= len(data):
            height, width, components = struct.unpack_from(">HHB", data, at + 5)
            if not height or not width:
                raise ValueError(f"damaged JPEG: a picture of {height} x {width} pixels")
            if data.rfind(_END, at) < 0:  # behind the end there may be more: a film, another picture
                raise ValueError("truncated JPEG: the file ends before the picture does")
            return Header(height, width, components, orientation, marker in _BASELINE, at + 5)
        if marker == _SCAN:
            break
        at += 2 + length
    raise ValueError("damaged or truncated JPEG: no size in its header")


def _read_orientation(exif: bytes) -> int:
    """Read the orientation out of EXIF data; 1 (upright) when it can't be read."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 10:
        return 1
    start = struct.unpack_from(order + "I", exif, 4)[0]
    if start + 2 > len(exif):
        return 1
    for entry in range(struct.unpack_from(order + "H", exif, start)[0]):
        at = start + 2 + 12 * entry
        if at + 12 > len(exif):
            break
        tag, kind = struct.unpack_from(order + "HH", exif, at)
        if tag == ORIENTATION:
            value = struct.unpack_from(order + _NUMBERS[kind], exif, at + 8)[0] if kind in _NUMBERS else 1
            return value if 1 <= value <= 8 else 1
    return 1


def decode(
    data: bytes, head: Header, mode: Mode, rows: int | None = None, shrink: int = 1, buffer: Any = None
) -> NDArray[np.uint8]:
    """Decode a JPEG file to (height, width) or (height, width, channels).

    With ``rows`` only so many upper rows (or some more) are decoded, the others are not looked at;
    ``shrink`` (1, 2, 4 or 8) decodes to a picture so many times smaller, each pixel the mean of a block.
    A ValueError tells what is damaged.
    """
    height = head.height
    decoder = _import_decoder()
    if rows is not None and head.baseline:
        # the colour of the last row is blended with that of the row below
        kept = -(-(rows + shrink) // _ROW_BLOCK) * _ROW_BLOCK
        if kept < height:
            height, at = kept, head.height_at
            data = b"".join((data[:at], height.to_bytes(2, "big"), data[at + 2 :]))
    shape = -(-height // shrink), -(-head.width // shrink), CHANNELS[mode]
    size = math.prod(shape)
    pixels = np.empty(size, np.uint8) if buffer is None else buffer.reshape(-1)[:size]
    try:
        decoder(
            data,
            SPACES[mode],
            min_height=shape[0] if shrink > 1 else 0,
            min_width=shape[1] if shrink > 1 else 0,
            min_factor=shrink,
            buffer=pixels,
            strict=True,
        )
    except ValueError as error:
        if height == head.height or _LEFT_OVER not in str(error):  # the rows below count as damage
            raise
    return pixels.reshape(shape[:2] if mode == "gray" else shape)


def check_whole(data: bytes, head: Header) -> None:
    """Raise a ValueError for a damaged file of colours that ``decode`` does not know, as CMYK."""
    if head.components == 4:
        _import_decoder()(data, "CMYK", strict=True)


def _import_decoder() -> Any:
    try:
        from simplejpeg import decode_jpeg
    except ImportError as error:
        raise ImportError("reading JPEG files needs simplejpeg: pip install 'bf-batch[images]'") from error
    return decode_jpeg
