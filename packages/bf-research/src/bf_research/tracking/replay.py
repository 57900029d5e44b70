"""Write kept records to their MLflow store: ``python -m bf_research.tracking.replay FILE [ADDRESS]``."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from bf_index.errors import escape
from bf_pipeline.redaction.texts import redact_text
from bf_research.masks import is_masked
from bf_research.tracking import kept, store
from bf_research.tracking.backlog import Point
from bf_research.tracking.opening import RecorderOptions
from bf_research.tracking.recorder import Recorder
from bf_research.tracking.tracker import Location

log = logging.getLogger(__name__)


def replay(path: str | Path, uri: str | None = None) -> Location | None:
    """Write the records of a file to the store they were meant for, or to ``uri``; return where they are.

    The file has no passwords, and does not say to which machine records are sent: such an address is taken
    from ``uri`` or ``MLFLOW_TRACKING_URI``. A run that the store does not have is begun. ``TrackingError``
    for one that was deleted. Files that lie neither beside the file nor in the working folder are left out.
    """
    return write_again(Path(path), uri).location


def write_again(path: Path, uri: str | None = None) -> Recorder:
    """Write the records of a file; return the recorder, whose ``kept`` is the file of what was left again."""
    found = kept.read(path)
    head = found.head
    address = store.address(uri or (None if is_masked(head["store"]) else head["store"]))
    if uri is None and redact_text(address) != head["store"]:
        raise ValueError(
            f"{escape(path)} was kept for {escape(head['store'])}, whose password is not in it: "
            "give the whole address as "
            "second argument, or as MLFLOW_TRACKING_URI"
        )
    if uri is None and not kept.is_local(address) and address != os.environ.get("MLFLOW_TRACKING_URI"):
        raise ValueError(
            f"{escape(path)} was kept for {escape(address)}, and a file does not say to whom records are "
            "sent: if you trust it, give the address as second argument, or as MLFLOW_TRACKING_URI"
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


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.stderr.write("usage: python -m bf_research.tracking.replay FILE [ADDRESS]\n")
        sys.exit(2)
    written = write_again(Path(sys.argv[1]), *sys.argv[2:])
    sys.stdout.write(f"{written.location}\n")
    sys.exit(written.kept is not None)
