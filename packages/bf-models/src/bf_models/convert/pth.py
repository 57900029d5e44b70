"""Reader of torch's .pth files that runs no code: a pickle machine that knows tensors, and nothing else."""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bf_index.errors import escape
from bf_index.sizes import FREE_BYTES, check_zip, reading
from bf_models.errors import CorruptModel, UnsafeCheckpoint

_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_LARGEST_PICKLE = 64 * 2**20
_MOST_COPIES = 16
"""How many times the bytes of its storages a file may become: some weights are tied, some are views."""


class _Kind:
    """A name of a torch storage; calling it is refused."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Storage:
    """Numbers of a storage, before tensors are cut from them."""

    def __init__(self, numbers: np.ndarray, kind: str) -> None:
        self.numbers = (
            numbers.astype(np.uint32).__lshift__(16).view(np.float32) if kind.startswith("BF") else numbers
        )


def _take_data(data: np.ndarray, *rest: Any) -> np.ndarray:
    return data


_CALLABLE: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_parameter"): _take_data,
}


class _Reader(pickle.Unpickler):
    """Unpickler that knows only the names above: any other one is refused before it is looked up."""

    def __init__(self, data: bytes, archive: zipfile.ZipFile, prefix: str, where: str) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self._archive, self._prefix, self._where = archive, prefix, where
        stored = sum(item.file_size for item in archive.infolist())
        self._left = max(_MOST_COPIES * stored, FREE_BYTES)

    def _take(self, count: int) -> None:
        """Count bytes that are copied: one storage may be named again and again, and repeated by strides."""
        self._left -= count
        if self._left < 0:
            raise CorruptModel(
                f"{escape(self._where)}: its tensors take more than {_MOST_COPIES} times its bytes"
            )

    def _build_tensor(
        self, storage: _Storage, offset: int, size: tuple[int, ...], strides: tuple[int, ...], *rest: Any
    ) -> np.ndarray:
        """Copy a storage's numbers into an array; refuse to reach outside of them."""
        if not isinstance(storage, _Storage):
            raise UnsafeCheckpoint(f"{escape(self._where)}: a tensor without a storage")
        numbers = storage.numbers
        whole = isinstance(offset, int) and all(
            isinstance(item, int) and item >= 0 for item in (offset, *size, *strides)
        )
        reach = offset + sum((extent - 1) * stride for extent, stride in zip(size, strides)) if whole else -1
        if len(size) != len(strides) or (0 not in size and not 0 <= reach < len(numbers)):
            raise CorruptModel(
                f"{escape(self._where)}: a tensor of size {size} reaches outside of its storage "
                f"of {len(numbers)} "
                "numbers"
            )
        self._take(math.prod(size) * numbers.itemsize)
        steps = tuple(stride * numbers.itemsize for stride in strides)
        return np.lib.stride_tricks.as_strided(numbers[offset:], size, steps).copy()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._build_tensor
        if (module, name) in _CALLABLE:
            return _CALLABLE[module, name]
        if module == "torch" and name in _DTYPES:
            return _Kind(name)
        raise UnsafeCheckpoint(
            f"{escape(self._where)} asks for {escape(module)}.{escape(name)}, which no file of weights "
            "needs; not loaded"
        )

    def persistent_load(self, key: Any) -> Any:
        if not (
            isinstance(key, tuple) and len(key) == 5 and key[0] == "storage" and isinstance(key[1], _Kind)
        ):
            raise UnsafeCheckpoint(f"{escape(self._where)} refers to {key!r}, which is no storage of numbers")
        _, kind, name, _, count = key
        dtype = np.dtype(_DTYPES[kind.name])
        member = f"{self._prefix}data/{name}"
        info = self._archive.getinfo(member)
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != count * dtype.itemsize:
            raise CorruptModel(
                f"{escape(self._where)}: {member!r} has {info.file_size} bytes for {count} numbers"
            )
        self._take(info.file_size)
        return _Storage(np.frombuffer(self._archive.read(member), dtype), kind.name)


def _check_opcodes(data: bytes, where: str) -> None:
    """Refuse the instructions that take memory for what the pickle does not hold."""
    value: Any
    for code, value, _ in pickletools.genops(data):
        places = isinstance(value, int) and code.name in ("PUT", "BINPUT", "LONG_BINPUT")
        swells = code.name in ("BYTEARRAY8", "NEXT_BUFFER") or (places and value > len(data))
        if swells:
            raise CorruptModel(
                f"{escape(where)}: instruction {code.name} {value}, which no file of weights needs"
            )


def read_pth(path: str | Path) -> dict[str, np.ndarray]:
    """Read the arrays of a file that torch.save wrote (zip format, torch 1.6 or newer), flattened by dots.

    UnsafeCheckpoint when the file asks for anything but tensors, CorruptModel when it is damaged or of
    the old format. Nothing of torch is imported.
    """
    where = str(path)
    with reading(where, CorruptModel, UnsafeCheckpoint), zipfile.ZipFile(path) as archive:
        check_zip(archive, where, Path(path).stat().st_size, option="")
        pickles = [item for item in archive.infolist() if item.filename.endswith("/data.pkl")]
        if len(pickles) != 1 or pickles[0].file_size > _LARGEST_PICKLE:
            raise CorruptModel(f"{escape(where)}: no torch file: {len(pickles)} members named data.pkl")
        prefix = pickles[0].filename.removesuffix("data.pkl")
        data = archive.read(pickles[0])
        _check_opcodes(data, where)
        loaded = _Reader(data, archive, prefix, where).load()
    if not isinstance(loaded, Mapping):
        raise CorruptModel(f"{escape(where)} holds {type(loaded).__name__}, expected names and tensors")
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    return {str(name): item for name, item in loaded.items() if isinstance(item, np.ndarray)}
