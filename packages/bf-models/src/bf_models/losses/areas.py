"""Losses of the areas that classes take: what prediction and target have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bf_models._backend import tensorflow
from bf_models.losses.weighing import (
    check_classes,
    choose_classes,
    multiply,
    predict_shares,
    read_shares,
)


class Areas:
    """Which classes and places count, and what is averaged.

    Targets are labels (N, ...) or shares of classes (N, ..., C) of logits (N, ..., C); one output is a yes or
    no. ``classes`` are the labels of those that count, all by default. The loss is the mean over items, or
    with ``per_item`` false that of the areas of the whole batch.
    """

    name = "areas"

    def __init__(
        self,
        classes: Sequence[int] | None = None,
        per_item: bool = True,
    ) -> None:
        self.per_item = per_item
        self.chosen = check_classes(classes, self.name)


class _Overlap(Areas):
    """Share of two areas that they have in common, as a loss of logits; classes are averaged.

    ``smooth`` is added above and below.
    """

    def __init__(
        self,
        smooth: float = 1.0,
        classes: Sequence[int] | None = None,
        per_item: bool = True,
    ) -> None:
        super().__init__(classes, per_item)
        if not smooth >= 0:
            raise ValueError(f"loss {self.name}: smooth is a number from 0 on, got {smooth!r}")
        self.smooth = smooth

    def __call__(self, targets: Any, outputs: Any, sample_weight: Any = None, kept: Any = None) -> Any:
        """Return the mean of 1 - overlap; one channel is a yes or no, several are classes.

        ``kept`` (N, ...) is 1 at places that take part and 0 at the others.
        """
        tf = tensorflow()
        shares = read_shares(targets, outputs, kept)
        proba = predict_shares(outputs)
        if kept is not None:
            proba = proba * tf.cast(kept, proba.dtype)[..., None]
        axes = list(range(1 if self.per_item else 0, outputs.shape.rank - 1))
        common = tf.reduce_sum(proba * shares, axes)
        predicted, true = tf.reduce_sum(proba, axes), tf.reduce_sum(shares, axes)
        values = self._lose(common, predicted - common, true - common)
        values = tf.reduce_mean(choose_classes(values, self.chosen, self.name), -1)
        return tf.reduce_mean(multiply(values, sample_weight))

    def _lose(self, common: Any, made_up: Any, missed: Any) -> Any:
        """Return the loss (..., C) of areas: in common, predicted alone, in targets alone."""
        return 1.0 - tensorflow().math.divide_no_nan(
            common + self.smooth, common + made_up + missed + self.smooth
        )


class SoftIoU(_Overlap):
    """1 - intersection over union (Jaccard) of logits (N, H, W, C)."""

    name = "iou"


class SoftDice(_Overlap):
    """1 - Dice coefficient of logits (N, H, W, C) (Milletari et al. 2016, without squares)."""

    name = "dice"

    def _lose(self, common: Any, made_up: Any, missed: Any) -> Any:
        twice = 2.0 * common
        return 1.0 - tensorflow().math.divide_no_nan(
            twice + self.smooth, twice + made_up + missed + self.smooth
        )


class SoftTversky(_Overlap):
    """1 - Tversky index of logits (N, H, W, C) (Salehi et al. 2017, arXiv:1706.05721), to a power.

    ``alpha`` weighs what is predicted and not there, ``beta`` what is there and not predicted; 0.5 and 0.5
    make it Dice, 1 and 1 Jaccard. ``power`` is 1 / gamma of the focal Tversky loss (Abraham and Khan 2018,
    arXiv:1810.07842, take 0.75).
    """

    name = "tversky"

    def __init__(
        self,
        alpha: float = 0.3,
        beta: float = 0.7,
        power: float = 1.0,
        smooth: float = 1.0,
        classes: Sequence[int] | None = None,
        per_item: bool = True,
    ) -> None:
        super().__init__(smooth, classes, per_item)
        if not (alpha >= 0 and beta >= 0 and alpha + beta > 0):
            raise ValueError(
                f"loss tversky: alpha and beta are numbers from 0 on, and not both 0, got {alpha!r}, {beta!r}"
            )
        if not power > 0:
            raise ValueError(f"loss tversky: power is a number above 0, got {power!r}")
        self.alpha, self.beta, self.power = alpha, beta, power

    def _lose(self, common: Any, made_up: Any, missed: Any) -> Any:
        tf = tensorflow()
        below = common + self.alpha * made_up + self.beta * missed + self.smooth
        lost = 1.0 - tf.math.divide_no_nan(common + self.smooth, below)
        # the slope of a power below 1 has no bound at 0
        return lost if self.power == 1 else tf.maximum(lost, 1e-7) ** self.power


class Lovasz(Areas):
    """Jaccard's index by its convex extension, of logits (N, ..., C) (Berman et al. 2018, arXiv:1705.08790).

    Several outputs are classes (Lovasz-Softmax), of which those that targets have are averaged; one output is
    a yes or no (Lovasz hinge).
    """

    name = "lovasz"

    def __call__(self, targets: Any, outputs: Any, sample_weight: Any = None, kept: Any = None) -> Any:
        """Return the mean over items, or the loss of the batch as one area; ``kept`` as in SoftDice."""
        tf = tensorflow()
        shares = read_shares(targets, outputs, kept)
        valid = tf.ones_like(outputs[..., :1]) if kept is None else tf.cast(kept, outputs.dtype)[..., None]
        shares, outputs, valid = (self._place_last(item) for item in (shares, outputs, valid))
        if outputs.shape[1] == 1:
            errors = tf.nn.relu(1.0 - outputs * (2.0 * shares - 1.0)) * valid
            values = _extend(errors, shares, valid)[:, 0]
        else:
            values = _extend(tf.abs(shares - tf.nn.softmax(outputs, 1)) * valid, shares, valid)
            there = tf.reduce_any(shares > 0, -1)
            values, there = (choose_classes(item, self.chosen, self.name) for item in (values, there))
            number = tf.reduce_sum(tf.cast(there, values.dtype), -1)
            values = tf.reduce_sum(tf.where(there, values, tf.zeros_like(values)), -1)
            values = tf.math.divide_no_nan(values, number)
        return tf.reduce_mean(multiply(values if self.per_item else values[0], sample_weight))

    def _place_last(self, x: Any) -> Any:
        """Return (N, C, places) of (N, ..., C), with N = 1 for the batch as one area."""
        tf, channels = tensorflow(), x.shape[-1]
        flat = tf.reshape(x, [tf.shape(x)[0] if self.per_item else 1, -1, channels])
        return tf.transpose(flat, [0, 2, 1])


def _extend(errors: Any, shares: Any, valid: Any) -> Any:
    """Return the sum (N, C) of errors (N, C, P), the largest first, by how much each lowers the index."""
    tf = tensorflow()
    order = tf.argsort(errors, direction="DESCENDING")
    # what does not count has an error of 0, and neither widens the union nor the part in common
    errors, inside, outside = (
        tf.gather(item, order, batch_dims=2) for item in (errors, shares, (1.0 - shares) * valid)
    )
    whole = tf.reduce_sum(inside, -1, keepdims=True)
    common, union = whole - tf.cumsum(inside, -1), whole + tf.cumsum(outside, -1)
    index = tf.where(union > 0, 1.0 - tf.math.divide_no_nan(common, union), tf.zeros_like(union))
    steps = index - tf.pad(index, [(0, 0), (0, 0), (1, 0)])[..., :-1]
    return tf.reduce_sum(errors * tf.stop_gradient(steps), -1)
