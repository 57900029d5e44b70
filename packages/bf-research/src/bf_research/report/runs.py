"""The runs of a sweep's trials in its store of runs: their pages, and the histories of their metrics."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bf_index.errors import escape
from bf_pipeline.redaction.texts import redact_text
from bf_research.masks import is_masked
from bf_research.tracking import store
from bf_research.tracking.refusals import first_line
from bf_research.tracking.summaries.places import read_memory, read_places

log = logging.getLogger(__name__)

_RUN_ID = re.compile(r"[0-9a-zA-Z_-]{1,64}")


@dataclass(frozen=True)
class Runs:
    """The runs of trials that a store has, by the trials' names; none where there is no store to ask."""

    command: str = ""
    site: str = ""
    experiment: str = ""
    parent: str = ""
    found: Mapping[str, Any] = field(default_factory=dict)
    client: Any = None
    #: folders below which other trackers have the trials, by their kinds
    places: Mapping[str, str] = field(default_factory=dict)

    def page(self, trial: str) -> str | None:
        """Return the address of the page of a trial's run."""
        run = self.found.get(trial)
        return None if run is None else self._page(run.info.run_id)

    @property
    def sweep_page(self) -> str | None:
        """The address of the page of the sweep's own run."""
        return self._page(self.parent) if self.parent else None

    def _page(self, run_id: str) -> str:
        return f"{self.site}/#/experiments/{self.experiment}/runs/{run_id}?{store.MENU}"

    def metrics(self, trials: Iterable[str]) -> list[str]:
        """Return the names of the metrics that runs of these trials have."""
        runs = [self.found[trial] for trial in trials if trial in self.found]
        return list(dict.fromkeys(name for run in runs for name in run.data.metrics))

    def history(self, trial: str, metric: str) -> dict[int, float]:
        """Return the finite points of a metric of a trial by their steps."""
        run = self.found.get(trial)
        if run is None or metric not in run.data.metrics:
            return {}
        points = self.client.get_metric_history(run.info.run_id, metric)
        return {point.step: point.value for point in points if abs(point.value) < 1e300}


def find_runs(folder: Path, uri: str | None = None) -> Runs:
    """Return the runs of a sweep's trials, as MLflow has them, and where other trackers have them.

    A folder may come from somebody else: the store that it names is asked only if it is the default one or
    the one that the caller names. A store that does not answer is told, and the report goes without it.
    """
    return replace(_find_in_store(folder, uri), places=read_places(folder))


def _find_in_store(folder: Path, uri: str | None) -> Runs:
    memory = _read_memory(folder)
    if memory is None:
        return Runs()
    named, parent = memory
    wanted = store.address(uri)
    path = store.database(wanted)
    if named != redact_text(wanted) and not (uri is not None and is_masked(named)):
        log.warning(
            "the runs of this sweep are recorded in %s, which is neither the default store nor named: "
            "--store NAME takes curves and links from there",
            escape(named),
        )
        return Runs()
    if path is not None and not path.is_file():
        return Runs()
    try:
        return _ask(wanted, parent)
    except Exception as error:  # noqa: BLE001 - the journal has what matters
        log.warning("no curves and links from MLflow: %s", first_line(error))
        return Runs()


def _read_memory(folder: Path) -> tuple[str, str] | None:
    """Return the store and the run that a sweep noted, None where it did not or the file is damaged."""
    memory = read_memory(folder)
    named, run_id = memory.get("store"), memory.get("run_id")
    if isinstance(named, str) and isinstance(run_id, str) and _RUN_ID.fullmatch(run_id):
        return named, run_id
    return None


def _ask(uri: str, parent: str) -> Runs:
    client = store.open_store(uri)
    own = store.get_run(client, parent)
    if own is None:
        return Runs()
    experiment = str(own.info.experiment_id)
    found: dict[str, Any] = {}
    for run in store.child_runs(client, experiment, parent):
        # a run of Research has the name of its trial, one of the command line its folder
        for name in (run.info.run_name, Path(str(run.data.tags.get("bf.folder", ""))).name):
            if name and (name not in found or run.info.status == "FINISHED"):
                found[name] = run
    command, site = store.ui(uri)
    return Runs(command, site, experiment, parent, found, client)
