"""Work ahead for steps that only record: the caller records batches, threads compute several a task.

A step of augmentation costs microseconds of Python until its pixels are computed. Were threads to do both,
they would hand the interpreter's lock to each other more often than they work. So Python stays in the
caller, and a thread gets what needs no lock: the pixels of a few small batches at once, or of one large
batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future
from itertools import islice
from typing import Any

from bf_batch.engines import Engine
from bf_batch.pending import PendingGroup, weigh
from bf_index import Place
from bf_pipeline.run.runner import Preparer
from bf_pipeline.run.state import RunState

_MOST = 16
"""Batches in a group: from there on, handing groups over costs next to nothing."""

_ENOUGH = 1 << 19
"""Numbers in a group that are worth a task of their own: some half a millisecond."""


class RecordedBatch:
    """A batch that is recorded and, when its group is done, computed; or the error that came instead."""

    __slots__ = ("batch", "error", "place")

    def __init__(self, preparer: Preparer, place: Place) -> None:
        self.place = place
        self.batch: Any = None
        self.error: Exception | None = None
        try:
            self.batch = preparer.record(place)
        except Exception as error:  # noqa: BLE001  raised by result(), in the batch's turn
            self.error = error

    def settle(self, preparer: Preparer) -> None:
        """Compute the batch alone; an error is kept for its turn."""
        if self.error is None:
            try:
                preparer.settle(self.batch, self.place)
            except Exception as error:  # noqa: BLE001
                self.error = error

    def result(self) -> Any:
        """Return the batch or raise its error."""
        if self.error is not None:
            raise self.error
        return self.batch


class Group:
    """Batches that one task computes; ``compute`` is for a thread, the rest for the caller."""

    def __init__(self, preparer: Preparer, places: Iterable[Place], size: int) -> None:
        self.batches: deque[RecordedBatch] = deque()
        numbers = 0
        for place in islice(places, size):
            one = RecordedBatch(preparer, place)
            self.batches.append(one)
            if one.error is None:
                numbers += weigh(one.batch)
            if numbers >= _ENOUGH:
                break
        good = [one.batch for one in self.batches if one.error is None]
        self._pending: PendingGroup | None = PendingGroup(good)

    def compute(self, preparer: Preparer) -> None:
        """Compute all batches, together if that goes well, else one by one to find whose error it is."""
        try:
            if self._pending is not None:
                self._pending.compute()
        except Exception:  # noqa: BLE001  it comes again below, from the batch that it belongs to
            self._pending = None
            for one in self.batches:
                one.settle(preparer)

    def deliver(self) -> deque[RecordedBatch]:
        """Return the batches; take each out when it is its turn, so that nothing here holds it longer."""
        if self._pending is not None:
            self._pending.deliver()
            self._pending = None
        return self.batches


def only_records(run: RunState) -> bool:
    """Whether all steps that may run ahead leave their work pending, and threads are to do it."""
    steps = run.runner.bound.ahead
    return (
        run.options.engine == "threads"
        and run.profile is None
        and bool(steps)
        and all(step.pending for step in steps)
    )


def record_and_compute(
    run: RunState, engine: Engine, depth: int, places: Iterable[Place]
) -> Generator[tuple[Place, RecordedBatch], None, None]:
    """Keep up to ``depth`` batches ahead in groups; yield each place with what was recorded there."""
    preparer, places = run.runner.preparer, iter(places)
    size = min(_MOST, max(1, depth // 2))
    waiting: deque[tuple[Group, Future[None]]] = deque()
    done = run.guard(run.wait)

    def begin() -> bool:
        group = Group(preparer, places, size)
        if group.batches:
            waiting.append((group, engine.submit(_compute, group)))
        return bool(group.batches)

    def fill() -> None:
        while sum(len(group.batches) for group, _ in waiting) + size <= depth and begin():
            pass

    try:
        fill()
        while waiting:
            group, future = waiting.popleft()
            done(future)
            future.result()
            if not waiting:  # something must be under way while these are used
                begin()
            batches = group.deliver()
            while batches:
                one = batches.popleft()
                yield one.place, one
                del one
            fill()
    finally:
        for _, future in waiting:
            future.cancel()


def _compute(preparer: Preparer, group: Group) -> None:
    group.compute(preparer)
