"""Batches worked on ahead: a bounded queue of futures in the caller's thread, and delivery in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from itertools import islice, repeat
from typing import Any

from bf_batch import SkipBatch, StopPipeline
from bf_batch.engines import Engine, WorkerDied, make_engine
from bf_index import Place
from bf_pipeline.run.prefetch.groups import Groups, RecordedBatch, only_records
from bf_pipeline.run.prefetch.travel import in_other_processes, warn_of_global_randomness
from bf_pipeline.run.prefetch.turns import choose_ways
from bf_pipeline.run.report import Timings, collect_times
from bf_pipeline.run.runner import Preparer
from bf_pipeline.run.state import RunState

Work = Callable[[Preparer, Place], Any]


def start_engine(run: RunState) -> Engine:
    """Start the engine that a run asks for, with all that its workers need."""
    engine, workers, payload = run.options.engine, run.options.workers, run.runner.preparer
    if engine == "processes":
        from bf_batch.engines.processes import ProcessesEngine  # late: cloudpickle, which only processes need

        batch_class = getattr(run.pipeline.dataset, "batch_class", None)
        modules = getattr(batch_class, "worker_modules", ())
        return ProcessesEngine(workers, payload, modules)
    if isinstance(engine, str) and engine != "ray":
        return make_engine(engine, workers, payload)
    from bf_pipeline.run.prefetch.engines import BorrowedEngine, RayEngine  # late: start-up time

    return RayEngine(workers, payload) if isinstance(engine, str) else BorrowedEngine(engine, payload)


def deliver_ahead(run: RunState) -> Generator[Any, None, None]:
    """Deliver the batches of a run in order, each finished here, with up to ``prefetch`` prepared ahead.

    The end, an error, ``close()``, ``break`` and Ctrl-C all leave through the same ``finally``: what was
    ahead is cancelled and the engine stopped. An error of a batch is raised in its turn.
    """
    finish, skip, profile = run.runner.finish, run.options.on_error == "skip", run.profile
    if profile is not None:
        finish = profile.around(finish)
    with start_engine(run) as engine, closing(_prepare_ahead(run, engine, run.options.prefetch)) as prepared:
        for place, future in prepared:
            try:
                batch = finish(future.result() if profile is None else profile.unpack(future.result()))
            except SkipBatch:
                run.leave_out(place, "SkipBatch")
                continue
            except StopPipeline as stop:
                run.stopped = str(stop) or "StopPipeline"
                return
            except Exception as error:
                if isinstance(error, WorkerDied):
                    _note_place(error, run, place)
                if not skip:
                    raise
                run.leave_out(place, f"{type(error).__name__}: {error}")
                continue
            run.note_delivered(place)
            yield batch
            # While the next batch is awaited only the caller may hold this one.
            del batch, future


def _prepare_ahead(run: RunState, engine: Engine, depth: int) -> Generator[tuple[Place, Any], None, None]:
    """Yield each place with what gives its batch: one begun ahead, or one made in its turn."""
    places, preparer = _next_places(run), run.runner.preparer
    by_threads = run.options.engine == "threads" and run.profile is None
    ways: Iterator[bool] = choose_ways(depth) if by_threads else repeat(True)
    begun = Groups(run, engine, depth, places) if only_records(run) else _Singles(run, engine, depth, places)
    make = run.guard(partial(RecordedBatch.make, preparer))
    try:
        for ahead in ways:
            one = begun.take(ahead)
            if one is None:
                place = next(places, None)
                if place is None:
                    return
                one = place, make(place)
            yield one
            del one
    finally:
        begun.cancel()


def _prepare(preparer: Preparer, place: Place) -> Any:
    return preparer.prepare(place)


def _prepare_timed(preparer: Preparer, place: Place) -> tuple[Any, Timings]:
    with collect_times(creates=True) as timings:
        batch = preparer.prepare(place)
    return batch, timings


class _Singles:
    """Batches that an engine prepares one by one, up to ``depth`` of them ahead."""

    def __init__(self, run: RunState, engine: Engine, depth: int, places: Iterator[Place]) -> None:
        work: Work = _prepare if run.profile is None else _prepare_timed
        if in_other_processes(run.options):
            work = partial(_prepare_and_warn, work)
        self._done = run.guard(partial(_await_batch, run, engine, work))
        self._engine, self._depth, self._places, self._work = engine, depth, places, work
        self._waiting: deque[tuple[Place, Future[Any]]] = deque()

    def take(self, ahead: bool) -> tuple[Place, Future[Any]] | None:
        """Return the next place and its future when that is done, None if none was begun.

        With ``ahead`` others are begun, the last of them before this one is finished: then no worker waits
        for a model.
        """
        if ahead:
            self._begin(self._depth - len(self._waiting))
        if not self._waiting:
            return None
        place, future = self._waiting.popleft()
        future = self._done((place, future))
        if ahead:
            self._begin(1)
        return place, future

    def _begin(self, count: int) -> None:
        for place in islice(self._places, count):
            self._waiting.append((place, self._engine.submit(self._work, place)))

    def cancel(self) -> None:
        """Give up on what waits."""
        for _, future in self._waiting:
            future.cancel()


def _await_batch(run: RunState, engine: Engine, work: Work, ahead: tuple[Place, Future[Any]]) -> Future[Any]:
    """Wait for a batch and return its future; one whose worker died is begun again, ``retries`` times."""
    place, future = ahead
    run.wait(future)
    for _ in range(run.options.retries):
        if not isinstance(future.exception(), WorkerDied):
            break
        future = engine.submit(work, place)
        run.wait(future)
    return future


def _prepare_and_warn(work: Work, preparer: Preparer, place: Place) -> Any:
    with warn_of_global_randomness():
        return work(preparer, place)


def _next_places(run: RunState) -> Iterator[Place]:
    next_place = run.places.next_place
    while True:
        try:
            place = next_place()
        except StopIteration:
            return
        yield place


def _note_place(error: WorkerDied, run: RunState, place: Place) -> None:
    """Add the batch to the error: a worker that died could not say at which one it was."""
    ids = run.places.index.subset(place.positions).indices.tolist()
    shown = f"{ids[:5]!r}"[:-1] + (f", ... {len(ids)} in all]" if len(ids) > 5 else "]")
    error.add_note(f"while preparing batch {place.batch} of epoch {place.epoch}, ids {shown}")
