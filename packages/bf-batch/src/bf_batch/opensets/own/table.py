"""Table: rows of a csv or parquet file, numbers that describe an item and one that is to be told."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from bf_batch.batch import Batch
from bf_batch.data.formats import FORMATS, find_format
from bf_batch.dataset import Dataset
from bf_batch.opensets.base import Openset
from bf_batch.opensets.own.columns import Categories, Columns, Missing, drop_gaps, find_columns, take_column
from bf_batch.opensets.own.labels import Task, check_task, number_labels, read_numbers, refuse_lacking
from bf_batch.opensets.own.parts import AUTO, make_parts, name_parts
from bf_batch.opensets.own.rows import RowsBatch
from bf_index.errors import escape
from bf_index.sizes import reading

Names = str | Sequence[str]
_log = logging.getLogger(__name__)
_SEPARATORS = (",", ";", "\t", "|")
_QUOTED = re.compile(r'"[^"]*"')
_STRICT = "give larger shares or more rows, join rare classes, or allow it with strict=false"


def read_table(path: str | os.PathLike[str], sep: str | None = None) -> Any:
    """Return the pandas table in a csv or parquet file; of csv files the separator is found out.

    ``ValueError`` for a file without rows, in another encoding than UTF-8, or with more values in a row than
    its first line has names.
    """
    where = os.fspath(path)
    if not os.path.isfile(where):
        raise FileNotFoundError(f"no file {where!r} (working folder {os.getcwd()!r})")
    name, found = find_format({key: FORMATS[key] for key in ("csv", "parquet")}, None, where)
    with reading(where), open(where, "rb") as file:
        if name == "parquet":
            return found.read(file)
        if sep is None:
            head = _QUOTED.sub("", file.readline(1 << 16).decode("utf-8", "replace"))
            sep = max(_SEPARATORS, key=head.count)
            file.seek(0)
        table = _read_csv(found, file, sep)
    if not len(table):
        raise ValueError(f"{escape(where)}: there are no rows")
    return table


def _read_csv(csv: Any, file: Any, sep: str) -> Any:
    """Return the table in a csv file; its columns are those of the first line, never moved by one."""
    from pandas.errors import ParserWarning

    try:
        with warnings.catch_warnings():
            # of longer rows pandas would take the first values for names, or leave out the last ones
            warnings.filterwarnings("error", category=ParserWarning)
            return csv.read(file, sep=sep, skipinitialspace=True, index_col=False)
    except ParserWarning as error:
        raise ValueError(
            f"rows have more values between {sep!r} than the first line has names of columns; name all of "
            "them, or take out what is too much"
        ) from error
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ValueError(f"byte {byte:#04x} is no UTF-8; save the table as CSV in UTF-8") from error


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
    categories : columns that tell a category, beside those of texts; or the texts of each such column. By
        default they are those of the rows to train on: each is a column of ``features``, 1 where a row has
        it, else 0, and a value that was not among them is all 0
    missing : 'raise' names the first row that lacks a value, 'leave_out' leaves such rows out, 'fill' takes
        the mean of the rows to train on for a number, and no category for a text; targets are never filled in
    fills : what stands for missing numbers, by the column; found out by default
    sep : between the values of a csv file; found out by default

    ``features`` has the names of the columns, ``columns`` those of the component's columns, ``one_hot``
    whether they tell a category; ``categories`` and ``fills`` are what was found out. Where classes are told
    apart ``classes`` has their names.
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
        categories: Categories | None = None,
        missing: Missing = "raise",
        fills: Mapping[str, float] | None = None,
        sep: str | None = None,
        strict: bool = False,
        batch_class: type[Batch] | None = None,
    ) -> None:
        check_task(task, "Table")
        where, table = self._read(path, sep)
        known = list(map(str, table.columns))
        if not target:
            raise ValueError(f"{where}: which column is the target? target=NAME, one of {', '.join(known)}")
        targets, ignored = _as_names(target), _as_names(ignore)
        for name in (*ignored, *targets):
            take_column(table, name, where)
        out = {*targets, *ignored, *([part] if part else [])}
        names = _choose_features(features, known, out, where)
        table = table.iloc[drop_gaps(table, names, targets, missing, where)]
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
        own = np.arange(len(labels))[parts["train"]]
        columns = find_columns(table, own, names, categories, missing == "fill", where)
        columns = replace(columns, fills={**columns.fills, **(fills or {})})
        told = [name for name in columns.categories if not isinstance(categories, Mapping)]
        if told:
            counts = ", ".join(f"{escape(name)} ({len(columns.categories[name])})" for name in told)
            _log.info("%s: columns that tell categories: %s", where, counts)
        preloaded = {"features": columns.encode(table, where), "labels": labels}
        attributes: dict[str, Any] = {
            "features": names,
            "columns": columns.titles,
            "one_hot": columns.one_hot,
        }
        attributes |= {"categories": dict(columns.categories), "fills": dict(columns.fills), "source": where}
        super().__init__(len(labels), parts, classes, preloaded, batch_class or self.batches, **attributes)

    def _read(self, path: Any, sep: str | None) -> tuple[str, Any]:
        """Return the pandas table, and how messages call it."""
        return escape(path), read_table(path, sep)

    @classmethod
    def unlabelled(
        cls,
        path: str | os.PathLike[str],
        *,
        features: Sequence[str] | None = None,
        categories: Mapping[str, Sequence[str]] | None = None,
        missing: Missing = "raise",
        fills: Mapping[str, float] | None = None,
        sep: str | None = None,
        target: Names | None = None,
        ignore: Names = (),
        part: str | None = None,
        batch_class: type[Batch] | None = None,
        **labelling: Any,
    ) -> Dataset:
        """Return the rows of a table without labels and parts; ids are their numbers, from 0.

        The arguments are those of the class; ``categories`` and ``fills`` are those that it found out.
        """
        where, table = escape(path), read_table(path, sep)
        out = {*_as_names(target or ()), *_as_names(ignore), *([part] if part else [])}
        names = tuple(features or [str(name) for name in table.columns if str(name) not in out])
        rows = drop_gaps(table, names, (), missing, where)
        known = {
            name: tuple(map(str, texts)) for name, texts in dict(categories or {}).items() if name in names
        }
        columns = Columns(names, known, dict(fills or {}))
        values = columns.encode(table.iloc[rows], where)
        if missing == "fill" and not np.isfinite(values).all():
            name = columns.titles[int(np.flatnonzero(~np.isfinite(values).all(axis=0))[0])]
            raise ValueError(
                f"{where}: the column {name!r} lacks numbers, and it is not known what stands for them; "
                "fills={NAME: NUMBER} says it"
            )
        return Dataset(rows, batch_class or RowsBatch, {"features": values})


def _choose_features(
    features: Sequence[str] | None, known: Sequence[str], out: Collection[str], where: str
) -> tuple[str, ...]:
    """Return the columns that the target is told from: those asked for, or all that have no other use."""
    names = tuple(map(str, _as_names(features or [name for name in known if name not in out])))
    if twice := [name for name in names if name in out]:
        raise ValueError(
            f"{where}: features has {twice[0]!r}, which is the target, the column of parts, or ignored: "
            "what is told is not told by itself; take it out of one of them"
        )
    if not names:
        raise ValueError(
            f"{where}: the columns {', '.join(known)} are the target, the parts or ignored: none is left to "
            "learn from"
        )
    return names


def _as_names(names: Names) -> list[str]:
    return [names] if isinstance(names, str) else [str(name) for name in names]
