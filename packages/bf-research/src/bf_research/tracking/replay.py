"""Write kept records to their MLflow store: ``python -m bf_research.tracking.replay FILE [ADDRESS]``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bf_index.errors import escape
from bf_pipeline.redaction.texts import redact_text
from bf_research.masks import is_masked
from bf_research.tracking import store
from bf_research.tracking.backlog import Point
from bf_research.tracking.recorder import Recorder, RecorderOptions
from bf_research.tracking.tracker import Location


def replay(path: str | Path, uri: str | None = None) -> Location | None:
    """Write the records of a file to the store they were meant for, or to ``uri``; return where they are.

    The file has no passwords: an address with one is taken from ``uri`` or ``MLFLOW_TRACKING_URI``.
    """
    lines = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    if not lines or lines[0][0] != "start":
        raise ValueError(f"{escape(path)} holds no kept records: its first line must be a 'start'")
    head = lines[0][1]
    address = store.address(uri or (None if is_masked(head["store"]) else head["store"]))
    if uri is None and redact_text(address) != head["store"]:
        raise ValueError(
            f"{escape(path)} was kept for {escape(head['store'])}, whose password is not in it: "
            "give the whole address as "
            "second argument, or as MLFLOW_TRACKING_URI"
        )
    options = RecorderOptions(address, head["experiment"], folder=str(Path(path).parent))
    recorder = Recorder(options, head["name"], head["tags"], run_id=head["run_id"])
    recorder.start()
    recorder.wait_ready(120.0)
    status = "FINISHED"
    for kind, payload in lines[1:]:
        if kind == "point":
            recorder.points.append(Point(*payload))
        elif kind == "end":
            status = payload
        else:
            recorder.put(kind, payload)
    return recorder.finish(status)  # type: ignore[arg-type]


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.stderr.write("usage: python -m bf_research.tracking.replay FILE [ADDRESS]\n")
        sys.exit(2)
    sys.stdout.write(f"{replay(*sys.argv[1:])}\n")
