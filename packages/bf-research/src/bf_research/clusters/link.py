"""What a trial somewhere in a cluster says to its sweep and hears from it, through files both can see."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bf_research.clusters.files import DOWN, DRIVER, FOLDER, UP, Tail, append, read_driver
from bf_research.launcher.channel import NoLink, connected, is_connected
from bf_research.launcher.errors import JobStopped, PassingError

log = logging.getLogger(__name__)

#: Bars of trials that are far away need no more.
REPORT_SECONDS = 1.0
#: A trial looks so often whether its sweep is being stopped.
LOOK_SECONDS = 1.0
#: A driver that does not count for so long is gone, or can't be heard: trials go on without its answers.
SILENT_SECONDS = 60.0
#: Waits between two looks for an answer begin and end with these.
_FIRST_WAIT, _LAST_WAIT = 0.01, 0.5
#: A report has no more metrics than fit into a line.
_MOST_METRICS = 20


class FileLink(NoLink):
    """The link of a trial whose sweep shares a folder with it.

    What the trial tells is appended to a file that the driver reads; answers and the driver's life are read
    from files of the driver. A driver that was killed costs the trial nothing but its answers: it goes on,
    and its results are found when the sweep goes on. Once another driver has taken over, it stops.
    """

    def __init__(self, folder: Path, trial: str) -> None:
        self._folder = folder
        self._up, self._down = folder / f"{trial}{UP}", Tail(folder / f"{trial}{DOWN}")
        self._self, self._count = secrets.token_hex(4), 0
        self._first = True
        self._next_report = self._next_look = 0.0
        self._beat, self._heard = -1, time.monotonic()
        self._stopping = self._silent = self._broken = False
        self._look()
        self._tell({"began": socket.gethostname(), "pid": os.getpid()})

    def report(self, done: int, total: int | None, metrics: dict[str, float]) -> None:
        """Report how far the job is, once a second at most."""
        now = time.monotonic()
        if now < self._next_report and done != total:
            return
        self._next_report = now + REPORT_SECONDS
        some = {str(name)[:100]: float(value) for name, value in list(metrics.items())[:_MOST_METRICS]}
        self._tell({"done": int(done), "total": None if total is None else int(total), "metrics": some})

    def stopping(self) -> bool:
        """Whether the sweep is being stopped, or another driver goes on with it; looked up once a second."""
        now = time.monotonic()
        if not self._stopping and now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._look()
        return self._stopping

    def ask(self, step: int, value: float, final: bool) -> str | None:
        """Ask the driver and wait for its answer; a driver that is silent for a minute is not waited for.

        ``PassingError`` where the question can't be written.
        """
        self._count += 1
        number = f"{self._self}-{self._count}"
        entry = {"ask": number, "step": int(step), "value": float(value), "final": bool(final)}
        try:
            append(self._up, entry, self._first)
        except OSError as error:
            self._look()
            if self._stopping:
                return None
            raise PassingError(f"the sweep can't be asked whether to go on: {error}") from error
        self._first = False
        wait = _FIRST_WAIT
        while True:
            found, why = self._find_answer(number)
            if found:
                return why
            self._look()
            if self._stopping or self._is_silent():
                return None
            time.sleep(wait)
            wait = min(wait * 2, _LAST_WAIT)

    def _find_answer(self, number: str) -> tuple[bool, str | None]:
        try:
            for entry in self._down.read():
                if entry.get("to") == number:
                    why = entry.get("why")
                    return True, None if why is None else str(why)
        except OSError as error:  # the next look tells what is the matter
            log.debug("%s can't be read now: %s", self._down.path, error)
        return False, None

    def _look(self) -> None:
        """Look whether the driver is alive, and whether it wants the trial to stop."""
        try:
            found = read_driver(self._folder)
        except FileNotFoundError:
            self._stopping = True
            return
        if found is None:
            return
        beat, stop = found
        self._stopping = self._stopping or stop
        if beat != self._beat:
            self._beat, self._heard = beat, time.monotonic()
            self._silent = False

    def _is_silent(self) -> bool:
        if not self._silent and time.monotonic() - self._heard > SILENT_SECONDS:
            self._silent = True
            log.warning(
                "the driver of this sweep has not been heard for %g s: the trial goes on, and nothing stops "
                "it early; the sweep's command started again takes its result over",
                SILENT_SECONDS,
            )
        return self._silent

    def _tell(self, entry: dict[str, object]) -> None:
        """Tell what nobody waits for; what can't be told is logged, once."""
        try:
            append(self._up, entry, self._first)
            self._first = False
        except FileNotFoundError:
            self._look()
        except (OSError, ValueError) as error:
            if not self._broken:
                log.warning("the sweep does not hear how far this trial is: %s", error)
            self._broken = True


@contextmanager
def linked(sweep: Path, trial: str, token: str | None) -> Iterator[None]:
    """Link a trial with the driver that has the token, unless it has a link or can't see the sweep's folder.

    ``JobStopped`` where another driver has taken over, or the sweep was stopped, before the trial began.
    """
    if token is None or is_connected() or not (sweep / FOLDER).is_dir():
        yield
        return
    folder = sweep / FOLDER / token
    if not (folder / DRIVER).exists():
        raise JobStopped("another driver goes on with the sweep: this trial, which waited, does not begin")
    link = FileLink(folder, trial)
    if link.stopping():
        raise JobStopped("the sweep was stopped before this trial began")
    with connected(link):
        yield
