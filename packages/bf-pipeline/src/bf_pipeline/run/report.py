"""What a run shows: a progress bar while it goes, and a profile of where its time went."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import numpy as np

from bf_pipeline.bind.bound import BoundStep
from bf_pipeline.run.monitors import Monitors

CREATE = "create the batch"
WAIT = "wait for prefetch"
AHEAD, IN_ORDER = "ahead", "in order"
# Number, name and seconds of steps; what is measured in a worker travels back beside the batch.
Timings = list[tuple[int, str, float]]
_CREATED = -1
_MOST_KEPT = 4096
#: A first batch of so many seconds is told beside the bar.
_LONG_FIRST = 1.0


class _Sink(threading.local):
    """The list that the steps which run in this thread write their times to."""

    timings: Timings | None = None


_sink = _Sink()


@contextmanager
def collect_times(creates: bool = False) -> Iterator[Timings]:
    """Collect the times of the timed steps that this thread runs inside the ``with``.

    With ``creates`` the time beside the steps counts as making the batch.
    """
    timings: Timings = []
    outer, _sink.timings = _sink.timings, timings
    started = time.perf_counter()
    try:
        yield timings
    finally:
        _sink.timings = outer
        if creates:
            steps = sum(seconds for _, _, seconds in timings)
            timings.append((_CREATED, CREATE, time.perf_counter() - started - steps))


class Timed:
    """A bound step's function with a clock; it travels to workers like the function itself."""

    __slots__ = ("name", "number", "run")

    def __init__(self, number: int, name: str, run: Callable[..., Any]) -> None:
        self.number = number
        self.name = name
        self.run = run

    def __call__(self, *args: Any) -> Any:
        """Run the step and note how long it took."""
        started = time.perf_counter()
        try:
            return self.run(*args)
        finally:
            if _sink.timings is not None:
                _sink.timings.append((self.number, self.name, time.perf_counter() - started))


def put_clock(step: BoundStep) -> BoundStep:
    """Put a clock around a step."""
    return replace(step, run=Timed(step.number, step.name, step.run))


Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(slots=True)
class _Line:
    step: int | None
    action: str
    place: str
    calls: int = 0
    total: float = 0.0
    first: float = 0.0
    #: Times for the median: every so many calls one, so that a run of any length keeps few.
    kept: list[float] = field(default_factory=list)
    stride: int = 1

    def add(self, seconds: float) -> None:
        """Add the time of a call; the first one, which compiles and allocates, stands apart."""
        self.calls += 1
        self.total += seconds
        if self.calls == 1:
            self.first = seconds
        elif self.calls % self.stride == 0:
            self.kept.append(seconds)
            if len(self.kept) == _MOST_KEPT:
                del self.kept[::2]
                self.stride *= 2

    @property
    def median(self) -> float:
        """The median of the calls but the first; that of a single call is its own."""
        return statistics.median(self.kept) if self.kept else self.first


_COLUMNS = ["step", "action", "where", "calls", "total", "mean", "first", "median", "share"]


@dataclass(slots=True)
class Profile:
    """Times of a run by action, in seconds: ``rows()`` as dictionaries, ``frame()`` as a pandas DataFrame.

    Times of steps that ran ahead are those of the workers, so with several workers they add up to more than
    the run took. ``waiting`` has how long the caller stood still for the next batch, or made it itself. The
    first call of an action, which may compile and allocate, stands apart from the median of the others.
    """

    elapsed: float = 0.0
    batches: int = 0
    waiting: _Line = field(default_factory=lambda: _Line(None, WAIT, "caller"))
    _lines: dict[int, _Line] = field(default_factory=dict)

    def around(self, function: Function, creates: bool = False) -> Function:
        """Return a function that collects the times of the steps it runs in this thread."""

        def collects(*args: Any) -> Any:
            timings: Timings = []
            try:
                with collect_times(creates) as timings:
                    return function(*args)
            finally:
                self.take(timings, AHEAD if creates else IN_ORDER)

        return cast(Function, collects)

    def unpack(self, result: tuple[Any, Timings]) -> Any:
        """Take the times that came beside a batch and return the batch."""
        batch, timings = result
        self.take(timings, AHEAD)
        return batch

    def timed_wait(self, wait: Callable[[Any], Any]) -> Callable[[Any], None]:
        """Return a function that waits for a future and notes how long that took."""

        def waits(future: Any) -> None:
            started = time.perf_counter()
            try:
                wait(future)
            finally:
                self.waiting.add(time.perf_counter() - started)

        return waits

    def watch(self, source: Iterator[Any]) -> Generator[Any, None, None]:
        """Pass batches on, measure the whole, and write the table at the end."""
        try:
            while True:
                started = time.perf_counter()
                batch = next(source, None)
                self.elapsed += time.perf_counter() - started
                if batch is None:
                    return
                self.batches += 1
                yield batch
                del batch
        finally:
            self.tell()

    def take(self, timings: Timings, place: str) -> None:
        """Add the times of one batch."""
        for number, name, seconds in timings:
            if (line := self._lines.get(number)) is None:
                line = self._lines[number] = _Line(None if number == _CREATED else number, name, place)
            line.add(seconds)

    def rows(self) -> list[dict[str, Any]]:
        """Return a dictionary a line: step, action, where it ran, calls, seconds, share of the total."""
        lines = [line for _, line in sorted(self._lines.items())]
        if self.waiting.calls:
            lines.append(self.waiting)
        whole = sum(line.total for line in lines) or 1.0
        return [
            {
                "step": line.step,
                "action": line.action,
                "where": line.place,
                "calls": line.calls,
                "total": line.total,
                "mean": line.total / max(line.calls, 1),
                "first": line.first,
                "median": line.median,
                "share": line.total / whole,
            }
            for line in lines
        ]

    def frame(self) -> Any:
        """Return the table as a ``pandas.DataFrame``; ``ImportError`` with advice when pandas is missing."""
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("a table needs pandas: pip install pandas; rows() works without it") from error
        return pd.DataFrame(self.rows(), columns=_COLUMNS)

    def __str__(self) -> str:
        rows = sorted(self.rows(), key=lambda row: -row["total"])
        width = max([len(row["action"]) for row in rows], default=6)
        waited = self.waiting.total
        lines = [f"{self.batches} batches in {self.elapsed:.3f} s; the caller waited {waited:.3f} s"]
        lines.append(
            f"{'':{width}}  {'where':8}  {'calls':>7}  {'total':>11}  {'first':>13}  {'median':>13}  share"
        )
        for row in rows:
            first, median = (f"{row[name] * 1e6:>10.1f} us" for name in ("first", "median"))
            place = f"{row['action']:<{width}}  {row['where']:<8}  {row['calls']:>7}"
            lines.append(f"{place}  {row['total']:>9.3f} s  {first}  {median}  {row['share']:>6.1%}")
        return "\n".join(lines)

    def tell(self) -> None:
        """Write the table to standard output, the longest first."""
        sys.stdout.write(f"{self}\n")


def show_progress(
    source: Generator[Any, None, None],
    total: int | None,
    done: int,
    variables: Mapping[str, Any],
    shown: Sequence[str],
    monitors: Monitors | None = None,
) -> Generator[Any, None, None]:
    """Pass batches on and move a bar, with the latest values of the ``shown`` variables beside it.

    ``monitors`` tell how busy the machine is.

    It is a widget in notebooks and a line in terminals. The first batch, for which libraries are loaded and
    graphs are made, counts in no rate and in no estimate; a long one is told.
    """
    from tqdm.auto import tqdm

    with closing(source), tqdm(total=total, initial=done, unit="batch") as bar:
        began, first = time.perf_counter(), {}
        for batch in source:
            if bar.n == done:
                seconds = time.perf_counter() - began
                first = {"first": f"{seconds:.0f} s"} if seconds >= _LONG_FIRST else {}
            if shown or monitors or first:
                values = {**first, **{name: shorten(variables[name]) for name in shown}}
                bar.set_postfix(values | dict(monitors.read() if monitors else {}), refresh=False)
            if bar.n == done:
                bar.n = bar.initial = bar.last_print_n = done + 1
                bar.unpause()
                bar.refresh()
            else:
                bar.update()
            yield batch


def shorten(value: Any) -> str:
    """Write a value in a few letters: of a list the last entry, of an array its last number."""
    if isinstance(value, list | tuple):
        return shorten(value[-1]) if value else "-"
    if isinstance(value, np.ndarray):
        return shorten(value.reshape(-1)[-1]) if value.size else "-"
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    text = str(value)
    return text if len(text) <= 24 else f"{text[:21]}..."
