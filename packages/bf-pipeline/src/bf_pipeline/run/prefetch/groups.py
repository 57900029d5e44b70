"""Work ahead for steps that only record: the caller records batches, threads compute several a task.

A step of augmentation costs microseconds of Python until its pixels are computed. Were threads to do both,
they would hand the interpreter's lock to each other more often than they work. So Python stays in the
caller, and a thread gets what needs no lock: the pixels of a few small batches at once, or of one large
batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import Any, Self

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

    @classmethod
    def make(cls, preparer: Preparer, place: Place) -> Self:
        """Record a batch and compute it at once."""
        one = cls(preparer, place)
        one.settle(preparer)
        return one

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


class Groups:
    """Batches that the caller records and an engine computes in groups, up to ``depth`` of them ahead."""

    def __init__(self, run: RunState, engine: Engine, depth: int, places: Iterator[Place]) -> None:
        self._preparer, self._engine, self._places = run.runner.preparer, engine, places
        self._depth, self._size = depth, min(_MOST, max(1, depth // 2))
        self._done = run.guard(run.wait)
        self._waiting: deque[tuple[Group, Future[None]]] = deque()
        self._computed: deque[RecordedBatch] = deque()

    def take(self, ahead: bool) -> tuple[Place, RecordedBatch] | None:
        """Return the next place and what was recorded there when it is computed, None if none was begun.

        With ``ahead`` others are begun, so that something is under way while this group is used.
        """
        if not self._computed:
            if ahead:
                self._fill()
            if not self._waiting:
                return None
            group, future = self._waiting.popleft()
            self._done(future)
            future.result()
            if ahead and not self._waiting:
                self._begin()
            self._computed = group.deliver()
        one = self._computed.popleft()
        return one.place, one

    def _fill(self) -> None:
        while sum(len(group.batches) for group, _ in self._waiting) + self._size <= self._depth:
            if not self._begin():
                return

    def _begin(self) -> bool:
        """Hand over another group; False at the end of the places."""
        group = Group(self._preparer, self._places, self._size)
        if group.batches:
            self._waiting.append((group, self._engine.submit(_compute, group)))
        return bool(group.batches)

    def cancel(self) -> None:
        """Give up on what waits."""
        for _, future in self._waiting:
            future.cancel()


def _compute(preparer: Preparer, group: Group) -> None:
    group.compute(preparer)
