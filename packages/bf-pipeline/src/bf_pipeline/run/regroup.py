"""``rebatch``: from some step on, the batches of a run have another size."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from bf_batch import Batch, SkipBatch, StopPipeline
from bf_index import Place
from bf_pipeline.bind.bound import Regroup
from bf_pipeline.context import Scope
from bf_pipeline.run.checkpoint.values import Decoder, Encoder
from bf_pipeline.run.options import RunOptions
from bf_pipeline.run.runner import Apply, compile_steps

# Notes items that are not delivered: a place, their ids, and why.
LeaveOut = Callable[[Place, Sequence[Any], str], None]


@dataclass(frozen=True, slots=True)
class Counted:
    """The plan of regrouped batches: they are numbered through, without epochs."""

    batch_size: int
    total: int | None

    def first(self, epoch: int) -> int:
        """Return the number of the first batch of an epoch; there is only one."""
        return 0


class Pool:
    """A pool that takes batches in and hands out whole ones of the size asked for; what remains waits."""

    def __init__(self, group: Regroup) -> None:
        self.group = group
        self.made = 0
        self._rest: Any = None

    def feed(self, batch: Any) -> Iterator[Any]:
        """Take a batch in; yield every full batch that there now is."""
        if self._rest is None and len(batch) == self.group.batch_size:
            yield batch
            return
        yield from self._cut([batch] if self._rest is None else [self._rest, batch])

    def drain(self) -> Iterator[Any]:
        """Yield every full batch that there is: a state may have been taken in the middle of ``feed``."""
        if self._rest is not None:
            yield from self._cut([self._rest])

    def _cut(self, waiting: list[Any]) -> Iterator[Any]:
        size = self.group.batch_size
        while waiting:
            merged, self._rest = self._merge(waiting)
            if len(merged) < size:
                self._rest = merged
                return
            # At this point a state may be taken: what remains is in the rest.
            yield merged
            waiting = [] if self._rest is None else [self._rest]

    def _merge(self, waiting: list[Any]) -> tuple[Any, Any]:
        """Return a batch of at most the size asked for, and one of the rest or None."""
        size, own = self.group.batch_size, self.group.merge
        if own is None:
            merged, rest = type(waiting[-1]).merge(waiting, batch_size=size, components=self.group.components)
            return merged, rest
        made = own(waiting, size)
        if not isinstance(made, tuple) or len(made) != 2 or not isinstance(made[0], Batch):
            raise TypeError(
                f"rebatch ({self.group.where}): merge must return a batch and one of the rest or None, "
                f"as Batch.merge does; got {made!r}"
            )
        if len(made[0]) > size:
            raise ValueError(
                f"rebatch ({self.group.where}): merge returned a batch of {len(made[0])} items for "
                f"batch_size={size}"
            )
        return made

    def compile_steps(self, scope: Scope, total: int | None) -> Apply:
        """Return ``apply(batch, place)`` for the steps after the ``rebatch``; they see its own numbering."""
        return compile_steps(self.group.steps, replace(scope, plan=Counted(self.group.batch_size, total)))

    def next_place(self) -> Place:
        """Number the next batch."""
        self.made += 1
        return Place(0, self.made - 1, slice(0, 0))

    def state(self, encoder: Encoder) -> dict[str, Any]:
        """Return what waits here and how many batches were made, as data."""
        rest = self._rest
        values = {} if rest is None else {name: getattr(rest, name) for name in rest.components}
        encoded = {name: encoder.encode(value, f"component {name!r}") for name, value in values.items()}
        return {"made": self.made, "items": 0 if rest is None else len(rest), "components": encoded}

    def restore(self, state: Mapping[str, Any], decoder: Decoder, batch_class: Any) -> None:
        """Bring back what waited."""
        self.made = state["made"]
        if state["items"]:
            self._rest = rest = batch_class(state["items"])
            for name, tree in state["components"].items():
                if name not in rest.components:
                    rest.add_components(name)
                setattr(rest, name, decoder.decode(tree))

    def flush(self) -> Any:
        """Return the last, short batch, or None."""
        rest, self._rest = self._rest, None
        return rest


def regroup_batches(
    source: Generator[Any, None, None], pool: Pool, apply: Apply, options: RunOptions, leave_out: LeaveOut
) -> Generator[Any, None, None]:
    """Turn batches of one size into batches of another and put them through the steps that follow."""
    with closing(source):
        for merged in pool.drain():
            yield from _put_through(merged, pool.next_place(), apply, options, leave_out)
        for batch in source:
            for merged in pool.feed(batch):
                yield from _put_through(merged, pool.next_place(), apply, options, leave_out)
        last = pool.flush()
        if last is not None and not options.drop_last:
            yield from _put_through(last, pool.next_place(), apply, options, leave_out)


def _put_through(
    batch: Any, place: Place, apply: Apply, options: RunOptions, leave_out: LeaveOut
) -> Iterator[Any]:
    """Put one batch through the steps; it stands at a random address of its own."""
    batch.place, batch.seed = place._replace(positions=slice(0, len(batch))), options.seed
    try:
        done = apply(batch, batch.place)
    except StopPipeline:
        raise
    except SkipBatch:
        leave_out(place, batch.indices, "SkipBatch")
        return
    except Exception as error:
        if options.on_error == "raise":
            raise
        leave_out(place, batch.indices, f"{type(error).__name__}: {error}")
        return
    yield done
