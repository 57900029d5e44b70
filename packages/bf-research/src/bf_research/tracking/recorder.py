"""The thread that speaks to the MLflow store for one run, in batches, and outlasts the store's absence."""

from __future__ import annotations

import json
import logging
import re
import shlex
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bf_pipeline.redaction.texts import redact_text
from bf_research.tracking import store
from bf_research.tracking.backlog import Backlog, Point
from bf_research.tracking.tracker import Location, Status
from bf_research.tracking.writer import POINTS_A_CALL, Writer

log = logging.getLogger(__name__)

#: A point is written this long after it was logged, at the latest, also in a busy loop.
LONGEST_PAUSE = 5.0
#: A call under way when the patience ends may take so much longer.
LAST_CALL_SECONDS = 25.0
#: Answers of a store that no repetition would change.
_REFUSALS = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE"})


@dataclass(frozen=True)
class Buffering:
    """Limits of waiting: seconds between writes, points in memory, seconds for a store that is down."""

    flush_seconds: float = 1.0
    points: int = 100_000
    patience: float = 30.0

    def __post_init__(self) -> None:
        if self.flush_seconds <= 0 or self.points < 1 or self.patience < 0:
            raise ValueError(
                "tracking.buffering: flush_seconds must be above 0, points at least 1, patience 0 or more, "
                f"got {self.flush_seconds:g}, {self.points} and {self.patience:g}"
            )


@dataclass(frozen=True)
class RecorderOptions:
    """Options of a recorder: where and how a run is recorded; see ``MLflowTracker``."""

    uri: str
    experiment: str
    experiment_id: str | None = None
    required: bool = True
    folder: str = "."
    system_metrics: bool = False
    buffering: Buffering = Buffering()

    @property
    def shown_uri(self) -> str:
        """The address of the store without a password."""
        return redact_text(self.uri)


class Recorder:
    """The records of one run on their way to the store."""

    def __init__(
        self, options: RecorderOptions, name: str, tags: dict[str, str], run_id: str | None = None
    ) -> None:
        self.options, self.name, self.tags = options, name, tags
        self._resumed = run_id
        self.points: list[Point] = []
        self.location: Location | None = None
        self._operations: deque[tuple[str, Any]] = deque()
        self._backlog = Backlog(options.buffering.points)
        self._writer: Writer
        self._is_open = False
        self._monitor: Any = None
        self._error: BaseException | None = None
        self._opened, self._wake = threading.Event(), threading.Event()
        self._deadline: float | None = None
        self._status: Status = "FINISHED"
        self._down_since: float | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="bf-tracking", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, kind: str, payload: Any) -> None:
        """Queue an operation; it is done in order."""
        self._operations.append((kind, payload))

    def wait_ready(self, timeout: float) -> Location | None:
        """Wait for the store; raise what keeps it from being used when it is required."""
        if not self._opened.wait(timeout):
            self._error = store.TrackingError(
                f"the MLflow store {self.options.shown_uri} did not answer in {timeout:g} s; "
                "set tracking.uri to one that does, or tracking=none"
            )
        if self._error is not None and self.options.required:
            raise self._error
        return self.location

    def finish(self, status: Status) -> Location | None:
        """Write what is left, close the run, end the thread; a store that is down is waited for."""
        if not self._ended:
            self._ended, self._status = True, status
            self._deadline = time.monotonic() + self.options.buffering.patience
            self._wake.set()
            self._thread.join(self.options.buffering.patience + LAST_CALL_SECONDS)
            if self._thread.is_alive():
                log.warning(
                    "the MLflow store %s does not answer; run %s ends without it",
                    self.options.shown_uri,
                    self.name,
                )
            else:
                self._keep_rest()
                self._backlog.close()
        return self.location

    # The thread

    def _work(self) -> None:
        try:
            self._open()
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread by wait_ready
            self._error = error
            if not self.options.required:
                log.warning("%s", error)
        finally:
            self._opened.set()
        pause = 0.0  # what was recorded while the store opened is written at once
        while self._is_open:
            ending = self._wake.wait(pause)
            done = self._flush()
            if ending and (done or time.monotonic() > (self._deadline or 0.0)):
                break
            usual = self.options.buffering.flush_seconds
            pause = usual if done else next_pause(pause, usual)
            if ending:
                time.sleep(min(pause, 0.5))

    def _open(self) -> None:
        client = store.open_store(self.options.uri)
        experiment = self.options.experiment_id or store.experiment_id(
            client, self.options.experiment, self.options.uri
        )
        run_id = self._resumed
        if run_id is None:
            try:
                run_id = str(client.create_run(experiment, tags=self.tags, run_name=self.name).info.run_id)
            except Exception:
                # for an experiment deleted meanwhile this raises with the way to restore it
                store.experiment_id(client, self.options.experiment, self.options.uri)
                raise
        command, site = store.ui(self.options.uri)
        self.location = Location(
            store=self.options.shown_uri,
            experiment=self.options.experiment,
            experiment_id=experiment,
            run_id=run_id,
            run_name=self.name,
            command=command,
            page=f"{site}/#/experiments/{quote(experiment)}/runs/{run_id}?{store.MENU}",
        )
        self._writer = Writer(client, run_id)
        if self.options.system_metrics:
            self._watch_system(run_id)
        self._is_open = True

    def _watch_system(self, run_id: str) -> None:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self._monitor = SystemMetricsMonitor(run_id, tracking_uri=self.options.uri)
        self._monitor.start()

    def _stop_monitor(self) -> None:
        if self._monitor is not None:
            self._monitor.finish()
            self._monitor = None

    def _flush(self) -> bool:
        """Write what waits and return whether the store took it; what it did not is tried again later."""
        taken = len(self.points)
        self._backlog.extend(self.points[:taken])
        del self.points[:taken]
        ended = self._ended
        try:
            self._write_operations()
            self._write_points()
            if ended and not self.points:
                self._stop_monitor()
                self._writer.close(self._status)
        except Exception as error:  # noqa: BLE001 - a store that is away raises anything; it is tried again
            if self._down_since is None:
                self._down_since = time.monotonic()
                why = _first_line(error)
                log.warning("the MLflow store %s is away, records wait: %s", self.options.shown_uri, why)
            return False
        if self._down_since is not None:
            away = time.monotonic() - self._down_since
            log.warning("the MLflow store is back after %.0f s, everything is written", away)
            self._down_since = None
        return True

    def _write_operations(self) -> None:
        while self._operations:
            kind, payload = self._operations[0]
            try:
                self._writer.write(kind, payload)
            except Exception as error:
                refused = getattr(error, "error_code", None) in _REFUSALS
                if not refused and not isinstance(error, FileNotFoundError):
                    raise
                log.warning("MLflow refuses %s of run %s: %s", kind, self.name, _first_line(error))
            self._operations.popleft()

    def _write_points(self) -> None:
        while batch := self._backlog.peek(POINTS_A_CALL):
            self._writer.points(batch)
            self._backlog.drop(len(batch))

    # What the store never took

    def _keep_rest(self) -> None:
        """Keep in a file what could not be written, and log how to write it later."""
        self._backlog.extend(self.points)
        self.points.clear()
        unopened = self.location is None and not self.options.required
        if not (unopened or self._backlog or self._operations or self._down_since is not None):
            return
        name = re.sub(r"[^\w.=-]+", "_", self.name)[:100]
        path = Path(self.options.folder).absolute() / f"tracking-{name}-{time.time_ns()}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        head = {
            "store": self.options.shown_uri,
            "experiment": self.options.experiment,
            "name": self.name,
            "tags": self.tags,
            "run_id": self.location.run_id if self.location else None,
        }
        with path.open("x", encoding="utf-8") as file:
            file.write(json.dumps(["start", head]) + "\n")
            for operation in self._operations:
                if operation[0] != "model":  # a network is no text; its own save() keeps it
                    file.write(json.dumps(operation) + "\n")
            while batch := self._backlog.peek(POINTS_A_CALL):
                file.writelines(json.dumps(["point", point]) + "\n" for point in batch)
                self._backlog.drop(len(batch))
            file.write(json.dumps(["end", self._status]) + "\n")
        log.warning(
            "the MLflow store %s did not take all records of run %s; they are in %s and are written by: "
            "python -m bf_research.tracking.replay %s",
            self.options.shown_uri, self.name, path, shlex.quote(str(path)),
        )  # fmt: skip


def next_pause(pause: float, usual: float) -> float:
    """Return how long to wait for a store that did not take the records after a pause."""
    return min(max(pause * 2, usual), LONGEST_PAUSE)


def _first_line(error: BaseException) -> str:
    return redact_text(f"{type(error).__name__}: {error}".partition("\n")[0])
