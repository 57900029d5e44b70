"""Pictures in files: read, checked and decoded when pixels are needed, as much of them as is needed."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.data import jpeg
from bf_batch.data.formats import check_picture
from bf_batch.errors import item_error
from bf_batch.images.arguments import Floats
from bf_batch.images.files.stored import StoredNumbersError, read_stored
from bf_batch.images.runtime import import_extra
from bf_index.errors import escape

MAX_PIXELS = 178_956_970
"""Larger pictures are refused unless asked for: the limit of Pillow, 0.5 GB of RGB."""

#: How one goes on after a bad file.
SKIP = "mend or remove it, or have load leave such files out with on_error='skip'"
_BELOW = 3  # a point between rows i and i + 1 needs rows up to i + 2 for cubic interpolation
_PILLOW_MODES = {"rgb": "RGB", "gray": "L", "rgba": "RGBA"}
_WHITE_16 = 65535
_BACK = {6: 8, 8: 6}  # the orientation that undoes another one; all others undo themselves
_HELD = 64 << 20  # bytes of the largest decoding buffer that a thread keeps

_local = threading.local()


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """Options of decoding: colours, orientation, the largest picture."""

    mode: jpeg.Mode | None = "rgb"
    exif: bool = True
    max_pixels: int = MAX_PIXELS


@dataclass(frozen=True, slots=True)
class Encoded:
    """The bytes of one JPEG file, its header, and the colours it is decoded to."""

    data: bytes
    head: jpeg.Header
    mode: jpeg.Mode
    path: str

    def decode(self, rows: int | None = None, shrink: int = 1, buffer: Any = None) -> NDArray[np.uint8]:
        """Decode the picture as it is stored, see ``jpeg.decode``; a ValueError names the file."""
        try:
            return jpeg.decode(self.data, self.head, self.mode, rows, shrink, buffer)
        except ValueError as error:
            raise ValueError(f"{escape(self.path)}: {escape(error)}") from error


Picture = Encoded | NDArray[Any]


def open_picture(data: bytes, options: DecodeOptions, path: str) -> tuple[Picture, int]:
    """Check the bytes of a file; return the picture (JPEG files still encoded) and its EXIF orientation.

    A ValueError tells what is wrong with the file.
    """
    if not data:
        raise ValueError("the file is empty (0 bytes)")
    if jpeg.is_jpeg(data):
        head = jpeg.read_header(data)
        _check_size(head.height, head.width, options)
        if head.components in (1, 3):
            mode = options.mode or ("gray" if head.components == 1 else "rgb")
            return Encoded(data, head, mode, path), head.orientation if options.exif else 1
        jpeg.check_whole(data, head)
    return _decode_by_pillow(data, options)


def _check_size(height: int, width: int, options: DecodeOptions) -> None:
    if height * width > options.max_pixels:
        raise ValueError(
            f"a picture of {height} x {width} pixels is more than max_pixels={options.max_pixels}; "
            "if it is meant, raise max_pixels"
        )


def _decode_by_pillow(data: bytes, options: DecodeOptions) -> tuple[NDArray[Any], int]:
    """Decode any other format that Pillow knows."""
    with _explain_errors(data):
        image = import_extra("PIL.Image").open(BytesIO(data))
    with image:
        check_picture(image)
        _check_size(image.height, image.width, options)
        with _explain_errors(data):
            before = _read_orientation(image) if image.format == "TIFF" else None
            numbers = image.mode.startswith(("I", "F"))
            if options.mode is None:
                pixels = read_stored(image, data)
            else:
                image.load()
                pixels = np.array(image if numbers else image.convert(_PILLOW_MODES[options.mode]))
            after = _read_orientation(image)
    if not options.exif:  # Pillow turns TIFF files by itself
        after = 1 if before in (None, after) else _BACK.get(before, before)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return (_to_bytes(pixels, options.mode) if numbers and options.mode is not None else pixels), after


@contextlib.contextmanager
def _explain_errors(data: bytes) -> Iterator[None]:
    """Turn errors of Pillow into a ValueError that tells what is wrong with a file."""
    image_module = import_extra("PIL.Image")
    try:
        yield
    except image_module.UnidentifiedImageError:
        raise ValueError(f"not a picture of a known format (it begins with {data[:8]!r})") from None
    except image_module.DecompressionBombError as error:
        raise ValueError(f"{error} If it is meant, raise PIL.Image.MAX_IMAGE_PIXELS as well") from None
    except (ImportError, MemoryError, StoredNumbersError):
        raise
    except Exception as error:  # the bytes of a stranger may raise any error of Pillow
        raise ValueError(f"damaged picture: {error or type(error).__name__}") from error


def _read_orientation(image: Any) -> int:
    found = image.getexif().get(jpeg.ORIENTATION, 1)
    return found if found in range(1, 9) else 1


def _to_bytes(values: NDArray[Any], mode: jpeg.Mode) -> NDArray[np.uint8]:
    """Scale 16 bits to bytes, which Pillow would cut off at 255; a ValueError for numbers of other ranges."""
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > _WHITE_16:
        raise ValueError(
            f"its pixels are {values.dtype} from {values.min()} to {values.max()}, which have no meaning as "
            "colours; load them with mode='stored'"
        )
    levels = (values * (255 / _WHITE_16) + 0.5).astype(np.uint8)
    if mode == "gray":
        return levels
    solid = [np.full_like(levels, 255)] if mode == "rgba" else []
    return np.stack([levels, levels, levels, *solid], axis=-1)


class Files:
    """Pictures of a batch of which some are still JPEG bytes: the source of pending geometry."""

    def __init__(self, pictures: Sequence[Picture], ids: Sequence[Any], mode: jpeg.Mode | None) -> None:
        self.pictures = list(pictures)
        self.ids = list(ids)
        self.mode = mode

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, rows: Any) -> Files:
        positions = range(len(self))[rows] if isinstance(rows, slice) else rows
        return Files(
            [self.pictures[position] for position in positions],
            [self.ids[position] for position in positions],
            self.mode,
        )

    @property
    def kinds(self) -> set[tuple[int, np.dtype[Any]]]:
        """The channels (0 for none) and dtypes that the pictures have."""
        return {self._kind_of(picture) for picture in self.pictures}

    @property
    def arrays(self) -> list[NDArray[Any]]:
        """The pictures that are decoded already; the others are bytes."""
        return [picture for picture in self.pictures if isinstance(picture, np.ndarray)]

    @staticmethod
    def _kind_of(picture: Picture) -> tuple[int, np.dtype[Any]]:
        if isinstance(picture, np.ndarray):
            return (picture.shape[2] if picture.ndim == 3 else 0), picture.dtype
        return (0 if picture.mode == "gray" else jpeg.CHANNELS[picture.mode]), np.dtype(np.uint8)

    def whole(self, i: int, into: Any = None) -> NDArray[Any]:
        """Return one picture, decoded in full; an encoded one into a contiguous buffer if there is one."""
        picture = self.pictures[i]
        if isinstance(picture, np.ndarray):
            if into is None:
                return picture
            into[...] = picture.reshape(into.shape)
            return np.asarray(into)
        return self._decode(i, picture, buffer=into)

    def part(self, i: int, matrix: Floats, ends: tuple[Floats, Floats]) -> tuple[NDArray[Any], Floats]:
        """Decode what a map reaches from results between two rows and two columns; return it and the map.

        The pixels are in a buffer of this thread that its next picture overwrites.
        """
        picture = self.pictures[i]
        if isinstance(picture, np.ndarray):
            return picture, matrix
        shrink = _choose_shrink(matrix)
        if shrink > 1:
            matrix = matrix / shrink
            matrix[:2, 2] += 0.5 / shrink - 0.5
            matrix[2] = 0, 0, 1
        down, across, start = matrix[0].tolist()
        lowest = start + float((down * ends[0]).max() + (across * ends[1]).max())
        rows = None
        if lowest * shrink < picture.head.height:
            rows = max(math.floor(lowest) + _BELOW, 1) * shrink
        buffer = _scratch_buffer(picture.head, picture.mode, shrink)
        return self._decode(i, picture, rows, shrink, buffer), matrix

    def _decode(self, i: int, picture: Encoded, *args: Any, **kwargs: Any) -> NDArray[np.uint8]:
        try:
            return picture.decode(*args, **kwargs)
        except ValueError as error:
            told = ValueError(f"{error}; {SKIP}")
            raise item_error(told, self.ids[i], "load_images", i) from error


def _choose_shrink(matrix: Floats) -> int:
    """Return how many times smaller a picture may be decoded for the distances that a map makes."""
    (a, b), (c, d) = matrix[:2, :2].tolist()
    apart = min(math.hypot(a, c), math.hypot(b, d))
    return next((factor for factor in (8, 4, 2) if apart >= factor), 1)


def _scratch_buffer(head: jpeg.Header, mode: jpeg.Mode, shrink: int) -> NDArray[np.uint8]:
    """Return a buffer large enough for a decoded picture.

    It is this thread's own, since fresh memory would be dear, unless the picture is huge.
    """
    wanted = -(-head.height // shrink) * -(-head.width // shrink) * jpeg.CHANNELS[mode]
    held: NDArray[np.uint8] | None = getattr(_local, "buffer", None)
    if held is None or held.size < wanted:
        held = np.empty(wanted, np.uint8)
        if wanted <= _HELD:
            _local.buffer = held
    return held


class PictureCache:
    """Decoded pictures by file, at most ``max_bytes`` of them: pass it to ``load(cache=...)``.

    What came first is kept and nothing is thrown out: an epoch reads every file once, and throwing out the
    oldest would then lose each picture just before it is needed. A file that changed is read again. Every
    worker process has a cache of its own.
    """

    def __init__(self, max_bytes: int = 2 << 30) -> None:
        if max_bytes <= 0:
            raise ValueError(f"PictureCache: max_bytes must be positive, got {max_bytes}")
        self.max_bytes = max_bytes
        self.nbytes = 0
        self._held: dict[Any, tuple[NDArray[Any], int]] = {}
        self._lock = threading.Lock()

    def key(self, path: str, options: Any) -> Any:
        """Return what a picture is remembered by: its file as it is now, and how it was decoded."""
        found = os.stat(path)
        return path, found.st_mtime_ns, found.st_size, options

    def get(self, key: Any) -> tuple[NDArray[Any], int] | None:
        """Return a picture and its EXIF orientation, or None."""
        return self._held.get(key)

    def put(self, key: Any, picture: NDArray[Any], orientation: int) -> None:
        """Remember a picture if there is room; it must not be changed afterwards."""
        with self._lock:
            if key in self._held or self.nbytes + picture.nbytes > self.max_bytes:
                return
            picture = np.ascontiguousarray(picture)
            picture.flags.writeable = False
            self._held[key] = picture, orientation
            self.nbytes += picture.nbytes

    def __len__(self) -> int:
        return len(self._held)

    def __getstate__(self) -> dict[str, Any]:
        return {"max_bytes": self.max_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
