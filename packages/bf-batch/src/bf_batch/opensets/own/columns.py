"""Columns of a table as features: numbers as they are, texts as one column for each category."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bf_index.errors import escape, unknown

Missing = Literal["raise", "leave_out", "fill"]
Categories = Sequence[str] | Mapping[str, Sequence[str]]
_MOST, _MOST_ASKED = 100, 10_000
_SHOWN = 3
_COMMA = re.compile(r"\s*[-+]?[\d.]*,\d+\s*")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Columns:
    """How columns of a table become numbers.

    ``categories`` has the known texts of a column by its name: each gives a column of 0 and 1 (one-hot). A
    text that is none of them gives zeros. ``fills`` has the number that stands for a missing one.
    """

    names: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fills: Mapping[str, float] = field(default_factory=dict)

    @property
    def titles(self) -> tuple[str, ...]:
        """Names of the columns of the features: ``colour=red`` for a category."""
        return tuple(
            title
            for name in self.names
            for title in (
                [f"{name}={text}" for text in self.categories[name]] if self.is_text(name) else [name]
            )
        )

    @property
    def one_hot(self) -> tuple[bool, ...]:
        """Which columns of the features tell a category."""
        counts = [(len(self.categories[name]) if self.is_text(name) else 1, name) for name in self.names]
        return tuple(self.is_text(name) for count, name in counts for _ in range(count))

    def is_text(self, name: str) -> bool:
        """Whether a column is told by categories."""
        return name in self.categories

    def encode(self, table: Any, where: str) -> NDArray[np.float32]:
        """Return the features of all rows, float32 (n, columns); ``ValueError`` names a wrong column."""
        parts = [
            self._encode_texts(table, name, where) if self.is_text(name) else self._take(table, name, where)
            for name in self.names
        ]
        return np.column_stack(parts).astype(np.float32)

    def _encode_texts(self, table: Any, name: str, where: str) -> NDArray[np.float32]:
        texts = as_texts(take_column(table, name, where))
        known = {text: number for number, text in enumerate(self.categories[name])}
        numbers = np.array([-1 if text is None else known.get(text, -1) for text in texts], np.int64)
        strange = {text: None for text, number in zip(texts, numbers) if number < 0 and text is not None}
        if strange:
            count = sum(text in strange for text in texts)
            shown = ", ".join(repr(text)[:60] for text in list(strange)[:_SHOWN])
            _log.warning(
                "%s, column %s: %d rows have values that the training rows have not, such as %s: they are "
                "told as none of the %d categories", where, escape(name), count, escape(shown), len(known),
            )  # fmt: skip
        hot = np.zeros((len(texts), len(known)), np.float32)
        rows = np.flatnonzero(numbers >= 0)
        hot[rows, numbers[rows]] = 1
        return hot

    def _take(self, table: Any, name: str, where: str) -> NDArray[np.float64]:
        column = take_column(table, name, where)
        if column.dtype.kind not in "biuf":
            texts = as_texts(column)
            strange = (row for row, text in enumerate(texts) if text is not None and not _is_number(text))
            row = next(strange, 0)
            place = column.index[row]  # in the file: rows with gaps may be left out
            told = f" (row {place + 1})" if isinstance(place, int | np.integer) else ""
            raise ValueError(
                f"{where}: the column {name!r} holds texts such as {texts[row]!r}{told}; leave it out with "
                f"ignore=[{name}], write numbers in its place, or say categories=[{name}] in training"
            )
        values = np.array(column.to_numpy(np.float64, na_value=np.nan))
        gaps = ~np.isfinite(values)
        if gaps.any() and name in self.fills:
            values[gaps] = self.fills[name]
        return values


def find_columns(
    table: Any,
    rows: NDArray[np.int64],
    names: Sequence[str],
    asked: Categories | None,
    filled: bool,
    where: str,
) -> Columns:
    """Find out from some rows, those to train on, how columns become numbers.

    ``asked`` names columns of categories beside those of texts, or has the categories of some columns; with
    ``filled`` a missing number is told by the mean of the others.
    """
    given = {} if asked is None or not isinstance(asked, Mapping) else dict(asked)
    listed = [str(name) for name in (asked or ())]
    for name in listed:
        if name not in names:
            raise ValueError(f"{where}: " + unknown("column of categories", name, names))
    categories: dict[str, tuple[str, ...]] = {}
    fills: dict[str, float] = {}
    for name in names:
        column = take_column(table, name, where)
        if name in given:
            categories[name] = tuple(map(str, given[name]))
        elif name in listed or is_texts(column):
            categories[name] = _find_categories(column.iloc[rows], name, name in listed, where)
        elif filled and column.dtype.kind in "biuf":
            values = column.iloc[rows].to_numpy(np.float64, na_value=np.nan)
            good = values[np.isfinite(values)]
            fills[name] = float(good.mean()) if len(good) else 0.0
    return Columns(tuple(names), categories, fills)


def _find_categories(column: Any, name: str, asked: bool, where: str) -> tuple[str, ...]:
    found = sorted({text for text in as_texts(column) if text is not None})
    most = _MOST_ASKED if asked else _MOST
    if found and not asked and all(map(_COMMA.fullmatch, found)):
        raise ValueError(
            f"{where}: the column {name!r} holds numbers with a comma, such as {found[0]!r}: write them with "
            f"a point, {found[0].replace('.', '').replace(',', '.')!r}; categories=[{name}] takes them for "
            "texts"
        )
    if not found:
        raise ValueError(
            f"{where}: the column {name!r} has no value in the rows to train on; ignore=[{name}]"
        )
    if len(found) > most:
        raise ValueError(
            f"{where}: the column {name!r} holds {len(found)} different texts in {len(column)} rows to train "
            f"on, such as {found[0]!r}: more than {most} categories. Leave it out with ignore=[{name}]"
            + ("" if asked else f", or ask for them with categories=[{name}]")
        )
    return tuple(found)


def is_texts(column: Any) -> bool:
    """Whether a column of a table holds texts."""
    return column.dtype.kind in "OUT" or str(column.dtype) in ("str", "string", "category")


def as_texts(column: Any) -> list[str | None]:
    """Return the values of a column as texts, whole numbers without a point; None for a missing one."""
    gone = column.isna().tolist()
    return [None if lacks else _as_text(value) for value, lacks in zip(column.tolist(), gone, strict=True)]


def _as_text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def take_column(table: Any, name: str, where: str) -> Any:
    """Return a column of a table; a KeyError has the close matches."""
    if name not in table.columns:
        raise KeyError(unknown("column", name, list(map(str, table.columns)), where))
    return table[name]


def take_paths(table: Any, name: str, where: str) -> list[str]:
    """Return the paths in a column of a table; ValueError names a row without one."""
    column = take_column(table, name, where)
    if column.isna().any():
        row = int(np.flatnonzero(column.isna().to_numpy())[0]) + 1
        raise ValueError(f"{where}, column {name}: row {row} has no path; fill it in, or remove it")
    return [str(value) for value in column.tolist()]


def drop_gaps(
    table: Any, names: Sequence[str], targets: Sequence[str], missing: Missing, where: str
) -> NDArray[np.int64]:
    """Return the rows that lack no value, or name the first that does; with 'fill' only targets count."""
    if missing not in ("raise", "leave_out", "fill"):
        raise ValueError(f"Table: missing must be 'raise', 'leave_out' or 'fill', got {missing!r}")
    lacking = np.zeros(len(table), bool)
    for name in (*(() if missing == "fill" else names), *targets):
        column = take_column(table, name, where)
        gaps = column.isna().to_numpy()
        if column.dtype.kind == "f":
            gaps = ~np.isfinite(column.to_numpy(np.float64, na_value=np.nan))
        if gaps.any() and missing != "leave_out":
            ways = [f"leave such rows out with missing=leave_out, or the column with ignore=[{name}]"]
            if name not in targets:
                ways.insert(0, "have numbers filled in with missing=fill (the mean of the rows to train on)")
            raise ValueError(
                f"{where}: row {int(np.flatnonzero(gaps)[0]) + 1} has no value in the column {name!r} "
                f"({int(gaps.sum())} rows); fill it in, {', '.join(ways)}"
            )
        lacking |= gaps
    if lacking.all():
        raise ValueError(f"{where}: every row lacks a value; leave out columns with ignore=[...]")
    if lacking.any():
        _log.warning("%s: %d of %d rows lack a value and are left out", where, lacking.sum(), len(table))
    return np.flatnonzero(~lacking)
