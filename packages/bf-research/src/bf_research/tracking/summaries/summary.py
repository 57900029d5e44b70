"""The summary of a sweep on its own run: best, last, mean and deviation, a ranked table, plots, addresses."""

from __future__ import annotations

import json
import logging
import math
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bf_index.errors import escape
from bf_research.search.values import mean_and_deviation
from bf_research.stopping.directions import less_is_better, read_mode
from bf_research.tracking import store
from bf_research.tracking.backlog import Point
from bf_research.tracking.refusals import first_line
from bf_research.tracking.run_scope import SweepContext
from bf_research.tracking.store import Row
from bf_research.tracking.summaries.pages import fold_tries, save_views, tell_addresses
from bf_research.tracking.summaries.plots import draw
from bf_research.tracking.writer import Writer

log = logging.getLogger(__name__)

#: Rows that the console shows; the artifact has all.
SHOWN_ROWS = 20
#: Values of an option that the sweep's own run names.
_MOST_VALUES = 100


def summarize(context: SweepContext, metric: str, minimize: bool | None = None, table: bool = True) -> str:
    """Log the summary of a sweep to its run; return the text for the console, with a ranking or without.

    What the run does not take, as when it was deleted, is told and costs nothing else.
    """
    client = store.open_store(context.store)
    parent = client.get_run(context.run_id)
    found = [
        store.read_row(run) for run in store.child_runs(client, parent.info.experiment_id, context.run_id)
    ]
    rows = store.choose_tries(found)
    metric = known_metric(rows, metric)
    minimize = less_is_better(metric, read_mode(minimize))
    ranked = rank(rows, metric, minimize)
    varied = varying(rows)
    views: dict[str, str] = {}
    try:
        fold_tries(client, found)
        views = save_views(client, parent.info, ranked, varied, metric, minimize)
        _record(client, context.run_id, rows, ranked, varied, metric, minimize)
    except Exception as error:  # noqa: BLE001 - the trials are done: their table is shown in any case
        log.warning("the summary is not in the sweep's own run %s: %s", context.run_id, first_line(error))
    ranking = console(ranked, varied, metric) if table else ""
    return ranking + tell_addresses(context, parent.info, ranked, metric, minimize, views)


def _record(
    client: Any,
    run_id: str,
    rows: Sequence[Row],
    ranked: Sequence[Row],
    varied: Sequence[str],
    metric: str,
    minimize: bool,
) -> None:
    """Log points, a note, tables and pictures."""
    writer, now = Writer(client, run_id, "of the sweep"), time.time_ns() // 1_000_000
    points = aggregates(rows, varied, metric, minimize)
    writer.points([Point(name, value, 0, now) for name, value in points.items()])
    writer.params(options_of(rows, varied))
    written = markdown(ranked, varied, metric)
    writer.tags({"mlflow.note.content": written[:5000]})
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "table.md").write_text(written, encoding="utf-8")
        (folder / "table.json").write_text(json.dumps([_describe(row) for row in ranked], indent=1))
        draw(client, folder, ranked, varied, metric)
        writer.artifact((str(folder), "sweep"))


def _describe(row: Row) -> dict[str, Any]:
    return {"run_id": row.run_id, "status": row.status, "params": row.params, "metrics": row.metrics}


def known_metric(rows: Sequence[Row], metric: str) -> str:
    """Return the metric, or one that the trials have if none has it: a test's before a training's."""
    names = sorted({name for row in rows for name in row.metrics if not name.startswith("system/")})
    if metric in names or not names:
        return metric
    return next((name for name in names if not name.startswith("train/")), names[0])


def rank(rows: Sequence[Row], metric: str, minimize: bool) -> list[Row]:
    """Return trials best first; those that were pruned, and then those without a number, come last."""

    def place(row: Row) -> tuple[int, float]:
        value = row.metrics.get(metric, math.nan)
        behind = 1 if row.status == "PRUNED" else 0
        return (behind, value if minimize else -value) if math.isfinite(value) else (2 - behind, 0.0)

    return sorted(rows, key=place)


def varying(rows: Sequence[Row]) -> list[str]:
    """Return the names of parameters that differ between trials, the repetition last."""
    names = sorted({name for row in rows for name in row.params})
    differ = [name for name in names if len({row.params.get(name) for row in rows}) > 1]
    return sorted(differ, key=lambda name: name in ("repetition", "seed"))


def aggregates(rows: Sequence[Row], varied: Sequence[str], metric: str, minimize: bool) -> dict[str, float]:
    """Return best, last, and mean and deviation over the repetitions of the best configuration.

    ``test/accuracy.best`` and the like stand beside the metric itself in MLflow's lists of names.
    """
    count, rows = len(rows), [row for row in rows if row.status != "PRUNED"]
    values = [row.metrics[metric] for row in rows if math.isfinite(row.metrics.get(metric, math.nan))]
    if not values:
        return {"trials/count": count}
    groups: dict[tuple[str | None, ...], list[float]] = {}
    options = [name for name in varied if name not in ("repetition", "seed", "dataset.fold")]
    for row in rows:
        value = row.metrics.get(metric, math.nan)
        if math.isfinite(value):
            groups.setdefault(tuple(row.params.get(name) for name in options), []).append(value)
    pick = min if minimize else max
    best = pick(groups.values(), key=lambda group: mean_and_deviation(group)[0])
    mean, deviation = mean_and_deviation(best)
    return {
        "trials/count": count,
        f"{metric}.best": pick(values),
        f"{metric}.last": values[-1],
        f"{metric}.mean": mean,
        f"{metric}.std": deviation if len(best) > 1 else 0.0,
    }


def options_of(rows: Sequence[Row], varied: Sequence[str]) -> dict[str, str]:
    """Return the options that were swept, each with its values in the order in which trials began."""
    values = {
        name: list(dict.fromkeys(row.params[name] for row in rows if name in row.params)) for name in varied
    }
    told = {name: ", ".join(found[:_MOST_VALUES]) for name, found in values.items()}
    return {
        name: text
        + (f" and {len(values[name]) - _MOST_VALUES} more" if len(values[name]) > _MOST_VALUES else "")
        for name, text in told.items()
    }


def _spell(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1e6 else f"{value:.6g}"


def _cells(rows: Iterable[Row], varied: Sequence[str], metric: str) -> list[list[str]]:
    return [
        [
            str(number),
            _spell(row.metrics[metric]) if metric in row.metrics else "-",
            *(escape(row.params.get(name, "")) for name in varied),
            row.status,
            f"{row.seconds:.0f} s",
        ]
        for number, row in enumerate(rows, 1)
    ]


def markdown(rows: Sequence[Row], varied: Sequence[str], metric: str) -> str:
    """Return the ranked table as Markdown."""
    lines = [["rank", metric, *varied, "status", "time"], ["---"] * (len(varied) + 4)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [*lines, *_cells(rows, varied, metric)])


def console(rows: Sequence[Row], varied: Sequence[str], metric: str) -> str:
    """Return the ranked table in columns, the first rows."""
    lines = [["rank", metric, *varied, "status", "time"], *_cells(rows[:SHOWN_ROWS], varied, metric)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() + "\n"
        for cells in lines
    )
    left = len(rows) - SHOWN_ROWS
    return text + (f"... and {left} more, in the artifact sweep/table.md\n" if left > 0 else "")
