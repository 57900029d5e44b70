"""Batches for TensorFlow: a ``tf.data.Dataset`` of what a pipeline delivers."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any, Protocol

import numpy as np

from bf_index import new_seed, rng_at
from bf_pipeline.run.run import Batches

# A component's name, or a tuple or dictionary of these: the structure of one element of the data set.
Outputs = Any
# Passes over a data set draw their seeds apart from actions (0) and expressions (1).
_PASSES = 2


class GivesBatches(Protocol):
    """What a data set is made from: a pipeline."""

    @property
    def gen_batch(self) -> Callable[..., Batches]:
        """``gen_batch(batch_size, ...)``: start a run and return its batches."""
        ...


def to_tf_dataset(
    pipeline: GivesBatches,
    batch_size: int,
    outputs: Outputs,
    *,
    signature: Any = None,
    ahead: int = 2,
    counted: bool = True,
    seed: int | None = None,
    **options: Any,
) -> Any:
    """Make a ``tf.data.Dataset`` whose elements are batches of the pipeline.

    ``outputs`` names components: ``('images', 'labels')`` gives pairs as ``keras.Model.fit`` takes them, a
    dictionary gives named inputs, and both may be nested. Shapes and types are those of the first batch, with
    the number of items open, unless ``signature`` (a structure of ``tf.TensorSpec``) says otherwise.
    TensorFlow asks for ``ahead`` elements in advance, and knows how many there are; ``counted=False`` where
    actions leave batches out. Every pass is one epoch in an order of its own, repeatable by ``seed``. The
    other options are those of ``pipeline.gen_batch``: shuffle, prefetch...
    """
    tf = _import_tensorflow()
    first_seed = new_seed() if seed is None else seed
    passes = itertools.count()

    def elements() -> Iterator[Any]:
        number = next(passes)
        pass_seed = first_seed if number == 0 else int(rng_at(first_seed, _PASSES, number).integers(2**31))
        with closing(pipeline.gen_batch(batch_size, seed=pass_seed, **options)) as batches:
            for batch in batches:
                yield _pick(batch, outputs)
            if counted and batches.run.total is not None and batches.run.delivered < batches.run.total:
                left = f"{batches.run.delivered} of {batches.run.total} batches came"
                raise ValueError(f"to_tf_dataset: {left}, others were left out; give counted=False")

    if signature is None:
        signature = _make_signature(tf, _make_first(pipeline, batch_size, outputs, first_seed, options))
    made = tf.data.Dataset.from_generator(elements, output_signature=signature)
    total = pipeline.gen_batch(batch_size, seed=first_seed, **options).run.total
    if counted and total is not None:
        # Keras takes the end of a data set without a count for an interruption, and warns.
        made = made.apply(tf.data.experimental.assert_cardinality(total))
    return made.prefetch(ahead) if ahead else made


def _import_tensorflow() -> Any:
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read when TensorFlow is imported, which may be here
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ImportError("to_tf_dataset needs TensorFlow: pip install 'bf-models[cpu]'") from error
    return tf


def _make_first(
    pipeline: GivesBatches, batch_size: int, outputs: Outputs, seed: int, options: Mapping[str, Any]
) -> Any:
    """Make one batch to see shapes and types; nothing is worked on ahead for it."""
    here = {
        key: value
        for key, value in options.items()
        if key not in ("prefetch", "engine", "n_epochs", "n_iters")
    }
    with closing(pipeline.gen_batch(batch_size, seed=seed, n_iters=1, **here)) as batches:
        for batch in batches:
            return _pick(batch, outputs)
    raise ValueError("to_tf_dataset: the pipeline gave no batch to take shapes from; give signature=")


def _map_structure(structure: Any, function: Callable[[Any], Any]) -> Any:
    """Return a structure with a function applied to its leaves; lists become tuples."""
    if isinstance(structure, Mapping):
        return {key: _map_structure(value, function) for key, value in structure.items()}
    if isinstance(structure, tuple | list):
        return tuple(_map_structure(value, function) for value in structure)
    return function(structure)


def _pick(batch: Any, outputs: Outputs) -> Any:
    return _map_structure(outputs, lambda name: _read_array(batch, name))


def _read_array(batch: Any, name: str) -> np.ndarray:
    if not isinstance(name, str):
        raise TypeError(f"to_tf_dataset: outputs are names of components, got {name!r}")
    value = getattr(batch, name)
    try:
        array = np.asarray(value)
    except ValueError as error:
        error.add_note(f"component {name!r}: items of different shapes; crop, resize or pad them before")
        raise
    if array.dtype.hasobject:
        raise TypeError(
            f"component {name!r} holds items of different shapes or no numbers (dtype object); "
            "crop, resize, pad or convert them before to_tf_dataset"
        )
    return array


def _make_signature(tf: Any, element: Any) -> Any:
    def spec(array: np.ndarray) -> Any:
        return tf.TensorSpec(shape=(None, *array.shape[1:]), dtype=tf.as_dtype(array.dtype))

    return _map_structure(element, spec)
