"""The command ``report``: what a sweep found out, in one HTML file."""

from __future__ import annotations

import sys
from pathlib import Path

from bf_index.errors import escape
from bf_programs.records import is_sweep
from bf_research.report.report import write_report


def report(
    folder: Path,
    out: Path | None = None,
    metric: str | None = None,
    minimize: bool | None = None,
    store: str | None = None,
) -> None:
    """Write the report of a sweep and tell where it is."""
    if not is_sweep(folder):
        raise ValueError(f"{escape(folder)} is one run: batchflow show {escape(folder)} tells about it")
    sys.stdout.write(f"report    {escape(write_report(folder, out, metric, minimize, store))}\n")
