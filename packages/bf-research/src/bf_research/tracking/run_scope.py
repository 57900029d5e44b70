"""A tracked piece of work: the run is closed with the right status however the work ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bf_research.tracking.tracker import Status, Tracker


@contextmanager
def recorded(tracker: Tracker, name: str, tags: Mapping[str, str] | None = None) -> Iterator[Tracker]:
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
