"""Errors and signals of batches: what failed in which item, and the two ways an action may end early."""

from __future__ import annotations

from typing import Any

from bf_index.errors import escape


class SkipBatch(Exception):
    """Signal of an action to leave the current batch out; the run goes on with the next one."""


class StopPipeline(Exception):
    """Signal of an action to end the run after the batches already delivered."""


class RowsError(ValueError, IndexError):
    """Preloaded data whose number of rows does not fit the items."""


class ItemError(RuntimeError):
    """Error of one item of a batch in an action; the original exception is its ``__cause__``.

    ``id`` is the item's id in the index, ``action`` the action's name, ``position`` the item's place in the
    batch.
    """

    def __init__(self, id: Any, action: str, position: int, what: str) -> None:
        super().__init__(f"{action}: item {id!r} (number {position} of the batch): {what}")
        self.id = id
        self.action = action
        self.position = position
        self.what = what

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id, self.action, self.position, self.what), {"__cause__": self.__cause__}

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        self.__cause__ = (state or {}).get("__cause__")


class ItemTimeoutError(ItemError, TimeoutError):
    """Error of one item that took longer than the action's ``timeout``."""


def item_error(error: BaseException, id: Any, action: str, position: int) -> ItemError:
    """Return an exception of one item as an ItemError of which it is the cause."""
    wrapped = ItemError(id, action, position, f"{type(error).__name__}: {escape(error, keep=chr(10))}")
    wrapped.__cause__ = error
    return wrapped
