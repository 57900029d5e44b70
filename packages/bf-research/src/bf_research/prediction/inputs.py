"""What predictions are made from, which must not be written over by them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bf_index import FilesIndex
from bf_index.errors import escape

#: Options of data sets that name what they read.
_READ = ("path", "masks", "labels", "table")


def refuse_inputs(out: Path, options: Mapping[str, Any], data: Any) -> None:
    """Raise ``ValueError`` where a prediction would be written over data: a table, pictures, their masks.

    ``options`` are those of the data set, ``data`` is what is predicted for.
    """
    if not out.exists():
        return
    for name in _READ:
        value = options.get(name)
        if isinstance(value, str | os.PathLike) and _is_same(Path(value).expanduser(), out):
            raise ValueError(
                f"out={escape(out)} is dataset.{name}: predictions would take the place of the data; give "
                "another name"
            )
    if not out.is_dir():
        return
    places = {os.path.realpath(path) for path in _list_files(data)}
    for id in data.index if isinstance(data.index, FilesIndex) else ():
        plain = os.path.join(out, os.path.normpath(str(id)))
        for place in (f"{os.path.splitext(plain)[0]}.png", f"{plain}.png"):
            if os.path.realpath(place) in places:
                raise ValueError(
                    f"out={escape(out)}: the prediction for {str(id)!r} would take the place of "
                    f"{escape(place)}, which the data have; give another folder"
                )


def _is_same(path: Path, out: Path) -> bool:
    return path.exists() and path.samefile(out)


def _list_files(data: Any) -> Iterator[str]:
    """Yield the files of items and of their masks."""
    for index in (data.index, getattr(data, "mask_files", None)):
        if isinstance(index, FilesIndex):
            yield from index.paths.values()
