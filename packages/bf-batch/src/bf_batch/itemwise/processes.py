"""Item-wise work in worker processes: what is common goes to a worker once, the items in a few pieces."""

from __future__ import annotations

import itertools
import pickle
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np

from bf_batch.core import BatchCore
from bf_batch.engines.base import WorkerDied, check_workers
from bf_batch.engines.channel import pack
from bf_batch.engines.factory import shared
from bf_batch.engines.pickling import dumps, refuse_unpicklable
from bf_batch.engines.processes import ProcessesEngine
from bf_batch.engines.worker import Remote
from bf_batch.errors import ItemTimeoutError
from bf_batch.items import NeedsBatch
from bf_batch.itemwise.init_post import read_parameters
from bf_batch.itemwise.timeouts import await_all
from bf_batch.itemwise.work import ColumnItems, Failure, Work, id_of

_PIECES = 4
"""Pieces of the items for each worker: several, so that a slow one does not keep the others waiting."""

_needs: weakref.WeakKeyDictionary[Callable[..., Any], frozenset[str]] = weakref.WeakKeyDictionary()
"""What item functions were seen to read besides their own item: 'batch', its components; 'dataset'."""

_calls = itertools.count()


class _LastCall:
    """Common part, in a worker, of the last call, so that it is unpickled once for all pieces."""

    call: ClassVar[int] = -1
    value: ClassVar[Any] = None


class Parcel:
    """A batch as it is sent: without its data and its data set unless the item function reads them."""

    def __init__(self, batch: BatchCore, needs: frozenset[str]) -> None:
        self.batch = batch
        self.needs = needs

    def __reduce__(self) -> tuple[Any, ...]:
        batch = self.batch
        kind, arguments, state = batch.__reduce__()
        if "batch" not in self.needs:
            own = {"_bf_index": batch.index, "_bf_data": {}, "_bf_positions": None, "_bf_shell": True}
            state = {**batch.__dict__, **own}
        left_behind = batch.dataset is not None and "dataset" not in self.needs
        dataset: Any = None if left_behind else batch.dataset
        if hasattr(dataset, "_bf_without_data"):  # the data of all items would be copied at every call
            dataset = dataset._bf_without_data()
        state = {**state, "dataset": dataset}
        if left_behind:
            del state["dataset"]
        return _make_empty, (kind, arguments, state)


def _make_empty(kind: Any, arguments: Any, state: dict[str, Any]) -> BatchCore:
    batch: BatchCore = kind(*arguments)
    batch.__setstate__(state)
    return batch


class MethodAddress:
    """The function of an item-wise method, found by class and name."""

    def __init__(self, owner: type, name: str) -> None:
        self.owner = owner
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return _find_function, (self.owner, self.name)


def _find_function(owner: type, name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = owner.__dict__[name].__bf_parallel__.method
    return function


def _address_function(function: Callable[..., Any], batch: BatchCore) -> Any:
    for owner in type(batch).__mro__:
        found = owner.__dict__.get(function.__name__)
        if found is not None and getattr(getattr(found, "__bf_parallel__", None), "method", None) is function:
            return MethodAddress(owner, function.__name__)
    return function


def run_processes(work: Work, workers: int | None, timeout: float | None, action: str) -> list[Any]:
    """Return the results of all items; the pool of processes is the one that this process keeps."""
    needs = _needs.get(work.function, frozenset()) if work.function in _needs else frozenset()
    while True:
        try:
            return _run(work, check_workers(workers), timeout, action, needs)
        except NeedsBatch as error:
            if error.what in needs:
                raise
            needs |= {error.what}
            with suppress(TypeError):  # a callable without weak references is asked at each call
                _needs[work.function] = needs


def _run(work: Work, workers: int, timeout: float | None, action: str, needs: frozenset[str]) -> list[Any]:
    n = len(work)
    size = 1 if timeout is not None else -(-n // (_PIECES * workers))
    pieces = [slice(start, min(start + size, n)) for start in range(0, n, size)]
    common, buffers = _pack_common(work, needs, action)
    engine = shared("processes", workers)
    assert isinstance(engine, ProcessesEngine)
    plain = not work.per_item and _is_plain(work.items)
    futures: list[Future[Any]] = []
    try:
        for rows in pieces:
            part = work.part(rows)
            own = (part.items, list(part.positions), (part.args, part.kwargs) if work.per_item else None)
            if plain:
                futures.append(engine.send(pack((run_piece, (common, buffers, own)), pickle.dumps)))
            else:
                futures.append(engine.submit(run_piece, common, buffers, own))
        if timeout is not None:
            await_all(futures, {}, work, timeout, action)
        return [_restore(result) for future in futures for result in future.result()]
    except BaseException as error:
        for future in futures:
            if isinstance(error, (ItemTimeoutError, KeyboardInterrupt)):
                engine.abandon(future)
            else:
                future.cancel()
        if isinstance(error, WorkerDied):
            dead = next(k for k, future in enumerate(futures) if future.done() and _has_died(future))
            raise WorkerDied(error.pid, error.code, _describe_items(work, action, pieces[dead])) from None
        raise


def _is_plain(items: Any) -> bool:
    """Whether items are numbers in arrays, which need no search for what a worker can't import."""
    if not isinstance(items, ColumnItems):
        return False
    return all(type(column) is np.ndarray and not column.dtype.hasobject for column in items.columns)


def _has_died(future: Future[Any]) -> bool:
    return not future.cancelled() and isinstance(future.exception(), WorkerDied)


def _describe_items(work: Work, action: str, rows: slice) -> str:
    first, last = id_of(work, rows.start), id_of(work, rows.stop - 1)
    place = work.batch.place
    where = f" of batch {place.batch} of epoch {place.epoch}" if place is not None else ""
    return f"{action}, " + (f"item {first!r}" if first == last else f"items {first!r} to {last!r}") + where


def _pack_common(work: Work, needs: frozenset[str], action: str) -> tuple[tuple[int, bytes], list[Any]]:
    """Pickle once what all pieces share; TypeError naming the argument that can't be."""
    batch = Parcel(work.batch, needs)
    arguments = (None, None) if work.per_item else (work.args, work.kwargs)
    function = _address_function(work.function, work.batch) if work.with_batch else work.function
    flags = (work.address, work.with_batch, work.with_rng, work.per_item)
    try:
        message = pack((function, batch, arguments, flags), dumps)
    except Exception as error:  # noqa: BLE001  pickling runs code of any type
        names = read_parameters(work.function).positional[
            int(work.with_batch) + len(work.items.arguments(0)[0]) :
        ]
        given = [
            *zip([*names, *map(str, range(len(names), len(work.args)))], work.args),
            *work.kwargs.items(),
        ]
        named = {f"argument {name} of {action}": value for name, value in given}
        refuse_unpicklable(
            {**named, f"{action}": work.function, "the batch": batch}, "worker processes", error
        )
    return (next(_calls), message.data), [np.frombuffer(buffer, np.uint8) for buffer in message.buffers]


def run_piece(common: tuple[int, bytes], buffers: list[Any], own: tuple[Any, ...]) -> list[Any]:
    """Run some of the items; called in a worker."""
    call, data = common
    if _LastCall.call != call:
        _LastCall.value = None
        _LastCall.value = pickle.loads(data, buffers=buffers)  # noqa: S301  from the parent
        _LastCall.call = call
    function, batch, (args, kwargs), (address, with_batch, with_rng, per_item) = _LastCall.value
    items, positions, given = own
    if given is not None:
        args, kwargs = given
    work = Work(function, batch, items, args, kwargs, positions, address, with_batch, with_rng, per_item)
    results = [work.run(number) for number in range(len(positions))]
    return [Remote(result.error) if type(result) is Failure else result for result in results]


def _restore(result: Any) -> Any:
    return Failure(result.restore()) if type(result) is Remote else result
