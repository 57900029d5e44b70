"""The trials of a sweep as rows, as the store has them: read, ranked, summed up."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One trial as the store has it."""

    run_id: str
    name: str
    status: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    seconds: float


def children(client: Any, experiment: str, parent: str) -> list[Row]:
    """Return the trials of a sweep, oldest first; a later run stands for one that did not finish."""
    found, token = [], None
    while True:
        page = client.search_runs(
            [experiment],
            f"tags.`mlflow.parentRunId` = '{parent}'",
            order_by=["attributes.start_time ASC"],
            max_results=1000,
            page_token=token,
        )
        found += [_row(run) for run in page]
        token = page.token
        if not token:
            break
    finished = {row.name for row in found if row.status == "FINISHED"}
    last = {row.name: row.run_id for row in found}
    return [row for row in found if _counts(row, finished, last)]


def _counts(row: Row, finished: set[str], last: Mapping[str, str]) -> bool:
    """Whether a run stands for its trial: finished, or the last of one that never finished."""
    return row.status == "FINISHED" if row.name in finished else last[row.name] == row.run_id


def _row(run: Any) -> Row:
    end = run.info.end_time or run.info.start_time
    return Row(
        run_id=run.info.run_id,
        name=run.info.run_name,
        status=run.info.status,
        params=_options(run.data),
        metrics=dict(run.data.metrics),
        seconds=(end - run.info.start_time) / 1000,
    )


def _options(data: Any) -> dict[str, str]:
    """What the sweep set for a trial; all parameters where the trial does not tell."""
    told = data.tags.get("bf.overrides")
    return dict(json.loads(told)) if told else dict(data.params)


def known_metric(rows: Sequence[Row], metric: str) -> str:
    """Return the metric, or one that the trials have if none has it: a test's before a training's."""
    names = sorted({name for row in rows for name in row.metrics if not name.startswith("system/")})
    if metric in names or not names:
        return metric
    return next((name for name in names if not name.startswith("train/")), names[0])


def rank(rows: Sequence[Row], metric: str, minimize: bool) -> list[Row]:
    """Order trials best first; those without the metric, or with NaN, stand last."""

    def place(row: Row) -> tuple[bool, float]:
        value = row.metrics.get(metric, math.nan)
        return (math.isnan(value), value if minimize else -value)

    return sorted(rows, key=place)


def varying(rows: Sequence[Row]) -> list[str]:
    """Return the names of parameters that differ between trials, the repetition last."""
    names = sorted({name for row in rows for name in row.params})
    differ = [name for name in names if len({row.params.get(name) for row in rows}) > 1]
    return sorted(differ, key=lambda name: name in ("repetition", "seed"))


def aggregates(rows: Sequence[Row], varied: Sequence[str], metric: str, minimize: bool) -> dict[str, float]:
    """Return best, last, and mean and deviation over the repetitions of the best configuration.

    Their names begin with ``trials/``: MLflow draws sections of charts by the alphabet, these the last.
    """
    values = [row.metrics[metric] for row in rows if math.isfinite(row.metrics.get(metric, math.nan))]
    if not values:
        return {"trials/count": len(rows)}
    groups: dict[tuple[str | None, ...], list[float]] = {}
    options = [name for name in varied if name not in ("repetition", "seed")]
    for row in rows:
        value = row.metrics.get(metric, math.nan)
        if math.isfinite(value):
            groups.setdefault(tuple(row.params.get(name) for name in options), []).append(value)
    pick = min if minimize else max
    best = pick(groups.values(), key=statistics.fmean)
    name = metric.replace("/", " ")  # a second stroke would make a section of its own
    return {
        "trials/count": len(rows),
        f"trials/best {name}": pick(values),
        f"trials/last {name}": values[-1],
        f"trials/mean {name}": statistics.fmean(best),
        f"trials/std {name}": statistics.stdev(best) if len(best) > 1 else 0.0,
    }
