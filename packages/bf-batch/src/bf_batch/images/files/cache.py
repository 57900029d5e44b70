"""A bounded memory of decoded pictures, so that the epochs after the first need not decode again."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray


class PictureCache:
    """Decoded pictures by file, at most ``max_bytes`` of them: give it to ``load(cache=...)``.

    What came first is kept and nothing is thrown out: an epoch reads every file once, and throwing out the
    oldest would then lose each picture just before it is needed.  A file that changed is read again.
    Worker processes have a cache of their own each.
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
