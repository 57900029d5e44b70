"""The folder of a training: what it was started with, how far it came, and who works on it now."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from bf_index.errors import StateError, escape
from bf_research.own_files import open_plain, take_lock, write_whole
from bf_research.tracking.run_ids import join_ids, kind_of, name_ids
from bf_research.tracking.several import SeveralTrackers
from bf_research.tracking.tracker import Location, Tracker

log = logging.getLogger(__name__)

RECORD, LOCK = "run.json", "run.lock"
SCHEMA = 1
#: Letters of a ``run.json``.
MOST_LETTERS = 10_000_000
RUNNING, FINISHED = "running", "finished"


class RunLocked(RuntimeError):
    """Another process is training in this folder."""


class RunFolder:
    """A folder that one process at a time trains in; ``record`` is what ``run.json`` in it says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._file = open(path / LOCK, "a+", encoding="utf-8", opener=open_plain)  # noqa: SIM115
        try:
            if not take_lock(self._file.fileno(), path / LOCK):
                raise RunLocked(
                    f"{escape(path)}: another process trains in this folder; wait for it, stop it, or give "
                    "another name"
                )
        except BaseException:
            self._file.close()
            raise
        self.record = read_record(path)

    @property
    def is_finished(self) -> bool:
        """Whether the training came to its end."""
        return self.record.get("state") == FINISHED

    def begin(self, settings: Mapping[str, Any], run_id: str | None = None) -> None:
        """Note what the training is started with, or goes on with."""
        began = self.record.get("began", time.strftime("%Y-%m-%d %H:%M:%S"))
        self.note(schema=SCHEMA, settings=dict(settings), state=RUNNING, began=began, run_id=run_id)

    def note(self, **changes: Any) -> None:
        """Change fields of the record, which is there whole at any moment.

        A disk that is full costs no training once there is a record: it is told.
        """
        is_first = not self.record
        self.record = {**self.record, **changes}
        try:
            write_whole(self.path / RECORD, json.dumps(self.record, indent=1, default=str))
        except OSError as error:
            if is_first:
                raise
            log.warning("%s of %s could not be written: %s", RECORD, self.path, error)

    def note_run(self, location: Location, tracker: Tracker) -> None:
        """Note where a tracker records the run, by its kind, or the kinds of several.

        What other trackers had of it stays.
        """
        several = isinstance(tracker, SeveralTrackers)
        places = {part.tracker if several else kind_of(tracker): part for part in location.parts}
        runs = {kind: {"run_id": place.run_id, "page": place.page} for kind, place in places.items()}
        self.note(run_id=location.run_id, runs={**read_runs(self.record), **runs})

    @property
    def run_id(self) -> str | None:
        """The id of the run that was recorded, with that of each tracker; None where none was."""
        if self.record.get("run_id") is None:
            return None
        return join_ids(recorded_ids(self.record))

    def check_same(self, settings: Mapping[str, Any]) -> None:
        """Raise ``StateError`` for other settings than the folder's, naming the first that differ."""
        check_same(self.path, self.record, settings)

    def close(self) -> None:
        """Let others train here."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def check_same(path: Path, record: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Raise ``StateError`` for other settings than a folder's record has, naming the first that differ."""
    before = record.get("settings")
    if before is None or before == dict(settings):
        return
    names = sorted({*before, *settings})
    differing = [name for name in names if before.get(name) != settings.get(name)]
    shown = "; ".join(
        f"{name} was {before.get(name)!r} and is {settings.get(name)!r}" for name in differing[:5]
    )
    raise StateError(
        f"{escape(path)} holds a training with other settings: {shown}; give the same again, "
        "another name, or resume=never to begin anew beside it"
    )


def read_record(path: Path) -> dict[str, Any]:
    """Return what a folder's ``run.json`` says; nothing where there is none or it is damaged."""
    try:
        with open(path / RECORD, encoding="utf-8", opener=open_plain) as file:
            text = file.read(MOST_LETTERS + 1)
        found = json.loads(text) if len(text) <= MOST_LETTERS else None
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and _is_record(found) else {}


def read_runs(record: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the ``run_id`` and the ``page`` that a record has of a run, by the kind of tracker."""
    runs = record.get("runs")
    return {
        kind: run
        for kind, run in (runs.items() if isinstance(runs, dict) else ())
        if isinstance(run, dict) and isinstance(run.get("run_id"), str) and isinstance(run.get("page"), str)
    }


def recorded_run(record: Mapping[str, Any], kind: str) -> str | None:
    """Return the id that one kind of tracker has of the run of a record."""
    return recorded_ids(record).get(kind)


def recorded_ids(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the ids of the run of a record by the kind of tracker; older records have one, and no kind."""
    runs = {kind: run["run_id"] for kind, run in read_runs(record).items()}
    return runs or name_ids(record.get("run_id"))


def _is_record(found: Mapping[str, Any]) -> bool:
    """Whether the fields that are read have their types."""
    metrics, run_id, iteration = found.get("metrics", {}), found.get("run_id"), found.get("iteration", 0)
    return (
        isinstance(found.get("settings"), dict)
        and isinstance(metrics, dict)
        and all(isinstance(value, int | float) for value in metrics.values())
        and (run_id is None or isinstance(run_id, str))
        and isinstance(iteration, int)
    )


def open_unfinished(root: Path, settings: Mapping[str, Any]) -> RunFolder | None:
    """Open the newest folder below ``root`` with an unfinished training of the same settings, if any.

    Folders in which another process trains now are passed over.
    """
    records = [*root.glob(f"*/{RECORD}"), *root.glob(f"*/*/{RECORD}")]
    for path in sorted(records, key=_written_at, reverse=True):
        record = read_record(path.parent)
        if record.get("state") == FINISHED or record.get("settings") != dict(settings):
            continue
        try:
            folder = RunFolder(path.parent)
        except RunLocked:
            continue
        if not folder.is_finished:
            return folder
        folder.close()
    return None


def _written_at(path: Path) -> float:
    """Return when a file was written, in seconds since 1970; the beginning of it for one that is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def make_free(path: Path) -> Path:
    """Return a path beside one that is taken: ``NAME-2``, ``NAME-3``..."""
    number = 2
    while (found := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return found
