"""What another framework gets of a batch: components as arrays, alone, in tuples or by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, Protocol

import numpy as np

from bf_index import rng_at
from bf_pipeline.run.run import Batches

# A component's name, or a tuple or dictionary of these: the structure of one element of a data set.
Outputs = Any
# Passes over a data set draw their seeds apart from actions (0) and expressions (1).
_PASSES = 2


class GivesBatches(Protocol):
    """What a data set is made from: a pipeline."""

    @property
    def gen_batch(self) -> Callable[..., Batches]:
        """``gen_batch(batch_size, ...)``: start a run and return its batches."""
        ...


def seed_of_pass(seed: int, number: int) -> int:
    """Return the seed of a pass over a data set: that of the data set for the first, another for each."""
    return seed if number == 0 else int(rng_at(seed, _PASSES, number).integers(2**31))


def map_structure(structure: Any, function: Callable[[Any], Any]) -> Any:
    """Return a structure with a function applied to its leaves; lists become tuples."""
    if isinstance(structure, Mapping):
        return {key: map_structure(value, function) for key, value in structure.items()}
    if isinstance(structure, tuple | list):
        return tuple(map_structure(value, function) for value in structure)
    return function(structure)


def pick_outputs(batch: Any, outputs: Outputs, owner: str) -> Any:
    """Return the components of a batch that ``outputs`` names, as arrays in the same structure."""
    return map_structure(outputs, lambda name: _read_array(batch, name, owner))


def pick_first(
    pipeline: GivesBatches,
    batch_size: int,
    outputs: Outputs,
    owner: str,
    seed: int,
    options: Mapping[str, Any],
) -> Any:
    """Return the outputs of a first batch, to see shapes and types; nothing is worked on ahead for it.

    None where the pipeline gives no batch.
    """
    ahead = ("prefetch", "engine", "workers", "n_epochs", "n_iters", "bar", "monitors", "profile")
    here = {key: value for key, value in options.items() if key not in ahead}
    with closing(pipeline.gen_batch(batch_size, seed=seed, n_iters=1, **here)) as batches:
        for batch in batches:
            return pick_outputs(batch, outputs, owner)
    return None


def _read_array(batch: Any, name: str, owner: str) -> np.ndarray:
    if not isinstance(name, str):
        raise TypeError(f"{owner}: outputs are names of components, got {name!r}")
    value = getattr(batch, name)
    try:
        array = np.asarray(value)
    except ValueError as error:
        error.add_note(f"component {name!r}: items of different shapes; crop, resize or pad them before")
        raise
    if array.dtype.hasobject:
        raise TypeError(
            f"component {name!r} holds items of different shapes or no numbers (dtype object); "
            f"crop, resize, pad or convert them before {owner}"
        )
    return array
