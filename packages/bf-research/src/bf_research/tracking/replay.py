"""Write kept records to their MLflow store: ``python -m bf_research.tracking.replay FILE [ADDRESS]``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bf_index.errors import escape
from bf_pipeline.redaction.texts import redact_text
from bf_research.masks import is_masked
from bf_research.tracking import kept, store
from bf_research.tracking.backlog import Point
from bf_research.tracking.opening import RecorderOptions
from bf_research.tracking.recorder import Recorder
from bf_research.tracking.refusals import first_line
from bf_research.tracking.run_scope import SweepContext
from bf_research.tracking.store import TrackingError
from bf_research.tracking.tracker import Location

log = logging.getLogger(__name__)


def replay(path: str | Path, uri: str | None = None) -> Location | None:
    """Write the records of a file to the store at ``uri``; return where they are.

    Without ``uri`` that is the default store, if the records were kept for it: ``MLFLOW_TRACKING_URI``, or
    ``mlflow.db`` in the working folder. The file itself, perhaps from somebody else, does not say where
    anything is written; ``ValueError`` tells for what store it was kept. A run that the store does not have
    is begun. ``TrackingError`` for one that was deleted. Files that lie neither beside the file nor in the
    working folder are left out.
    """
    return write_again(Path(path), uri).location


def write_again(path: Path, uri: str | None = None) -> Recorder:
    """Write the records of a file; return the recorder, whose ``kept`` is the file of what was left again."""
    found = kept.read(path)
    head = found.head
    address = store.address(uri)
    if uri is None and redact_text(address) != head["store"]:
        lacks = ", whose password is not in it" if is_masked(head["store"]) else ""
        raise ValueError(
            f"{escape(path)} was kept for {escape(head['store'])}{lacks}, and a file does not say where "
            f"records are written; the default store is {escape(redact_text(address))}: "
            "if you trust the file, give the whole address of a store as second argument, "
            "or as MLFLOW_TRACKING_URI"
        )
    options = RecorderOptions(address, head["experiment"], folder=str(path.parent))
    recorder = Recorder(options, head["name"], head["tags"], head["run_id"], head.get("given"))
    recorder.start()
    recorder.wait_ready(120.0)
    for kind, payload in found.records:
        if kind == "point":
            recorder.points.append(Point(*payload))
            continue
        try:
            kept.check_files(kind, payload, path)
        except ValueError as error:
            log.warning("%s of run %s is left out: %s", kind, escape(head["name"]), error)
        else:
            recorder.put(kind, payload)
    recorder.finish(found.status, found.when)  # type: ignore[arg-type]
    return recorder


def replay_sweep(context: SweepContext, folders: Iterable[Path]) -> list[Path]:
    """Write what the trials of a sweep had to keep in files of these folders; return the files that are left.

    A file goes once the store has what it says; what the store leaves again is in a new one. A file that
    can't be read, or whose run was deleted, is told and stays.
    """
    left = []
    for path in sorted(found for folder in set(folders) for found in folder.glob(kept.PATTERN)):
        try:
            if not _is_kept_for(context, kept.read_head(path)):
                continue
            recorder = write_again(path, context.store)
        except (ValueError, OSError, TrackingError) as error:
            log.warning("the records in %s are not written: %s", escape(path), first_line(error))
            continue
        if recorder.location is None:
            left.append(path)
            continue
        path.unlink()
        log.info("what %s had kept is written to run %s", escape(path), recorder.location.run_id)
        left += [recorder.kept] if recorder.kept else []
    return left


def _is_kept_for(context: SweepContext, head: Mapping[str, Any]) -> bool:
    """Whether a file with such a first line is of a trial of a sweep."""
    parent = head.get("tags", {}).get("mlflow.parentRunId")
    return parent == context.run_id and head.get("experiment") == context.experiment


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.stderr.write("usage: python -m bf_research.tracking.replay FILE [ADDRESS]\n")
        sys.exit(2)
    try:
        written = write_again(Path(sys.argv[1]), *sys.argv[2:])
    except (ValueError, OSError, TrackingError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
    sys.stdout.write(f"{written.location}\n")
    sys.exit(written.kept is not None)
