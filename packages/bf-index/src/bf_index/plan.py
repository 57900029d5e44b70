"""How an index is cut into batches: checked arguments and pure arithmetic over batch numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bf_index.arguments import check_bool, check_count
from bf_index.order import Order, Sequential, Shuffled
from bf_index.seeding import key_at

_SHARD = 106
"""First number of the addresses of the seeds of shards."""


def check_order(shuffle: Any, order: Any) -> Order:
    """Return the order that ``shuffle`` and ``order`` ask for together."""
    shuffled = check_bool("shuffle", shuffle)
    if order is None:
        return Shuffled() if shuffled else Sequential()
    if isinstance(order, type) or not isinstance(order, Order):
        raise TypeError(
            f"order must be Sequential(), Shuffled(), Weighted(weights), Balanced(labels) or an object with"
            f" their methods, got {order!r}"
        )
    if shuffled and not isinstance(order, Shuffled):
        raise ValueError(
            f"shuffle=True and order={type(order).__name__}(...) contradict each other; give one"
        )
    return order


@dataclass(frozen=True, slots=True)
class Plan:
    """Batches 0, 1, 2... of endless epochs, up to ``total`` of them.

    ``length`` is the number of places in an epoch. Without ``cross_epochs`` every epoch starts a new batch;
    with it batches are cut from the epochs laid end to end, so only the very last may be short. ``shard``
    is empty, or number and count of each sharding that led to these items.
    """

    batch_size: int
    order: Order
    items: int
    length: int
    n_epochs: int | None
    n_iters: int | None
    drop_last: bool
    cross_epochs: bool
    shard: tuple[int, ...] = ()

    def data_seed(self, seed: int) -> int:
        """Return the seed of what is drawn for these items: shards of one seed draw apart."""
        if not self.shard:
            return seed
        return int.from_bytes(key_at(seed, _SHARD, *self.shard, size=8), "little")

    @property
    def total(self) -> int | None:
        """Number of batches, None when there is no end."""
        if self.n_iters is not None or self.n_epochs is None:
            return self.n_iters
        if not self.cross_epochs:
            return self.n_epochs * self.first(1)
        places = self.n_epochs * self.length
        return places // self.batch_size if self.drop_last else -(-places // self.batch_size)

    def first(self, epoch: int) -> int:
        """Return the number of the first batch that starts in an epoch."""
        if self.cross_epochs:
            return -(-epoch * self.length // self.batch_size)
        whole = self.length // self.batch_size
        return epoch * (whole if self.drop_last or whole * self.batch_size == self.length else whole + 1)

    def locate(self, number: int) -> tuple[int, int]:
        """Return the epoch in which a batch starts and its number within that epoch."""
        if not self.cross_epochs:
            return divmod(number, self.first(1))
        epoch = number * self.batch_size // self.length
        return epoch, number - self.first(epoch)

    def span(self, number: int, most: int) -> tuple[int, int]:
        """Return the places (start, stop) in its epoch of batch ``number`` and up to ``most - 1`` after it.

        The batches end with the epoch, but for one that crosses into the next: it comes alone.
        """
        epoch, batch = self.locate(number)
        offset = self.first(epoch) * self.batch_size - epoch * self.length if self.cross_epochs else 0
        start = offset + batch * self.batch_size
        whole = (self.length - start) // self.batch_size
        if most <= whole:
            return start, start + most * self.batch_size
        if whole and (self.cross_epochs or self.drop_last):
            return start, start + whole * self.batch_size
        if self.cross_epochs and (self.n_epochs is None or epoch + 1 < self.n_epochs):
            return start, start + self.batch_size
        return start, self.length


def make_plan(
    items: int,
    batch_size: Any,
    order: Order,
    *,
    n_epochs: Any = None,
    n_iters: Any = None,
    drop_last: Any = False,
    cross_epochs: Any = False,
    shard: tuple[int, ...] = (),
) -> Plan:
    """Return the checked plan of batches over ``items`` items; endless when neither number is given."""
    size = check_count("batch_size", batch_size, 1)
    if n_epochs is not None and n_iters is not None:
        raise ValueError(
            f"give n_epochs or n_iters, not both: got n_epochs={n_epochs!r} and n_iters={n_iters!r}"
        )
    length = order.epoch_length(items)
    if size > length:
        what = f"{length} items" if length == items else f"{length} draws of an epoch"
        raise ValueError(f"batch_size must be at most the number of items, got batch_size={size} for {what}")
    return Plan(
        batch_size=size,
        order=order,
        items=items,
        length=length,
        n_epochs=None if n_epochs is None else check_count("n_epochs", n_epochs, 0),
        n_iters=None if n_iters is None else check_count("n_iters", n_iters, 0),
        drop_last=check_bool("drop_last", drop_last),
        cross_epochs=check_bool("cross_epochs", cross_epochs),
        shard=shard,
    )
