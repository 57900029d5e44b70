"""A tracker that writes each run into a CSV file, which any table program reads."""

from __future__ import annotations

import csv
import json
import logging
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from bf_index.errors import escape
from bf_pipeline.redaction.values import redact
from bf_research.own_files import open_plain, write_whole
from bf_research.tracking.local.runs import check_run, new_run
from bf_research.tracking.names import as_texts, plain_step
from bf_research.tracking.store import TrackingError
from bf_research.tracking.tracker import FileLocation, Location, NoTracker, Status

log = logging.getLogger(__name__)

COLUMNS = ("step", "metric", "value", "time")


class CSVTracker(NoTracker):
    """A tracker of two files a run: ``RUN.csv`` has the points, ``RUN.json`` what the run was made of.

    The table has a row for each point: ``step``, ``metric``, ``value`` and ``time``, seconds since 1970.
    Files are in ``folder``, made when the first run begins. Parameters and tags are without secrets. A run
    that goes on does so in the same files, without the points that are there. Texts, files and models are not
    kept. A disk that is full costs the training the points and nothing else, which is told once.
    """

    kind = "csv"

    def __init__(self, folder: str = "metrics") -> None:
        self.folder = Path(folder)
        self._lock = threading.Lock()
        self._file: IO[str] | None = None
        self._known: set[tuple[str, str]] = set()
        self._about: dict[str, Any] = {}
        self._run, self._told = "", False
        self._early: list[tuple[str, float, Any]] = []

    @property
    def path(self) -> Path:
        """The table of the run."""
        return self.folder / f"{self._run}.csv"

    def start(self, name: str, tags: Mapping[str, str] | None = None, run_id: str | None = None) -> None:
        """Begin a run, or go on with one: ``run_id`` is the name of its files without their ends."""
        if self._run:
            raise TrackingError("this tracker has started a run already: make a tracker for every run")
        check_run(run_id, self.folder)
        self._run = run_id or new_run(name)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            raise TrackingError(
                f"tracking: {escape(self.path)} can't be written: {error}; give another tracking.csv.folder, "
                "or tracking=none"
            ) from error
        self._about = {"run": self._run, "params": {}, **self._about, "name": name, "status": "RUNNING"}
        self.set_tags(tags or {})
        for point in self._early:
            self.log_metric(*point)

    def _open(self) -> None:
        """Open the table; of one that is there the last row may be half, after a kill."""
        if self.path.exists():
            with open(self.path, "r+b", opener=open_plain) as file:
                whole = file.read().rpartition(b"\n")[0]
                file.truncate(len(whole) + 1 if whole else 0)
            rows = csv.reader(whole.decode("utf-8", "replace").splitlines()[1:])
            with suppress(csv.Error):  # a damaged row: what stands behind it may be there again
                self._known.update((row[1], row[0]) for row in rows if len(row) == len(COLUMNS))
            self._about = _read(self.path.with_suffix(".json"))
        # each row is one call of the system
        self._file = open(self.path, "a", 1, encoding="utf-8", newline="", opener=open_plain)  # noqa: SIM115
        if self._file.tell() == 0:
            csv.writer(self._file, lineterminator="\n").writerow(COLUMNS)

    def ready(self, timeout: float = 120.0) -> Location | None:
        """Return at once where the run is recorded."""
        if not self._run:
            raise TrackingError("the tracker has no run: call start(name) first")
        path, name = self.path.absolute(), str(self._about["name"])
        return FileLocation(str(self.folder), "", "", self._run, name, "", str(path), self.kind)

    def flush(self, timeout: float = 10.0) -> None:
        """Write the points that were logged until now."""
        with self._lock:
            self._guard(lambda file: file.flush())

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record flat parameters as texts, without secrets; what has a value keeps it."""
        self._about["params"] = {**as_texts(redact(params)), **self._about.get("params", {})}
        self._write_about()

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record what to find the run by, without secrets."""
        self._about["tags"] = {**self._about.get("tags", {}), **as_texts(redact(tags))}
        self._write_about()

    def log_data(self, name: str, digest: str, items: int, context: str) -> None:
        """Record which data were used."""
        data = {"name": name, "digest": digest, "items": items}
        self._about["data"] = {**self._about.get("data", {}), context: data}
        self._write_about()

    def log_metric(self, name: str, value: float, step: int = 0) -> None:
        """Record one point: a row that is in the file at once, so that a kill of the process loses none."""
        if not self._run:
            self._early.append((name, value, step))
            return
        whole = step if type(step) is int else plain_step(step)
        if self._known and (str(name), str(whole)) in self._known:
            return
        now = time.time()

        def write(file: IO[str]) -> None:
            row = (whole, str(name), repr(float(value)), f"{now:.3f}")
            csv.writer(file, lineterminator="\n").writerow(row)

        with self._lock:
            self._guard(write)

    def end(self, status: Status = "FINISHED") -> Location | None:
        """Write what is left and close the run; a second call does nothing."""
        with self._lock:
            if self._file is None:
                return self.ready() if self._run else None
            self._guard(lambda file: file.close())
            self._file = None
        self._about["status"] = status
        self._write_about()
        return self.ready()

    def _guard(self, work: Any) -> None:
        if self._file is None:
            return
        try:
            work(self._file)
        except OSError as error:
            self._tell(error)

    def _tell(self, error: OSError) -> None:
        if not self._told:
            self._told = True
            log.warning(
                "%s can't be written, points are lost and the training goes on: %s", escape(self.path), error
            )

    def _write_about(self) -> None:
        if not self._run:
            return
        try:
            write_whole(self.path.with_suffix(".json"), json.dumps(self._about, indent=1))
        except OSError as error:
            self._tell(error)


def _read(path: Path) -> dict[str, Any]:
    """Return what a run's JSON file says; nothing where it is damaged."""
    try:
        with open(path, encoding="utf-8", opener=open_plain) as file:
            found = json.loads(file.read(10_000_000))
    except (OSError, ValueError, RecursionError):
        return {}
    texts = isinstance(found, dict) and all(
        isinstance(found.get(key, {}), dict) for key in ("params", "tags", "data")
    )
    return found if texts else {}
