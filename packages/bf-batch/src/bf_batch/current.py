"""Which item of which batch a thread is working on: gives an item method its own random address."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from bf_batch.components import Holder


class NeedsBatch(BaseException):
    """An item method in a worker process read a component of the batch, which was not sent along.

    Not an Exception, so that no ``except`` of an item method hides it from the parent, which sends the whole
    batch.
    """


class Current:
    """The item at hand: its batch, its random address and how many generators it has asked for."""

    __slots__ = ("batch", "calls", "path")

    def __init__(self, batch: Holder, path: tuple[int, ...]) -> None:
        self.batch = batch
        self.path = path
        self.calls = -1


_ITEM: ContextVar[Current | None] = ContextVar("bf_batch_item", default=None)
item = _ITEM.get
set_item = _ITEM.set


def is_shell(batch: Any) -> bool:
    """Say whether a batch came to a worker process without its data."""
    return "_bf_shell" in batch.__dict__
