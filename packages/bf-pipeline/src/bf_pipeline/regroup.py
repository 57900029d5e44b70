"""``rebatch``: from some step on, the batches have another size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bf_batch import SkipBatch
from bf_index import Place
from bf_pipeline.errors import Where
from bf_pipeline.steps import BoundStep, Call, Step

if TYPE_CHECKING:
    from bf_pipeline.binding import Binder
    from bf_pipeline.running import Run


@dataclass(frozen=True, slots=True, eq=False)
class Regroup:
    """Batches of ``batch_size`` items from here on, put through ``steps``."""

    batch_size: int
    components: tuple[str, ...] | None
    where: Where
    steps: tuple[BoundStep, ...]


def split(steps: Sequence[Step]) -> list[tuple[Any, ...]]:
    """Cut steps before every ``rebatch``: the first group holds what comes before any of them."""
    groups: list[list[Step]] = [[]]
    for step in steps:
        if isinstance(step, Call) and step.builtin and step.name == "rebatch":
            groups.append([])
        groups[-1].append(step)
    return [tuple(group) for group in groups]


def bind_regroup(binder: Binder, call: Call, steps: tuple[Step, ...]) -> Regroup:
    """Bind a ``rebatch`` and the steps after it."""
    size = call.args[0] if call.args else call.kwargs.get("batch_size")
    components = call.kwargs.get("components")
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        binder.mistake(call.where, f"rebatch: batch_size must be an integer >= 1, got {size!r}")
        size = 1
    if isinstance(components, str):
        components = (components,)
    bound = binder.sequence(steps)
    return Regroup(size, None if components is None else tuple(components), call.where, bound)


class Pool:
    """Collects batches and hands out whole ones of the size asked for; what remains waits."""

    def __init__(self, group: Regroup) -> None:
        self._group = group
        self._rest: Any = None

    def feed(self, batch: Any) -> Iterator[Any]:
        """Take a batch in; give every full batch that there now is."""
        size = self._group.batch_size
        waiting = [batch] if self._rest is None else [self._rest, batch]
        self._rest = None
        if len(waiting) == 1 and len(batch) == size:
            yield batch
            return
        while waiting:
            merged, self._rest = type(batch).merge(
                waiting, batch_size=size, components=self._group.components
            )
            if len(merged) < size:
                self._rest = merged
                return
            yield merged
            waiting = [] if self._rest is None else [self._rest]
            self._rest = None

    def flush(self) -> Any:
        """Give the last, short batch, or None."""
        rest, self._rest = self._rest, None
        return rest


def regrouped(source: Iterator[Any], group: Regroup, run: Run) -> Iterator[Any]:
    """Turn batches of one size into batches of another and put them through the steps that follow."""
    from bf_pipeline.runner import applied

    pool, apply = Pool(group), applied(group.steps, run.runner.scope)
    number = 0
    for batch in source:
        for merged in pool.feed(batch):
            yield from _one(merged, number, apply, run)
            number += 1
    last = pool.flush()
    if last is not None and not run.options.drop_last:
        yield from _one(last, number, apply, run)


def _one(batch: Any, number: int, apply: Any, run: Run) -> Iterator[Any]:
    """Put one batch through the steps; it stands at a random address of its own."""
    place = Place(0, number, slice(0, len(batch)))
    batch.place, batch.seed = place, run.seed
    try:
        done = apply(batch, place)
    except SkipBatch:
        return
    yield done
