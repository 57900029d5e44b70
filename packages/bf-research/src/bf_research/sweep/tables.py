"""Results as text: the ranking of configurations, the table of failures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from bf_index.errors import escape
from bf_research.sweep.journal import JOURNAL
from bf_research.sweep.records import Record
from bf_research.sweep.results import Mode, Results

#: The deepest calls of a traceback matter most; the journal has it whole.
SHOWN_LINES, LONGEST_LINE = 12, 200
_WIDEST = 90


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return cells laid out in columns; long cells are cut.

    >>> print(text_table(['model', 'accuracy'], [['vgg7', '0.98'], ['resnet18', '0.97']]))
    model     accuracy
    vgg7      0.98
    resnet18  0.97
    """
    cells = [[_shorten(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip() for row in cells
    )


def _shorten(cell: str) -> str:
    line = escape(" ".join(cell.split()))
    return line if len(line) <= _WIDEST else f"{line[: _WIDEST - 3]}..."


def failure_table(results: Results, folder: Path) -> str:
    """Return the trials that failed with the error in one line each, and the traceback of the first."""
    rows = [
        [str(record.number), str(record.state), describe(record), str(record.attempts), record.reason]
        for record in results.failures
    ]
    head = f"{len(rows)} of {len(results)} trials failed; all tracebacks are in {folder / JOURNAL}"
    table = text_table(["trial", "state", "configuration", "attempts", "error"], rows)
    shown = next((record for record in results.failures if record.error), None)
    if shown is None:
        return f"{head}\n{table}"
    end = "\n".join(
        f"  {escape(line[:LONGEST_LINE])}" for line in shown.error.strip().splitlines()[-SHOWN_LINES:]
    )
    return f"{head}\n{table}\ntrial {shown.number} ended with\n{end}"


def describe(record: Record) -> str:
    """Return the configuration that a trial ran, as text."""
    pairs = [f"{name}={value}" for name, value in record.config.items()]
    if record.repetition:
        pairs.append(f"repetition={record.repetition}")
    return ", ".join(pairs) or "-"


def ranking(results: Results, name: str, mode: Mode = "max", most: int = 20) -> str:
    """Return a table of configurations, ranked by the mean of a result; those without a number come last.

    Where trials were stopped early, a column says how many of a configuration and how far they came.
    """
    summary = results.summary(name, mode)
    pruned = any(row["pruned"] for row in summary)
    rows = []
    for place, row in enumerate(summary[:most], 1):
        options = [_format_value(row.get(option, "-")) for option in results.options]
        numbers = [_format_value(row["mean"]), _format_value(row["std"]), str(row["count"])]
        stopped = f"{row['pruned']} at step {row['step']}" if row["pruned"] else ""
        rows.append([str(place), *options, *numbers, *([stopped] if pruned else [])])
    more = f"\n... and {len(summary) - most} more" if len(summary) > most else ""
    return text_table(["", *results.options, name, "std", "n", *(["pruned"] if pruned else [])], rows) + more


def _format_value(value: object) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.4g}"
    return getattr(value, "__name__", None) or str(value)
