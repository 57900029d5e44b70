"""What a run belongs to: the sweep it is part of, the process that makes it, its start and its end."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from bf_research.launcher.channel import pruned
from bf_research.tracking.run_ids import choose_id, kind_of
from bf_research.tracking.several import SeveralTrackers
from bf_research.tracking.tracker import Status, Tracker

#: Every launcher hands the environment to its workers, threads and processes alike.
VARIABLE = "BF_SWEEP"
#: Remembers in the sweep's folder which run belongs to it, so that a resumed sweep goes on in the same run.
MEMORY = "tracking.json"
#: The tag that says what MLflow has no status for.
STATE, PRUNED = "bf.state", "pruned"
#: The tag with the name of a trial in the journal of its sweep.
TRIAL = "bf.trial"
#: The tag that holds the folder of a run on the machine that trained.
FOLDER_TAG = "bf.folder"


@dataclass(frozen=True)
class SweepContext:
    """A sweep's own run, its store, and the tags of its trials: handed to the processes of the trials."""

    store: str
    experiment: str
    run_id: str
    tags: dict[str, str] = field(default_factory=dict)
    #: what was said for the whole sweep; the other overrides of a trial are its own
    given: list[str] = field(default_factory=list)
    #: of the experiment; looked up by its name when None
    experiment_id: str | None = None
    #: of the masks of its folder, hexadecimal; empty where nothing had to be masked
    mask_key: str = ""

    def publish(self) -> None:
        """Set this as the sweep of the trials that this process and its later children run."""
        os.environ[VARIABLE] = json.dumps(asdict(self))

    @staticmethod
    def withdraw() -> None:
        """Let later trials belong to no sweep."""
        os.environ.pop(VARIABLE, None)

    @classmethod
    def current(cls) -> SweepContext | None:
        """Return the sweep that this process works for, if any."""
        text = os.environ.get(VARIABLE)
        return cls(**json.loads(text)) if text else None


@contextmanager
def record_run(
    tracker: Tracker, name: str, tags: Mapping[str, str] | None = None, run_id: str | None = None
) -> Iterator[Tracker]:
    """Record a block of code as a run, or as more of the run ``run_id``.

    It ends as FINISHED, FAILED by an error, or KILLED by Ctrl-C, SIGTERM or the stop of a sweep; also, with
    the tag ``bf.state=pruned``, by the stopping rule of a sweep. The run is marked with its process, so that
    the next driver can close it if this process is killed.
    """
    if run_id is not None and not isinstance(tracker, SeveralTrackers):
        run_id = choose_id(run_id, kind_of(tracker))
    marks = {"bf.host": socket.gethostname(), "bf.process": process_mark(os.getpid()), **(tags or {})}
    if run_id is None:
        tracker.start(name, marks)
    else:
        tracker.start(name, marks, run_id)
        tracker.set_tags({STATE: "resumed"})
    status: Status = "FAILED"
    try:
        yield tracker
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        status = "KILLED"
        if pruned() is not None:
            tracker.set_tags({STATE: PRUNED})
        raise
    finally:
        tracker.end(status)


def goes_on(tracker: Tracker, run_id: str | None) -> bool:
    """Whether a tracker, or each of several, goes on with a run that it has."""
    if not isinstance(tracker, SeveralTrackers):
        return choose_id(run_id, kind_of(tracker)) is not None
    return all(choose_id(run_id, kind, alone=False) is not None for kind in tracker.trackers)


def process_mark(pid: int) -> str:
    """Return a unique name of a process of this machine, its number and start time; empty if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else f"{pid}:{fields[19]}"
