"""How one item-wise call is run: for which items, inline or elsewhere, and what becomes of failures."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from bf_batch.core import BatchCore
from bf_batch.engines import base
from bf_batch.engines.base import check_engine, check_workers
from bf_batch.errors import ItemError, SkipBatch, StopPipeline, item_error
from bf_batch.itemwise.threads import run_threads
from bf_batch.itemwise.timeouts import run_watched
from bf_batch.itemwise.work import Failure, PerItem, Work, check_per_item
from bf_index.errors import unknown

OnError: TypeAlias = Literal["raise", "skip", "collect"]
ON_ERROR = ("raise", "skip", "collect")


@dataclass(frozen=True, slots=True)
class ParallelOptions:
    """Options of an item-wise call: where it is run, for how long, what becomes of failures."""

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

    def changed(self, **given: Any) -> ParallelOptions:
        """Return the options with those of a call, None meaning unchanged."""
        given = {name: value for name, value in given.items() if value is not None}
        if not given:
            return self
        now = {
            "target": self.target,
            "on_error": self.on_error,
            "timeout": self.timeout,
            "workers": self.workers,
        }
        return ParallelOptions(**{**now, **given})


def choose_items(batch: BatchCore, p: Any, n: int, action: str) -> Any:
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


def run_work(work: Work, target: str, workers: int | None, timeout: float | None, action: str) -> list[Any]:
    """Return the results of all items in their order; an item's exception is a ``Failure`` among them."""
    if not len(work):
        return []
    if inspect.iscoroutinefunction(work.function):
        from bf_batch.itemwise.coroutines import run_async  # late: asyncio takes 20 ms of start-up

        return run_async(work, timeout, action)
    if target == "processes" and not base.in_worker:  # workers start no workers of their own
        from bf_batch.itemwise.processes import run_processes  # late: start-up time; few programs ask for it

        return run_processes(work, workers, timeout, action)
    if timeout is not None:
        return run_watched(work, 1 if target != "threads" else check_workers(workers), timeout, action)
    if target == "threads":
        return run_threads(work, check_workers(workers))
    return [work.run(number) for number in range(len(work))]


def run_chosen(work: Work, mask: Any, settings: ParallelOptions, action: str) -> list[Any]:
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


def run_all(work: Work, settings: ParallelOptions, action: str) -> list[Any]:
    """Run work for all items of a batch; failed ones are raised or left out of the batch."""
    results = run_work(work, settings.target, settings.workers, settings.timeout, action)
    return settle_failures(work.batch, results, (), {}, settings.on_error, action)[1]


def settle_failures(
    batch: BatchCore,
    results: list[Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    on_error: str,
    action: str,
) -> tuple[BatchCore, list[Any], tuple[Any, ...], dict[str, Any]]:
    """Raise, leave out or hand on failed items; return the batch, the results and the arguments for post."""
    failed = [number for number, result in enumerate(results) if type(result) is Failure]
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
