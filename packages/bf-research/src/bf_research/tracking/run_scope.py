"""What a run belongs to: the sweep it is part of, the process that makes it, its start and its end."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from bf_research.tracking.tracker import Status, Tracker

#: The environment is what every launcher hands to its workers, threads and processes alike.
VARIABLE = "BF_SWEEP"


@dataclass(frozen=True)
class SweepContext:
    """The sweep's own run, in which store, and the tags that its trials bear."""

    store: str
    experiment: str
    run_id: str
    tags: dict[str, str] = field(default_factory=dict)
    #: what was said for the whole sweep; the other overrides of a trial are its own
    given: list[str] = field(default_factory=list)
    #: of the experiment; looked up by its name where it is not told
    experiment_id: str | None = None

    def publish(self) -> None:
        """Make this the sweep of the trials that this process and its later children run."""
        os.environ[VARIABLE] = json.dumps(asdict(self))

    @staticmethod
    def withdraw() -> None:
        """Trials from here on belong to no sweep."""
        os.environ.pop(VARIABLE, None)

    @classmethod
    def current(cls) -> SweepContext | None:
        """Return the sweep that this process works for, if any."""
        text = os.environ.get(VARIABLE)
        return cls(**json.loads(text)) if text else None


@contextmanager
def record_run(tracker: Tracker, name: str, tags: Mapping[str, str] | None = None) -> Iterator[Tracker]:
    """Start a run and end it: FINISHED, FAILED by an error, KILLED by Ctrl-C, SIGTERM or the stop of a sweep.

    The run bears its process, so that the next driver can close it should this process be killed.
    """
    marks = {"bf.host": socket.gethostname(), "bf.process": process_mark(os.getpid()), **(tags or {})}
    tracker.start(name, marks)
    status: Status = "FAILED"
    try:
        yield tracker
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        status = "KILLED"
        raise
    finally:
        tracker.end(status)


def process_mark(pid: int) -> str:
    """Name a process of this machine for ever: its number and when it was started; empty if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else f"{pid}:{fields[19]}"
