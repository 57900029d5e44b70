"""Actions that process the items of a batch one by one: in the caller, in threads or in processes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from bf_batch.core import BatchCore
from bf_batch.engines.base import EngineName
from bf_batch.groups import get_entry, has_parts
from bf_batch.itemwise.init_post import call_hook
from bf_batch.itemwise.run import OnError, ParallelOptions, choose_items, run_chosen, settle_failures
from bf_batch.itemwise.work import ColumnItems, GivenItems, Work, check_per_item
from bf_index.errors import unknown

Method = TypeVar("Method", bound=Callable[..., Any])
OWN = ("p", "target", "on_error", "timeout", "n_workers")
"""Keywords that every item-wise action takes itself."""


@dataclass(frozen=True, slots=True)
class ParallelMethod:
    """Method of one item: where its items come from, where its results go, how it is run."""

    method: Callable[..., Any]
    init: Any
    post: Any
    settings: ParallelOptions
    options: dict[str, Any] = field(default_factory=dict)
    with_rng: bool = False
    with_batch: bool = True
    first_only: bool = False
    finish: Callable[[BatchCore, list[Any]], None] | None = None

    def check(self, cls: type[BatchCore], name: str) -> None:
        """Check the names of init and post against a class of batches, when it is defined."""
        for kind, value in (("init", self.init), ("post", self.post)):
            names = value if isinstance(value, (tuple, list)) and kind == "init" else (value,)
            for part in names:
                if isinstance(part, str) and not hasattr(cls, part) and part not in cls.components:
                    known = [
                        word for word in (*cls.components, *dir(cls)) if not word.startswith(("__", "_bf_"))
                    ]
                    hint = unknown("attribute", part, known, cls.__name__)
                    raise AttributeError(f"{cls.__name__}.{name}: {kind}={part!r}: {hint}")

    def call(
        self,
        batch: BatchCore,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        settings: ParallelOptions,
        p: Any,
        address: tuple[int, ...] | None = None,
    ) -> Any:
        """Run the method for the items of a batch, at a random address, and hand the results to post."""
        action = f"{type(batch).__name__}.{getattr(self.method, '__name__', repr(self.method))}"
        items = self._items(batch, args, kwargs, action)
        given = {**{str(number): value for number, value in enumerate(args)}, **kwargs}
        per_item = check_per_item(given, len(items), action) if given else False
        work = Work(
            function=self.method,
            batch=batch,
            items=items,
            args=args,
            kwargs=kwargs,
            positions=range(len(items)),
            address=batch.address() if address is None else address,
            with_batch=self.with_batch,
            with_rng=self.with_rng,
            per_item=per_item,
        )
        work.first_only = self.first_only
        results = run_chosen(work, choose_items(batch, p, len(items), action), settings, action)
        batch, results, args, kwargs = settle_failures(
            batch, results, args, kwargs, settings.on_error, action
        )
        if self.finish is not None:
            self.finish(batch, results)
        if self.post is None:
            return batch
        post = getattr(type(batch), self.post).__get__(batch) if isinstance(self.post, str) else self.post
        result = call_hook(post, (results, *args), {**self.options, **kwargs}, own=1)
        if result is None:
            raise TypeError(f"{action}: post {self.post!r} returned None; end it with `return self`")
        return result

    def _items(
        self, batch: BatchCore, args: tuple[Any, ...], kwargs: dict[str, Any], action: str
    ) -> ColumnItems | GivenItems:
        init = self.init
        names = (init,) if isinstance(init, str) else init
        if isinstance(names, (tuple, list)) and all(name in batch.components for name in names):
            return ColumnItems([require_component(batch, name, action) for name in names])
        if init == "data":
            data = batch.data
            if has_parts(data):
                data = [get_entry(data, position) for position in range(len(batch))]
            return ColumnItems([data])
        if isinstance(init, str):
            found = getattr(batch, init)
            given = call_hook(found, args, {**self.options, **kwargs}, own=0) if callable(found) else found
        elif callable(init):
            given = call_hook(init, (batch, *args), {**self.options, **kwargs}, own=1)
        else:
            given = init
        if isinstance(given, np.ndarray):
            return ColumnItems([given])
        if not isinstance(given, (list, tuple)):
            try:
                given = list(given)
            except TypeError:
                raise TypeError(
                    f"{action}: init {self.init!r} gave {type(given).__name__}, not one entry for each item"
                ) from None
        return GivenItems(given)


def inbatch_parallel(
    init: str | Sequence[str] | Callable[..., Any],
    post: str | Callable[..., Any] | None = None,
    target: EngineName = "threads",
    *,
    on_error: OnError = "raise",
    timeout: float | None = None,
    n_workers: int | None = None,
    **options: Any,
) -> Callable[[Method], Method]:
    """Turn a method for one item into a method for a batch.

    ``init`` says what the items are: a component, a tuple of components, a method's name or a function. A
    method gets the call's arguments if it takes any, and returns for each item a value, a tuple of arguments,
    a dict of keyword arguments or a (tuple, dict). ``post`` gets the results in order and returns the batch.
    ``options`` are keyword arguments for init and post.

    A failed item is an ItemError (``on_error='raise'``), is left out of the batch (``'skip'``), or is handed
    to post as an ItemError among the results (``'collect'``). ``timeout`` is in seconds for one item. A
    method with a parameter ``rng`` gets a generator of the item's own, the same for every target.

    The method takes ``p=``, ``target=``, ``on_error=``, ``timeout=`` and ``n_workers=`` at each call, too,
    and ``PerItem`` arguments. Coroutines of an ``async def`` are awaited all at once, whatever the target.
    In worker processes ``self`` is a copy: what a method assigns to it is lost.
    """
    settings = ParallelOptions(target, on_error, timeout, n_workers)

    def decorate(method: Method) -> Method:
        if not callable(method):
            raise TypeError(f"@inbatch_parallel stands above a def, got {type(method).__name__}")
        parameters = inspect.signature(method).parameters
        if taken := [name for name in OWN if name in parameters]:
            raise TypeError(
                f"{method.__name__}: inbatch_parallel takes {', '.join(OWN)} itself; rename {taken[0]!r}"
            )
        plan = ParallelMethod(method, init, post, settings, options, "rng" in parameters)

        @functools.wraps(method)
        def call(
            batch: BatchCore,
            *args: Any,
            p: Any = None,
            target: Any = None,
            on_error: Any = None,
            timeout: Any = None,
            n_workers: Any = None,
            **kwargs: Any,
        ) -> Any:
            now = settings.changed(target=target, on_error=on_error, timeout=timeout, workers=n_workers)
            return plan.call(batch, args, kwargs, now, p)

        call.__bf_parallel__ = plan  # type: ignore[attr-defined]
        if (spec := getattr(method, "__bf_action__", None)) is not None:
            call.__bf_action__ = replace(spec, itemwise=True)  # type: ignore[attr-defined]
        return call  # type: ignore[return-value]

    return decorate


def require_component(batch: BatchCore, name: str, action: str) -> Any:
    """Return a component's values for item-wise work; ValueError when nothing is loaded."""
    values = getattr(batch, name)
    if values is None:
        raise ValueError(f"{action}: {type(batch).__name__}.{name} is empty; load it first")
    return values


def any_action_failed(results: Sequence[Any]) -> bool:
    """Whether any of the results that post received is an exception."""
    return any(isinstance(result, BaseException) for result in results)
