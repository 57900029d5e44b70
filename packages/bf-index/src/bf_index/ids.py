"""The ids of an index: how they are taken in, checked, looked up and hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import index as as_int
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = range | NDArray[Any]
"""A range (O(1) memory) or a read-only 1-d array of unique ids."""

_CHUNK = 1 << 14
_WIDEST = 4.0
"""Strings go into an array of fixed width unless the longest has more than so many times the mean length."""


def as_ids(index: Any) -> Ids:
    """Return the ids in whatever ``DatasetIndex`` takes; TypeError or ValueError when there are none."""
    if isinstance(index, range):
        return _check_range(index)
    if isinstance(index, (bool, np.bool_, str, bytes)) or index is None:
        raise TypeError(
            f"index must be a number of items or a 1-d sequence of unique ids, got {index!r}"
            f" ({type(index).__name__}); for one id give a list, for files use FilesIndex(path)"
        )
    if hasattr(index, "__index__") and np.ndim(index) == 0:
        return _from_count(as_int(index))
    if isinstance(index, (set, frozenset)):
        raise TypeError("index: a set has no order of its own, so batches would differ between runs; sort it")
    if not isinstance(index, np.ndarray):
        if not isinstance(index, Iterable):
            raise TypeError(
                f"index must be a number of items or a 1-d sequence of ids, got {type(index).__name__}"
            )
        index = np.asarray(index) if hasattr(index, "__array__") else list(index)
    ids = _from_array(index) if isinstance(index, np.ndarray) else _from_list(index)
    return _finish(ids)


def _from_count(number: int) -> range:
    if number < 0:
        raise ValueError(f"index: a number of items must be >= 1, got {number}")
    return _check_range(range(number))


def _check_range(ids: range) -> range:
    if not ids:
        raise ValueError("index is empty: got 0 items; an index needs at least one id")
    return ids


def _from_array(array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim != 1:
        raise ValueError(f"index must be 1-d, got an array of shape {array.shape}; give one id per item")
    if array.dtype.kind in "OTS" or _is_beyond_int64(array):
        return _from_list(array.tolist())
    if array.dtype.kind not in "iuUMmf":
        raise TypeError(
            f"index: ids of dtype {array.dtype} are not supported; a mask goes to index.subset(mask), ids are"
            " integers, strings, dates or any hashable objects"
        )
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    return array.copy() if array.flags.writeable else array


def _is_beyond_int64(array: NDArray[Any]) -> bool:
    return array.dtype.kind == "u" and array.size > 0 and int(array.max()) >= 1 << 63


def _from_list(items: Sequence[Any]) -> NDArray[Any]:
    kinds = set(map(type, items))
    if not kinds:
        return np.empty(0, np.int64)
    if kinds <= {str, np.str_}:
        return _from_strings(items)
    if any(issubclass(kind, (list, np.ndarray)) for kind in kinds):
        raise ValueError(f"index must be 1-d, got a sequence of {kinds.pop().__name__}; give one id per item")
    if all(issubclass(kind, (int, np.integer)) and kind is not bool for kind in kinds):
        try:
            return np.fromiter(items, np.int64, len(items))
        except OverflowError:
            return as_objects(items)
    if len(kinds) > 1:
        first = type(items[0])
        place = next(number for number, item in enumerate(items) if type(item) is not first)
        raise TypeError(
            f"index: ids must be of one type, got {items[0]!r} ({first.__name__}) at position 0 and"
            f" {items[place]!r} ({type(items[place]).__name__}) at position {place}; convert them all, for"
            " example with str"
        )
    kind = kinds.pop()
    if kind is bool or kind is np.bool_ or kind is type(None):
        raise TypeError(f"index: ids of type {kind.__name__} are not supported; give integers or strings")
    if issubclass(kind, (float, np.generic)):
        return _from_array(np.asarray(items))
    return as_objects(items)


def _from_strings(items: Sequence[str]) -> NDArray[Any]:
    longest = max(map(len, items))
    if longest > 64 and longest > _WIDEST * sum(map(len, items)) / len(items):
        return as_objects(items)
    # Much quicker than np.array, which looks at each string twice.
    return np.fromiter(items, f"<U{max(longest, 1)}", len(items))


def as_objects(items: Sequence[Any]) -> NDArray[Any]:
    """Return an array of references to the very items."""
    return np.fromiter(items, object, len(items))


def _finish(ids: NDArray[Any]) -> Ids:
    """Check that ids are there and unique; consecutive integers become a range."""
    if not ids.size:
        raise ValueError("index is empty: got 0 items; an index needs at least one id")
    if (found := as_range(ids)) is not None:
        return found
    check_unique(ids)
    ids.setflags(write=False)
    return ids


def as_range(ids: NDArray[Any]) -> range | None:
    """Return ids as a range when they are consecutive integers."""
    if ids.dtype != np.int64 or int(ids[-1]) - int(ids[0]) != len(ids) - 1:
        return None
    if len(ids) > 1 and not (np.diff(ids) == 1).all():
        return None
    return range(int(ids[0]), int(ids[-1]) + 1)


def check_unique(ids: NDArray[Any]) -> None:
    """Raise ValueError that lists the first duplicates and where they are."""
    if ids.dtype.kind == "f" and not np.isfinite(ids).all():
        raise ValueError("index: NaN or infinity can't be an id")
    if ids.dtype.kind == "O":
        try:
            repeated = len(set(ids.tolist())) != len(ids)
        except TypeError as error:
            raise TypeError(f"index: ids must be hashable: {error}") from None
    else:
        keys = _hashes(ids) if ids.dtype.kind == "U" else ids
        ordered = np.sort(keys)
        repeated = bool((ordered[1:] == ordered[:-1]).any())
    if repeated:
        _refuse_duplicates(ids)


def _refuse_duplicates(ids: NDArray[Any]) -> None:
    seen: dict[Any, int] = {}
    found: list[str] = []
    count = 0
    for place, item in enumerate(ids.tolist()):
        first = seen.setdefault(item, place)
        if first != place:
            count += 1
            if len(found) < 3:
                found.append(f"{item!r} at positions {first} and {place}")
    if found:
        more = f" and {count - len(found)} more" if count > len(found) else ""
        raise ValueError(f"index: ids must be unique, got {', '.join(found)}{more}")


def _hashes(ids: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each string: a sort of these finds what may be repeated."""
    codes = np.ascontiguousarray(ids).view(np.uint32).reshape(len(ids), -1)
    if ids.dtype.byteorder == ">":
        codes = codes.byteswap()
    factors = np.random.default_rng(len(ids)).integers(1, 1 << 63, codes.shape[1], np.uint64) | np.uint64(1)
    hashes = np.zeros(len(ids), np.uint64)
    for start in range(0, len(ids), _CHUNK):
        part, total = codes[start : start + _CHUNK], hashes[start : start + _CHUNK]
        for column, factor in enumerate(factors):
            total += part[:, column] * factor
    return hashes


def items_of(ids: Ids) -> Iterable[Any]:
    """Iterate over ids as plain Python values."""
    if isinstance(ids, range):
        yield from ids
        return
    for start in range(0, len(ids), _CHUNK):
        yield from ids[start : start + _CHUNK].tolist()


def digest(ids: Ids) -> str:
    """Return a hash (32 hex digits) of ids in their order: the same for any width of strings or integers."""
    if not isinstance(ids, range) and (found := as_range(ids)) is not None:
        ids = found
    if isinstance(ids, range):
        ids = ids if ids.step == 1 else np.arange(ids.start, ids.stop, ids.step, dtype=np.int64)
    if isinstance(ids, range):
        return hashlib.blake2b(f"range {ids.start} {ids.stop}".encode(), digest_size=16).hexdigest()
    kind = "U" if ids.dtype.kind == "O" and isinstance(ids[0], str) else ids.dtype.kind
    total = hashlib.blake2b(f"{kind} {len(ids)}\n".encode(), digest_size=16)
    for start in range(0, len(ids), _CHUNK):
        part = ids[start : start + _CHUNK]
        if kind == "U":
            total.update("\0".join([*part.tolist(), ""]).encode("utf-8", "surrogatepass"))
        elif kind in "iuf":
            total.update(np.ascontiguousarray(part, part.dtype.newbyteorder("<")).tobytes())
        else:
            total.update("\0".join([*map(repr, part.tolist()), ""]).encode("utf-8", "surrogatepass"))
    return total.hexdigest()


def join_ids(parts: Iterable[Any]) -> Ids:
    """Return the ids of several stores, lists or arrays one after another."""
    lists = (part.tolist() if isinstance(part, np.ndarray) else part for part in parts)
    return as_ids(list(chain.from_iterable(lists)))


def gather(ids: Ids, positions: Any) -> Ids:
    """Return the ids at positions: a range of a range for a slice, otherwise an array."""
    if not isinstance(ids, range):
        part: NDArray[Any] = ids[positions]
        return part
    if isinstance(positions, slice):
        return ids[positions]
    if ids.start == 0 and ids.step == 1:
        return np.asarray(positions)
    return np.asarray(positions) * ids.step + ids.start


def find_in_range(ids: range, wanted: NDArray[Any], owner: str) -> NDArray[np.int64]:
    """Return the positions of integers in a range; KeyError for one that is not there."""
    places, rest = np.divmod(wanted.astype(np.int64) - ids.start, ids.step)
    wrong = np.flatnonzero((rest != 0) | (places < 0) | (places >= len(ids)))
    if wrong.size:
        raise KeyError(f"unknown id {wanted[wrong[0]]} of {owner}")
    return places


class Lookup:
    """Positions of ids; arithmetic for a range, a table otherwise."""

    __slots__ = ("_ids", "_table")

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._table = None if isinstance(ids, range) else {item: at for at, item in enumerate(items_of(ids))}

    def find(self, item: Any) -> int | None:
        """Return the position of one id, None when it is not there."""
        if self._table is not None:
            try:
                return self._table.get(item)
            except TypeError:
                return None
        if isinstance(item, (bool, np.bool_)) or not hasattr(item, "__index__"):
            return None
        try:
            return self._ids.index(as_int(item))  # type: ignore[union-attr]
        except ValueError:
            return None
