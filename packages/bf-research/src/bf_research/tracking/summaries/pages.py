"""MLflow's pages of a sweep: a saved view of its trials, and the addresses that open it."""

from __future__ import annotations

import json
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


def save_view(
    client: Any, parent: Any, rows: Sequence[Row], varied: Sequence[str], metric: str, minimize: bool
) -> str | None:
    """Save the view of a sweep in its experiment, and return its key; None where it would be too long.

    The list shows the sweep's trials alone, the best first, with the metric, those beside it and the options
    that were swept. An address can't say which columns there are, so that a view has to.
    """
    known = list(dict.fromkeys(name for row in rows for name in row.metrics))
    end = metric.rpartition("/")[2]
    wanted = [metric, f"validation/{end}.best", "train/loss"]
    metrics = [name for name in dict.fromkeys(wanted) if name in known or name == metric]
    columns = [f"metrics.`{name}`" for name in metrics]
    columns += [f"params.`{name}`" for name in varied[:_MOST_OPTIONS]]
    view = {
        "searchFilter": _only(parent.run_id),
        "orderByKey": f"metrics.`{metric}`",
        "orderByAsc": minimize,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": [*columns, "attributes.`Created`", "attributes.`Duration`"],
    }
    text = json.dumps(view)
    if len(text) > _LONGEST_VIEW:
        return None
    key = str(parent.run_id)
    client.set_experiment_tag(str(parent.experiment_id), f"{VIEW}{key}", text)
    return key


def _only(parent: str) -> str:
    return f"tags.`mlflow.parentRunId` = '{parent}'"


def fold_tries(client: Any, found: Sequence[Row], rows: Sequence[Row]) -> None:
    """Put runs of earlier tries below the run that stands for their trial: a trial is seen once."""
    stands = {row.name: row.run_id for row in rows}
    for row in found:
        if stands[row.name] != row.run_id and row.status != "FINISHED":
            client.set_tag(row.run_id, "mlflow.parentRunId", stands[row.name])


def tell_addresses(
    context: SweepContext, parent: Any, rows: Sequence[Row], metric: str, minimize: bool, view: str | None
) -> str:
    """Return how to open MLflow, and the pages that show the sweep at first sight.

    Sorted by a metric they show the trials themselves instead of one folded parent, those without it last.
    """
    command, site = store.ui(context.store)
    order = quote(f"metrics.`{metric}`", safe="")
    said = f"searchFilter={quote(_only(parent.run_id), safe='')}&orderByKey={order}"
    said += f"&orderByAsc={str(minimize).lower()}"
    seen = said if view is None else f"viewStateShareKey={view}"
    page = f"{site}/#/experiments/{parent.experiment_id}/runs?{seen}"
    runs = quote(json.dumps([row.run_id for row in rows[:COMPARED_RUNS]], separators=(",", ":")), safe="")
    experiments = quote(json.dumps([str(parent.experiment_id)]), safe="")
    compare = f"{site}/#/compare-runs?runs={runs}&experiments={experiments}&{store.MENU}"
    where = f"{redact_text(context.store)}, experiment {context.experiment!r}"
    lines = [
        f"logged   {where}",
        f"open     {command}",
        f"list     {page}&compareRunsMode=TABLE&{store.MENU}",
        f"charts   {page}&compareRunsMode=CHART&{store.MENU}",
        f"compare  {compare}",
    ]
    return "".join(f"{line}\n" for line in lines)
