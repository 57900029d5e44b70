"""Losses of each item, or of each place of a map: cross-entropy and what is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bf_models._backend import tensorflow
from bf_models.losses.weighing import multiply, read_shares


class CrossEntropy:
    """Cross-entropy of logits (N, ..., C) with labels (N, ...) or with shares of classes (N, ..., C).

    ``label_smoothing`` moves that share of each target to all classes evenly.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"loss: label_smoothing is a share from 0 to below 1, got {label_smoothing!r}")
        self.label_smoothing = label_smoothing

    def __call__(self, targets: Any, outputs: Any, sample_weight: Any = None) -> Any:
        """Return the mean over all places, weighted when weights are given."""
        tf = tensorflow()
        rank = outputs.shape.rank
        classes = outputs.shape[-1]
        if targets.shape.rank == rank - 1 and self.label_smoothing:
            targets = tf.one_hot(tf.cast(targets, tf.int32), classes, dtype=outputs.dtype)
        if targets.shape.rank == rank - 1:
            labels = tf.cast(targets, tf.int32)
            values = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)
        else:
            shares = tf.cast(targets, outputs.dtype)
            shares = shares * (1.0 - self.label_smoothing) + self.label_smoothing / classes
            values = tf.nn.softmax_cross_entropy_with_logits(shares, outputs)
        return tf.reduce_mean(multiply(values, sample_weight))


class Focal:
    """Cross-entropy in which what is told well counts little (Lin et al. 2017, arXiv:1708.02002).

    A class that gets the probability p costs -(1 - p) ** gamma * log(p). Several outputs are classes, for
    labels (N, ...) or shares of classes (N, ..., C); one output is a yes or no. ``alpha`` weighs: a list has
    a weight for each class; a number is that of the yes, the no has the rest.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float | Sequence[float] | None = None,
    ) -> None:
        if not gamma >= 0:
            raise ValueError(f"loss focal: gamma is a number from 0 on, got {gamma!r}")
        if isinstance(alpha, int | float) and not 0 <= alpha <= 1:
            raise ValueError(
                f"loss focal: alpha is a share from 0 to 1, or a weight for each class, got {alpha!r}"
            )
        self.gamma, self.alpha = gamma, alpha

    def __call__(self, targets: Any, outputs: Any, sample_weight: Any = None) -> Any:
        """Return the mean over all places, weighted when weights are given."""
        tf = tensorflow()
        shares = read_shares(targets, outputs)
        if outputs.shape[-1] == 1:
            # two classes, no and yes, whose logits are 0 and the output
            outputs = tf.concat([tf.zeros_like(outputs), outputs], -1)
            shares = tf.concat([1.0 - shares, shares], -1)
        logs = tf.nn.log_softmax(outputs)
        # of a probability of 1 the power has no finite gradient where gamma is below 1
        rest = tf.maximum(1.0 - tf.exp(logs), 1e-7)
        costs = -shares * logs * (rest**self.gamma if self.gamma else 1.0)
        values = tf.reduce_sum(costs * self._weights(outputs), -1)
        return tf.reduce_mean(multiply(values, sample_weight))

    def _weights(self, outputs: Any) -> Any:
        """Return a weight for each class; ValueError where there are more or fewer of them than classes."""
        tf, classes = tensorflow(), outputs.shape[-1]
        if self.alpha is None:
            return tf.ones(classes, outputs.dtype)
        alpha = self.alpha
        if isinstance(alpha, int | float):
            if classes != 2:
                raise ValueError(
                    f"loss focal: one alpha, {alpha!r}, is for a yes or no, and the network has {classes} "
                    "classes; give a weight for each of them"
                )
            alpha = (1 - alpha, alpha)
        if len(alpha) != classes:
            raise ValueError(f"loss focal: alpha has {len(alpha)} weights for {classes} classes")
        return tf.constant(alpha, outputs.dtype)
