"""The points that trackers wrote into files: tables, event files, files of Weights & Biases."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from bf_research.own_files import open_plain
from bf_research.tracking.local.tensorboard_tracker import list_event_files, read_points
from bf_research.tracking.local.wandb_tracker import AXIS, read_rows
from bf_research.training.folder import read_record, read_runs

log = logging.getLogger(__name__)

#: Points of a trial that are read.
_MOST_POINTS = 500_000

Point = tuple[str, int, float]


def read_trial(sweep: Path, trial: str) -> dict[str, dict[int, float]]:
    """Return the points of a trial by metric and step, of the first kind of file that has any.

    A folder may come from somebody else: files are read in it and in the working folder alone.
    """
    if Path(trial).name != trial:
        return {}
    folder = sweep / trial
    for read in (_read_table, _read_events, _read_wandb):
        found: dict[str, dict[int, float]] = {}
        try:
            for name, step, value in islice(read(folder), _MOST_POINTS):
                found.setdefault(name, {})[step] = value
        except (OSError, ValueError, csv.Error) as error:
            log.warning("points of the trial %r are left out: %s", trial, error)
        if found:
            return found
    return {}


def _read_table(folder: Path) -> Iterator[Point]:
    page = read_runs(read_record(folder)).get("csv", {}).get("page")
    if page is None:
        return
    path = Path(page)
    if path.suffix != ".csv" or not any(
        path.resolve().is_relative_to(place) for place in (Path.cwd(), folder.resolve())
    ):
        return
    with open(path, encoding="utf-8", errors="replace", newline="", opener=open_plain) as file:
        for row in csv.DictReader(file):
            try:
                yield str(row["metric"]), int(row["step"]), float(row["value"])
            except (KeyError, TypeError, ValueError):
                continue


def _read_events(folder: Path) -> Iterator[Point]:
    if find_spec("tensorboard") is not None:
        for path in list_event_files(folder):
            yield from read_points(path)


def _read_wandb(folder: Path) -> Iterator[Point]:
    if find_spec("wandb") is None:
        return
    for path in sorted(folder.glob("wandb/*run-*/run-*.wandb")):
        for row in read_rows(path):
            step = _number(row.get(AXIS))
            for name, text in row.items():
                value = _number(text)
                if name != AXIS and not name.startswith("_") and step is not None and value is not None:
                    yield name, int(step), value


def _number(text: str | None) -> float | None:
    try:
        found = json.loads(text or "null")
    except (ValueError, RecursionError):
        return None
    return float(found) if type(found) in (int, float) and abs(found) < 2**63 else None
