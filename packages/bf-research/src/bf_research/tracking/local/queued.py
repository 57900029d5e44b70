"""What trackers have in common whose records a thread of their own writes, by the library of others."""

from __future__ import annotations

import logging
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from bf_pipeline.redaction.texts import redact_file
from bf_pipeline.redaction.values import redact
from bf_research.tracking.lane import Lane
from bf_research.tracking.local.runs import check_run, new_run
from bf_research.tracking.names import LARGEST_STEP, LEAST_STEP, as_texts, plain_step
from bf_research.tracking.refusals import first_line
from bf_research.tracking.run_scope import FOLDER_TAG
from bf_research.tracking.store import TrackingError
from bf_research.tracking.tracker import FileLocation, Location, NoTracker, Status

log = logging.getLogger(__name__)

#: Seconds between writes, and those that the end of a run has for what is left.
FLUSH_SECONDS, PATIENCE = 1.0, 30.0


class Metric(NamedTuple):
    """A point that waits; ``when`` is in seconds since 1970."""

    name: str
    value: float
    step: int
    when: float


class Record(NamedTuple):
    """Anything else that waits: what it is, and what it holds."""

    kind: str
    payload: Any


class QueuedTracker(NoTracker):
    """A tracker that puts all into a list, which a thread writes every second into the folder of the run.

    ``folder``: of all runs, each has a folder in it; None for the folder of the run itself, or ``default`` in
    the working folder where a run has none. A run that goes on has the points that are there only once. A
    record that can't be written is told, once of each kind, and costs the training and the records behind it
    nothing.
    """

    kind: str
    library: str
    #: Where runs without a folder are, and what to install.
    default: str
    extra: str

    def __init__(self, folder: str | None = None) -> None:
        if find_spec(self.library) is None:
            raise TrackingError(
                f"tracking={self.kind} needs the library {self.library}, which is not installed: "
                f"pip install '{self.extra}'"
            )
        self._root = None if folder is None else Path(folder)
        #: The folder that the run is recorded in, once it has begun.
        self.folder = Path()
        self.name, self.run_id, self.tags = "", "", dict[str, str]()
        self.continues = False
        #: Points that the run has from before.
        self.known: set[tuple[str, int]] = set()
        self._queue: list[Metric | Record] = []
        self._taken = self._written = 0
        self._lock = threading.Lock()
        self._opened = threading.Event()
        self._error: Exception | None = None
        self._lane: Lane | None = None
        #: What a person opens: ``folder``, or a part of it.
        self.place = Path()
        self._status: Status = "FINISHED"
        self._told: set[str] = set()

    # What each kind does in the thread; what goes wrong there is told

    @abstractmethod
    def open_run(self) -> None:
        """Load the library and open the run."""

    @abstractmethod
    def write(self, records: list[Metric | Record]) -> None:
        """Write points and others in their order, each by ``attempt``."""

    @abstractmethod
    def close_run(self, status: Status) -> None:
        """Write the end and close."""

    def give_up(self) -> None:
        """Close what ``prepare`` opened, for a run that ``open_run`` couldn't open."""

    def command(self) -> str:
        """Return what a person types to see the run."""
        return ""

    # The protocol

    def start(self, name: str, tags: Mapping[str, str] | None = None, run_id: str | None = None) -> None:
        """Begin a run, or go on with one; ``TrackingError`` for a folder that can't be written."""
        if self._lane is not None:
            raise TrackingError("this tracker has started a run already: make a tracker for every run")
        own = (tags or {}).get(FOLDER_TAG)
        check_run(run_id, self._root or Path(self.default))
        self.run_id, self.continues = run_id or self.new_id(name), run_id is not None
        self.folder = self.choose_folder(self._root, None if own is None else Path(own))
        try:
            self.prepare()
        except OSError as error:
            raise TrackingError(
                f"tracking: {str(self.folder)!r} can't be written: {error}; give another "
                f"tracking.{self.kind}.folder, or leave {self.kind} out"
            ) from error
        self.name, self.tags = name, as_texts(redact(tags or {}))
        self.place = self.folder.absolute()
        self._lane = Lane(f"bf-tracking-{self.kind}", FLUSH_SECONDS, self._flush, self._begin, self._finish)
        self._lane.start()

    def new_id(self, name: str) -> str:
        """Return an id that no other run has."""
        return new_run(name)

    def choose_folder(self, root: Path | None, own: Path | None) -> Path:
        """Return where to record: in the folder of all runs, if one was given, else in the run's own."""
        if root is None and own is not None:
            return own
        return (root or Path(self.default)) / self.run_id

    def prepare(self) -> None:
        """Make the folder, before the thread starts."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def ready(self, timeout: float = 120.0) -> Location | None:
        """Wait until the run is open; ``TrackingError`` when it can't be."""
        if self._lane is None:
            raise TrackingError("the tracker has no run: call start(name) first")
        if not self._opened.wait(timeout):
            raise TrackingError(f"{self.library} did not open the run of {self.name!r} in {timeout:g} s")
        if self._error is not None:
            raise TrackingError(
                f"tracking={self.kind}: the run {self.name!r} can't be opened in {str(self.folder)!r}: "
                f"{first_line(self._error)}; leave {self.kind} out, or mend it"
            ) from self._error
        return self._locate()

    def flush(self, timeout: float = 10.0) -> None:
        """Wait until what was logged until now is written, or so many seconds."""
        if self._lane is None:
            return
        with self._lock:
            wanted = self._taken + len(self._queue)
        until = time.monotonic() + timeout
        self._lane.hurry()
        while self._written < wanted and self._error is None and time.monotonic() < until:
            time.sleep(0.01)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record flat parameters, without secrets."""
        self._put("params", redact(params))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record what to find the run by, without secrets."""
        self._put("tags", as_texts(redact(tags)))

    def log_metric(self, name: str, value: float, step: int = 0) -> None:
        """Record one point: an append to a list. A step that is no whole number of 64 bits is left out."""
        whole = step if type(step) is int else plain_step(step)
        if not isinstance(whole, int) or not LEAST_STEP <= whole <= LARGEST_STEP:
            self._tell(
                f"step {name}",
                f"metric {name!r} at step {step!r:.100} is left out: it takes whole numbers of 64 bits",
            )
            return
        if self._error is None:
            self._queue.append(Metric(str(name), float(value), whole, time.time()))

    def log_text(self, text: str, name: str) -> None:
        """Keep a text of the run, without secrets."""
        self._put("text", (redact_file(str(text)), str(name)))

    def log_artifact(self, path: str, folder: str | None = None) -> None:
        """Keep a file, or the files of a folder; they must stay until ``end``."""
        self._put("artifact", (Path(path).absolute(), folder))

    def log_data(self, name: str, digest: str, items: int, context: str) -> None:
        """Record which data were used."""
        self._put("tags", {f"data.{context}": f"{name}, {items} items, {digest}"})

    def end(self, status: Status = "FINISHED") -> Location | None:
        """Write what is left and close the run; a second call does nothing."""
        if self._lane is None:
            return None
        if self._lane.ended:
            return self._locate()
        self._status = status
        until = time.monotonic() + PATIENCE
        self._lane.end(until)
        if not self._lane.join(until):
            left = self._taken + len(self._queue) - self._written
            self._tell("end", f"up to {left} records were not written in {PATIENCE:g} s and are lost")
        return self._locate()

    def _locate(self) -> Location:
        place = str(self.place)
        return FileLocation(place, "", "", self.run_id, self.name, self.command(), place, self.kind)

    def _put(self, kind: str, payload: Any) -> None:
        if self._error is None:
            self._queue.append(Record(kind, payload))

    # In the thread

    def attempt(self, about: str, write: Callable[..., None], *args: Any) -> None:
        """Write one record by a call; what goes wrong is told once of each kind, which is ``about``."""
        try:
            write(*args)
        except Exception as error:  # noqa: BLE001 - one record costs no other and no training
            self._tell(f"write {about}", f"{about} is left out, the others are written: {first_line(error)}")

    def _begin(self) -> bool:
        try:
            self.open_run()
        except Exception as error:  # noqa: BLE001 - raised in the caller's thread by ready
            self._error = error
            self._tell("open", f"the run {self.name!r} can't be opened: {first_line(error)}")
            self._queue.clear()
            self.attempt("the end of what was begun", self.give_up)
        self._opened.set()
        return self._error is None

    def _flush(self) -> bool:
        with self._lock:
            count = len(self._queue)
            taken = self._queue[:count]
            del self._queue[:count]
            self._taken += count
        wanted = [one for one in taken if not (isinstance(one, Metric) and self._is_known(one))]
        try:
            self.write(wanted)
        except Exception as error:  # noqa: BLE001 - a full disk costs the points and no training
            self._tell("write", f"records are lost and the training goes on: {first_line(error)}")
        self._written += count
        return True

    def _is_known(self, point: Metric) -> bool:
        return bool(self.known) and (point.name, point.step) in self.known

    def _finish(self) -> bool:
        try:
            self.close_run(self._status)
        except Exception as error:  # noqa: BLE001 - told as others
            self._tell("close", f"the run {self.name!r} can't be closed: {first_line(error)}")
        return True

    def _tell(self, about: str, message: str) -> None:
        if about not in self._told:
            self._told.add(about)
            log.warning("tracking=%s: %s", self.kind, message)
