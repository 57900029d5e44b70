"""The report of a sweep, from its folder to one HTML file."""

from __future__ import annotations

from pathlib import Path

from bf_research.own_files import open_plain
from bf_research.report.contents import read_contents
from bf_research.report.histories import read_curves
from bf_research.report.page import write_page
from bf_research.report.runs import find_runs

REPORT = "report.html"


def write_report(
    folder: str | Path,
    path: str | Path | None = None,
    metric: str | None = None,
    minimize: bool | None = None,
    store: str | None = None,
) -> Path:
    """Write what a sweep found out into one HTML file, and return its path: ``report.html`` in the folder.

    ``folder`` is that of a sweep of the command line or of ``Research``. Configurations are ranked by
    ``metric`` (the test's accuracy, or the last result there is), where less is better if ``minimize`` says
    so or, by default, the metric's name. ``store`` is the address of the MLflow store to ask for curves and
    links, if that is not the default one. The file needs no network and has no program in it; texts of the
    sweep are shown as texts, without secrets.

    ``FileNotFoundError`` for a folder without a sweep, ``StateError`` for one without a result,
    ``ValueError`` for an unknown metric.
    """
    folder = Path(folder)
    contents = read_contents(folder, metric, minimize)
    runs = find_runs(folder, store)
    text = write_page(contents, read_curves(contents, runs), runs)
    path = folder / REPORT if path is None else Path(path)
    with open(path, "w", encoding="utf-8", opener=open_plain) as file:
        file.write(text)
    return path
