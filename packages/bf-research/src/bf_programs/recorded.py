"""Where trackers have runs and sweeps, for people."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from bf_index.errors import escape
from bf_pipeline.redaction.texts import redact_text
from bf_research.tracking.run_ids import name_ids
from bf_research.tracking.summaries.places import sync_command
from bf_research.training.folder import read_runs

_NAMES = {"mlflow": "MLflow", "wandb": "W&B"}


def recorded_runs(record: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return id and page of a run by the kind of tracker; older records have one id and no kind."""
    older = name_ids(record.get("run_id") or None)
    return read_runs(record) or {kind: {"run_id": one, "page": ""} for kind, one in older.items()}


def tell_runs(record: Mapping[str, Any]) -> list[str]:
    """Return lines with the ids of a run and where it is seen, for each tracker."""
    lines = []
    for kind, run in recorded_runs(record).items():
        page = f", {escape(run['page'])}" if run["page"] else ""
        lines.append(f"{escape(_NAMES.get(kind, kind)):9} run {escape(run['run_id'])}{page}")
        if run["page"]:
            lines += _tell_commands(kind, run["page"])
    return lines


def tell_places(places: Mapping[str, str]) -> list[str]:
    """Return lines with where the runs of a sweep's trials are, for each tracker that writes files."""
    lines = []
    for kind, place in places.items():
        told = list(_tell_commands(kind, place))
        if kind == "wandb":
            told = [f"send      {escape(sync_command(place))}"]
        lines += told or [f"{escape(_NAMES.get(kind, kind)):9} in {escape(place)}"]
    return lines


def tell_sweep_run(memory: Mapping[str, Any]) -> list[str]:
    """Return a line with the run of a sweep in MLflow and its store, from what the sweep noted; or none."""
    run_id, store = memory.get("run_id"), memory.get("store")
    if not isinstance(run_id, str) or not isinstance(store, str):
        return []
    return [f"MLflow    run {escape(run_id)}, in {escape(redact_text(store))}"]


def _tell_commands(kind: str, place: str) -> Iterator[str]:
    """Yield what is typed to see or to send what a tracker wrote; the place may come from somebody else."""
    if kind == "tensorboard":
        yield f"open      tensorboard --logdir {escape(shlex.quote(place))}"
    elif kind == "wandb" and "://" not in place:
        yield f"send      wandb sync {escape(shlex.quote(place))}"
