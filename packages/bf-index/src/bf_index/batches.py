"""Cutting an order into batches: what one iterator yields, and where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from bf_index.arguments import check_count
from bf_index.errors import StateError
from bf_index.order import Positions
from bf_index.plan import Plan

STATE_VERSION = 1

_BLOCK = 1 << 16
"""How many places are computed at a time: half a MiB and less than a millisecond."""


class Indexed(Protocol):
    """An index as an iterator sees it that cuts it into batches."""

    def subset(self, positions: Positions, /) -> Self:
        """Return the items at positions."""

    def content_hash(self) -> str:
        """Return a hash of the ids in their order."""


IndexT = TypeVar("IndexT", bound=Indexed)


class Place(NamedTuple):
    """The place of a batch: its epoch, its number within the epoch (from 0), its positions in the index."""

    epoch: int
    batch: int
    positions: Positions


class BatchIterator(Generic[IndexT]):
    """Batches of an index, one after another; ``state()`` has the position and ``restore()`` goes back to it.

    Made by ``index.gen_batch(...)``. Iterators are independent of each other and carry no random state:
    the n-th batch is a function of the index, the arguments and the seed.

    >>> from bf_index import DatasetIndex
    >>> [list(batch) for batch in DatasetIndex(5).gen_batch(2)]
    [[0, 1], [2, 3], [4]]
    """

    __slots__ = (
        "_batch", "_block", "_data_seed", "_end", "_epoch", "_low", "_plan", "_seed", "_size", "index",
    )  # fmt: skip

    _epoch: int
    _batch: int
    _block: NDArray[np.int64] | None
    _low: int
    _end: int

    def __init__(self, index: IndexT, plan: Plan, seed: int) -> None:
        self.index = index
        self._plan = plan
        self._take_seed(seed)
        self._size = plan.batch_size
        self._go_to(0)

    @property
    def seed(self) -> int:
        """The seed given, or the one drawn when none was."""
        return self._seed

    @property
    def data_seed(self) -> int:
        """The seed of orders and random values: ``seed``, or another for each shard of an index."""
        return self._data_seed

    @property
    def plan(self) -> Plan:
        """The checked arguments."""
        return self._plan

    @property
    def total(self) -> int | None:
        """How many batches there are from the very beginning; None when there is no end."""
        return self._plan.total

    def __iter__(self) -> BatchIterator[IndexT]:
        return self

    def __next__(self) -> IndexT:
        return self.index.subset(self.next_place().positions)

    def __repr__(self) -> str:
        done, total = self._done(), self.total
        of = "without end" if total is None else f"of {total}"
        return (
            f"<BatchIterator over {self.index!r}: {done} batches {of}, size {self._size}, seed {self._seed}>"
        )

    def next_place(self) -> Place:
        """Return the place of the next batch; StopIteration at the end, and again at each further call."""
        low = self._low
        high = low + self._size
        if high > self._end:
            if low == self._end:
                self._load()
                return self.next_place()
            high = self._end
        self._low = high
        number = self._batch
        self._batch = number + 1
        block = self._block
        return Place(self._epoch, number, slice(low, high) if block is None else block[low:high])

    def _load(self) -> None:
        """Make the places of the next batches ready; StopIteration when there are none."""
        plan, made = self._plan, self._done()
        most = max(_BLOCK // self._size, 1)
        if plan.total is not None:
            most = min(most, plan.total - made)
            if most <= 0:
                raise StopIteration
        self._epoch, self._batch = plan.locate(made)
        start, stop = plan.span(made, most)
        positions = self._positions(self._epoch, start, stop)
        if isinstance(positions, slice):
            self._block, self._low, self._end = None, positions.start, positions.stop
            return
        self._block, self._low, self._end = positions, 0, len(positions)

    def place(self, number: int) -> Place:
        """Return the place of any batch of the plan by its number, wherever the iterator stands.

        >>> from bf_index import DatasetIndex
        >>> DatasetIndex(5).endless(2).place(4)
        Place(epoch=1, batch=1, positions=slice(2, 4, None))
        """
        epoch, batch = self._plan.locate(number)
        return Place(epoch, batch, self._positions(epoch, *self._plan.span(number, 1)))

    def share(self, number: int, count: int) -> BatchShare[IndexT]:
        """Return an iterator over the share of one of ``count`` workers, from the beginning on.

        These are batches ``number``, ``number + count`` and so on; taken in turn from all shares they are
        the batches of this iterator in their order.

        >>> from bf_index import DatasetIndex
        >>> [list(batch) for batch in DatasetIndex(5).gen_batch(2).share(0, 2)]
        [[0, 1], [4]]
        """
        return BatchShare(self, number, count)

    def _positions(self, epoch: int, start: int, stop: int) -> Positions:
        plan = self._plan
        block = plan.order.block(epoch, start, min(stop, plan.length), plan.items, self._data_seed)
        if stop > plan.length:
            after = plan.order.block(epoch + 1, 0, stop - plan.length, plan.items, self._data_seed)
            block = np.concatenate([_as_array(block), _as_array(after)])
        if isinstance(block, slice):
            return block
        positions = block.view()
        positions.setflags(write=False)
        return positions

    def _take_seed(self, seed: int) -> None:
        self._seed = seed
        self._data_seed = self._plan.data_seed(seed)

    def _done(self) -> int:
        """Return how many batches came before the next one."""
        return self._plan.first(self._epoch) + self._batch

    def _go_to(self, made: int) -> None:
        self._epoch, self._batch = self._plan.locate(made)
        self._block = None
        self._low = self._end = 0

    def state(self, after: Place | None = None) -> dict[str, Any]:
        """Return where the iterator stands as a small JSON-able dict.

        With ``after``, a place that it gave, return where it stood right after that: what a consumer
        that is several batches behind needs.
        """
        plan = self._plan
        made = self._done() if after is None else plan.first(after.epoch) + after.batch + 1
        return {
            "version": STATE_VERSION,
            "batches": made,
            "seed": self._seed,
            **self._identity(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go to the position of a state: the batches after it are exactly those that came after it then.

        The seed is taken over from the state; ``n_epochs`` and ``n_iters`` stay this iterator's own, so a
        finished run can be continued. StateError refuses other data, other arguments and newer versions.
        """
        made, seed = check_state(state, self._identity())
        self._take_seed(seed)
        self._go_to(made)

    def _identity(self) -> dict[str, Any]:
        """Return what must be equal for a state to fit."""
        plan = self._plan
        return {
            "items": plan.items,
            "index": self.index.content_hash(),
            "order": plan.order.fingerprint(),
            "batch_size": plan.batch_size,
            "drop_last": plan.drop_last,
            "cross_epochs": plan.cross_epochs,
        }


class BatchShare(BatchIterator[IndexT]):
    """Every so many-th batch of an iterator, which one of several workers makes; see ``share`` of it."""

    __slots__ = ("_count", "_next", "_number")

    _next: int

    def __init__(self, whole: BatchIterator[IndexT], number: int, count: int) -> None:
        self._count = check_count("share: count", count, 1)
        self._number = check_count("share: number", number, 0)
        if number >= count:
            raise ValueError(f"share: number must be below count, got share {number} of {count}")
        super().__init__(whole.index, whole.plan, whole.seed)

    @property
    def total(self) -> int | None:
        """How many batches there are in this share; None when there is no end."""
        whole = self._plan.total
        return None if whole is None else len(range(self._number, whole, self._count))

    def share(self, number: int, count: int) -> BatchShare[IndexT]:
        """Return an iterator over a share of this share, from the beginning on."""
        part = BatchShare(self, number, count)
        return BatchShare(self, self._number + part._number * self._count, part._count * self._count)

    def next_place(self) -> Place:
        """Return the place of the next batch of the share; StopIteration at the end."""
        number, whole = self._next, self._plan.total
        if whole is not None and number >= whole:
            raise StopIteration
        self._next = number + self._count
        return self.place(number)

    def _done(self) -> int:
        return max(0, self._next - self._count + 1)

    def _go_to(self, made: int) -> None:
        self._next = made + (self._number - made) % self._count


def check_state(state: Mapping[str, Any], identity: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many batches a state is after, and its seed; StateError when it does not fit."""
    if not isinstance(state, Mapping):
        raise StateError(f"state must be the dict that state() returned, got {type(state).__name__}")
    wanted = {"version", "batches", "seed", *identity}
    if missing := sorted(wanted - set(state)):
        raise StateError(f"state: no {', '.join(missing)}; give the whole dict that state() returned")
    version = state["version"]
    if version != STATE_VERSION:
        raise StateError(
            f"state is of version {version!r}, this bf-index reads version {STATE_VERSION};"
            " use the bf-index that wrote it"
        )
    if (state["items"], state["index"]) != (identity["items"], identity["index"]):
        raise StateError(
            f"state is of other data: it was saved for {state['items']} items with hash {state['index']},"
            f" this index has {identity['items']} items with hash {identity['index']};"
            " restore it with the same ids in the same order"
        )
    for name, value in identity.items():
        if state[name] != value:
            raise StateError(
                f"state is of another plan: it was saved with {name}={state[name]!r}, here {name}={value!r}"
            )
    made, seed = state["batches"], state["seed"]
    for name, value in (("batches", made), ("seed", seed)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise StateError(f"state: {name} must be an integer >= 0, got {value!r}")
    return made, seed


def _as_array(positions: Positions) -> NDArray[np.int64]:
    if isinstance(positions, slice):
        return np.arange(positions.start, positions.stop)
    return positions
