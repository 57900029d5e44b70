"""Table: rows of a csv or parquet file, numbers that describe an item and one that is to be told."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bf_batch.batch import Batch
from bf_batch.data.formats import FORMATS, find_format
from bf_batch.dataset import Dataset
from bf_batch.opensets.base import Openset
from bf_batch.opensets.own.labels import Task, check_task, number_labels, read_numbers, refuse_lacking
from bf_batch.opensets.own.parts import AUTO, make_parts, name_parts
from bf_batch.opensets.own.rows import RowsBatch
from bf_index.errors import escape, unknown
from bf_index.sizes import reading

Names = str | Sequence[str]
_SEPARATORS = (",", ";", "\t", "|")
_STRICT = "give larger shares or more rows, join rare classes, or allow it with strict=false"


def read_table(path: str | os.PathLike[str], sep: str | None = None) -> Any:
    """Return the pandas table in a csv or parquet file; of csv files the separator is found out."""
    where = os.fspath(path)
    if not os.path.isfile(where):
        raise FileNotFoundError(f"no file {where!r} (working folder {os.getcwd()!r})")
    name, found = find_format({key: FORMATS[key] for key in ("csv", "parquet")}, None, where)
    with reading(where), open(where, "rb") as file:
        if name == "parquet":
            return found.read(file)
        if sep is None:
            head = file.readline(1 << 16).decode("utf-8", "replace")
            sep = max(_SEPARATORS, key=head.count)
            file.seek(0)
        table = found.read(file, sep=sep, skipinitialspace=True)
    if not len(table):
        raise ValueError(f"{escape(where)}: there are no rows")
    return table


def take_features(table: Any, names: Sequence[str], where: str) -> NDArray[np.float32]:
    """Return columns of numbers as float32 (n, columns); a ValueError names a column that holds others."""
    columns = []
    for name in names:
        column = take_column(table, name, where)
        if column.dtype.kind not in "biuf":
            shown = next((value for value in column.tolist() if isinstance(value, str)), None)
            raise ValueError(
                f"{where}: the column {name!r} holds texts such as {shown!r}; leave it out with "
                f"ignore=[{name}], or write numbers in its place"
            )
        columns.append(column.to_numpy(np.float64))
    return np.column_stack(columns).astype(np.float32)


def take_column(table: Any, name: str, where: str) -> Any:
    """Return a column of a table; a KeyError has the close matches."""
    if name not in table.columns:
        raise KeyError(unknown("column", name, list(map(str, table.columns)), where))
    return table[name]


class Table(Openset):
    """Rows of a csv or parquet file: ``features`` (n, columns) are numbers, the target is ``labels``.

    Parameters
    ----------
    path : the file
    target : the column to tell, or for ``task='regression'`` several
    features : the columns to tell it by, all others by default
    ignore : columns that are not used
    part : the column that says which part a row is of: train, test, validation
    shares, seed, task, strict : as in ``ImageFiles``
    missing : 'raise' names the first row that lacks a number, 'leave_out' leaves such rows out
    sep : between the values of a csv file; found out by default

    ``features`` has the names of the columns; where classes are told apart ``classes`` has theirs.
    """

    batches: ClassVar[type[Batch]] = RowsBatch
    features: tuple[str, ...]

    def __init__(  # noqa: PLR0913 (the settings of one section)
        self,
        path: str | os.PathLike[str],
        target: Names | None = None,
        *,
        features: Sequence[str] | None = None,
        ignore: Names = (),
        part: str | None = None,
        shares: Any = AUTO,
        seed: int = 0,
        task: Task = "classification",
        missing: Literal["raise", "leave_out"] = "raise",
        sep: str | None = None,
        strict: bool = False,
        batch_class: type[Batch] | None = None,
    ) -> None:
        check_task(task, "Table")
        where, table = escape(path), read_table(path, sep)
        known = list(map(str, table.columns))
        if not target:
            raise ValueError(f"{where}: which column is the target? target=NAME, one of {', '.join(known)}")
        targets, ignored = _as_names(target), _as_names(ignore)
        for name in (*ignored, *targets):
            take_column(table, name, where)
        out = {*targets, *ignored, *([part] if part else [])}
        names = tuple(map(str, features or [name for name in known if name not in out]))
        if not names:
            raise ValueError(f"{where}: there are no columns but the target {', '.join(targets)}")
        table = _without_gaps(table, [*names, *targets], missing, where)
        values = take_features(table, names, where)
        named = [take_column(table, name, where).to_numpy() for name in targets]
        spot = f"{where}, column {', '.join(targets)}"
        labels: Any
        classes: tuple[str, ...] | None = None
        if task == "regression":
            labels = read_numbers(named[0] if len(named) == 1 else np.column_stack(named), spot)
        else:
            if len(named) != 1:
                raise ValueError(f"{where}: classes are told by one column, got {', '.join(targets)}")
            labels, classes = number_labels(named[0], spot)
        given = {} if part is None else name_parts(take_column(table, part, where), f"{where}, column {part}")
        parts = make_parts(len(labels), labels, given, shares, seed, where)
        if strict and classes is not None:
            refuse_lacking(labels, classes, parts, where, _STRICT)
        preloaded = {"features": values, "labels": labels}
        super().__init__(
            len(labels), parts, classes, preloaded, batch_class or self.batches, features=names, source=where
        )

    @classmethod
    def unlabelled(
        cls,
        path: str | os.PathLike[str],
        *,
        features: Sequence[str] | None = None,
        sep: str | None = None,
        target: Names | None = None,
        ignore: Names = (),
        part: str | None = None,
        batch_class: type[Batch] | None = None,
        **labelling: Any,
    ) -> Dataset:
        """Return the rows of a table without labels and parts; the arguments are those of the class."""
        where, table = escape(path), read_table(path, sep)
        out = {*_as_names(target or ()), *_as_names(ignore), *([part] if part else [])}
        names = list(features or [str(name) for name in table.columns if str(name) not in out])
        values = take_features(_without_gaps(table, names, "raise", where), names, where)
        return Dataset(len(values), batch_class or RowsBatch, {"features": values, "labels": None})


def _as_names(names: Names) -> list[str]:
    return [names] if isinstance(names, str) else [str(name) for name in names]


def _without_gaps(table: Any, names: list[str], missing: str, where: str) -> Any:
    """Return a table without rows that lack a value in one of the columns, or name the first of them."""
    if missing not in ("raise", "leave_out"):
        raise ValueError(f"Table: missing must be 'raise' or 'leave_out', got {missing!r}")
    lacking = np.zeros(len(table), bool)
    for name in names:
        column = take_column(table, name, where)
        gaps = column.isna().to_numpy()
        if column.dtype.kind == "f":
            gaps = ~np.isfinite(column.to_numpy())
        if gaps.any() and missing == "raise":
            raise ValueError(
                f"{where}: row {int(np.flatnonzero(gaps)[0]) + 1} has no value in the column {name!r} "
                f"({int(gaps.sum())} rows); fill it in, leave such rows out with missing=leave_out, or the "
                f"column with ignore=[{name}]"
            )
        lacking |= gaps
    if lacking.all():
        raise ValueError(f"{where}: every row lacks a value; leave out columns with ignore=[...]")
    return table[~lacking] if lacking.any() else table
