"""A loss of distances to the boundaries of classes."""

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

_FAR = 1e9


class Boundary:
    """Probabilities of a class by their distance from its boundary (Kervadec et al. 2018, arXiv:1812.07032).

    At each place of (N, ..., C), of one to three axes, the probability of a class is multiplied by the
    distance to its area in pixels, inside by minus the distance to what is not its area, less 1; the mean is
    taken over places and classes. Distances from ``reach`` pixels on are ``reach``, which steps take time
    for. A class that is nowhere or everywhere in an item counts 0. It is meant as one term beside
    another loss. Targets are labels, shares above a half are the area; ``classes`` are as in SoftDice.
    """

    def __init__(self, reach: int = 16, classes: Sequence[int] | None = None) -> None:
        if not isinstance(reach, int) or isinstance(reach, bool) or reach < 1:
            raise ValueError(f"loss boundary: reach is a number of pixels from 1 on, got {reach!r}")
        self.reach = reach
        self.chosen = check_classes(classes, "boundary")

    def __call__(self, targets: Any, outputs: Any, sample_weight: Any = None, kept: Any = None) -> Any:
        """Return the mean over places and classes, weighted if weights are given; ``kept`` as in SoftDice."""
        tf = tensorflow()
        if not 3 <= outputs.shape.rank <= 5:
            raise ValueError(
                f"loss boundary: places have one to three axes, got outputs of shape {tuple(outputs.shape)}"
            )
        shares = read_shares(targets, outputs, kept)
        shares, proba = (
            choose_classes(item, self.chosen, "boundary") for item in (shares, predict_shares(outputs))
        )
        values = proba * tf.cast(self.measure(shares > 0.5), proba.dtype)
        values = multiply(tf.reduce_mean(values, -1), sample_weight)
        if kept is None:
            return tf.reduce_mean(values)
        kept = tf.cast(kept, values.dtype)
        return tf.reduce_sum(values * kept) / tf.maximum(tf.reduce_sum(kept), 1.0)

    def measure(self, areas: Any) -> Any:
        """Return signed distances, float32, of areas (N, ..., C) of bool: below 0 inside."""
        tf = tensorflow()
        areas = tf.convert_to_tensor(areas)
        axes = list(range(1, areas.shape.rank - 1))
        outside, inside = self._distances(areas), self._distances(tf.logical_not(areas))
        signed = tf.where(areas, 1.0 - inside, outside)
        both = tf.logical_and(
            tf.reduce_any(areas, axes, keepdims=True),
            tf.reduce_any(tf.logical_not(areas), axes, keepdims=True),
        )
        return tf.where(both, signed, tf.zeros_like(signed))

    def _distances(self, areas: Any) -> Any:
        """Return Euclidean distances to the nearest place of areas, at most ``reach``.

        Squares of distances are separable: along each axis the least of value and squared step is taken.
        """
        tf = tensorflow()
        squares = tf.where(areas, 0.0, _FAR)
        for axis in range(1, areas.shape.rank - 1):
            squares = self._erode(squares, axis)
        return tf.sqrt(tf.minimum(squares, float(self.reach**2)))

    def _erode(self, squares: Any, axis: int) -> Any:
        """Return the least of values along an axis and the squares of the steps to them."""
        tf = tensorflow()
        pads = [(0, 0)] * squares.shape.rank
        pads[axis] = (1, 1)

        def step(number: Any, least: Any) -> tuple[Any, Any]:
            # steps of 1, 3, 5, ... sum to squares: each round looks one pixel further
            padded = tf.pad(least, pads, constant_values=_FAR)
            length = tf.shape(squares)[axis]
            before, after = (
                tf.gather(padded, tf.range(start, start + length), axis=axis) for start in (0, 2)
            )
            further = tf.minimum(before, after) + tf.cast(2 * number + 1, least.dtype)
            return number + 1, tf.minimum(least, further)

        rounds = tf.minimum(self.reach, tf.shape(squares)[axis] - 1)
        return tf.while_loop(lambda number, _: number < rounds, step, (0, squares))[1]
