"""Tables for a person at the end of a sweep: what failed and why, and who came first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from bf_research.sweep.journal import JOURNAL, Record
from bf_research.sweep.results import Mode, Results

#: Of a traceback the deepest calls tell most; the journal has it whole.
SHOWN_LINES, LONGEST_LINE = 12, 200
_WIDEST = 90


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out cells in columns; long cells are cut.

    >>> print(text_table(['model', 'accuracy'], [['vgg7', '0.98'], ['resnet18', '0.97']]))
    model     accuracy
    vgg7      0.98
    resnet18  0.97
    """
    cells = [[_short(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip() for row in cells
    )


def _short(cell: str) -> str:
    line = " ".join(cell.split())
    return line if len(line) <= _WIDEST else f"{line[: _WIDEST - 3]}..."


def failure_table(results: Results, folder: Path) -> str:
    """List the trials that failed with the error in one line each, and the traceback of the first."""
    rows = [
        [str(record.number), str(record.state), describe(record), str(record.attempts), record.reason]
        for record in results.failures
    ]
    head = f"{len(rows)} of {len(results)} trials failed; all tracebacks are in {folder / JOURNAL}"
    table = text_table(["trial", "state", "configuration", "attempts", "error"], rows)
    told = next((record for record in results.failures if record.error), None)
    if told is None:
        return f"{head}\n{table}"
    end = "\n".join(f"  {line[:LONGEST_LINE]}" for line in told.error.strip().splitlines()[-SHOWN_LINES:])
    return f"{head}\n{table}\ntrial {told.number} ended with\n{end}"


def describe(record: Record) -> str:
    """Say which configuration a trial ran."""
    pairs = [f"{name}={value}" for name, value in record.config.items()]
    if record.repetition:
        pairs.append(f"repetition={record.repetition}")
    return ", ".join(pairs) or "-"


def ranking(results: Results, name: str, mode: Mode = "max", most: int = 20) -> str:
    """Rank configurations by the mean of a result over repetitions; those without a number come last."""
    summary = results.summary(name, mode)
    rows = []
    for place, row in enumerate(summary[:most], 1):
        options = [_value(row.get(option, "-")) for option in results.options]
        rows.append([str(place), *options, _value(row["mean"]), _value(row["std"]), str(row["count"])])
    more = f"\n... and {len(summary) - most} more" if len(summary) > most else ""
    return text_table(["", *results.options, name, "std", "n"], rows) + more


def _value(value: object) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.4g}"
    return getattr(value, "__name__", None) or str(value)
