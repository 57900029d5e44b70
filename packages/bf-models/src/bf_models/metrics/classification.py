"""Metrics of predicted classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from bf_models.metrics.rates import COMPOSED, COUNTS, RATES, Cells, compose, full_name

Format: TypeAlias = Literal["proba", "logits", "labels"]
Multiclass: TypeAlias = Literal["macro", "mean", "micro"] | None


def to_labels(values: Any, fmt: Format, axis: int | None, threshold: float) -> np.ndarray:
    """Return labels of predictions: the largest along the axis, or 0 and 1 by the threshold (inclusive)."""
    array = np.asarray(values)
    if fmt == "labels":
        return array
    if fmt not in ("proba", "logits"):
        raise ValueError(f"metrics: fmt is 'proba', 'logits' or 'labels', got {fmt!r}")
    if axis is not None:
        return np.asarray(array.argmax(axis))
    # a probability of p is a logit of log(p / (1 - p))
    limit = threshold if fmt == "proba" else np.log(threshold / (1 - threshold))
    return (array >= limit).astype(np.int64)


def confusion(targets: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Count (classes, classes) of [predicted, target] labels; ValueError for labels out of range."""
    for name, labels in (("targets", targets), ("predictions", predictions)):
        if labels.size and (labels.min() < 0 or labels.max() >= classes):
            raise ValueError(
                f"metrics: {name} are labels 0..{classes - 1}, got {labels.min()}..{labels.max()}; "
                "set num_classes"
            )
    cells = np.bincount(predictions.ravel() * classes + targets.ravel(), minlength=classes * classes)
    return cells.reshape(classes, classes)


class ClassificationMetrics:
    """Counts of targets and predictions, and every rate that can be made of them.

    ``targets`` are labels (N,), or probabilities when of the shape of ``predictions``; ``predictions`` are
    by ``fmt`` labels, probabilities or logits, with classes along ``axis`` (the last one when there is one
    more than targets have). ``update`` adds what another holds, ``append`` keeps batches apart,
    ``evaluate(name)`` returns a value.

    >>> metrics = ClassificationMetrics([0, 1, 1, 2], [0, 1, 2, 2], fmt='labels', num_classes=3)
    >>> metrics.evaluate('accuracy')
    0.75
    """

    def __init__(
        self,
        targets: Any,
        predictions: Any,
        fmt: Format = "proba",
        num_classes: int | None = None,
        axis: int | None = None,
        threshold: float = 0.5,
        skip_bg: bool = False,
    ) -> None:
        targets, predictions = np.asarray(targets), np.asarray(predictions)
        if axis is None and fmt != "labels" and predictions.ndim == targets.ndim + 1:
            axis = -1
        several = fmt != "labels" and axis is not None
        shown = predictions.shape[axis] if several and axis is not None else None
        if several and targets.ndim == predictions.ndim:
            targets = targets.argmax(axis)
        self.skip_bg = skip_bg
        self._labels = to_labels(predictions, fmt, axis, threshold).astype(np.int64)
        self._targets = targets.astype(np.int64)
        if self._labels.shape != self._targets.shape:
            raise ValueError(
                f"{type(self).__name__}: targets of shape {targets.shape} and predictions of shape "
                f"{predictions.shape} do not match; set the axis of classes by axis="
            )
        largest = 1 + max([1, *(int(item.max()) for item in (self._labels, self._targets) if item.size)])
        self.num_classes = num_classes or shown or largest
        self._matrices = [self._count()]
        self._grows = num_classes is None and shown is None

    def _count(self) -> np.ndarray:
        return confusion(self._targets, self._labels, self.num_classes)[None]

    @property
    def confusion_matrix(self) -> np.ndarray:
        """Counts (classes, classes): rows are predicted, columns target classes."""
        return np.asarray(sum(item.sum(0) for item in self._matrices))

    def update(self, other: ClassificationMetrics) -> None:
        """Add the counts of another; its number of classes must be the same where it was set."""
        self._match(other)
        self._matrices[-1] = self._join(self._matrices[-1], other)

    def _join(self, mine: np.ndarray, other: ClassificationMetrics) -> np.ndarray:
        return mine + sum(other._matrices)

    def append(self, other: ClassificationMetrics) -> None:
        """Keep the counts of another as a batch of its own: ``agg=None`` returns a value a batch."""
        self._match(other)
        self._matrices.extend(other._matrices)

    def _match(self, other: ClassificationMetrics) -> None:
        if type(other) is not type(self):
            raise TypeError(f"{type(self).__name__} cannot take in {type(other).__name__}")
        if self.num_classes == other.num_classes:
            return
        if not (self._grows or other._grows):
            raise ValueError(
                f"metrics: {self.num_classes} classes and {other.num_classes} classes do not go together"
            )
        size = max(self.num_classes, other.num_classes)
        for item in (self, other):
            grown = size - item.num_classes
            item._matrices = [np.pad(matrix, ((0, 0), (0, grown), (0, grown))) for matrix in item._matrices]
            item.num_classes = size

    def evaluate(
        self,
        name: str | Sequence[str],
        agg: Literal["mean"] | None = "mean",
        label: int | None = None,
        multiclass: Multiclass = "macro",
    ) -> Any:
        """Return the value of a metric, or a dict of several.

        ``agg='mean'`` averages over batches (and images) that were kept apart, with None all are returned.
        ``multiclass`` is macro (mean over classes; of the two rates before they are composed), micro (counts
        pooled) or None (a value a class); ``label`` is one class. With two classes the positive one is
        meant. Infinite values are left out of means.
        """
        if not isinstance(name, str):
            return {item: self.evaluate(item, agg, label, multiclass) for item in name}
        metric = full_name(name, type(self).__name__)
        if multiclass not in ("macro", "mean", "micro", None):
            raise ValueError(f"metrics: multiclass is 'macro', 'mean', 'micro' or None, got {multiclass!r}")
        if agg not in ("mean", None):
            raise ValueError(f"metrics: agg is 'mean' or None, got {agg!r}")
        values = np.concatenate(
            [self._values(metric, matrix, label, multiclass) for matrix in self._matrices]
        )
        if agg == "mean":
            values = _finite_mean(values, 0)
        elif len(values) == 1:
            values = values[0]
        return float(values) if np.ndim(values) == 0 else values

    def _values(
        self, metric: str, matrices: np.ndarray, label: int | None, multiclass: Multiclass
    ) -> np.ndarray:
        """Return the value of each matrix, (M,) or (M, classes)."""
        if metric == "accuracy":
            cells = Cells.of(matrices)
            return np.asarray(cells.tp.sum(-1) / np.maximum(matrices.sum((-2, -1)), 1))
        if metric in COMPOSED:
            first, second = (self._values(item, matrices, label, multiclass) for item in COMPOSED[metric])
            return compose(metric, first, second)
        cells = Cells.of(matrices)
        if label is None and self.num_classes == 2 and not self.skip_bg and multiclass is not None:
            label = 1
        if label is not None:
            if not 0 <= label < self.num_classes:
                raise ValueError(f"metrics: label is one of 0..{self.num_classes - 1}, got {label}")
            return _compute(metric, cells)[..., label]
        if self.skip_bg:
            cells = Cells(*(item[..., 1:] for item in (cells.tp, cells.fp, cells.fn, cells.tn)))
        if multiclass == "micro" or (metric in COUNTS and multiclass is not None):
            return _compute(metric, cells.pooled())[..., 0]
        values = _compute(metric, cells)
        return values if multiclass is None else _finite_mean(values, -1)


def _compute(metric: str, cells: Cells) -> np.ndarray:
    return np.asarray(COUNTS[metric](cells)) if metric in COUNTS else RATES[metric](cells)


def _finite_mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean of the values that are finite; infinite when none is."""
    finite = np.isfinite(values)
    count = finite.sum(axis)
    total = np.where(finite, values, 0.0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.inf)
