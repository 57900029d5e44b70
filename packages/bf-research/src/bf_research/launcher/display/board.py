"""What is known of the jobs of a sweep while it runs: counts, what runs, the time that is left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bf_index.errors import escape
from bf_research.launcher.jobs import Done, Job

#: Ends of jobs in the order they are told, with their words.
_WORDS = {
    "ok": "done",
    "pruned": "pruned",
    "failed": "failed",
    "crashed": "crashed",
    "timeout": "timed out",
    "killed": "killed",
}
#: Jobs that are shown at most; the others are counted.
MOST_SHOWN = 8
#: Below this share a job says nothing of how long it takes: it still loads and traces.
_LEAST_SHARE = 0.1


@dataclass(frozen=True)
class Shown:
    """A job that runs, as texts."""

    slot: str
    label: str
    place: str
    metrics: str


@dataclass
class _Running:
    label: str
    began: float
    done: int = 0
    total: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1; 0 where that is not known."""
        return min(self.done / self.total, 1.0) if self.total else 0.0


class Board:
    """The jobs of a sweep, as its monitor hears of them.

    ``slots`` are the workers that there are; none where a cluster has as many as it has, which are shown as
    they get jobs. ``best`` returns what is best so far.
    """

    def __init__(
        self,
        total: int | None,
        slots: Sequence[str],
        best: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self._best, self._clock = total, best, clock
        self._slots = dict.fromkeys(slots)
        self._most = len(self._slots)  # workers, or jobs seen running at once
        self._began = clock()
        self._running: dict[str, _Running] = {}
        self._counts: Counter[str] = Counter()
        self._seconds = 0.0

    def started(self, slot: str, job: Job) -> None:
        """Note that a worker got a job."""
        self._slots.setdefault(slot)
        self._running[slot] = _Running(escape(job.label), self._clock())
        self._most = max(self._most, len(self._running))

    def progress(self, slot: str, done: int, total: int | None, metrics: Mapping[str, float]) -> None:
        """Note how far a job is."""
        if (running := self._running.get(slot)) is not None:
            running.done, running.total, running.metrics = done, total, metrics

    def retried(self, slot: str) -> None:
        """Note that a job will begin anew, which may be on another worker."""
        self._running.pop(slot, None)

    def finished(self, done: Done) -> None:
        """Note how a job ended."""
        self._running.pop(done.slot, None)
        self._counts[done.kind] += 1
        self._seconds += done.seconds

    @property
    def done(self) -> int:
        """How many jobs have ended."""
        return self._counts.total()

    @property
    def elapsed(self) -> float:
        """Seconds since the sweep began."""
        return self._clock() - self._began

    @property
    def seconds_left(self) -> float | None:
        """Estimate of the seconds that are left, None where nothing is known.

        A job that runs goes on as fast as so far; those that wait take the mean of all others. All workers
        take part, and no job is cut in two.
        """
        if not self.total or self.done > self.total:
            return None
        now, running = self._clock(), tuple(self._running.values())
        known = [(now - one.began) / one.share for one in running if one.share >= _LEAST_SHARE]
        if not self.done and not known:
            return None
        mean = (self._seconds + sum(known)) / (self.done + len(known))
        rests = [
            (now - one.began) * (1 / one.share - 1)
            if one.share >= _LEAST_SHARE
            else max(mean - now + one.began, 0)
            for one in running
        ]
        waiting = max(self.total - self.done - len(running), 0) * mean
        return max((sum(rests) + waiting) / max(self._most, 1), *rests, 0.0)

    @property
    def best(self) -> str:
        """What is best so far, with its options; empty where nothing is known."""
        return self._best()

    def describe_counts(self) -> str:
        """Return how many jobs there are of each kind, and how long it takes."""
        of = f"/{self.total}" if self.total and self.done <= self.total else ""  # an update brings more
        left = self.seconds_left
        took = format_seconds(self.elapsed) + (f", about {format_seconds(left)} left" if left else "")
        words = [f"{self.done}{of}", took, f"{len(self._running)} running" if self._running else ""]
        words += [f"{self._counts[kind]} {word}" for kind, word in _WORDS.items() if self._counts[kind]]
        return "  ".join(filter(None, words))

    def show_running(self) -> list[Shown]:
        """Return the jobs that run, in the order of the workers, at most ``MOST_SHOWN``."""
        rows = [(slot, self._running.get(slot)) for slot in self._slots]
        shown = [
            Shown(
                escape(slot),
                running.label,
                f"{running.done}/{running.total}" if running.total else str(running.done or ""),
                " ".join(f"{escape(name)}={value:.4g}" for name, value in running.metrics.items()),
            )
            for slot, running in rows
            if running is not None
        ]
        return shown[:MOST_SHOWN]

    @property
    def hidden(self) -> int:
        """How many jobs run that are not shown."""
        return max(len(self._running) - MOST_SHOWN, 0)


def format_seconds(seconds: float) -> str:
    """Return seconds as ``1:02:03``, or ``2:03`` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
