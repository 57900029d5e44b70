"""Actions: the mark on a function, and what a pipeline knows of it."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar, overload
from weakref import WeakKeyDictionary

Method = TypeVar("Method", bound=Callable[..., Any])
IsPending = Callable[[Mapping[str, Any]], bool]
_NO_OLDER: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """Properties of an action that a pipeline asks for.

    ``itemwise`` actions take ``p=`` and per-item arguments themselves; ``resizes`` ones may return a batch of
    another length. ``pending`` says of the named arguments of a call whether it leaves its work to
    ``settle``: then it costs microseconds and reads no data. ``older`` has the names that arguments had
    before, and those they have now; ``adds`` are components that the batch has after it.
    """

    name: str
    itemwise: bool = False
    resizes: bool = False
    pending: IsPending | None = None
    older: Mapping[str, str] = field(default_factory=lambda: _NO_OLDER)
    adds: tuple[str, ...] = ()

    def rename(self, named: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return named arguments by the names they have now, and a hint for each that had an older one.

        A TypeError when an argument is given by both.
        """
        renamed, hints = dict(named), []
        for old in self.older.keys() & named.keys():
            new = self.older[old]
            if new in named:
                raise TypeError(f"{self.name}: got {old}= and {new}=, which are one argument; give {new}=")
            renamed[new] = renamed.pop(old)
            hints.append(f"{self.name}: {old}= is now called {new}=; the older name still works")
        return renamed, hints


@overload
def action(method: Method, /) -> Method: ...
@overload
def action(
    *,
    itemwise: bool = False,
    resizes: bool = False,
    use_lock: bool | str = False,
    pending: IsPending | None = None,
    older: Mapping[str, str] = ...,
    adds: tuple[str, ...] = (),
) -> Callable[[Method], Method]: ...
def action(
    method: Method | None = None,
    /,
    *,
    itemwise: bool = False,
    resizes: bool = False,
    use_lock: bool | str = False,
    pending: IsPending | None = None,
    older: Mapping[str, str] = _NO_OLDER,
    adds: tuple[str, ...] = (),
) -> Method | Callable[[Method], Method]:
    """Mark a method of a batch as usable in pipelines; the function itself is returned unchanged.

    With ``use_lock=True`` calls of it in one process run one at a time; a text is the name of a lock that
    several actions share. With ``older`` an argument may be given by its older name, with a FutureWarning.
    With either it is wrapped. The other options are those of ``ActionSpec``.

    >>> @action
    ... def half(self): return self
    >>> half.__bf_action__.name
    'half'
    """

    def mark(method: Method) -> Method:
        if not callable(method):
            raise TypeError(f"@action marks a method, got {type(method).__name__}: put it above a def")
        if not isinstance(use_lock, bool | str) or use_lock == "":
            raise TypeError(f"@action: use_lock is True, False or the name of a lock, got {use_lock!r}")
        name = use_lock if isinstance(use_lock, str) else None
        marked = _locked(method, name) if use_lock else method
        of_items = itemwise or hasattr(method, "__bf_parallel__")
        spec = ActionSpec(method.__name__, of_items, resizes, pending, older, adds)
        marked = _renaming(marked, spec) if older else marked
        marked.__bf_action__ = spec  # type: ignore[attr-defined]
        return marked

    return mark if method is None else mark(method)


class _Locks:
    """The locks of this process by function and by name; no function holds its own, so it can be sent."""

    made: ClassVar[WeakKeyDictionary[Any, threading.RLock]] = WeakKeyDictionary()
    named: ClassVar[dict[str, threading.RLock]] = {}
    guard: ClassVar[threading.Lock] = threading.Lock()


def find_lock(method: Callable[..., Any], name: str | None = None) -> threading.RLock:
    """Return the lock of a function, or of a name, in this process."""
    with _Locks.guard:
        if name is not None:
            return _Locks.named.setdefault(name, threading.RLock())
        return _Locks.made.setdefault(method, threading.RLock())


def _locked(method: Method, name: str | None) -> Method:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        with find_lock(method, name):
            return method(*args, **kwargs)

    return call  # type: ignore[return-value]


def _renaming(method: Method, spec: ActionSpec) -> Method:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs and not spec.older.keys().isdisjoint(kwargs):
            kwargs, hints = spec.rename(kwargs)
            for hint in hints:
                warnings.warn(hint, FutureWarning, stacklevel=2)
        return method(*args, **kwargs)

    call.__bf_renamed__ = method  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def without_renaming(method: Any) -> Any:
    """Return an action that knows its arguments by the names they have now only: a call less."""
    return getattr(method, "__bf_renamed__", method)
