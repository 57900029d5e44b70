"""Actions: marks on functions, and what an action may hand back."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from bf_batch.batch import Batch

Method = TypeVar("Method", bound=Callable[..., Any])
Leaves = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """What a pipeline knows of an action.

    ``itemwise`` actions take ``p=`` and per-item arguments themselves; ``resizes`` ones may return a batch of
    another length. ``pending`` says of the named arguments of a call whether it leaves its work to
    ``settle``: then it costs microseconds and reads no data.
    """

    name: str
    itemwise: bool = False
    resizes: bool = False
    pending: Leaves | None = None


@overload
def action(method: Method, /) -> Method: ...
@overload
def action(
    *, itemwise: bool = False, resizes: bool = False, use_lock: bool = False, pending: Leaves | None = None
) -> Callable[[Method], Method]: ...
def action(
    method: Method | None = None,
    /,
    *,
    itemwise: bool = False,
    resizes: bool = False,
    use_lock: bool = False,
    pending: Leaves | None = None,
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


def _locked(method: Method) -> Method:
    lock = threading.RLock()

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        with lock:
            return method(*args, **kwargs)

    return call  # type: ignore[return-value]


def check_result(result: Any, batch: Batch, spec: ActionSpec) -> Batch:
    """Return what an action gave back if it is a batch of the same length, else raise an error that names it.

    Raises TypeError for anything that is no batch (``return self`` forgotten), ValueError for another length.
    """
    from bf_batch.batch import Batch

    owner = type(batch).__name__
    if not isinstance(result, Batch):
        hint = "end it with `return self`" if result is None else "an action returns the batch"
        raise TypeError(f"{owner}.{spec.name} returned {type(result).__name__}, not a batch: {hint}")
    if len(result) != len(batch) and not spec.resizes:
        raise ValueError(
            f"{owner}.{spec.name} returned a {type(result).__name__} of {len(result)} items for a batch of "
            f"{len(batch)}; mark it @action(resizes=True) if that is meant"
        )
    return result
