"""Actions: the mark on a function, and what a pipeline knows of it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, overload
from weakref import WeakKeyDictionary

Method = TypeVar("Method", bound=Callable[..., Any])
IsPending = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """Properties of an action that a pipeline asks for.

    ``itemwise`` actions take ``p=`` and per-item arguments themselves; ``resizes`` ones may return a batch of
    another length. ``pending`` says of the named arguments of a call whether it leaves its work to
    ``settle``: then it costs microseconds and reads no data.
    """

    name: str
    itemwise: bool = False
    resizes: bool = False
    pending: IsPending | None = None


@overload
def action(method: Method, /) -> Method: ...
@overload
def action(
    *, itemwise: bool = False, resizes: bool = False, use_lock: bool = False, pending: IsPending | None = None
) -> Callable[[Method], Method]: ...
def action(
    method: Method | None = None,
    /,
    *,
    itemwise: bool = False,
    resizes: bool = False,
    use_lock: bool = False,
    pending: IsPending | None = None,
) -> Method | Callable[[Method], Method]:
    """Mark a method of a batch as usable in pipelines; the function itself is returned unchanged.

    With ``use_lock=True`` calls of it in one process run one at a time: it is then wrapped. The other
    options are those of ``ActionSpec``.

    >>> @action
    ... def half(self): return self
    >>> half.__bf_action__.name
    'half'
    """

    def mark(method: Method) -> Method:
        if not callable(method):
            raise TypeError(f"@action marks a method, got {type(method).__name__}: put it above a def")
        marked = _locked(method) if use_lock else method
        of_items = itemwise or hasattr(method, "__bf_parallel__")
        marked.__bf_action__ = ActionSpec(method.__name__, of_items, resizes, pending)  # type: ignore[attr-defined]
        return marked

    return mark if method is None else mark(method)


class _Locks:
    """The locks of this process by function; none is held by its function, which so can be sent."""

    made: ClassVar[WeakKeyDictionary[Any, threading.RLock]] = WeakKeyDictionary()
    guard: ClassVar[threading.Lock] = threading.Lock()


def find_lock(method: Callable[..., Any]) -> threading.RLock:
    """Return the lock of a function in this process."""
    with _Locks.guard:
        return _Locks.made.setdefault(method, threading.RLock())


def _locked(method: Method) -> Method:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        with find_lock(method):
            return method(*args, **kwargs)

    return call  # type: ignore[return-value]
