"""Tables of predictions, written batch by batch: csv or parquet; pictures for predictions of each pixel."""

from __future__ import annotations

import contextlib
import csv
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bf_batch.opensets.own.pictures import is_picture
from bf_index.errors import escape
from bf_research.prediction.maps import Legend
from bf_research.prediction.predictor import Predicted

CSV, PARQUET = (".csv",), (".parquet", ".pq")
ID, VALUE, KNOWN, SHARE = "id", "prediction", "label", "proba_"
TOLD = "told_again"
MASKS, TABLE = "predicted_masks", "shares.csv"
PIXELS = "share_"
#: Names of files that are no UTF-8 are written as the bytes that they are.
NAMES = "surrogateescape"


class Table(Protocol):
    """What takes the predictions of one batch after another."""

    def write(self, predicted: Predicted) -> None:
        """Add the predictions of a batch."""


@contextlib.contextmanager
def open_table(
    path: Path, classes: Sequence[str] | None, legend: Legend | None = None, again: bool = False
) -> Iterator[Table]:
    """Open a table that takes its place when it is whole; on any error an older one stays.

    The ending says what it is: .csv or .parquet; a folder takes a picture for each item, and where a
    ``legend`` says what stands for classes a table of their shares. ``again``: predictions are the items.
    """
    kind = path.suffix.lower()
    if kind not in (*CSV, *PARQUET):
        if legend is None:
            yield Pictures(path) if again else Masks(path)
            return
        with open_table(path / TABLE, classes) as shares:
            yield LabelMaps(path, legend, shares)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(kind, f".{path.stem[:80]}.part", path.parent)
    os.close(handle)
    part = Path(name)
    try:
        with contextlib.ExitStack() as stack:
            if kind in CSV:
                file = stack.enter_context(open(part, "w", encoding="utf-8", errors=NAMES, newline=""))
                table: Table = CsvTable(file, classes)
            else:
                table = ParquetTable(part, classes)
                stack.callback(table.close)
            yield table
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except OSError as error:
        raise OSError(error.errno, f"predictions were not written, {error.strerror}", str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def check_out(path: Path) -> None:
    """Raise ``ValueError`` for a name that is neither a table nor a folder."""
    kind = path.suffix.lower()
    if kind in PARQUET:
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise ImportError(
                f"out={escape(path)}: parquet needs pyarrow: pip install pyarrow, or out=...csv"
            ) from error
    elif kind not in CSV and (kind or path.is_file()):
        raise ValueError(
            f"out={escape(path)}: a table ends in .csv or .parquet, and a folder (no ending) takes pictures "
            f"for predictions of each pixel; got {kind or 'a file'!r}"
        )


def list_columns(predicted: Predicted, classes: Sequence[str] | None) -> dict[str, Any]:
    """Return the columns of a table by name: id, prediction, label if known, a probability for each class.

    Several numbers an item are ``prediction_0``, ``prediction_1``..., and so are labels; several classes are
    their names with ``|`` between them.
    """
    values = predicted.values
    columns: dict[str, Any] = {ID: predicted.ids}
    if predicted.maps and predicted.shares is not None and classes is not None:
        shares = predicted.shares
        return columns | {f"{PIXELS}{name}": shares[:, number] for number, name in enumerate(classes)}
    if isinstance(values, np.ndarray) and values.ndim > 1:
        columns |= _spread(values, VALUE, classes)
    else:
        columns[VALUE] = values
    if predicted.known is not None:
        known = np.asarray(predicted.known)
        columns |= {KNOWN: predicted.known} if known.ndim <= 1 else _spread(known, KNOWN, classes)
    if predicted.shares is not None and classes is not None:
        shares = predicted.shares
        columns |= {f"{SHARE}{name}": shares[:, number] for number, name in enumerate(classes)}
    return columns


_WIDEST = 1000


def _check_width(width: int, classes: Sequence[str] | None, shape: Sequence[int]) -> None:
    good = width == len(classes) if classes is not None else width <= _WIDEST
    if not good:
        raise ValueError(
            f"a prediction of the shape {tuple(shape)} for each item is no row of a table; out=FOLDER writes "
            "a picture for each item"
        )


def _spread(values: np.ndarray, name: str, classes: Sequence[str] | None) -> dict[str, Any]:
    """Return the columns of several values an item: one for each, or the names of the classes that are."""
    flat = values.reshape(len(values), -1)
    if flat.shape[1] == 1:
        return {name: flat[:, 0]}
    _check_width(flat.shape[1], classes, values.shape[1:])
    if classes is not None:  # a yes or no of each class
        return {name: ["|".join(one for one, yes in zip(classes, row) if yes) for row in flat.tolist()]}
    return {f"{name}_{number}": flat[:, number] for number in range(flat.shape[1])}


class CsvTable:
    """A csv file in UTF-8; numbers have as many digits as they need to be read back the same."""

    def __init__(self, file: Any, classes: Sequence[str] | None) -> None:
        self._writer, self._classes = csv.writer(file, lineterminator="\n"), classes
        self._is_new = True

    def write(self, predicted: Predicted) -> None:
        """Add the rows of a batch."""
        columns = list_columns(predicted, self._classes)
        if self._is_new:
            self._writer.writerow(columns)
            self._is_new = False
        self._writer.writerows(zip(*(_as_texts(column) for column in columns.values()), strict=True))


def _as_texts(column: Any) -> Sequence[Any]:
    """Return a column as texts; a float32 by its own shortest digits, not by those of a double."""
    return [str(value) for value in column] if isinstance(column, np.ndarray) else column


class ParquetTable:
    """A parquet file, a row group for each batch."""

    def __init__(self, path: Path, classes: Sequence[str] | None) -> None:
        self._path, self._classes = path, classes
        self._writer: Any = None

    def write(self, predicted: Predicted) -> None:
        """Add the rows of a batch."""
        import pyarrow
        import pyarrow.parquet

        columns = list_columns(predicted, self._classes)
        table = pyarrow.table({spell(name): _spell_all(column) for name, column in columns.items()})
        if self._writer is None:
            self._writer = pyarrow.parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        """Write the end of the file."""
        if self._writer is not None:
            self._writer.close()


def spell(text: str) -> str:
    """Return a text with what no UTF-8 can hold, bytes of names of files, as ``\\udcff``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _spell_all(column: Any) -> Any:
    if isinstance(column, np.ndarray):
        return column
    return [spell(value) if isinstance(value, str) else value for value in column]


class Masks:
    """A folder with a PNG picture for each item: the number of the class of each pixel."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, predicted: Predicted) -> None:
        """Write the pictures of a batch."""
        maps = np.asarray(predicted.values)
        if maps.ndim == 4 and maps.shape[-1] == 1:
            maps = maps[..., 0]
        if maps.ndim != 3:
            raise ValueError(
                f"out={escape(self._folder)}: a picture for each item needs predictions of each pixel, got "
                f"one of the shape {maps.shape[1:]} an item; out=predictions.csv writes a table"
            )
        if maps.dtype.kind not in "iu" or maps.min() < 0 or maps.max() > np.iinfo(np.uint16).max:
            raise ValueError(f"out={escape(self._folder)}: predictions of a pixel are no numbers of classes")
        batch = predicted.batch
        batch.add_components(MASKS, list(maps.astype(np.uint8 if maps.max() < 256 else np.uint16)))
        batch.dump(str(self._folder), fmt="image", src=MASKS)


class Pictures:
    """A folder with a PNG picture for each item that is told again, in bytes as the items are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, predicted: Predicted) -> None:
        """Write the pictures of a batch."""
        told = np.asarray(predicted.values)
        if not predicted.bytes or told.ndim != 4 or told.shape[-1] not in (1, 3, 4):
            what = (
                f"of the shape {told.shape[1:]}"
                if predicted.bytes
                else "whose way back to bytes is not known"
            )
            raise ValueError(
                f"out={escape(self._folder)}: a folder takes pictures, and an item that is told again is "
                f"numbers {what}; out=predictions.csv writes a table"
            )
        told = np.clip(np.rint(told), 0, 255).astype(np.uint8)
        batch = predicted.batch
        batch.add_components(TOLD, list(told[..., 0] if told.shape[-1] == 1 else told))
        batch.dump(str(self._folder), fmt="image", src=TOLD)


class LabelMaps:
    """A folder with a PNG mask for each picture, named as that is, and a table of shares of classes."""

    def __init__(self, folder: Path, legend: Legend, table: Table) -> None:
        self._folder, self._legend, self._table = folder, legend, table
        self._written: set[Path] = set()

    def write(self, predicted: Predicted) -> None:
        """Write the masks of a batch."""
        for name, labels in zip(predicted.ids, predicted.values, strict=True):
            path = self._choose_path(str(name))
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name[:80]}.part")
            try:
                part.write_bytes(self._legend.encode(labels))
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        self._table.write(predicted)

    def _choose_path(self, name: str) -> Path:
        """Return where the mask of a picture goes: its path with .png; after it where two would be one."""
        plain = os.path.normpath(name)
        if os.path.isabs(plain) or plain.split(os.sep)[0] == os.pardir:
            raise ValueError(f"out={escape(self._folder)}: the id {name!r} leads out of the folder")
        stem, ending = os.path.splitext(plain)
        path = self._folder / f"{stem if is_picture(ending) else plain}.png"
        if path in self._written:
            path = self._folder / f"{plain}.png"
        self._written.add(path)
        return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
