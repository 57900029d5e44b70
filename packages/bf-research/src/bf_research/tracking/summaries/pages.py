"""MLflow's pages of a sweep: a saved view of its trials, and the addresses that open it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from bf_pipeline.redaction.texts import redact_text
from bf_research.tracking import store
from bf_research.tracking.run_scope import SweepContext
from bf_research.tracking.store import Row

#: The comparison page's address lists its runs: browsers cut long ones.
COMPARED_RUNS = 50
#: MLflow's pages read a view from the tag of the experiment that has this before the key in the address.
VIEW = "mlflow.sharedViewState."
#: Letters of a tag of an experiment.
_LONGEST_VIEW = 5000
#: Columns of options: more are not read at once.
_MOST_OPTIONS = 12
#: Charts of one option against the metric.
_MOST_SCATTERS = 3


def save_views(
    client: Any, parent: Any, rows: Sequence[Row], varied: Sequence[str], metric: str, minimize: bool
) -> dict[str, str]:
    """Save the views of a sweep in its experiment, and return their keys by page.

    ``list`` shows the sweep's trials alone, the best first, with the metric, those beside it and the options
    that were swept; ``charts`` begins with the curves of these metrics, ``compare`` with the metric against
    the options. An address can't say which columns and charts there are, so that a view has to. A view too
    long for its tag is left out.
    """
    known = {name for row in rows for name in row.metrics}
    of_validation, options = f"validation/{metric.rpartition('/')[2]}", varied[:_MOST_OPTIONS]
    beside = [name for name in (f"{of_validation}.best", "train/loss") if name in known - {metric}]
    view = {
        **_trials_alone(parent, metric, minimize),
        "selectedColumns": _columns(options, [metric, *beside]),
    }
    curves = [_curve(name) for name in (of_validation, "train/loss") if name in known - {metric}]
    bars = {"type": "BAR", "metricKey": metric, "displayName": metric}
    against = [_parallel(options, metric), bars, *_scatters(rows, options, metric)]
    views = {
        "list": view,
        "charts": {**view, **_charts("curves", [*curves, bars])},
        "compare": {**view, **_charts(f"{metric} by option", against)},
    }
    saved = {}
    for page, content in views.items():
        key, text = f"{parent.run_id}-{page}", json.dumps(content)
        if len(text) <= _LONGEST_VIEW:
            client.set_experiment_tag(str(parent.experiment_id), f"{VIEW}{key}", text)
            saved[page] = key
    return saved


def _trials_alone(parent: Any, metric: str, minimize: bool) -> dict[str, Any]:
    """Return the filters and the order of a view."""
    return {
        "searchFilter": _only(parent.run_id),
        "orderByKey": f"metrics.`{metric}`",
        "orderByAsc": minimize,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
    }


def _columns(options: Sequence[str], metrics: Sequence[str]) -> list[str]:
    columns = [f"metrics.`{name}`" for name in metrics]
    columns += [f"params.`{name}`" for name in options]
    return [*columns, "attributes.`Created`", "attributes.`Duration`"]


def _charts(section: str, charts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the part of a view that puts charts above those that MLflow makes of the other metrics."""
    common = {"metricSectionId": "first", "deleted": False, "isGenerated": False, "runsCountToCompare": 20}
    return {
        "compareRunCharts": [
            {**common, "uuid": f"first-{place}", **chart} for place, chart in enumerate(charts)
        ],
        "compareRunSections": [{"uuid": "first", "name": section, "display": True, "isReordered": True}],
        "isAccordionReordered": True,
    }


def _curve(name: str) -> dict[str, Any]:
    return {
        "type": "LINE",
        "metricKey": name,
        "displayName": name,
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "lineSmoothness": 0,
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def _parallel(options: Sequence[str], metric: str) -> dict[str, Any]:
    chosen = {"selectedParams": list(options), "selectedMetrics": [metric]}
    return {"type": "PARALLEL", **chosen, "showAllRuns": True}


def _scatters(rows: Sequence[Row], options: Sequence[str], metric: str) -> list[dict[str, Any]]:
    numbers = [name for name in options if all(_is_number(row.params.get(name)) for row in rows)]
    metric_axis = {"yaxis": {"key": metric, "type": "METRIC"}, "runsCountToCompare": 100}
    return [
        {"type": "SCATTER", "xaxis": {"key": name, "type": "PARAM"}, **metric_axis}
        for name in numbers[:_MOST_SCATTERS]
    ]


def _is_number(text: str | None) -> bool:
    try:
        return text is not None and math.isfinite(float(text))
    except ValueError:
        return False


def _only(parent: str) -> str:
    return f"tags.`mlflow.parentRunId` = '{parent}'"


def fold_tries(client: Any, found: Sequence[Row]) -> None:
    """Put runs of earlier tries below the run that stands for their trial: a trial is seen once."""
    stands = store.standing(found)
    for row in found:
        chosen = stands[row.trial, row.name]
        if row.run_id not in chosen:
            client.set_tag(row.run_id, "mlflow.parentRunId", max(chosen))


def tell_addresses(
    context: SweepContext,
    parent: Any,
    rows: Sequence[Row],
    metric: str,
    minimize: bool,
    views: dict[str, str],
) -> str:
    """Return how to open MLflow, and the pages that show the sweep at first sight.

    Sorted by a metric they show the trials themselves instead of one folded parent, those without it last.
    """
    command, site = store.ui(context.store)
    order = quote(f"metrics.`{metric}`", safe="")
    said = f"searchFilter={quote(_only(parent.run_id), safe='')}&orderByKey={order}"
    said += f"&orderByAsc={str(minimize).lower()}"
    page = f"{site}/#/experiments/{parent.experiment_id}/runs?"

    def seen(view: str, mode: str) -> str:
        shown = f"viewStateShareKey={views[view]}" if view in views else said
        return f"{page}{shown}&compareRunsMode={mode}&{store.MENU}"

    runs = quote(json.dumps([row.run_id for row in rows[:COMPARED_RUNS]], separators=(",", ":")), safe="")
    experiments = quote(json.dumps([str(parent.experiment_id)]), safe="")
    beside = f"{site}/#/compare-runs?runs={runs}&experiments={experiments}&{store.MENU}"
    where = f"{redact_text(context.store)}, experiment {context.experiment!r}"
    lines = [
        f"logged   {where}",
        f"open     {command}",
        f"list     {seen('list', 'TABLE')}",
        f"charts   {seen('charts', 'CHART')}",
        f"compare  {seen('compare', 'CHART') if 'compare' in views else beside}",
    ]
    return "".join(f"{line}\n" for line in lines)
