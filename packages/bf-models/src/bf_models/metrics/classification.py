"""Metrics of predicted classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from bf_models.metrics.confusion import confusion
from bf_models.metrics.gathered import Gathered
from bf_models.metrics.older import compute_older
from bf_models.metrics.pictures import draw_confusion
from bf_models.metrics.ranking import Scores
from bf_models.metrics.rates import COUNTS, MEANS, Cells, average, compute, finite_mean, full_name, is_ranked
from bf_models.metrics.reading import Format, Outcome, read

Multiclass: TypeAlias = Literal["macro", "mean", "micro"] | None
Convention: TypeAlias = Literal["scikit-learn", "batchflow"]


class ClassificationMetrics(Gathered):
    """Counts of targets and predictions, and every rate that can be made of them.

    ``targets`` are labels (N,), or probabilities when of the shape of ``predictions``; ``predictions`` are
    by ``fmt`` labels, probabilities or logits, with classes along ``axis`` (the last one when there is one
    more than targets have). ``update`` adds what another holds, ``append`` keeps batches apart,
    ``evaluate(name)`` or ``metrics[name]`` returns a value. ``scores`` keeps the scores too, for ``roc_auc``,
    ``average_precision``, ``pr_auc``, ``top5_accuracy`` and ``calibration_error``. Items whose target is
    ``ignore`` do not count. ValueError for predictions that are not what ``fmt`` says.

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
        scores: bool = False,
        ignore: int | None = None,
    ) -> None:
        owner = type(self).__name__
        outcome = read(targets, predictions, fmt, axis, threshold, owner)
        self.skip_bg = skip_bg
        shown = outcome.classes
        answers = outcome.scores is not None and outcome.scores.shape[-1] == 1
        if answers and num_classes == 1:
            num_classes = 2
        if shown is not None and num_classes is not None and shown != num_classes and not answers:
            raise ValueError(f"{owner}: predictions of {shown} classes, and num_classes={num_classes}")
        self.num_classes = num_classes or shown or _find_classes(outcome, ignore)
        self._matrices = [self._count(outcome, ignore)]
        self._grows = num_classes is None and shown is None
        self._scores = [self._keep(outcome, ignore) if scores else None]

    def _count(self, outcome: Outcome, ignore: int | None) -> np.ndarray:
        """Return matrices (M, classes, classes) of the counts; no label is kept."""
        return confusion(outcome.targets, outcome.labels, self.num_classes, ignore)[None]

    def _keep(self, outcome: Outcome, ignore: int | None) -> Scores:
        if outcome.scores is None:
            raise ValueError(f"{type(self).__name__}: labels have no scores; give fmt='proba' or 'logits'")
        targets, scores = outcome.targets.reshape(-1), outcome.scores.reshape(-1, outcome.scores.shape[-1])
        if ignore is not None:
            targets, scores = targets[targets != ignore], scores[targets != ignore]
        return Scores(((targets, scores),), outcome.logits)

    @property
    def confusion_matrix(self) -> np.ndarray:
        """Counts (classes, classes): rows are predicted, columns target classes."""
        return np.asarray(sum(item.sum(0) for item in self._matrices))

    def plot_confusion_matrix(self, classes: Sequence[Any] | None = None, normalize: bool = False) -> Any:
        """Return a ``matplotlib.figure.Figure`` of the confusion matrix, with the names of the classes.

        Colours, and with ``normalize`` the numbers too, are shares of each target class. ValueError when
        there are not as many names as classes.
        """
        return draw_confusion(self.confusion_matrix, classes, normalize)

    def update(self, other: ClassificationMetrics) -> None:
        """Add the counts of another; its number of classes must be the same where it was set."""
        self._match(other)
        self._matrices[-1] = self._join(self._matrices[-1], other)
        for scores in other._scores:
            mine = self._scores[-1]
            self._scores[-1] = None if mine is None or scores is None else mine.join(scores)

    def _join(self, mine: np.ndarray, other: ClassificationMetrics) -> np.ndarray:
        return mine + sum(other._matrices)

    def append(self, other: ClassificationMetrics) -> None:
        """Keep the counts of another as a batch of its own: ``agg=None`` returns a value a batch."""
        self._match(other)
        self._matrices.extend(other._matrices)
        self._scores.extend(other._scores)

    def _match(self, other: ClassificationMetrics) -> None:
        if type(other) is not type(self):
            raise TypeError(f"{type(self).__name__} cannot take in {type(other).__name__}")
        for item in (self, other):
            item._know_scores()
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

    def _know_scores(self) -> None:
        """Say that there are no scores where a checkpoint was written before metrics kept any."""
        if not hasattr(self, "_scores"):
            self._scores = [None] * len(self._matrices)

    def evaluate(
        self,
        name: str | Sequence[str],
        agg: Literal["mean"] | None = "mean",
        label: int | None = None,
        multiclass: Multiclass = "macro",
        zero_division: float = 0.0,
        convention: Convention = "scikit-learn",
    ) -> Any:
        """Return the value of a metric, or a dict of several.

        ``agg='mean'`` averages over batches (and images) that were kept apart, with None all are returned.
        ``multiclass`` is macro (mean over the classes that targets or predictions have), micro (counts
        pooled) or None (a value a class); ``label`` is one class. With two classes the positive one is
        meant, but by ``mean_iou`` and ``mean_dice``, which are means over all. ``zero_division`` is the value
        of 0 / 0. Infinite values and NaN are left out of means. ``convention='batchflow'`` is that of the
        older BatchFlow.
        """
        if not isinstance(name, str):
            given = (agg, label, multiclass, zero_division, convention)
            return {item: self.evaluate(item, *given) for item in name}
        metric = full_name(name, type(self).__name__)
        mean_of_all = metric in MEANS
        if mean_of_all and (label is not None or multiclass in ("micro", None)):
            raise ValueError(f"metrics: {metric} is a mean over classes; give neither label nor multiclass")
        metric = MEANS.get(metric, metric)
        check_choices(agg, multiclass, convention)
        if label is not None and not 0 <= label < self.num_classes:
            raise ValueError(f"metrics: label is one of 0..{self.num_classes - 1}, got {label}")
        older = convention == "batchflow"
        if is_ranked(metric):
            otherwise = np.nan
            self._know_scores()
            values = np.stack([self._rank(metric, scores, label, multiclass) for scores in self._scores])
        else:
            otherwise = np.inf if older else zero_division
            options = (label, multiclass, zero_division, older, mean_of_all)
            values = np.concatenate([self._values(metric, item, *options) for item in self._matrices])
        if agg == "mean":
            values = finite_mean(values, 0, otherwise)
        else:
            values = np.where(np.isnan(values), otherwise, values)
            values = values[0] if len(values) == 1 else values
        return float(values) if np.ndim(values) == 0 else values

    def _rank(
        self, metric: str, scores: Scores | None, label: int | None, multiclass: Multiclass
    ) -> np.ndarray:
        if scores is None:
            owner = type(self).__name__
            raise ValueError(f"{owner}: {metric} is made of scores; keep them by {owner}(..., scores=True)")
        return scores.evaluate(metric, label, multiclass)

    def _values(
        self,
        metric: str,
        matrices: np.ndarray,
        label: int | None,
        multiclass: Multiclass,
        zero_division: float,
        older: bool,
        mean_of_all: bool,
    ) -> np.ndarray:
        """Return the value of each matrix, (M,) or (M, classes); NaN where no class is left."""
        cells = Cells.of(matrices)
        if metric == "accuracy":
            return np.asarray(cells.tp.sum(-1) / np.maximum(matrices.sum((-2, -1)), 1))
        two = self.num_classes == 2 and not self.skip_bg
        if label is None and two and multiclass is not None and not mean_of_all:
            label = 1
        if label is None and self.skip_bg:
            cells = cells.without_first()
        pooled = label is None and (multiclass == "micro" or (metric in COUNTS and multiclass is not None))
        each = label is not None or multiclass is None
        if older:
            values = compute_older(metric, cells, "micro" if pooled else "each" if each else "macro")
        else:
            values = compute(metric, cells.pooled() if pooled else cells, zero_division)
            if not (each or pooled):
                return average(values, cells)
        if label is not None:
            return values[..., label]
        return values if each else values[..., 0]


def check_choices(agg: Any, multiclass: Any, convention: Any) -> None:
    """Raise ValueError for an option of ``evaluate`` that is none of those there are."""
    if multiclass not in ("macro", "mean", "micro", None):
        raise ValueError(f"metrics: multiclass is 'macro', 'mean', 'micro' or None, got {multiclass!r}")
    if agg not in ("mean", None):
        raise ValueError(f"metrics: agg is 'mean' or None, got {agg!r}")
    if convention not in get_args(Convention):
        raise ValueError(f"metrics: convention is 'scikit-learn' or 'batchflow', got {convention!r}")


def _find_classes(outcome: Outcome, ignore: int | None) -> int:
    """Return how many classes there are by the largest label, two at least."""
    targets = outcome.targets if ignore is None else outcome.targets[outcome.targets != ignore]
    return 1 + max([1, *(int(item.max()) for item in (outcome.labels, targets) if item.size)])
