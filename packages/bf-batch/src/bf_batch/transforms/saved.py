"""Small objects that are a few numbers: written to and read from JSON."""

from __future__ import annotations

import functools
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import IO, Any, ClassVar, Self

from bf_batch.data.formats import write_whole

_MOST_BYTES = 1 << 26
"""Of a file that is read: some millions of numbers."""


class Saved(ABC):
    """Objects with ``state()``, a dict of plain data, that ``from_state`` makes again."""

    kind: ClassVar[str]

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return what this is, as a small dict that JSON can hold."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: Any) -> Self:
        """Return the object of a state; a ValueError for what is none."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write this to a JSON file, which appears under its name when it is whole."""
        write_whole(os.fspath(path), _write, {"kind": self.kind, **self.state()}, {})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what ``save`` wrote; a ValueError that names the file for anything else."""
        where = os.fspath(path)
        if os.path.getsize(where) > _MOST_BYTES:
            raise ValueError(f"{where}: {os.path.getsize(where):,} bytes are no {cls.kind}")
        with open(where, encoding="utf-8") as file:
            try:
                state = json.load(file)
                if not isinstance(state, dict) or state.pop("kind", None) != cls.kind:
                    raise ValueError(f"it holds no {cls.kind}, which {cls.__name__}.save writes")
                return cls.from_state(state)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{where}: {error}") from error

    @classmethod
    def read(cls, source: Any) -> Self:
        """Return what is given: such an object, its state, or the path of its file, which is read once."""
        if isinstance(source, cls):
            return source
        if isinstance(source, Mapping):
            return cls.from_state(dict(source))
        if isinstance(source, (str, os.PathLike)):
            told = os.stat(source)
            loads: Any = cls
            found: Self = _load_once(loads, os.fspath(source), told.st_mtime_ns, told.st_size)
            return found
        raise TypeError(
            f"got {type(source).__name__}; give a {cls.__name__}, its state, or the path of its file"
        )


@functools.lru_cache(maxsize=32)
def _load_once(kind: Any, path: str, changed: int, size: int) -> Any:
    return kind.load(path)


def _write(file: IO[bytes], value: Any) -> None:
    file.write(json.dumps(value, indent=1, allow_nan=False).encode())


def take_state(
    owner: str, state: Any, names: tuple[str, ...], later: Mapping[str, Any] | None = None
) -> list[Any]:
    """Return the values of a state by name; a ValueError when it has others or misses some.

    ``later`` are names that older states miss, with the values that these mean.
    """
    whole = {**(later or {}), **state} if isinstance(state, dict) else state
    if not isinstance(whole, dict) or set(whole) != {*names, *(later or {})}:
        got = ", ".join(sorted(map(str, state))) if isinstance(state, dict) else type(state).__name__
        raise ValueError(f"{owner}: a state has {', '.join(names)}; got {got}")
    return [whole[name] for name in (*names, *(later or {}))]
