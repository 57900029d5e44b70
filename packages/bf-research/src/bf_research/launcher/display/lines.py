"""A line for every job of a sweep that ends, for logs and pipes."""

from __future__ import annotations

import sys

from bf_index.errors import escape
from bf_research.launcher.jobs import Done, Job, Monitor


class Lines(Monitor):
    """A line for every job that ends, for logs and pipes."""

    def __init__(self, total: int | None) -> None:
        self._total, self._done = total, 0

    def finished(self, done: Done) -> None:
        """Write how a job ended."""
        self._done += 1
        of = f"/{self._total}" if self._total and self._done <= self._total else ""  # an update brings more
        _write(f"[{self._done}{of}] {describe(done)}")

    def retried(self, slot: str, job: Job, reason: str) -> None:
        """Write why a job is tried again."""
        _write(describe_retry(job, reason))


def describe(done: Done) -> str:
    """Return one line about a job that has ended."""
    error = getattr(done.value, "bf_error", done.value)
    said = str(error).partition(chr(10))[0]
    why = {"ok": "", "pruned": f": {said}"}.get(done.kind, f": {type(error).__name__}: {said}")
    return escape(f"{done.kind:7} {done.job.label}  {done.seconds:.1f} s on {done.slot}{why}")


def describe_retry(job: Job, reason: str) -> str:
    """Return one line about a job that is tried again."""
    return escape(f"job {job.number} ({job.label}) is tried again: {reason}")


def _write(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
