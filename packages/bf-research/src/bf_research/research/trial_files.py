"""What the trials of a research left in its folder: rows of those that did not end, times of units."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bf_index.errors import escape
from bf_research.masks import KEY
from bf_research.research.loggers import FILE
from bf_research.research.place import TRIALS
from bf_research.sweep import journal
from bf_research.sweep.results import Results
from bf_research.sweep.trial import TrialState
from bf_research.units.dumps import read_rows, read_times

#: What a research writes into its folder beside the trials.
_FILES = (journal.JOURNAL, journal.LOCK, KEY, FILE, "tracking.json")


def with_dumps(results: Results, folder: Path | None) -> Results:
    """Return results in which trials that have no rows yet have those that they wrote into their folders."""
    if folder is None:
        return results
    left = (TrialState.RUNNING, TrialState.KILLED)
    records = tuple(
        replace(record, rows=read_rows(folder / TRIALS / _name(record.id)))
        if record.state in left and not record.rows
        else record
        for record in results.records
    )
    return replace(results, records=records)


def profile_rows(folder: Path) -> list[dict[str, Any]]:
    """Return a row for each trial and unit that was measured."""
    return list(_profile(folder)) if (folder / TRIALS).is_dir() else []


def _profile(folder: Path) -> Iterator[dict[str, Any]]:
    for trial in sorted((folder / TRIALS).iterdir()):
        times = read_times(trial)
        whole = sum(total for _, total in times.values()) or 1.0
        for unit, (calls, total) in times.items():
            yield {
                "id": trial.name,
                "unit": unit,
                "calls": calls,
                "total": total,
                "mean": total / max(calls, 1),
                "share": total / whole,
            }


def remove(folder: Path) -> None:
    """Remove the files of a research from a folder; see ``Research.remove``."""
    if not folder.is_dir() or not journal.exists(folder):
        raise FileNotFoundError(f"{escape(folder)} holds no sweep: there is no {journal.JOURNAL} in it")
    with journal.Journal(folder, {}):  # nobody runs it meanwhile, or SweepLocked
        trials = folder / TRIALS
        for record in journal.read(folder).records.values():
            trial = trials / _name(record.id)
            if trial.is_dir() and not trial.is_symlink():
                shutil.rmtree(trial)
        for name in _FILES:
            (folder / name).unlink(missing_ok=True)
    for place in (trials, folder):
        if place.is_dir() and not place.is_symlink() and not any(place.iterdir()):
            place.rmdir()


def _name(trial_id: str) -> str:
    """Return the name of a trial's folder; ``ValueError`` for what a journal must not hold."""
    if trial_id in ("", ".", "..") or "/" in trial_id or "\0" in trial_id:
        raise ValueError(
            f"{escape(trial_id)!r} is no name of a trial; the journal was changed by something else"
        )
    return trial_id
