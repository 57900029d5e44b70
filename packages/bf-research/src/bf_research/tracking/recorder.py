"""The threads that speak to the MLflow store for one run, in batches, and outlast the store's absence."""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bf_research.tracking import kept, store
from bf_research.tracking.backlog import Backlog, Point
from bf_research.tracking.lane import Lane, Operation, next_pause
from bf_research.tracking.names import is_sure
from bf_research.tracking.opening import RecorderOptions, open_run
from bf_research.tracking.refusals import RunGone, first_line
from bf_research.tracking.tracker import Location, Status
from bf_research.tracking.writer import FILES, POINTS_A_CALL, Writer

log = logging.getLogger(__name__)

#: A call under way when the patience ends may take so much longer.
LAST_CALL_SECONDS = 25.0
#: The first try to open the store, with the import of MLflow, has so long beside the patience.
OPENING_SECONDS = 60.0


class Recorder:
    """The records of one run on their way to the store.

    Two threads write them: one what is in the database, one the files, which may take long. What the store
    has not taken at the end is kept in a file.
    """

    def __init__(
        self,
        options: RecorderOptions,
        name: str,
        tags: Mapping[str, str],
        run_id: str | None = None,
        given: Mapping[str, Mapping[str, str]] | None = None,
        continues: bool = False,
    ) -> None:
        self.options, self.name, self.tags = options, name, dict(tags)
        self._resumed, self._given, self._continues = run_id, given, continues
        self.points: list[Point] = []
        self.location: Location | None = None
        #: The file of what the store did not take.
        self.kept: Path | None = None
        self._records: list[Operation] = []
        self._files: list[Operation] = []
        self._backlog = Backlog(options.buffering.points)
        self._lock = threading.Lock()  # of what waits: at the end it is taken from a thread that hangs
        self._taken_away = False
        self._writer: Writer | None = None
        self._monitor: Any = None
        self._error: BaseException | None = None
        self._opened, self._tried = threading.Event(), threading.Event()
        self._ended = self._closed = self._gone = self._given_up = self._made = False
        self._status: Status = "FINISHED"
        self._when: int | None = None
        self._deadline = float("inf")
        self._down_since: float | None = None
        self._told: set[str] = set()
        self._written = 0
        pause = options.buffering.flush_seconds
        self._file_lane = Lane("bf-tracking-files", pause, self._flush_files, self._wait_open)
        self._lane = Lane("bf-tracking", pause, self._flush, self._begin, self._close)

    def start(self) -> None:
        """Start the threads."""
        self._lane.start()
        self._file_lane.start()

    def put(self, kind: str, payload: Any) -> None:
        """Queue an operation; those that write the same are done in order."""
        with self._lock:
            (self._files if kind in FILES else self._records).append(Operation(kind, payload))

    def wait_ready(self, timeout: float) -> Location | None:
        """Wait for the store; raise what keeps it from being used when it is required."""
        if not self._opened.wait(timeout):
            self._error = store.TrackingError(
                f"the MLflow store {self.options.shown_uri} did not answer in {timeout:g} s; "
                "set tracking.uri to one that does, or tracking=none"
            )
            self._given_up = self.options.required
        if self._error is not None and self.options.required:
            raise self._error
        return self.location

    def flush(self, timeout: float) -> None:
        """Wait until the store has the points that were logged until now; at most so many seconds.

        A store that is away is not waited for.
        """
        with self._lock:
            wanted = self._written + len(self._backlog) + len(self.points)
        self._lane.hurry()
        end = time.monotonic() + timeout
        while self._written < wanted and self._down_since is None and time.monotonic() < end:
            if self._gone or self._error is not None or not self._lane.is_alive:
                return
            time.sleep(0.01)

    def finish(self, status: Status, when: int | None = None) -> Location | None:
        """Write what is left, close the run, end the threads; a store that is down is waited for."""
        if self._ended:
            return self.location
        self._ended, self._status = True, status
        self._when = time.time_ns() // 1_000_000 if when is None else when
        began = time.monotonic()
        try:
            self._tried.wait(OPENING_SECONDS)  # a short run ends before MLflow is imported
            self._deadline = time.monotonic() + self.options.buffering.patience
            last = self._deadline + LAST_CALL_SECONDS
            for lane in (self._lane, self._file_lane):
                lane.end(self._deadline)
            self._lane.join(last)
            self._file_lane.join(last)
        finally:  # also when the wait is interrupted
            with self._lock:
                self._taken_away = True
                self._take_points(len(self.points))
            self._keep_rest(time.monotonic() - began)
            self._backlog.close()
        return self.location

    # Opening and closing, in the first thread

    def _begin(self) -> bool:
        pause = 0.0
        try:
            while not self._given_up:
                try:
                    self._open()
                    break
                except (store.StoreBusy, store.StoreAway) as error:
                    waits = isinstance(error, store.StoreBusy) or self.options.known
                    if not waits or time.monotonic() > self._deadline:
                        raise
                    self._tried.set()
                    self._tell("busy", f"{error}; the run is begun when it has time")
                    pause = next_pause(pause, 0.5)
                    time.sleep(pause)
        except Exception as error:  # noqa: BLE001 - raised in the caller's thread by wait_ready
            self._error = error
            if not self.options.required:
                log.warning("%s", error)
        self._tried.set()
        self._opened.set()
        return self._writer is not None

    def _open(self) -> None:
        client, location = open_run(self.options, self.name, self.tags, self._resumed)
        self._made = self._made or location.run_id != self._resumed
        self._resumed = location.run_id  # should what follows have to be tried again
        writer = Writer(client, location.run_id, self.name, self._given)
        if self._continues:
            try:
                writer.continue_run()
            except Exception as error:
                raise store.explain(self.options.uri, error) from error
        with self._lock:
            if self._taken_away:  # what was recorded is in a file already
                if self._made:
                    client.delete_run(location.run_id)
                return
            self.location, self._writer = location, writer
            if not all(is_sure(*tag) for tag in self.tags.items()):
                self._records.insert(0, Operation("tags", self.tags))
        if self.options.system_metrics:
            self._watch_system(location.run_id)

    def _wait_open(self) -> bool:
        self._opened.wait()
        return self._writer is not None

    def _watch_system(self, run_id: str) -> None:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self._monitor = SystemMetricsMonitor(run_id, tracking_uri=self.options.uri)
        self._monitor.start()

    def _close(self) -> bool:
        """Close the run once the files had their time; return whether that is done, or can't be."""
        self._file_lane.join(self._deadline)
        if self._writer is None or self._gone or self._taken_away:
            return True
        if self._down_since is not None:
            return False
        try:
            if self._monitor is not None:
                self._monitor.finish()
                self._monitor = None
            self._writer.close(self._status, self._when)
        except Exception as error:  # noqa: BLE001 - a store that is away raises anything
            with suppress(Exception):
                self._judge(error)
            if not self._gone:
                self._tell(
                    "end", f"run {self.name} can't be ended in the MLflow store now: {first_line(error)}"
                )
            return self._gone
        self._closed = True
        return True

    # Writing

    def _flush(self) -> bool:
        """Write what waits for the database; return whether the store took it, or never will."""
        try:
            with self._lock:
                taken = len(self.points)
                self._take_points(taken)
            done = self._write_operations(self._records)
            done = self._write_points() and done
        except RunGone:
            return self._ended
        except Exception as error:  # noqa: BLE001 - a store that is away raises anything; it is tried again
            self._tell_away(error)
            return False
        if self._down_since is not None:
            away = time.monotonic() - self._down_since
            log.warning("the MLflow store is back after %.0f s, what waited is written", away)
            self._down_since = None
        self._gone = False
        return done

    def _take_points(self, count: int) -> None:
        """Have the first points wait in the backlog; tell where there is no room."""
        self._backlog.extend(self.points[:count])
        del self.points[:count]
        if self._backlog.lost:
            where = tempfile.gettempdir()
            self._tell("lost", f"points of run {self.name} that wait are lost: there is no room in {where}")

    def _flush_files(self) -> bool:
        """Write the files that wait; return whether the store took them, or never will."""
        try:
            return self._write_operations(self._files)
        except RunGone:
            return self._ended
        except Exception as error:  # noqa: BLE001 - the same
            self._tell(
                "files", f"files of run {self.name} can't be written now, they wait: {first_line(error)}"
            )
            return False

    def _write_operations(self, queue: list[Operation]) -> bool:
        """Write operations, each whatever became of others, but for those that write the same."""
        waiting: frozenset[tuple[str, str]] = frozenset()
        writer = self._writer
        assert writer is not None
        for operation in queue.copy():
            if self._taken_away:
                return False
            if operation.names & waiting:
                continue
            try:
                writer.write(operation.kind, operation.payload)
            except Exception as error:  # noqa: BLE001 - raised again unless it is a refusal
                verdict = self._judge(error)
                if verdict == "unclear":
                    why = first_line(error)
                    self._tell(why, f"{operation.kind} of run {self.name} can't be written now: {why}")
                    waiting |= operation.names
                    continue
                writer.tell_refused(operation.kind, operation.payload, error)
            with self._lock:
                if self._taken_away:
                    return False
                queue.remove(operation)
        return not waiting

    def _write_points(self) -> bool:
        writer = self._writer
        assert writer is not None
        while True:
            with self._lock:
                batch = [] if self._taken_away else self._backlog.peek(POINTS_A_CALL)
            if not batch:
                return True
            try:
                writer.points(batch)
            except Exception as error:
                self._judge(error)
                raise
            with self._lock:
                if self._taken_away:
                    return False
                self._backlog.drop(len(batch))
                self._written += len(batch)

    def _judge(self, error: Exception) -> str:
        """Return 'refused' or 'unclear'; raise ``RunGone``, or the error of a store that is away."""
        assert self._writer is not None
        verdict = self._writer.judge(error)
        if verdict == "away":
            raise error
        if verdict == "gone":
            self._gone = True
            message = f"run {self.name} was deleted in the MLflow store, its records wait: {self._restore()}"
            self._tell("gone", message)
            raise RunGone(message) from error
        return verdict

    def _restore(self) -> str:
        run_id = self.location.run_id if self.location else ""
        command = f"{sys.executable} -m mlflow runs restore --run-id {run_id}"
        return f"MLFLOW_TRACKING_URI={self.options.shown_uri} {command} brings it back"

    def _tell_away(self, error: Exception) -> None:
        if self._down_since is None:
            self._down_since = time.monotonic()
            log.warning(
                "the MLflow store %s is away, records wait: %s", self.options.shown_uri, first_line(error)
            )

    def _tell(self, about: str, message: str) -> None:
        if about not in self._told:
            self._told.add(about)
            log.warning("%s", message)

    # What the store never took

    def _keep_rest(self, seconds: float) -> None:
        """Keep in a file what could not be written, and log how to write it later."""
        left = [operation for operation in (*self._records, *self._files) if operation.kind != "model"]
        counted = Counter(operation.kind for operation in left) + Counter(points=len(self._backlog))
        if self.location is None and self.options.required:
            del counted["surroundings"]  # an error has told that the store can't be used
        unopened = self.location is None and not self.options.required
        unended = self.location is not None and not (self._closed or self._gone)
        if not (unopened or unended or counted):
            if len(left) < len(self._files):
                log.warning("the network of run %s is not in the MLflow store: save it by itself", self.name)
            return
        path = kept.new_path(self.options.folder, self.name)
        head = {
            "store": self.options.shown_uri,
            "experiment": self.options.experiment,
            "name": self.name,
            "tags": self.tags,
            "run_id": self.location.run_id if self.location else None,
            "given": self._writer.given if self._writer else {},
        }
        what = ", ".join(f"{count:,} {kind}" for kind, count in counted.items()) or "its end"
        why = f": it was deleted there, {self._restore()}" if self._gone else f" within {seconds:.0f} s"
        try:
            records = [(operation.kind, operation.payload) for operation in left]
            kept.write(path, head, records, self._backlog, (self._status, self._when))
        except OSError as error:
            message = "records of run %s are lost (%s), since %s can't be written: %s"
            log.error(message, self.name, what, path, error)
            return
        self.kept = path
        log.warning(
            "the MLflow store %s did not take all records of run %s%s; what is left (%s) is in %s and is "
            "written by: python -m bf_research.tracking.replay %s",
            self.options.shown_uri, self.name, why, what, path, kept.arguments(path, self.options.shown_uri),
        )  # fmt: skip
