"""What local and remote storage is asked: what matches a pattern, a file to read, whether it has changed.

Remote storage (s3://, gs://, memory://...) is reached through fsspec: the extra ``remote``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import IO, Any

from bf_index.errors import FileChangedError
from bf_index.files.glob import Group

Stamp = tuple[int, int] | str
"""Tells whether a file is still the same: time (ns) and size of a local file, a remote one's etag or such."""


def is_remote(path: str) -> bool:
    """Whether a path is a URL, a matter for fsspec."""
    return "://" in path


def _filesystem(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise ImportError(f"{url!r} needs fsspec: pip install 'bf-index[remote]'") from error
    filesystem, path = url_to_fs(url, **options)
    return filesystem, str(path)


def find_remote(pattern: str, dirs: bool, options: Mapping[str, Any]) -> tuple[str, list[Group]]:
    """Return the folder where a URL pattern starts, and what it matches, as URLs."""
    filesystem, path = _filesystem(pattern, options)
    wanted = "directory" if dirs else "file"
    if any(char in path for char in "*?[") and not filesystem.exists(path):
        matches = filesystem.glob(path, detail=True)
        root = path[: min(path.find(char) for char in "*?[" if char in path)].rpartition("/")[0]
    else:
        matches = {path: filesystem.info(path)} if filesystem.exists(path) else {}
        root = path.rpartition("/")[0]
    groups: dict[str, list[str]] = {}
    for name, info in matches.items():
        if info["type"] == wanted:
            folder, _, last = str(name).rstrip("/").rpartition("/")
            groups.setdefault(filesystem.unstrip_protocol(folder), []).append(last)
    return filesystem.unstrip_protocol(root), [(folder, sorted(names)) for folder, names in groups.items()]


def open_file(path: str, mode: str, options: Mapping[str, Any]) -> IO[Any]:
    """Open a local path or a URL for reading."""
    if not is_remote(path):
        return open(path, mode)
    filesystem, name = _filesystem(path, options)
    opened: IO[Any] = filesystem.open(name, mode)
    return opened


def take_stamp(path: str, options: Mapping[str, Any]) -> Stamp:
    """Return the stamp that a file has now."""
    if is_remote(path):
        filesystem, name = _filesystem(path, options)
        filesystem.invalidate_cache()
        return str(filesystem.ukey(name))
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size


def check_stamp(path: str, before: Stamp, options: Mapping[str, Any]) -> None:
    """Raise FileChangedError when the stamp of a file is not what it was."""
    now = take_stamp(path, options)
    if now == before:
        return
    if isinstance(now, tuple) and isinstance(before, tuple):
        change = f"size {before[1]} -> {now[1]}, time {before[0]} -> {now[0]} ns"
    else:
        change = f"key {before} -> {now}"
    raise FileChangedError(f"{path!r} has changed since it was indexed: {change}; make the index anew")
