"""Tables: csv, parquet and feather files as pandas tables, no larger than the file has reason for."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import IO, Any

from bf_batch.data.arrow import check_arrow
from bf_batch.data.plain import name_of, write_anew
from bf_index.sizes import check_size, count_left, in_proportion

_LEAST_VALUE = 8
"""Bytes of a value in a table."""


_COLUMN_BYTES = 1_200
"""Bytes of a column in pandas, whatever it holds."""
_LONG_LINE = 1 << 14
_PACKED = ("gzip", "bz2", "xz")
"""Compressions of csv files."""


def read_csv(file: IO[bytes], max_bytes: int | None = None, **options: Any) -> Any:
    """Return the table in a csv file; ``options`` are those of ``pandas.read_csv``."""
    where, stored = name_of(file), count_left(file)
    kind = options.pop("compression", None)
    if kind in _PACKED:
        file = _unpack(file, kind, where, stored, max_bytes)
    elif kind is not None:
        raise ValueError(f"compression={kind!r:.80}: there are {', '.join(_PACKED)}")
    _check_columns(file, options, where, stored, max_bytes)
    return import_pandas().read_csv(file, **options)


def _unpack(file: IO[bytes], kind: str, where: str, stored: int, max_bytes: int | None) -> IO[bytes]:
    """Return what is in a compressed file, if it is no more than the file has reason for."""
    opened: IO[bytes] = import_module({"xz": "lzma"}.get(kind, kind)).open(file, "rb")
    unpacked = io.BytesIO()
    while piece := opened.read(_LONG_LINE):
        check_size(where, unpacked.tell() + len(piece), stored, max_bytes)
        unpacked.write(piece)
    unpacked.seek(0)
    return unpacked


def _check_columns(
    file: IO[bytes], options: Mapping[str, Any], where: str, stored: int, max_bytes: int | None
) -> None:
    """Check the columns of the longest lines: each takes memory though it be empty."""
    told = options.get("sep") or options.get("delimiter") or ","
    marks = told.encode() if isinstance(told, str) and len(told) == 1 else b",;|: \t"
    begin, count = file.tell(), 0
    while piece := file.read(_LONG_LINE):
        fields = sum(map(piece.count, (marks[k : k + 1] for k in range(len(marks)))))
        count = count + fields if b"\n" not in piece and b"\r" not in piece else fields
        check_size(where, count * _COLUMN_BYTES, stored, max_bytes)
    file.seek(begin)


def write_csv(file: IO[bytes], value: Any, **options: Any) -> None:
    """Write a table as csv; ``options`` are those of ``pandas.DataFrame.to_csv``."""
    import_pandas().DataFrame(value).to_csv(file, **{"index": False, **options})


def read_parquet(file: IO[bytes], max_bytes: int | None = None, **options: Any) -> Any:
    """Return the table in a parquet file; ``options`` are those of ``pandas.read_parquet``."""
    check_parquet(file, name_of(file), max_bytes)
    return import_pandas().read_parquet(file, **options)


def check_parquet(file: IO[bytes], where: str, max_bytes: int | None = None) -> None:
    """Check the rows that a parquet file claims against its bytes; FileTooLargeError."""
    try:
        from pyarrow.parquet import read_metadata
    except ImportError:
        return  # pandas says what is missing
    told = read_metadata(file)
    file.seek(0)
    packed = [told.row_group(group).total_byte_size for group in range(told.num_row_groups)]
    claimed = max(sum(packed), told.num_rows * told.num_columns * _LEAST_VALUE)
    check_size(where, claimed, count_left(file), max_bytes)


def write_parquet(file: IO[bytes], value: Any, **options: Any) -> None:
    """Write a table as parquet; ``options`` are those of ``pandas.DataFrame.to_parquet``."""
    import_pandas().DataFrame(value).to_parquet(file, **options)


def read_feather(file: IO[bytes], max_bytes: int | None = None, columns: Sequence[str] | None = None) -> Any:
    """Return the table in a Feather file (version 2), with all columns or some."""
    feather = _import_feather()
    check_arrow(file, max_bytes)
    table = feather.read_table(file, columns=columns, memory_map=False)
    table.validate(full=True)  # Arrow takes offsets and numbers of classes as they are, wherever they lead
    return table.to_pandas()


def write_feather(file: IO[bytes], value: Any, index: bool = False, compression: str = "lz4") -> None:
    """Write a table as Feather; ``index`` makes its index the first column.

    ``compression`` is 'lz4', 'zstd' or 'uncompressed'.
    """
    table = import_pandas().DataFrame(value)
    table = table.reset_index() if index else table
    _import_feather().write_feather(table, file, compression=compression)
    if not in_proportion(int(table.memory_usage(index=False).sum()), file.tell()):
        # nearly all zeros: what is written must not look like a bomb
        write_anew(file)
        _import_feather().write_feather(table, file, compression="uncompressed")


def _import_feather() -> Any:
    try:
        from pyarrow import feather
    except ImportError as error:
        raise ImportError(
            "reading and writing Feather files needs pyarrow: pip install 'bf-batch[tables]'"
        ) from error
    return feather


def import_pandas() -> Any:
    """Return the module pandas; the ImportError says how to install it."""
    try:
        import pandas as module
    except ImportError as error:
        raise ImportError(
            "reading and writing tables needs pandas: pip install 'bf-batch[tables]'"
        ) from error
    return module
