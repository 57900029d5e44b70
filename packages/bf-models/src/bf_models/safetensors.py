"""Reader and writer of the safetensors format: a JSON header and raw numbers, nothing that can run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import IO, Any

import numpy as np

from bf_index.errors import escape
from bf_index.sizes import reading
from bf_models.errors import CorruptModel

_DTYPES = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "U16": "<u2",
    "I16": "<i2",
    "U32": "<u4",
    "I32": "<i4",
    "U64": "<u8",
    "I64": "<i8",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
    "BF16": "<u2",
}
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items() if name != "BF16"}
#: The format's own limit of its header.
_LONGEST_HEADER = 100_000_000


def chunks(arrays: Mapping[str, np.ndarray]) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a file that holds the arrays; TypeError for a dtype that the format lacks."""
    header: dict[str, Any] = {}
    offset = 0
    for name, array in arrays.items():
        kind = _NAMES.get(array.dtype.newbyteorder("<"))
        if kind is None:
            raise TypeError(f"safetensors: {name!r} is of dtype {array.dtype}, the format holds numbers only")
        header[name] = {
            "dtype": kind,
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little")
    yield text
    for array in arrays.values():
        ordered = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        yield memoryview(ordered.reshape(-1).view(np.uint8).data)


def read(data: bytes | memoryview, where: str) -> dict[str, np.ndarray]:
    """Return the arrays of a file's bytes, without a copy and read-only; bfloat16 becomes float32.

    CorruptModel names what does not agree: nothing is trusted but the bytes that are there.
    """
    view = memoryview(data)
    size = int.from_bytes(view[:8], "little")
    if len(view) < 8 or size > min(len(view) - 8, _LONGEST_HEADER):
        raise CorruptModel(
            f"{escape(where)}: not a safetensors file, or cut short: {len(view)} bytes, header of {size}"
        )
    with reading(where, CorruptModel):
        header = json.loads(bytes(view[8 : 8 + size]))
        header.pop("__metadata__", None)
        body = view[8 + size :]
        taken = sum(stop - start for start, stop in (entry["data_offsets"] for entry in header.values()))
        if taken > len(body):
            raise CorruptModel(
                f"{escape(where)} does not fit: its arrays take {taken:,} bytes of {len(body):,}"
            )
        return {name: _array(entry, body, f"{escape(where)}: {name!r}") for name, entry in header.items()}


def _array(entry: Mapping[str, Any], body: memoryview, where: str) -> np.ndarray:
    kind, shape, (start, stop) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if kind not in _DTYPES:
        raise ValueError(f"{escape(where)} has the unknown dtype {kind!r}")
    dtype = np.dtype(_DTYPES[kind])
    count = 1
    for extent in shape:
        if not isinstance(extent, int) or extent < 0:
            raise ValueError(f"{escape(where)} has the shape {shape}")
        count *= extent
    if (
        not (isinstance(start, int) and 0 <= start <= stop <= len(body))
        or stop - start != count * dtype.itemsize
    ):
        raise ValueError(
            f"{escape(where)} of shape {shape} and dtype {kind} does not fit its bytes {start}..{stop}"
        )
    array = np.frombuffer(body[start:stop], dtype)
    if kind == "BF16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.reshape(shape)


def load_file(path: Any) -> dict[str, np.ndarray]:
    """Read the arrays of a safetensors file, by name."""
    with open(path, "rb") as file:
        return read(file.read(), str(path))


def save_file(arrays: Mapping[str, np.ndarray], file: IO[bytes]) -> None:
    """Write arrays into an open binary file."""
    for part in chunks(arrays):
        file.write(part)
