"""Actions that process the items of a batch one by one: in the caller, in threads or in processes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

from bf_batch.core import BatchCore
from bf_batch.engines.base import EngineName, check_engine, check_workers
from bf_batch.errors import ItemError, SkipBatch, StopPipeline, item_error
from bf_batch.itemwise.init_post import call_hook
from bf_batch.itemwise.run import run_work
from bf_batch.itemwise.work import ColumnItems, Failed, GivenItems, PerItem, Work, check_per_item
from bf_index.errors import unknown

Method = TypeVar("Method", bound=Callable[..., Any])
OnError: TypeAlias = Literal["raise", "skip", "collect"]
ON_ERROR = ("raise", "skip", "collect")
OWN = ("p", "target", "on_error", "timeout", "n_workers")
"""Keywords that every item-wise action takes itself."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How an item-wise call is run."""

    target: str = "threads"
    on_error: str = "raise"
    timeout: float | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        check_engine(self.target, "target")
        if self.on_error not in ON_ERROR:
            raise ValueError(unknown("on_error", self.on_error, ON_ERROR))
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"timeout must be a number of seconds > 0 or None, got {self.timeout!r}")
        check_workers(self.workers)

    def changed(self, **given: Any) -> Settings:
        """Return the settings with those of a call, None meaning unchanged."""
        given = {name: value for name, value in given.items() if value is not None}
        if not given:
            return self
        now = {
            "target": self.target,
            "on_error": self.on_error,
            "timeout": self.timeout,
            "workers": self.workers,
        }
        return Settings(**{**now, **given})


@dataclass(frozen=True, slots=True)
class Parallel:
    """What ``inbatch_parallel`` knows of a method: where items come from, where results go, how it is run."""

    method: Callable[..., Any]
    init: Any
    post: Any
    settings: Settings
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
        self, batch: BatchCore, args: tuple[Any, ...], kwargs: dict[str, Any], settings: Settings, p: Any
    ) -> Any:
        """Run the method for the items of a batch and hand the results to post."""
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
            address=batch.address(),
            with_batch=self.with_batch,
            with_rng=self.with_rng,
            per_item=per_item,
        )
        work.first_only = self.first_only
        results = run_chosen(work, choose(batch, p, len(items), action), settings, action)
        batch, results, args, kwargs = _settle(batch, results, args, kwargs, settings.on_error, action)
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
            return ColumnItems([component(batch, name, action) for name in names])
        if init == "data":
            return ColumnItems([batch.data])
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
    settings = Settings(target, on_error, timeout, n_workers)

    def decorate(method: Method) -> Method:
        if not callable(method):
            raise TypeError(f"@inbatch_parallel stands above a def, got {type(method).__name__}")
        parameters = inspect.signature(method).parameters
        if taken := [name for name in OWN if name in parameters]:
            raise TypeError(
                f"{method.__name__}: inbatch_parallel takes {', '.join(OWN)} itself; rename {taken[0]!r}"
            )
        plan = Parallel(method, init, post, settings, options, "rng" in parameters)

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


def component(batch: BatchCore, name: str, action: str) -> Any:
    """Return a component's values for item-wise work; ValueError when nothing is loaded."""
    values = getattr(batch, name)
    if values is None:
        raise ValueError(f"{action}: {type(batch).__name__}.{name} is empty; load it first")
    return values


def choose(batch: BatchCore, p: Any, n: int, action: str) -> Any:
    """Return a mask of the items that an action is applied to, None for all.

    ``p`` is the probability of each item, or ``PerItem`` of probabilities or of bools.
    """
    if p is None:
        return None
    if type(p) is PerItem:
        check_per_item({"p": p}, n, action)
        values = np.asarray(p.values)
        if values.dtype == bool:
            return values
        if values.size and not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(
                f"{action}: p must be between 0 and 1, got values from {values.min()} to {values.max()}"
            )
        return batch.rng().random(n) < values
    if isinstance(p, bool) or not isinstance(p, (int, float, np.number)):
        raise TypeError(f"{action}: p must be a number between 0 and 1 or PerItem, got {p!r}")
    if not 0 <= p <= 1:
        raise ValueError(f"{action}: p must be between 0 and 1, got {p}")
    return batch.rng().random(n) < p


def run_chosen(work: Work, mask: Any, settings: Settings, action: str) -> list[Any]:
    """Run the work for the chosen items; the others' results are what they were."""
    if mask is None or mask.all():
        return run_work(work, settings.target, settings.workers, settings.timeout, action)
    chosen = np.flatnonzero(mask).tolist()
    results = [work.unchanged(number) for number in range(len(work))]
    if chosen:
        done = run_work(work.part(chosen), settings.target, settings.workers, settings.timeout, action)
        for number, result in zip(chosen, done):
            results[number] = result
    return results


def run_settled(work: Work, settings: Settings, action: str) -> list[Any]:
    """Run work for all items of a batch; failed ones are raised or left out of the batch."""
    results = run_work(work, settings.target, settings.workers, settings.timeout, action)
    return _settle(work.batch, results, (), {}, settings.on_error, action)[1]


def _settle(
    batch: BatchCore,
    results: list[Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    on_error: str,
    action: str,
) -> tuple[BatchCore, list[Any], tuple[Any, ...], dict[str, Any]]:
    """Raise, leave out or hand on failed items; return the batch, the results and the arguments for post."""
    failed = [number for number, result in enumerate(results) if type(result) is Failed]
    if not failed:
        return batch, results, args, kwargs
    errors = to_errors(batch, results, failed, action)
    if on_error == "raise":
        raise errors[0]
    if on_error == "collect":
        for number, error in zip(failed, errors):
            results[number] = error
        return batch, results, args, kwargs
    if len(results) != len(batch):
        raise errors[0]
    good = sorted(set(range(len(results))) - set(failed))
    batch.leave_out(errors)

    def shorter(value: Any) -> Any:
        return PerItem([value[number] for number in good]) if type(value) is PerItem else value

    kept = [results[number] for number in good]
    return batch, kept, tuple(map(shorter, args)), {name: shorter(value) for name, value in kwargs.items()}


def to_errors(batch: BatchCore, results: list[Any], failed: list[int], action: str) -> list[ItemError]:
    """Return the errors of failed items; a signal such as SkipBatch is raised as it is."""
    ids = batch.indices if len(results) == len(batch) else range(len(results))
    errors = []
    for number in failed:
        error = results[number].error
        if isinstance(error, (SkipBatch, StopPipeline)):
            raise error
        id = ids[number]
        id = id.item() if isinstance(id, np.generic) else id
        errors.append(item_error(error, id, action, number))
    return errors


def any_action_failed(results: Sequence[Any]) -> bool:
    """Say whether any of the results that post received is an exception."""
    return any(isinstance(result, BaseException) for result in results)
