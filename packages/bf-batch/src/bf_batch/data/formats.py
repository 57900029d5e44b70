"""File formats of one item: how a file becomes a value and back. None of them can run code of the file."""

from __future__ import annotations

import os
import reprlib
import tempfile
import wave
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import IO, Any

import numpy as np

from bf_batch.data import blosc, hdf5, jpeg, tables
from bf_batch.data.plain import as_plain_array, name_of, write_anew, write_npz
from bf_index.errors import escape, unknown
from bf_index.sizes import count_left, in_proportion, read_npy, read_npz

_PROGRAMS = ("EPS", "WMF", "EMF")
"""Formats that Pillow hands to Ghostscript or to Windows, whatever the name of the file says."""

_PICKLING = ("dill", "pickle", "pkl", "joblib", "pt", "pth")
"""Formats of the older BatchFlow and its neighbours that unpickle: reading such a file runs its code."""


@dataclass(frozen=True, slots=True)
class Format:
    """File format: the endings of its files, how they are read and how they are written.

    ``read(file, **options)`` returns a value, or a dict of values by name for a format that holds several;
    those named in ``parts`` go to components in this order. ``write(file, value, **options)`` writes one, or
    a dict of values by name where one file holds ``several``. A class of batches takes another format by
    ``formats = {**Batch.formats, "name": Format(...)}``.
    """

    endings: tuple[str, ...]
    read: Callable[..., Any]
    write: Callable[..., None]
    parts: tuple[str, ...] = ()
    several: bool = False


def _read_npy(file: IO[bytes]) -> Any:
    return read_npy(file, name_of(file))


def _write_npy(file: IO[bytes], value: Any) -> None:
    np.save(file, as_plain_array(value), allow_pickle=False)


def _read_npz(file: IO[bytes], max_bytes: int | None = None) -> dict[str, Any]:
    return read_npz(file, name_of(file), max_bytes)


def _write_npz(file: IO[bytes], value: Any, compressed: bool = True) -> None:
    values = value if isinstance(value, Mapping) else {"data": value}
    arrays = {name: as_plain_array(entry) for name, entry in values.items()}
    if compressed:
        write_npz(file, arrays, compressed=True)
        if in_proportion(sum(array.nbytes for array in arrays.values()), file.tell()):
            return
        # nearly all zeros: what is written must not look like a bomb
        write_anew(file)
    write_npz(file, arrays)


def _read_image(file: IO[bytes], mode: str | None = None) -> Any:
    image = _import_pillow().open(file)
    check_picture(image)
    if image.format in ("JPEG", "MPO"):
        image = _read_jpeg(image, file)
    if mode is None and image.mode == "P":
        mode = "RGBA" if "transparency" in image.info else "RGB"
    return np.asarray(image if mode is None else image.convert(mode))


def _read_jpeg(image: Any, file: IO[bytes]) -> Any:
    """Return an opened JPEG file decoded: Pillow alone makes up the pixels that a cut-off file lacks."""
    file.seek(0)
    data = file.read()
    head = jpeg.read_header(data)
    if head.components not in (1, 3):
        jpeg.check_whole(data, head)
        return image
    return _import_pillow().fromarray(jpeg.decode(data, head, "gray" if head.components == 1 else "rgb"))


def check_picture(image: Any) -> None:
    """Refuse an open picture of a format that other programs would have to run: a ValueError."""
    if image.format in _PROGRAMS:
        raise ValueError(f"a picture of the format {image.format} is a program, which is not run")


def _write_image(file: IO[bytes], value: Any, **options: Any) -> None:
    pillow = _import_pillow()
    options = {"format": _image_format(file).lstrip(".") or "png", **options}
    if isinstance(value, pillow.Image):
        value.save(file, **options)
        return
    array = _check_pixels(value)
    try:
        pillow.fromarray(array).save(file, **options)
    except (TypeError, OSError) as error:
        if getattr(error, "errno", None) is not None:  # the system's, not Pillow's own
            raise
        raise ValueError(
            f"an array of shape {array.shape} and dtype {array.dtype} can't be written as "
            f"{options['format']} ({error}); to_array('uint8') makes bytes, fmt='npy' keeps every number"
        ) from error


def _check_pixels(value: Any) -> Any:
    """Return a picture as Pillow takes it, grey without an axis of channels; ValueError for what is none."""
    array = np.asarray(value)
    if array.ndim in (2, 3) and array.dtype.kind in "biuf" and array.size:
        return array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    got = f"an array of shape {array.shape} and dtype {array.dtype}"
    if not isinstance(value, np.ndarray):
        got = f"a {type(value).__name__}, {escape(reprlib.repr(value))}"
    raise ValueError(
        f"got {got}; a picture is an array of numbers, (height, width) or (height, width, channels), of at "
        "least one pixel"
    )


def _image_format(file: IO[bytes]) -> str:
    ending = os.path.splitext(str(file.name))[1].lower()
    return {".jpg": ".jpeg", ".tif": ".tiff"}.get(ending, ending)


def _import_pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "reading and writing images needs Pillow: pip install 'bf-batch[images]'"
        ) from error
    return Image


_STREAMED = 0xFFFF_0000
"""Bytes of sound that a file claims at least when its writer did not know how many there would be."""
_WAV_TYPES: dict[int, np.dtype[Any]] = {1: np.dtype("u1"), 2: np.dtype("<i2"), 4: np.dtype("<i4")}


def _read_wav(file: IO[bytes]) -> dict[str, Any]:
    with wave.open(file, "rb") as sound:
        width, channels = sound.getsampwidth(), sound.getnchannels()
        claimed, left = sound.getnframes() * width * channels, count_left(file)
        if left < claimed < _STREAMED:
            raise ValueError(f"it claims {claimed:,} bytes of sound and holds {left:,}: it is cut off")
        if width not in (*_WAV_TYPES, 3):
            raise ValueError(f"samples of {8 * width} bits are not known")
        data = sound.readframes(min(claimed, left) // (width * channels))
        rate = sound.getframerate()
    if width == 3:  # 24 bits: the three bytes become the upper ones of 32
        parts = np.frombuffer(data, np.uint8).reshape(-1, 3)
        samples = np.pad(parts, ((0, 0), (1, 0))).view("<i4")[:, 0]
    else:
        samples = np.frombuffer(data, _WAV_TYPES[width])
    return {"samples": samples.reshape(-1, channels) if channels > 1 else samples, "rate": rate}


def _write_wav(file: IO[bytes], value: Any, rate: int) -> None:
    samples = np.asarray(value)
    if samples.dtype.kind == "f":
        samples = (np.clip(samples, -1, 1) * 32767).round().astype("<i2")
    if samples.dtype not in _WAV_TYPES.values():
        raise TypeError(f"wav holds uint8, int16, int32 or floats of -1 to 1, got {samples.dtype}")
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        sound.setsampwidth(samples.dtype.itemsize)
        sound.setframerate(rate)
        sound.writeframes(np.ascontiguousarray(samples).tobytes())


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "npy": Format((".npy",), _read_npy, _write_npy),
        "npz": Format((".npz",), _read_npz, _write_npz, several=True),
        "blosc": Format((".blosc",), blosc.read, blosc.write, several=True),
        "hdf5": Format((".h5", ".hdf5"), hdf5.read, hdf5.write, several=True),
        "csv": Format((".csv",), tables.read_csv, tables.write_csv),
        "parquet": Format((".parquet",), tables.read_parquet, tables.write_parquet),
        "feather": Format((".feather",), tables.read_feather, tables.write_feather),
        "image": Format(
            (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"),
            _read_image,
            _write_image,
        ),
        "wav": Format((".wav",), _read_wav, _write_wav, ("samples", "rate")),
    }
)
TABLES = ("csv", "parquet", "feather")
"""Formats in which one file holds a row for each item."""


def find_format(formats: Mapping[str, Format], fmt: str | None, path: str) -> tuple[str, Format]:
    """Return a format by name or by the ending of a path; ValueError with the known ones."""
    if fmt is None:
        ending = os.path.splitext(path)[1].lower()
        for name, known in formats.items():
            if ending in known.endings:
                return name, known
        raise ValueError(f"no format for files such as {path!r}: give fmt=, one of {', '.join(formats)}")
    if fmt in formats:
        return fmt, formats[fmt]
    if fmt in _PICKLING:
        raise ValueError(
            f"fmt={fmt!r}: there is no such format, since reading one runs the code that it holds; "
            f"use one of {', '.join(formats)}"
        )
    raise ValueError(unknown("fmt", fmt, formats))


_MORE_ENDINGS = {
    "csv": (".tsv", ".tab", ".txt", ".dat", ".data"),
    "parquet": (".pq", ".parq"),
    "feather": (".ftr", ".arrow"),
}
"""Other endings that files of tables have."""


def check_table_name(path: str, name: str, found: Format, action: str) -> None:
    """Refuse to write a table under the name of another kind of file, which something might run or obey."""
    known = (*found.endings, *_MORE_ENDINGS.get(name, ()))
    if os.path.splitext(path)[1].lower() not in known:
        raise ValueError(
            f"{action}: {path!r} is no name of a {name} file; it ends in one of {', '.join(known)}"
        )


_NAME_START = 100
"""Bytes of a file's name that its temporary one begins with: a name may have 255, so may the longer one."""


def write_whole(path: str, write: Callable[..., None], value: Any, options: Mapping[str, Any]) -> None:
    """Write a file under another name in the same folder and give it its name when it is whole.

    An OSError names the file, as for a full disk.
    """
    folder, name = os.path.split(path)
    temporary = None
    try:
        os.makedirs(folder or ".", exist_ok=True)
        start, ending = os.path.splitext(name)  # writers choose by the ending
        prefix = f".{os.fsdecode(os.fsencode(start)[:_NAME_START])}.part"
        handle, temporary = tempfile.mkstemp(ending[:_NAME_START], prefix, folder or ".")
        os.close(handle)
        with open(temporary, "w+b") as file:
            write(file, value, **options)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, path) from error
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
