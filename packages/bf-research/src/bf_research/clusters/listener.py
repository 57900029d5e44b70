"""The driver's side of the files: it hears all running trials, answers them, and shows that it is alive."""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bf_index.errors import escape
from bf_research.clusters.files import BEAT_SECONDS, DOWN, DRIVER, FOLDER, UP, Tail, append, write_driver
from bf_research.own_files import StrangeFile, open_plain

log = logging.getLogger(__name__)

#: Trials are heard so often, and more seldom where that takes long: a fifth of the time, seconds at most.
HEAR_SECONDS, _MOST_SECONDS = 0.2, 5.0
_SHARE = 4
_MOST_COUNTED = 2**53


@dataclass(frozen=True)
class Began:
    """A trial that has begun, on a host."""

    trial: str
    host: str


@dataclass(frozen=True)
class Progress:
    """How far a trial is."""

    trial: str
    done: int
    total: int | None
    metrics: dict[str, float]


@dataclass(frozen=True)
class Asked:
    """A trial that waits to hear whether to go on."""

    trial: str
    number: str
    step: int
    value: float
    final: bool


Said = Began | Progress | Asked


@dataclass
class Listener:
    """The files of one driver in the folder of its sweep; those of drivers before it are taken away."""

    sweep: Path
    token: str
    _tails: dict[str, Tail] = field(default_factory=dict)
    _owed: list[tuple[Asked, str | None]] = field(default_factory=list)
    _beat: int = 0
    _next_beat: float = 0.0
    _stopping: bool = False
    _silent: bool = False

    def __post_init__(self) -> None:
        base = self.sweep / FOLDER
        base.mkdir(parents=True, exist_ok=True)
        if not stat.S_ISDIR(os.lstat(base).st_mode):
            raise StrangeFile(f"{escape(base)} is a link: remove it, or give the sweep another folder")
        for name in os.listdir(base):
            _remove(base / name)
        self.folder = base / self.token
        self.folder.mkdir(mode=0o700)
        self._write_beat()

    def open(self, trial: str) -> None:
        """Make the files of a trial, before it begins; those of one that is tried again stay."""
        if trial in self._tails:
            return
        for kind in (UP, DOWN):
            os.close(open_plain(self.folder / f"{trial}{kind}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
        self._tails[trial] = Tail(self.folder / f"{trial}{UP}")

    def forget(self, trial: str) -> None:
        """Remove the files of a trial that has ended."""
        if self._tails.pop(trial, None) is not None:
            for kind in (UP, DOWN):
                try:
                    (self.folder / f"{trial}{kind}").unlink(missing_ok=True)
                except OSError as error:  # it goes with the folder
                    log.debug("the files of trial %s stay: %s", trial, error)

    def hear(self) -> list[Said]:
        """Return what trials have said since; what is none of it is passed over, and told once a trial."""
        owed, self._owed = self._owed, []
        for asked, why in owed:
            self.answer(asked, why)
        said: list[Said] = []
        for trial, tail in self._tails.items():
            strange = tail.strange
            try:
                for entry in tail.read():
                    if (one := _understand(trial, entry)) is not None:
                        said.append(one)
                    else:
                        tail.strange += 1
            except OSError as error:  # a network file system that does not answer just now
                log.debug("%s can't be read now: %s", tail.path, error)
            if tail.strange and not strange:
                log.warning("%s holds lines that no trial of ours writes; they are left out", tail.path)
        return said

    def answer(self, asked: Asked, why: str | None) -> None:
        """Tell a trial why it should stop, None to go on; where that can't be written it is tried again."""
        if asked.trial not in self._tails:
            return
        try:
            append(self.folder / f"{asked.trial}{DOWN}", {"to": asked.number, "why": why and why[:500]})
        except OSError as error:
            if not self._owed:
                log.warning("trial %s waits for an answer that can't be written: %s", asked.trial, error)
            self._owed.append((asked, why))

    def beat(self) -> None:
        """Show that the driver is alive, when it is time; a file system that is away is told once."""
        if time.monotonic() < self._next_beat:
            return
        try:
            self._write_beat()
        except OSError as error:  # trials go on without a driver, and hear it when it can be heard again
            if not self._silent:
                log.warning("the trials can't be told that their sweep goes on; tried again: %s", error)
            self._silent = True
        else:
            self._silent = False

    def _write_beat(self) -> None:
        self._next_beat = time.monotonic() + BEAT_SECONDS
        self._beat += 1
        write_driver(self.folder, self._beat, self._stopping)

    def stop(self) -> None:
        """Ask all trials to stop, those as well that begin later."""
        self._stopping, self._next_beat = True, 0.0
        self.beat()

    def close(self) -> None:
        """Take the files away; those of a sweep that was stopped stay, for trials that begin later."""
        if not self._stopping:
            _remove(self.folder)
            with suppress(OSError):
                self.folder.parent.rmdir()


def pause_after(seconds: float) -> float:
    """Return how long to wait before trials are heard again, when that took so many seconds."""
    return min(max(HEAR_SECONDS, _SHARE * seconds), _MOST_SECONDS)


def _understand(trial: str, entry: dict[str, Any]) -> Said | None:
    """Return what a line says; None for one that says nothing, or with values of another kind."""
    match entry:
        case {"began": str(host)}:
            return Began(trial, host[:100])
        case {"ask": str(number), "step": int(step), "value": int() | float() as value, "final": bool(final)}:
            if not _are_counts(step) or not _are_numbers(value) or len(number) > 40:
                return None
            return Asked(trial, number, step, float(value), final)
        case {"done": int(done), "total": int() | None as total, "metrics": dict(metrics)}:
            if not _are_counts(done, 0 if total is None else total) or not _are_numbers(*metrics.values()):
                return None
            return Progress(trial, done, total, {str(name): float(value) for name, value in metrics.items()})
    return None


def _are_counts(*values: object) -> bool:
    """Whether all are whole numbers that a float holds as they are."""
    return all(type(value) is int and abs(value) <= _MOST_COUNTED for value in values)


def _are_numbers(*values: object) -> bool:
    """Whether all are floats, or whole numbers that become one."""
    return all(type(value) is float or _are_counts(value) for value in values)


def _remove(folder: Path) -> None:
    """Remove a folder of ours and the files in it; links are not followed, other folders stay."""
    with suppress(OSError):
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            return
        for entry in _ours(folder):
            entry.unlink(missing_ok=True)
        folder.rmdir()


def _ours(folder: Path) -> Iterator[Path]:
    """Yield the files that a driver makes; its own last, by which trials know that it is theirs."""
    entries = [folder / name for name in os.listdir(folder)]
    yield from (entry for entry in entries if entry.suffix in (UP, DOWN))
    yield folder / DRIVER
