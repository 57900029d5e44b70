"""What trainings and sweeps left in their folders, read as data: settings, metrics, how far they came."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bf_index.errors import escape
from bf_research.sweep import journal
from bf_research.sweep.records import Record
from bf_research.sweep.results import Results
from bf_research.trained import read_config
from bf_research.training.folder import RECORD, read_record

#: Where the commands write, below the working folder, and how deep folders of runs and sweeps are in it.
ROOTS = ("outputs", "multirun", "research")
_DEEPEST = 2


class NothingThere(LookupError):
    """A folder holds neither a run nor a sweep."""


@dataclass(frozen=True)
class Entry:
    """A run or a trial: its name for people, what it was told, what came out."""

    name: str
    state: str
    settings: Mapping[str, Any]
    metrics: Mapping[str, float]
    folder: Path


def is_sweep(folder: Path) -> bool:
    """Whether a folder holds a sweep; ``NothingThere`` for one that holds no run either."""
    if journal.exists(folder):
        return True
    if (folder / RECORD).is_file():
        return False
    what = "is not there" if not folder.exists() else "holds neither a run nor a sweep"
    raise NothingThere(f"{escape(folder)} {what}; batchflow show lists the folders that do")


def list_folders(root: Path = Path()) -> list[Path]:
    """Return the folders of runs and sweeps below a working folder, the newest first."""
    files = [file for place in ROOTS for file in _marks(root / place)]
    return [file.parent for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)]


def _marks(root: Path) -> Iterator[Path]:
    """Yield the records and journals below a folder; trials of a sweep are its own."""
    for depth in range(1, _DEEPEST + 1):
        for name in (journal.JOURNAL, RECORD):
            for file in root.glob("/".join(["*"] * depth + [name])):
                if not (file.parent.parent / journal.JOURNAL).exists():
                    yield file


def read_entries(folder: Path) -> list[Entry]:
    """Return the run of a folder, or the trials of its sweep in the order they began."""
    if not is_sweep(folder):
        return [read_run(folder)]
    history = journal.read(folder)
    results, fixed = Results.of(history), history.head.get("fixed")
    shared = dict(split(fixed)) if isinstance(fixed, list) else {}
    return [_read_trial(folder, results, record, shared) for record in results.records]


def _read_trial(folder: Path, results: Results, record: Record, shared: Mapping[str, str]) -> Entry:
    repetition = {"repetition": record.repetition} if record.repetition else {}
    values = {name: results.last(name, record) for name in results.returns}
    metrics = {name: value for name, value in values.items() if not math.isnan(value)}
    settings = {**shared, **record.config, **repetition}
    return Entry(f"{folder.name}/{record.id}", str(record.state), settings, metrics, folder / record.id)


def read_run(folder: Path) -> Entry:
    """Return what a training left in its folder."""
    record = read_record(folder)
    state = str(record.get("state", "begun"))
    return Entry(
        str(folder), state, dict(split(read_command(folder) or ())), record.get("metrics", {}), folder
    )


def read_results(folder: Path) -> Results:
    """Return the results of the sweep in a folder."""
    return Results.of(journal.read(folder))


def read_command(folder: Path) -> list[str] | None:
    """Return the settings of a training's command, as they were written; None if a program began it."""
    command = read_record(folder).get("command")
    return [text for text in command if isinstance(text, str)] if isinstance(command, list) else None


def split(settings: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield names and values of settings."""
    for text in settings:
        name, _, value = text.lstrip("+~").partition("=")
        yield name, value


def read_sweep_overrides(folder: Path) -> dict[str, list[str]] | None:
    """Return what a sweep of the command line was begun with: settings of ``task`` and of ``hydra``.

    None where it has no ``multirun.yaml``; texts alone are taken of it.
    """
    hydra = read_config(folder / "multirun.yaml").get("hydra")
    told = hydra.get("overrides") if isinstance(hydra, Mapping) else None
    if not isinstance(told, Mapping):
        return None
    parts = {name: told.get(name) for name in ("task", "hydra")}
    return {
        name: [text for text in part if isinstance(text, str)] if isinstance(part, list) else []
        for name, part in parts.items()
    }
