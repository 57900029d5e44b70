"""Batches for PyTorch: an iterable data set of what a pipeline delivers, made by a loader's workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import cache
from typing import Any

import numpy as np

from bf_index import new_seed
from bf_index.seeding import key_at
from bf_pipeline.outputs import Outputs, map_structure, pick_first, pick_outputs, seed_of_pass
from bf_pipeline.record.recorded import Recorded
from bf_pipeline.run.options import RunOptions
from bf_pipeline.run.run import Batches, Run

_OWNER = "to_torch"
# Options of a run that a data set, which may be read many times and in many processes, can't have.
_OF_ONE_RUN = ("checkpoint", "resume", "go_on", "bar", "graphs", "profile")
# So many passes are numbered in order; those after them have seeds of their own, too.
_PASSES = 1 << 14


def to_torch(
    pipeline: Any, batch_size: int, outputs: Outputs, *, seed: int | None = None, **options: Any
) -> Any:
    """Make a ``torch.utils.data.IterableDataset`` whose elements are batches of the pipeline as tensors.

    ``outputs`` names components: one, a tuple as ``('images', 'labels')``, or a dictionary, nested as you
    like; texts come as lists. Give it to ``DataLoader(data, batch_size=None, num_workers=...)``: it is in
    batches already. The batches are those of ``pipeline.gen_batch`` with the same seed, in the same order;
    each worker makes its share of them. Every pass is one epoch in an order of its own, repeatable by
    ``seed`` (in workers, and where ``data.set_epoch(number)`` was called, by the number of the pass). The
    other options are those of ``pipeline.gen_batch``: shuffle, drop_last, prefetch...

    A first batch is made at once, to check names and types: ``TypeError`` or ``ValueError`` for what can be
    no tensor and for options that belong to one run; ``ImportError`` without PyTorch.
    """
    made: Any = _make_class()
    for name in _OF_ONE_RUN:
        if {**pipeline.options, **options}.get(name):
            raise TypeError(f"{_OWNER}: {name} is for a run, not for a data set of many passes; leave it out")
    first_seed = new_seed() if seed is None else seed
    first = pick_first(pipeline, batch_size, outputs, _OWNER, first_seed, options)
    if first is not None:
        map_structure(first, _to_tensor)
    return made(pipeline, {**options, "batch_size": batch_size}, outputs, first_seed)


class TorchBatches:
    """Batches of a pipeline as tensors; with torch's ``IterableDataset`` it is what ``to_torch`` returns."""

    def __init__(self, pipeline: Recorded, options: Mapping[str, Any], outputs: Outputs, seed: int) -> None:
        self.pipeline = pipeline
        self.options = options
        self.outputs = outputs
        self.seed = seed
        self._total = self._start(seed, (0, 1)).run.total
        self._here = 0
        # In memory that workers share: the number of the next pass where it was told, else 0, then by the
        # number of a pass what tells it from others. Torch starts workers anew for each pass.
        self._passes: Any = _import_torch().zeros(1 + _PASSES, dtype=_import_torch().int64).share_memory_()

    def __len__(self) -> int:
        """Count the batches of a pass; ``TypeError`` where that is not known before."""
        if self._total is None:
            raise TypeError("the number of batches is not known: the pipeline has no end or rebatches")
        return self._total

    def set_epoch(self, epoch: int) -> None:
        """Say which pass comes next, and all after it until another call: a training goes on where it was."""
        if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0:
            raise ValueError(f"set_epoch: the number of a pass is an integer >= 0, got {epoch!r}")
        self._passes[0] = 1 + epoch

    def __iter__(self) -> Iterator[Any]:
        worker = _import_torch().utils.data.get_worker_info()
        # Workers of a pass have consecutive seeds from one that torch draws for it.
        drawn = new_seed() if worker is None else worker.seed - worker.id
        number = self._number_pass(drawn)
        share = (0, 1) if worker is None else (worker.id, worker.num_workers)
        return self._deliver(self._start(seed_of_pass(self.seed, number), share))

    def _start(self, seed: int, share: tuple[int, int]) -> Batches:
        given = RunOptions.of({**self.pipeline.options, **self.options, "seed": seed}, _OWNER)
        return Batches(Run(self.pipeline, given, share=share))

    def _deliver(self, batches: Batches) -> Iterator[Any]:
        with closing(batches):
            for batch in batches:
                yield map_structure(pick_outputs(batch, self.outputs, _OWNER), _to_tensor)

    def _number_pass(self, drawn: int) -> int:
        """Return the number of a pass, in which all its workers agree without waiting for each other.

        They have drawn the same number, look it up in one table, and enter it at one place.
        """
        shared = self._passes.numpy()
        known = shared.copy()  # another worker may enter it while this one looks
        if known[0]:
            return int(known[0]) - 1
        self._here += 1  # workers that stay for several passes keep what was drawn
        key = int.from_bytes(key_at(drawn, self._here, size=8), "little") >> 1 or 1
        found = np.flatnonzero((known[1:] == key) | (known[1:] == 0))
        if not len(found):
            return _PASSES + key
        shared[1 + found[0]] = key
        return int(found[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (), self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._passes.share_memory_()  # a deep copy is not shared yet


@cache
def _make_class() -> type[TorchBatches]:
    """Make the class that torch's ``DataLoader`` knows as an iterable data set."""
    base = _import_torch().utils.data.IterableDataset
    return type("TorchBatches", (TorchBatches, base), {"__doc__": TorchBatches.__doc__})


def _rebuild() -> TorchBatches:
    """Make the empty data set that a pickled one fills."""
    return object.__new__(_make_class())


def _import_torch() -> Any:
    try:
        import torch
        import torch.utils.data
    except ImportError as error:
        raise ImportError("to_torch needs PyTorch: pip install 'bf-pipeline[torch]'") from error
    return torch


def _to_tensor(array: np.ndarray) -> Any:
    """Return an array as a tensor of the same memory, of its own where that is read-only; texts as a list."""
    if array.dtype.kind in "US":
        return array.tolist()
    if not array.flags.writeable or min(array.strides, default=0) < 0:
        array = array.copy()
    return _import_torch().from_numpy(array)
