"""The numbers that a picture file holds, where Pillow would hand out others: cut off, spread or inverted."""

from __future__ import annotations

import re
import struct
import sys
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.images.runtime import import_extra

_OTHER_HALF = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_SPREAD = {"2": 3, "4": 15}  # the greatest of so many bits
_LOSSY = ("RGBa", "BGR;15", "BGR;16", "BGRA;15")
"""Ways to read that divide by the transparency or scale five bits to eight."""
_BITS, _SAMPLES, _SAMPLE_FORMAT = 258, 277, 339  # tags of TIFF
_SIGNED = 2
_COMMENT = re.compile(rb"#[^\r\n]*")


class StoredNumbersError(ValueError):
    """The numbers in a picture file can't be had as they are."""


def read_stored(image: Any, data: bytes) -> NDArray[Any]:
    """Return the numbers in a file that Pillow has opened and not decoded: samples, or indices of a palette.

    A StoredNumbersError says where they can't be had.
    """
    raw = _raw_mode(image)
    kind, _, form = raw.partition(";")
    if image.format == "PPM":
        return _read_pnm(image, data)
    _check_form(image, data, raw)
    if form.startswith("16") and image.mode in ("RGB", "RGBA", "CMYK"):
        return _read_words(image, data, raw)
    pixels = _decode(image)
    if kind == "L" and form:
        top = _SPREAD.get(form[0], 255)
        pixels //= 255 // top
        return top - pixels if "I" in form else pixels
    if kind == "1" and "I" in form:
        return ~pixels
    return _with_sign(image, pixels) if image.format == "TIFF" else pixels


def _check_form(image: Any, data: bytes, raw: str) -> None:
    """Refuse numbers of which Pillow leaves some out, or changes them for good."""
    form = raw if raw.startswith(_LOSSY) and image.format != "JPEG" else None
    if raw.startswith("RGBX") and image.format == "TIFF" and image.tag_v2.get(_SAMPLES, 3) > 3:
        form = raw
    if image.format == "JPEG2000" and image.mode in ("LA", "RGB", "RGBA") and (bits := _count_bits(data)) > 8:
        form = f"colours of {bits} bits"
    if form is not None:
        raise StoredNumbersError(
            f"its numbers are stored as {form}, which can't be read as they are; load it with mode='rgb', or "
            "convert the file to PNG"
        )


def _with_sign(image: Any, pixels: NDArray[Any]) -> NDArray[Any]:
    """Return numbers of a TIFF file with their sign, or without one; Pillow knows one kind of each width."""
    bits, signed = image.tag_v2.get(_BITS, (1,))[0], image.tag_v2.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED
    if pixels.dtype.kind not in "iu" or pixels.dtype.itemsize * 8 != bits:
        return pixels
    return pixels.view(pixels.dtype.str.replace("u", "i") if signed else pixels.dtype.str.replace("i", "u"))


def _decode(image: Any) -> NDArray[Any]:
    image.load()  # where it fails, the array would be one of an object
    return np.array(image)


def _raw_mode(image: Any) -> str:
    """Return in Pillow's words how the samples lie in the file; an empty text where it has none."""
    args = image.tile[0][3] if image.tile else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _read_words(image: Any, data: bytes, raw: str) -> NDArray[np.uint16]:
    """Read colours of 16 bits, of which Pillow keeps the upper eight.

    With the order of bytes exchanged, it keeps the lower eight.
    """
    if raw == "LA;16B":  # a pixel of grey and transparency is as long as one of four bytes
        return np.asarray(_decode_as(image, "RGBA").view(">u2"), dtype=np.uint16)
    high = _decode(image).astype(np.uint16) << 8
    with import_extra("PIL.Image").open(BytesIO(data)) as other:
        return np.asarray(high | _decode_as(other, raw[:-1] + _OTHER_HALF[raw[-1]]))


def _decode_as(image: Any, raw: str) -> NDArray[np.uint8]:
    """Decode a picture as if its samples lay in the file in another way."""
    image.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw)
        for tile in image.tile
    ]
    return _decode(image)


def _read_pnm(image: Any, data: bytes) -> NDArray[Any]:
    """Read a PBM, PGM or PPM file, whose greatest number is any up to 65535."""
    codec, _, offset, args = image.tile[0]
    if args == "1;I":
        return ~_decode(image)
    if isinstance(args, tuple) and args[0] in ("L", "RGB", "I"):
        top = args[1]
    elif args == "I;16B":
        top = 65535
    else:
        return _decode(image)
    shape = (image.height, image.width, 3) if image.mode == "RGB" else (image.height, image.width)
    count, kind = int(np.prod(shape)), np.uint8 if top < 256 else np.uint16
    if codec == "ppm_plain":
        words = _COMMENT.sub(b"", data[offset:]).split(maxsplit=count)[:count]
        numbers = np.array([int(word) for word in words])
    else:
        numbers = np.frombuffer(data, ">u2" if top > 255 else np.uint8, count, offset)
    if len(numbers) < count or numbers.min() < 0 or numbers.max() > top:
        raise ValueError(f"it has {len(numbers)} of {count} numbers, or some above {top}, their greatest")
    return numbers.astype(kind).reshape(shape)


def _count_bits(data: bytes) -> int:
    """Return the bits of the widest sample in a JPEG 2000 file."""
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(data) < at + 42:
        return 0
    count = struct.unpack_from(">H", data, at + 40)[0]
    return max(((size & 0x7F) + 1 for size in data[at + 42 : at + 42 + 3 * count : 3]), default=0)
