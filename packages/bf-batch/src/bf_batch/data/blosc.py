"""Blosc files: an npy file, or an npz file of several arrays, in blosc chunks one after another; no pickles.

Each chunk has a head of 16 bytes (https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst), whose
sizes are held against the bytes of the file before the library sees them.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator, Mapping
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bf_batch.data.plain import as_plain_array, name_of, write_anew, write_npz
from bf_index.sizes import check_size, count_left, in_proportion, read_npy_head, read_npz

Codec = Literal["lz4", "lz4hc", "zstd", "zlib", "blosclz"]
_CODECS = ("lz4", "lz4hc", "zstd", "zlib", "blosclz")
_HEAD = struct.Struct("<BBBBIII")
_CHUNK = 1 << 28
"""Bytes that are packed at once: blosc itself takes no 2 GiB."""
_NPY, _ZIP = b"\x93NUMPY", b"PK"


def read(file: IO[bytes], max_bytes: int | None = None) -> Any:
    """Return the array in a blosc file, or a dict of arrays by name.

    ValueError for a file of anything else, such as the pickles that the older BatchFlow and
    ``blosc.pack_array`` write.
    """
    where, stored = name_of(file), count_left(file)
    chunks = list(_find_chunks(file, stored))
    check_size(where, sum(size for size, _ in chunks), stored, max_bytes)
    codec = _make_codec()
    unpacked = np.empty(sum(size for size, _ in chunks), np.uint8)
    done = 0
    for size, length in chunks:
        data = file.read(length)
        if size:
            codec.decode(data, unpacked[done : done + size])
        done += size
    return _parse(unpacked, where, max_bytes)


def _find_chunks(file: IO[bytes], left: int) -> Iterator[tuple[int, int]]:
    """Yield how many bytes each chunk becomes and has; the file stays where it is."""
    begin = file.tell()
    while left:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            raise ValueError("it is cut off, or no blosc file")
        version, *_, size, block, length = _HEAD.unpack(head)
        if version != 2 or not _HEAD.size <= length <= left or block > max(size, 1):
            raise ValueError(
                f"a chunk of blosc version {version} claims {length:,} bytes, and there are {left:,}: it is "
                "cut off, or no blosc file"
            )
        yield size, length
        left -= length
        file.seek(length - _HEAD.size, io.SEEK_CUR)
    file.seek(begin)


def _parse(unpacked: NDArray[np.uint8], where: str, max_bytes: int | None) -> Any:
    begin = unpacked[:8].tobytes()
    if begin.startswith(_ZIP):
        return read_npz(io.BytesIO(unpacked.data), where, max_bytes, compressed=False)
    if not begin.startswith(_NPY):
        raise ValueError(
            "it holds neither an npy nor an npz file; pickles, as the older BatchFlow wrote them, are not "
            "read, since reading one runs its code"
        )
    head = io.BytesIO(unpacked[: 1 << 17].tobytes())
    shape, fortran, dtype = read_npy_head(head, where, len(unpacked))
    order: Literal["F", "C"] = "F" if fortran else "C"
    if not dtype.itemsize:
        return np.empty(shape, dtype, order)
    values = np.frombuffer(unpacked, dtype, math.prod(shape), head.tell()).reshape(shape, order=order)
    return values if values.flags.aligned else values.copy(order)


def write(
    file: IO[bytes], value: Any, compression: Codec = "lz4", level: int = 5, shuffle: bool = True
) -> None:
    """Write an array, or arrays by name.

    ``level`` is 0 (stored) to 9; ``shuffle`` puts bytes of one place in their numbers together.
    """
    if compression not in _CODECS:
        raise ValueError(f"compression={compression!r:.80}: there are {', '.join(_CODECS)}")
    if not 0 <= level <= 9:
        raise ValueError(f"level={level!r:.80}: 0 to 9")
    plain = io.BytesIO()
    if isinstance(value, Mapping):
        arrays = {name: as_plain_array(entry) for name, entry in value.items()}
        write_npz(plain, arrays)
        largest = max(arrays.values(), key=lambda array: array.nbytes, default=np.empty(0, np.uint8))
    else:
        largest = as_plain_array(value)
        np.save(plain, largest, allow_pickle=False)
    packing = {"cname": compression, "shuffle": int(shuffle)}
    _write_chunks(file, plain, largest.dtype, _make_codec(clevel=level, **packing))
    if level and not in_proportion(len(plain.getbuffer()), file.tell()):
        # nearly all zeros: what is written must not look like a bomb
        write_anew(file)
        _write_chunks(file, plain, largest.dtype, _make_codec(clevel=0, **packing))


def _write_chunks(file: IO[bytes], plain: io.BytesIO, dtype: np.dtype[Any], codec: Any) -> None:
    """Write bytes packed; those of numbers of the dtype are put together by their places in a number."""
    width = np.dtype(dtype.type).itemsize // (2 if dtype.kind == "c" else 1)
    width = width if width in (2, 4, 8) and dtype.kind in "iufcmM" else 4 if dtype.kind == "U" else 1
    data = np.frombuffer(plain.getbuffer(), np.uint8)
    for begin in range(0, len(data), _CHUNK):
        piece = data[begin : begin + _CHUNK]
        whole = len(piece) - len(piece) % width
        for part in (piece[:whole].view(f"u{width}"), piece[whole:]):
            if part.size:
                file.write(codec.encode(part))


def _make_codec(**options: Any) -> Any:
    try:
        from numcodecs import Blosc
    except ImportError as error:
        raise ImportError(
            "reading and writing blosc files needs numcodecs: pip install 'bf-batch[blosc]'"
        ) from error
    return Blosc(**options)
