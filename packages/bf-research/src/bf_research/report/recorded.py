"""The points that trackers wrote into files: tables, event files, files of Weights & Biases."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import IO

from bf_index.errors import escape
from bf_research.own_files import open_plain
from bf_research.tracking.local.tensorboard_tracker import list_event_files, read_points
from bf_research.tracking.local.wandb_tracker import AXIS, read_rows
from bf_research.training.folder import read_record, read_runs

log = logging.getLogger(__name__)

#: Points of a trial that are read; bytes of its files, lines of its table, letters of a line.
_MOST_POINTS = 500_000
_MOST_BYTES, _MOST_LINES, _LONGEST_LINE = 200_000_000, 2_000_000, 100_000

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
        for row in csv.DictReader(_read_lines(file, path)):
            try:
                yield str(row["metric"]), int(row["step"]), float(row["value"])
            except (KeyError, TypeError, ValueError):
                continue


def _read_lines(file: IO[str], path: Path) -> Iterator[str]:
    """Yield the lines of a table; ``ValueError`` for one that is too long, and for too many."""
    size = 0
    for _ in range(_MOST_LINES):
        line = file.readline(_LONGEST_LINE + 1)
        size += len(line)
        if not line:
            return
        if len(line) > _LONGEST_LINE:
            raise ValueError(f"{escape(path)}: a line has more than {_LONGEST_LINE:,} letters")
        if size > _MOST_BYTES:
            break
        yield line
    raise ValueError(
        f"{escape(path)}: what stands behind {_MOST_LINES:,} lines or {_MOST_BYTES:,} letters is left out"
    )


def _share_bytes(paths: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    """Yield files with the bytes of each that are read, so that those of all have a bound."""
    left = _MOST_BYTES
    for path in paths:
        yield path, left
        left = max(left - path.stat().st_size, 0)


def _read_events(folder: Path) -> Iterator[Point]:
    if find_spec("tensorboard") is not None:
        for path, left in _share_bytes(list_event_files(folder)):
            yield from read_points(path, left)


def _read_wandb(folder: Path) -> Iterator[Point]:
    if find_spec("wandb") is None:
        return
    for path, left in _share_bytes(sorted(folder.glob("wandb/*run-*/run-*.wandb"))):
        for row in read_rows(path, left):
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
