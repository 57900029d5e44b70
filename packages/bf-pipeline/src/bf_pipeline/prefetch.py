"""Batches worked on ahead: a bounded queue of futures in the caller's thread, and delivery in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol, get_args

from bf_batch import SkipBatch, StopPipeline
from bf_batch.engines import WorkerDied
from bf_index import Place
from bf_index.errors import unknown

EngineName = Literal["inline", "threads", "processes", "ray"]
OnError = Literal["raise", "skip"]
Submit = Callable[[Place], "Future[Any]"]
# A place, and what gives its prepared batch or raises what went wrong.
Prepared = tuple[Place, Callable[[], Any]]
_MOST_IDS = 10


class Runner(Protocol):
    """What makes batches: ``prepare`` may run ahead and elsewhere, ``finish`` runs in order in the caller."""

    def prepare(self, place: Place) -> Any:
        """Make the batch of a place and do the steps that need nothing of the caller."""

    def finish(self, batch: Any) -> Any:
        """Do the other steps: models, variables, printing."""


class Places(Protocol):
    """Where batches are, one after another: ``bf_index.BatchIterator``."""

    index: Any

    def next_place(self) -> Place:
        """Return the next place; ``StopIteration`` after the last."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A batch that was not delivered: its place, the ids of its items, and why."""

    epoch: int
    batch: int
    ids: tuple[Any, ...]
    reason: str


def check_ahead(prefetch: int, engine: str, on_error: str) -> None:
    """Refuse a wrong depth, engine or policy at the call: ``TypeError`` or ``ValueError`` naming it."""
    if isinstance(prefetch, bool) or not isinstance(prefetch, int):
        raise TypeError(f"prefetch must be a number of batches (0 for none), got {prefetch!r}")
    if prefetch < 0:
        raise ValueError(f"prefetch must not be negative (0 for none), got {prefetch}")
    if engine not in get_args(EngineName):
        raise ValueError(unknown("engine", engine, get_args(EngineName)))
    if on_error not in get_args(OnError):
        raise ValueError(unknown("on_error", on_error, get_args(OnError)))


class Delivery(Iterator[Any]):
    """The batches of one run, in order, each finished in the caller's thread.

    With an engine up to ``depth`` batches are prepared ahead. The end, an error, ``close()``, ``break`` and
    Ctrl-C all leave through the same ``finally``: what was ahead is cancelled and ``stop`` is called.
    ``done`` counts the places that were dealt with, delivered or left out, and is what a state remembers.
    """

    def __init__(
        self,
        runner: Runner,
        places: Places,
        *,
        submit: Submit | None = None,
        depth: int = 0,
        on_error: OnError = "raise",
        stop: Callable[[], None] = lambda: None,
    ) -> None:
        self.done = 0
        self.left_out: list[LeftOut] = []
        self._runner = runner
        self._places = places
        self._on_error = on_error
        self._stop = stop
        prepared = self._here() if submit is None or depth == 0 else self._ahead(submit, depth)
        self._batches = self._finished(prepared)

    def __next__(self) -> Any:
        return next(self._batches)

    def close(self) -> None:
        """End the run now; safe to call twice, and after the end."""
        self._batches.close()

    def _here(self) -> Generator[Prepared, None, None]:
        """Prepare each batch when it is asked for."""
        prepare = self._runner.prepare
        while (place := self._next_place()) is not None:
            yield place, partial(prepare, place)

    def _ahead(self, submit: Submit, depth: int) -> Generator[Prepared, None, None]:
        """Keep up to ``depth`` batches in the engine; a result that is an error is raised in its turn."""
        waiting: deque[tuple[Place, Future[Any]]] = deque()
        try:
            while len(waiting) < depth and (place := self._next_place()) is not None:
                waiting.append((place, submit(place)))
            while waiting:
                place, future = waiting.popleft()
                future.exception()
                # The next one starts before this one is finished, so that the workers never wait for a model.
                if (following := self._next_place()) is not None:
                    waiting.append((following, submit(following)))
                yield place, future.result
                del future
        finally:
            for _, future in waiting:
                future.cancel()

    def _finished(self, prepared: Generator[Prepared, None, None]) -> Generator[Any, None, None]:
        finish = self._runner.finish
        try:
            with closing(prepared):
                for place, get in prepared:
                    try:
                        batch = finish(get())
                    except SkipBatch:
                        self._leave_out(place, "SkipBatch")
                        continue
                    except StopPipeline:
                        return
                    except Exception as error:
                        if self._on_error == "raise":
                            self._tell_place(error, place)
                            raise
                        self._leave_out(place, f"{type(error).__name__}: {error}")
                        continue
                    self.done += 1
                    yield batch
                    # While the next batch is awaited only the caller may hold this one.
                    del batch, get
        finally:
            self._stop()

    def _next_place(self) -> Place | None:
        try:
            return self._places.next_place()
        except StopIteration:
            return None

    def _ids(self, place: Place) -> tuple[Any, ...]:
        return tuple(self._places.index.subset(place.positions).indices)

    def _leave_out(self, place: Place, reason: str) -> None:
        self.done += 1
        self.left_out.append(LeftOut(place.epoch, place.batch, self._ids(place), reason))

    def _tell_place(self, error: Exception, place: Place) -> None:
        """A worker that died could not say which batch it was at."""
        if isinstance(error, WorkerDied):
            ids = self._ids(place)
            more = f", ... ({len(ids)} in all)" if len(ids) > _MOST_IDS else ""
            shown = ", ".join(map(repr, ids[:_MOST_IDS])) + more
            error.add_note(f"in batch {place.batch} of epoch {place.epoch}, ids {shown}")
