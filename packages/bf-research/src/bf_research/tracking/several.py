"""Several trackers at once: each records all, and what befalls one costs the others nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from bf_research.tracking.names import number_repeats
from bf_research.tracking.refusals import first_line
from bf_research.tracking.run_ids import choose_id, join_ids, kind_of
from bf_research.tracking.tracker import Location, Status, Tracker

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SeveralLocations(Location):
    """The places where one run is recorded."""

    places: tuple[Location, ...] = ()

    @property
    def parts(self) -> tuple[Location, ...]:
        """The places, one for each tracker."""
        return self.places

    def __str__(self) -> str:
        return "\n".join(map(str, self.places))


class SeveralTrackers:
    """Trackers that record the same run: ``SeveralTrackers(MLflowTracker(), TensorBoardTracker())``.

    One that can't begin is an error, as it is alone. One that fails later is told once and left out while
    another one records; the error that all have is raised. The id of the run holds those of all, by the kind
    of tracker, and a run goes on in each tracker that it was in.

    >>> from bf_research.tracking import NoTracker
    >>> several = SeveralTrackers(NoTracker(), NoTracker())
    >>> list(several.trackers)
    ['no', 'no#2']
    """

    kind = "several"

    def __init__(self, *trackers: Tracker) -> None:
        if not trackers:
            raise ValueError("SeveralTrackers: there is no tracker; NoTracker() records nothing")
        kinds = number_repeats(kind_of(tracker) for tracker in trackers)
        #: The trackers by their kinds.
        self.trackers: dict[str, Tracker] = dict(zip(kinds, trackers, strict=True))
        self._failed: set[str] = set()

    def start(self, name: str, tags: Mapping[str, str] | None = None, run_id: str | None = None) -> None:
        """Begin a run in each; where one can't, those that have begun are ended as FAILED."""
        begun: list[Tracker] = []
        try:
            for kind, tracker in self.trackers.items():
                tracker.start(name, tags, choose_id(run_id, kind, alone=False))
                begun.append(tracker)
        except BaseException:
            for tracker in begun:
                with suppress(Exception):  # the error that there is says more
                    tracker.end("FAILED")
            raise

    def ready(self, timeout: float = 120.0) -> Location | None:
        """Wait until the run stands in each; ``TrackingError`` when one can't be used."""
        until = time.monotonic() + timeout
        return self._join(
            lambda kind, tracker: tracker.ready(max(until - time.monotonic(), 0.001)), self._working()
        )

    def flush(self, timeout: float = 10.0) -> None:
        """Wait until each has the points that were logged until now, or so many seconds."""
        until = time.monotonic() + timeout

        def flush_one(tracker: Any) -> None:
            if (flush := getattr(tracker, "flush", None)) is not None:
                flush(max(until - time.monotonic(), 0.0))

        self._call("flush", flush_one)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record what the run was made of."""
        self._call("log_params", lambda tracker: tracker.log_params(params))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record what to find the run by."""
        self._call("set_tags", lambda tracker: tracker.set_tags(tags))

    def log_metric(self, name: str, value: float, step: int = 0) -> None:
        """Record one point."""
        self._call("log_metric", lambda tracker: tracker.log_metric(name, value, step))

    def log_text(self, text: str, name: str) -> None:
        """Keep a text as a file of the run."""
        self._call("log_text", lambda tracker: tracker.log_text(text, name))

    def log_artifact(self, path: str, folder: str | None = None) -> None:
        """Keep a file of this machine with the run."""
        self._call("log_artifact", lambda tracker: tracker.log_artifact(path, folder))

    def log_data(self, name: str, digest: str, items: int, context: str) -> None:
        """Record which data were used."""
        self._call("log_data", lambda tracker: tracker.log_data(name, digest, items, context))

    def log_model(self, network: Any) -> None:
        """Record a trained network."""
        self._call("log_model", lambda tracker: tracker.log_model(network))

    def end(self, status: Status = "FINISHED") -> Location | None:
        """Write what is left and close the run in each, also where one fails or the wait is interrupted."""
        interrupted: BaseException | None = None

        def end_one(kind: str, tracker: Tracker) -> Location | None:
            nonlocal interrupted
            try:
                return tracker.end(status)
            except Exception as error:  # noqa: BLE001 - the others have records to write
                self._leave_out(kind, "end", error)
            except BaseException as stop:  # noqa: BLE001 - raised below
                interrupted = stop
            return None

        location = self._join(end_one, self.trackers)
        if interrupted is not None:
            raise interrupted
        return location

    def _working(self) -> dict[str, Tracker]:
        return {kind: tracker for kind, tracker in self.trackers.items() if kind not in self._failed}

    def _call(self, what: str, call: Callable[[Any], None]) -> None:
        """Call each; what one refuses is told, what all refuse is the caller's error."""
        errors: dict[str, Exception] = {}
        working = self._working() if self._failed else self.trackers
        for kind, tracker in working.items():
            try:
                call(tracker)
            except Exception as error:  # noqa: BLE001 - told or raised below
                errors[kind] = error
        if not errors:
            return
        if len(errors) == len(working):
            raise next(iter(errors.values()))
        for kind, found in errors.items():
            self._leave_out(kind, what, found)

    def _leave_out(self, kind: str, what: str, error: Exception) -> None:
        if kind not in self._failed:
            self._failed.add(kind)
            log.warning(
                "the tracker %s is left out from here on, the others record: %s: %s",
                kind, what, first_line(error),
            )  # fmt: skip

    def _join(
        self, ask: Callable[[str, Tracker], Location | None], trackers: Mapping[str, Tracker]
    ) -> Location | None:
        """Return the places that the trackers tell; None when none tells one."""
        found = {kind: ask(kind, tracker) for kind, tracker in trackers.items()}
        # under the kind of the tracker here, with which it goes on, whatever the place itself says
        places = {kind: replace(place, tracker=kind) for kind, place in found.items() if place is not None}
        if not places:
            return None
        first, several = next(iter(places.values())), tuple(places.values())
        ids = join_ids({kind: place.run_id for kind, place in places.items()})
        return SeveralLocations(
            first.store, first.experiment, first.experiment_id, ids, first.run_name, first.command,
            first.page, self.kind, several,
        )  # fmt: skip
