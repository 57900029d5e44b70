"""Stamps of files: what tells that a file is no longer the one that was indexed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from bf_index.errors import FileChangedError
from bf_index.files.storage import is_remote, remote_key

Stamp = tuple[int, int] | str
"""Time (ns) and size of a local file; what the storage has for a key of a remote one."""


def stamp(path: str, options: Mapping[str, Any]) -> Stamp:
    """Return the stamp that a file has now."""
    if is_remote(path):
        return remote_key(path, options)
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size


def check_stamp(path: str, before: Stamp, options: Mapping[str, Any]) -> None:
    """Raise FileChangedError when the stamp of a file is not what it was."""
    now = stamp(path, options)
    if now == before:
        return
    if isinstance(now, tuple) and isinstance(before, tuple):
        change = f"size {before[1]} -> {now[1]}, time {before[0]} -> {now[0]} ns"
    else:
        change = f"key {before} -> {now}"
    raise FileChangedError(f"{path!r} has changed since it was indexed: {change}; make the index anew")
