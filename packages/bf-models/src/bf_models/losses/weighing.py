"""What losses of classes share: weights, places that take no part, labels and shares of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bf_models._backend import tensorflow


def multiply(values: Any, weights: Any) -> Any:
    """Multiply values of items, or of their places, by weights of as many axes or fewer."""
    tf = tensorflow()
    if weights is None:
        return values
    more = values.shape.rank - weights.shape.rank
    if more < 0:
        raise ValueError(
            f"loss: its values have the shape {tuple(values.shape)} and weights {tuple(weights.shape)}: what "
            "is one number, or one for an item, cannot be weighed at its places"
        )
    weights = tf.cast(weights, values.dtype)
    return values * tf.reshape(weights, tf.concat([tf.shape(weights), [1] * more], 0))


def read_shares(targets: Any, outputs: Any, kept: Any = None) -> Any:
    """Return shares of classes (N, ..., C) of labels (N, ...), or of shares of the outputs' shape.

    One output is a yes or no. Places that are not ``kept`` (N, ...), which is 1 or 0, have no class at all.
    """
    tf = tensorflow()
    classes, labels = outputs.shape[-1], targets.shape.rank == outputs.shape.rank - 1
    if labels and classes > 1:
        targets = tf.one_hot(tf.cast(targets, tf.int32), classes, dtype=outputs.dtype)
    elif labels:
        targets = targets[..., None]
    shares = tf.cast(targets, outputs.dtype)
    return shares if kept is None else shares * tf.cast(kept, shares.dtype)[..., None]


def predict_shares(outputs: Any) -> Any:
    """Return probabilities of logits: one output is a yes or no, several are classes."""
    tf = tensorflow()
    return tf.nn.sigmoid(outputs) if outputs.shape[-1] == 1 else tf.nn.softmax(outputs)


def check_classes(chosen: Sequence[int] | None, owner: str) -> tuple[int, ...] | None:
    """Return the classes that count as a tuple; ValueError where they are no labels, or twice there."""
    if chosen is None:
        return None
    found = tuple(chosen) if isinstance(chosen, list | tuple) else (chosen,)
    good = all(isinstance(item, int) and not isinstance(item, bool) and item >= 0 for item in found)
    if not found or not good or len(set(found)) != len(found):
        raise ValueError(f"loss {owner}: classes are labels of those that count, got {chosen!r}")
    return found


def choose_classes(values: Any, chosen: tuple[int, ...] | None, owner: str) -> Any:
    """Return the values (..., C) of the classes that count; ValueError names one that is not there."""
    if chosen is None:
        return values
    classes = values.shape[-1]
    if max(chosen) >= classes:
        raise ValueError(f"loss {owner}: classes {list(chosen)} of a network with {classes} outputs")
    return tensorflow().gather(values, list(chosen), axis=-1)
