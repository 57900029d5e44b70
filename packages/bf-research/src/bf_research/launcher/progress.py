"""What a person sees of a sweep: a bar for the sweep and one a worker; without a screen a line a job."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from bf_index.errors import escape
from bf_research.launcher.jobs import Done, Job, Monitor


def choose_monitor(total: int | None, slots: Sequence[str], bar: bool) -> Monitor:
    """Return a monitor of a sweep: bars on a screen, lines elsewhere, silent when not wanted."""
    if not bar:
        return Silent()
    return Bars(total, slots) if sys.stderr.isatty() else Lines(total)


class Silent:
    """A monitor that shows nothing."""

    def started(self, slot: str, job: Job) -> None:
        """Show nothing."""

    def progress(self, slot: str, done: int, total: int | None, metrics: dict[str, float]) -> None:
        """Show nothing."""

    def finished(self, done: Done) -> None:
        """Show nothing."""

    def retried(self, job: Job, reason: str) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


class Lines(Silent):
    """A line for every job that ends, for logs and pipes."""

    def __init__(self, total: int | None) -> None:
        self._total, self._done = total, 0

    def finished(self, done: Done) -> None:
        """Write how a job ended."""
        self._done += 1
        of = f"/{self._total}" if self._total and self._done <= self._total else ""  # an update brings more
        _write(f"[{self._done}{of}] {describe(done)}")

    def retried(self, job: Job, reason: str) -> None:
        """Write why a job is tried again."""
        _write(escape(f"job {job.number} ({job.label}) is tried again: {reason}"))


class Bars(Silent):
    """A bar for the sweep and below it one for every worker."""

    def __init__(self, total: int | None, slots: Sequence[str]) -> None:
        from tqdm import tqdm

        self._total = tqdm(total=total, desc="sweep", unit="job", position=0, dynamic_ncols=True)
        self._slots: dict[str, Any] = {
            slot: tqdm(desc=slot, position=place, leave=False, dynamic_ncols=True)
            for place, slot in enumerate(slots, 1)
        }

    def started(self, slot: str, job: Job) -> None:
        """Begin the worker's bar anew."""
        bar = self._slots[slot]
        bar.reset(total=None)
        bar.set_description_str(escape(f"{slot} {job.label}"))

    def progress(self, slot: str, done: int, total: int | None, metrics: dict[str, float]) -> None:
        """Move the worker's bar."""
        bar = self._slots[slot]
        bar.total, bar.n = total, done
        bar.set_postfix({name: f"{value:.4g}" for name, value in metrics.items()}, refresh=True)

    def finished(self, done: Done) -> None:
        """Move the sweep's bar; a job that did not end well leaves a line."""
        self._total.update()
        if done.kind != "ok":
            self._total.write(describe(done), file=sys.stderr)

    def retried(self, job: Job, reason: str) -> None:
        """Leave a line."""
        text = escape(f"job {job.number} ({job.label}) is tried again: {reason}")
        self._total.write(text, file=sys.stderr)

    def close(self) -> None:
        """Take the bars away, the sweep's one stays."""
        for bar in self._slots.values():
            bar.close()
        self._total.close()


def describe(done: Done) -> str:
    """Return one line about a job that has ended."""
    error = getattr(done.value, "bf_error", done.value)
    said = str(error).partition(chr(10))[0]
    why = {"ok": "", "pruned": f": {said}"}.get(done.kind, f": {type(error).__name__}: {said}")
    return escape(f"{done.kind:7} {done.job.label}  {done.seconds:.1f} s on {done.slot}{why}")


def _write(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
