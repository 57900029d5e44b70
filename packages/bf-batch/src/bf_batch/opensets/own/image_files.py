"""ImageFiles: picture files, and a table that says what each one shows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from bf_batch.batch import Batch
from bf_batch.opensets.base import Openset
from bf_batch.opensets.own.columns import take_column, take_paths
from bf_batch.opensets.own.labels import Task, check_task, number_labels, read_numbers, refuse_lacking
from bf_batch.opensets.own.pairs import locate_files
from bf_batch.opensets.own.parts import AUTO, make_parts, name_parts
from bf_batch.opensets.own.pictures import PictureSet, Unreadable, is_picture, look_at
from bf_batch.opensets.own.table import read_table
from bf_index import FilesIndex
from bf_index.errors import escape

_STRICT = "give larger shares or more pictures, join rare classes, or allow it with strict=false"


class ImageFiles(PictureSet, Openset):
    """Pictures with labels from a csv or parquet file of paths and labels.

    Parameters
    ----------
    path : the folder that the paths of the table begin in, or a pattern such as ``photos/**/*.jpg``, whose
        files must all be in the table; by default the folder of the table
    labels : the table
    file, label : its columns of paths and of labels, by default the first two; for ``task='regression'``
        ``label`` may name several
    part : the column that says which part a picture is of: train, test, validation
    shares : of train, test and validation; 'auto' is 0.8 to train on and the rest to test
    seed : fixes which items go to which part
    task : 'classification' makes numbers of ``classes`` of texts and whole numbers, 'regression' float32
    unreadable : 'raise' names files that are no pictures, 'leave_out' leaves them out
    strict : refuse classes that have items in one part and none in another

    ``sizes`` has (height, width) of the pictures and ``channels`` 1 if all are grey, else 3.
    """

    def __init__(  # noqa: PLR0913 (the settings of one section)
        self,
        path: str | os.PathLike[str] | None = None,
        labels: str | os.PathLike[str] | None = None,
        *,
        file: str | None = None,
        label: str | Sequence[str] | None = None,
        part: str | None = None,
        shares: Any = AUTO,
        seed: int = 0,
        task: Task = "classification",
        unreadable: Unreadable = "raise",
        strict: bool = False,
        batch_class: type[Batch] | None = None,
    ) -> None:
        check_task(task, "ImageFiles")
        if labels is None:
            raise ValueError(
                "ImageFiles: which table has the paths and labels of the pictures? labels=FILE.csv"
            )
        where, table = escape(labels), read_table(labels)
        known = list(map(str, table.columns))
        if len(known) < 2:
            raise ValueError(
                f"{where}: a column of paths and one of labels are needed, got {', '.join(known)}"
            )
        file = known[0] if file is None else file
        names = [known[1]] if label is None else [label] if isinstance(label, str) else list(label)
        listed = take_paths(table, file, where)
        index = _find_files(path, listed, os.path.dirname(os.fspath(labels)), f"{where}, column {file}")
        columns = [take_column(table, name, where).to_numpy() for name in names]
        spot = f"{where}, column {', '.join(names)}"
        told: Any
        classes: tuple[str, ...] | None = None
        if task == "regression":
            told = read_numbers(columns[0] if len(columns) == 1 else np.column_stack(columns), spot)
        elif len(columns) != 1:
            raise ValueError(f"{where}: classes are told by one column, got {', '.join(names)}")
        else:
            told, classes = number_labels(columns[0], spot)
        pictures = look_at(index, unreadable, "ImageFiles")
        index, told = index.subset(pictures.positions), told[pictures.positions]
        marks = None if part is None else take_column(table, part, where).to_numpy()[pictures.positions]
        given = {} if marks is None else name_parts(marks, f"{where}, column {part}")
        parts = make_parts(len(told), told, given, shares, seed, where)
        if strict and classes is not None:
            refuse_lacking(told, classes, parts, where, _STRICT)
        seen = {"sizes": pictures.sizes, "channels": pictures.channels}
        super().__init__(index, parts, classes, {"labels": told}, batch_class, **seen)


def _find_files(
    path: str | os.PathLike[str] | None, listed: Sequence[str], beside: str, where: str
) -> FilesIndex:
    """Return the files of a list in its order, with the paths as ids; an error names what is not there."""
    if len(set(listed)) != len(listed):
        seen: set[str] = set()
        twice = next(name for name in listed if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"{where}: the path {twice!r} is there twice; keep one row for each picture")
    root, pattern = beside, None
    if path is not None:
        root = os.fspath(path)
        if not os.path.isdir(root):
            if not set("*?[") & set(root):
                raise FileNotFoundError(f"no folder {root!r} (working folder {os.getcwd()!r})")
            pattern, root = root, _folder_of(root)
    advice = "path=FOLDER says where the paths begin, and file=NAME which column has them"
    paths = locate_files(root, listed, where, advice)
    if pattern is not None:
        own = {os.path.realpath(file) for file in paths.values()}
        every = [file for file in FilesIndex(pattern).paths.values() if is_picture(file)]
        extra = [file for file in every if os.path.realpath(file) not in own]
        if extra:
            raise ValueError(
                f"{where}: {len(extra)} of the {len(every)} pictures of {pattern!r} are not in the table, "
                f"such as {escape(extra[0])}; add them, or give their folder as path to take only those of "
                "the table"
            )
    return FilesIndex.from_paths(paths)


def _folder_of(pattern: str) -> str:
    """Return the folder above the first part of a pattern that is no plain name."""
    parts = pattern.split("/")
    first = next(number for number, part in enumerate(parts) if set("*?[") & set(part))
    return "/".join(parts[:first]) or ("/" if pattern.startswith("/") else ".")
