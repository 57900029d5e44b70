"""Batches for TensorFlow: a ``tf.data.Dataset`` of what a pipeline delivers."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np

from bf_index import new_seed
from bf_pipeline.outputs import GivesBatches, Outputs, map_structure, pick_first, pick_outputs, seed_of_pass

_OWNER = "to_tf_dataset"


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
        pass_seed = seed_of_pass(first_seed, next(passes))
        with closing(pipeline.gen_batch(batch_size, seed=pass_seed, **options)) as batches:
            for batch in batches:
                yield pick_outputs(batch, outputs, _OWNER)
            if counted and batches.run.total is not None and batches.run.delivered < batches.run.total:
                left = f"{batches.run.delivered} of {batches.run.total} batches came"
                raise ValueError(f"to_tf_dataset: {left}, others were left out; give counted=False")

    if signature is None:
        first = pick_first(pipeline, batch_size, outputs, _OWNER, first_seed, options)
        if first is None:
            raise ValueError("to_tf_dataset: the pipeline gave no batch to take shapes from; give signature=")
        signature = _make_signature(tf, first)
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


def _make_signature(tf: Any, element: Any) -> Any:
    def spec(array: np.ndarray) -> Any:
        return tf.TensorSpec(shape=(None, *array.shape[1:]), dtype=tf.as_dtype(array.dtype))

    return map_structure(element, spec)
