"""Arrow files (Feather version 2): what they claim to become, read before anything is unpacked.

pyarrow takes memory as a file says, and does not tell how much before it does; what is read here is only what
that needs. The format: https://arrow.apache.org/docs/format/Columnar.html, its tables are flatbuffers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO, Any

from bf_batch.data.plain import name_of
from bf_index.sizes import check_size, count_left

_MAGIC = b"ARROW1"
_OLD = b"FEA1"
_TAIL = 10
"""Bytes at the end: the length of the footer and the magic."""
_DICTIONARIES, _BATCHES = 2, 3
"""Fields of the footer, and kinds of messages."""
_FLAT_VALUE, _NESTED_VALUE = 8, 128
"""Bytes of a value in a table; of a list in one."""


class _Table:
    """A table of a flatbuffer: fields are found by number."""

    def __init__(self, data: bytes, place: int) -> None:
        self._data, self._place = data, place

    @classmethod
    def root(cls, data: bytes) -> _Table:
        """Return the table that a flatbuffer begins with."""
        return cls(data, _unpack("<I", data, 0))

    def find(self, field: int) -> int | None:
        """Return the place of a field, None where it is not there."""
        heads = self._place - _unpack("<i", self._data, self._place)
        slot = 4 + 2 * field
        if slot + 2 > _unpack("<H", self._data, heads):
            return None
        offset = _unpack("<H", self._data, heads + slot)
        return self._place + offset if offset else None

    def number(self, field: int, form: str) -> int:
        """Return a number, 0 where it is not there."""
        place = self.find(field)
        return 0 if place is None else _unpack(form, self._data, place)

    def table(self, field: int) -> _Table:
        """Return another table; ValueError where it is not there."""
        place = self.find(field)
        if place is None:
            raise ValueError(f"its head lacks the field {field}")
        return _Table(self._data, place + _unpack("<I", self._data, place))

    def rows(self, field: int, form: str) -> Iterator[tuple[int, ...]]:
        """Yield the structs of a vector."""
        place = self.find(field)
        if place is None:
            return
        begin = place + _unpack("<I", self._data, place)
        size = struct.calcsize(form)
        count = _unpack("<I", self._data, begin)
        if begin + 4 + count * size > len(self._data):
            raise ValueError(f"its head claims {count} entries and is too short for them")
        yield from struct.iter_unpack(form, self._data[begin + 4 : begin + 4 + count * size])


def _unpack(form: str, data: bytes, place: int) -> int:
    if not 0 <= place <= len(data) - struct.calcsize(form):
        raise ValueError("its head is damaged")
    return int(struct.unpack_from(form, data, place)[0])


def check_arrow(file: IO[bytes], max_bytes: int | None = None) -> None:
    """Check what the columns of an Arrow file claim to become against its bytes.

    FileTooLargeError where that is out of all proportion, ValueError for another file and for kinds of
    columns of which a row may be longer than its file.
    """
    where, stored = name_of(file), count_left(file)
    begin = _read(file, 0, len(_MAGIC))
    if begin.startswith(_OLD):
        raise ValueError(
            "it is Feather of version 1; write it anew: pyarrow.feather.write_feather(table, path)"
        )
    if begin != _MAGIC or stored < len(_MAGIC) + _TAIL:
        raise ValueError("it is no Feather file")
    length = _unpack("<i", _read(file, stored - _TAIL, 4), 0)
    footer = _Table.root(_read(file, stored - _TAIL - length, length))
    claimed = values = 0
    for kind in (_DICTIONARIES, _BATCHES):
        for block in footer.rows(kind, "<qi4xq"):
            for size, count in _read_claims(file, kind, *block[:2]):
                claimed, values = claimed + size, values + count
        check_size(where, max(claimed, values * _FLAT_VALUE), stored, max_bytes)
    if _has_nested(file):
        check_size(where, values * _NESTED_VALUE, stored, max_bytes)
    file.seek(0)


def _read(file: IO[bytes], place: int, length: int) -> bytes:
    if place < 0 or length < 0:
        raise ValueError("its head is damaged")
    file.seek(place)
    data = file.read(length)
    if len(data) < length:
        raise ValueError("it is cut off")
    return data


def _read_claims(file: IO[bytes], kind: int, place: int, length: int) -> Iterator[tuple[int, int]]:
    """Yield bytes and numbers of values that the columns of a message claim."""
    data = _read(file, place, length) if length <= _count_from(file, place) else b""
    message = _Table.root(data[8:] if data[:4] == b"\xff" * 4 else data[4:])
    header = message.table(2)
    batch = header.table(1) if kind == _DICTIONARIES else header
    for count, _ in batch.rows(1, "<qq"):
        if count < 0:
            raise ValueError("its head is damaged")
        yield 0, count
    packed = batch.find(3) is not None
    for offset, size in batch.rows(2, "<qq"):
        if size < 0:
            raise ValueError("its head is damaged")
        if packed and size:
            told = struct.unpack("<q", _read(file, place + length + offset, 8))[0]
            yield (size - 8 if told < 0 else told), 0  # -1: stored as it is
        else:
            yield size, 0


def _count_from(file: IO[bytes], place: int) -> int:
    """Return how many bytes a file has from a place on."""
    file.seek(max(place, 0))
    return count_left(file)


def _has_nested(file: IO[bytes]) -> bool:
    """Whether some column has lists; ValueError for columns whose rows may share bytes without end."""
    import pyarrow as pa

    file.seek(0)
    pending: list[Any] = [field.type for field in pa.ipc.open_file(file).schema]
    nested = False
    while pending:
        kind = pending.pop()
        if any(word in str(kind).split("<")[0] for word in ("view", "run_end_encoded", "extension")):
            raise ValueError(f"columns of the type {kind} are not read; write numbers, texts, times or lists")
        if pa.types.is_dictionary(kind):
            pending.append(kind.value_type)
        else:
            nested |= kind.num_fields > 0
            pending.extend(kind.field(number).type for number in range(kind.num_fields))
    return nested
