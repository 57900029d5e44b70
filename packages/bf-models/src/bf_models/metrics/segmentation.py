"""Metrics of predicted masks: by pixels of each image, and by connected areas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from bf_models.metrics.classification import (
    ClassificationMetrics,
    Convention,
    Multiclass,
    check_choices,
)
from bf_models.metrics.confusion import confusion
from bf_models.metrics.gathered import Gathered
from bf_models.metrics.older import compute_older
from bf_models.metrics.ranking import Scores
from bf_models.metrics.rates import RATES, Cells, average, compute, finite_mean, full_name
from bf_models.metrics.reading import Format, Outcome, read
from bf_models.metrics.runs import find_first, find_run, find_starts, lengths, number_areas


class SegmentationMetrics(ClassificationMetrics):
    """ClassificationMetrics of masks (N, H, W), of which pixels with the target ``ignore`` do not count.

    Counts are kept image by image, and rates averaged over images; with ``by_image=False`` all pixels are
    counted together, in memory of classes^2 however many there are, as ``mean_iou`` is published.

    >>> mask = np.zeros((2, 4, 4), int)
    >>> SegmentationMetrics(mask, mask, fmt='labels').evaluate('accuracy')
    1.0
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
        by_image: bool = True,
    ) -> None:
        self.by_image = by_image
        super().__init__(targets, predictions, fmt, num_classes, axis, threshold, skip_bg, scores, ignore)

    def _count(self, outcome: Outcome, ignore: int | None) -> np.ndarray:
        if not self.by_image:
            return super()._count(outcome, ignore)
        pairs = zip(outcome.targets, outcome.labels)
        return np.stack([confusion(target, labels, self.num_classes, ignore) for target, labels in pairs])

    def _join(self, mine: np.ndarray, other: ClassificationMetrics) -> np.ndarray:
        if not self._is_by_image():
            return super()._join(mine, other)
        return np.concatenate([mine, *other._matrices])

    def _match(self, other: ClassificationMetrics) -> None:
        super()._match(other)
        if isinstance(other, SegmentationMetrics) and self._is_by_image() != other._is_by_image():
            raise ValueError("metrics: counts by image and counts of all pixels do not go together")

    def _is_by_image(self) -> bool:
        return getattr(self, "by_image", True)  # a checkpoint may be older than the choice

    def _keep(self, outcome: Outcome, ignore: int | None) -> Scores:
        raise ValueError(
            "SegmentationMetrics keeps no scores; ClassificationMetrics(..., scores=True) takes masks too, "
            "all pixels as one list"
        )


#: What there is without true negatives: nobody can count the areas that are in neither mask.
_COUNTED = ("true_positive", "false_positive", "false_negative", "condition_positive", "prediction_positive")
_RATED = (
    "true_positive_rate",
    "false_negative_rate",
    "positive_predictive_value",
    "false_discovery_rate",
    "prevalence",
    "f1_score",
    "jaccard",
)
_KNOWN = (*_COUNTED, "total_population", *_RATED)


class SegmentationMetricsByInstances(Gathered):
    """Connected areas of masks (N, H, W) found, missed and made up, for each class but the background.

    An area is found when the predicted areas cover at least ``iot`` of it. There are no true negatives.
    Counts are kept image by image; with ``by_image=False`` those of all images together.
    """

    def __init__(
        self,
        targets: Any,
        predictions: Any,
        fmt: Format = "proba",
        num_classes: int | None = None,
        axis: int | None = None,
        threshold: float = 0.5,
        iot: float = 0.5,
        by_image: bool = True,
    ) -> None:
        owner = type(self).__name__
        pixels = SegmentationMetrics(targets, predictions, fmt, num_classes, axis, threshold, by_image=False)
        outcome = read(targets, predictions, fmt, axis, threshold, owner)
        if not 0 < iot <= 1:
            raise ValueError(f"{owner}: iot is a share above 0 and up to 1, got {iot!r}")
        if outcome.targets.ndim < 2 or not outcome.targets.size:
            raise ValueError(f"{owner}: targets are masks (N, ..., W), got the shape {outcome.targets.shape}")
        self.num_classes, self.iot, self.by_image = pixels.num_classes, iot, by_image
        #: (images, classes without background, [found, made up, missed])
        self._counts = _count_areas(outcome.targets, outcome.labels, self.num_classes, iot)
        if not by_image:
            self._counts = self._counts.sum(0, keepdims=True)

    def update(self, other: SegmentationMetricsByInstances) -> None:
        """Add the images of another."""
        if type(other) is not type(self):
            raise TypeError(f"{type(self).__name__} cannot take in {type(other).__name__}")
        if self.num_classes != other.num_classes:
            raise ValueError(f"metrics: {self.num_classes} and {other.num_classes} classes; set num_classes")
        by_image = [getattr(one, "by_image", True) for one in (self, other)]
        if by_image[0] != by_image[1]:
            raise ValueError("metrics: counts by image and counts of all images do not go together")
        counts = np.concatenate([self._counts, other._counts])
        self._counts = counts if by_image[0] else counts.sum(0, keepdims=True)

    append = update

    @property
    def confusion_matrices(self) -> np.ndarray:
        """Counts of areas (images, classes without background, 2, 2), or without images (classes - 1, 2, 2).

        Rows are predicted, columns true, no before yes. No and no is 0: nobody can count these.
        """
        found, made_up, missed = np.moveaxis(self._counts, -1, 0)
        rows = [[np.zeros_like(found), missed], [made_up, found]]
        matrices = np.moveaxis(np.array(rows), (0, 1), (-2, -1))
        return matrices if self.by_image else np.asarray(matrices[0])

    def evaluate(
        self,
        name: str | Sequence[str],
        agg: Literal["mean"] | None = "mean",
        label: int | None = None,
        multiclass: Multiclass = "macro",
        zero_division: float = 0.0,
        convention: Convention = "scikit-learn",
    ) -> Any:
        """Return the mean of a metric over images, or a dict of several; with ``agg=None`` a value an image.

        ``multiclass`` is macro (mean over the classes that an image has in targets or predictions; images
        without any are left out), micro (areas of all classes together) or None (a value a class);
        ``label`` is one class. Counts are those of all classes unless it is None. ``zero_division`` is the
        value of 0 / 0, NaN is left out of means; ``convention='batchflow'`` is that of the older BatchFlow,
        where 0 / 0 is a rate of 1 that counts, but an infinite f1 score and jaccard, which do not.
        """
        if not isinstance(name, str):
            given = (agg, label, multiclass, zero_division, convention)
            return {item: self.evaluate(item, *given) for item in name}
        metric = full_name(name, type(self).__name__)
        if metric not in _KNOWN:
            raise ValueError(
                f"{type(self).__name__}: {name} is made of true negatives or of scores, which instances have "
                f"not; there are {', '.join(_KNOWN)}"
            )
        check_choices(agg, multiclass, convention)
        if label is not None and not 1 <= label < self.num_classes:
            raise ValueError(f"metrics: label is one of 1..{self.num_classes - 1}, got {label}")
        found, made_up, missed = np.moveaxis(self._counts, -1, 0)
        cells = Cells(found, made_up, missed, np.zeros_like(found))
        older = convention == "batchflow"
        counted = metric not in _RATED
        pooled = label is None and (multiclass == "micro" or (counted and multiclass is not None))
        zero = RATES[metric].older if older and not counted else zero_division
        if older:
            each = label is not None or multiclass is None
            values = compute_older(metric, cells, "micro" if pooled else "each" if each else "macro")
        else:
            cells = cells.pooled() if pooled else cells
            values = compute(metric, cells, zero)
        if label is not None:
            values = values[:, label - 1]
        elif values.shape[1] == 1 and multiclass is not None:
            values = values[:, 0] if older or counted else np.where(cells.present, values, np.nan)[:, 0]
        elif multiclass is not None:
            values = average(values, cells)
        if agg is None:
            values = np.where(np.isnan(values), zero, values)
            return values if self.by_image else values[0]
        mean = finite_mean(values, 0, zero)
        return float(mean) if np.ndim(mean) == 0 else mean


def _count_areas(targets: np.ndarray, labels: np.ndarray, classes: int, iot: float) -> np.ndarray:
    """Count areas (images, classes without background, [found, made up, missed])."""
    size, images = targets.size, len(targets)
    joint = find_starts(targets, labels)
    per_run = lengths(joint, size)
    image = joint // (size // images)
    truth, answer = (mask.reshape(-1)[joint].astype(np.int64) for mask in (targets, labels))

    def number(mask: np.ndarray) -> np.ndarray:
        starts = find_starts(mask)
        return np.asarray(number_areas(mask, starts)[find_run(starts, joint, size)])

    areas, predicted = number(targets), number(labels)
    same = (truth == answer) & (truth > 0)
    covered = np.bincount(areas[same], per_run[same], minlength=areas.max() + 1)
    found = covered >= iot * np.bincount(areas, per_run)
    real = np.zeros(predicted.max() + 1, bool)
    real[predicted[same & found[areas]]] = True

    def count(one: np.ndarray, which: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Count the areas for which ``which`` holds, by image and class."""
        first = find_first(one)
        first = first[which[one[first]] & (label[first] > 0)]
        cells = np.bincount(image[first] * classes + label[first], minlength=images * classes)
        return np.asarray(cells.reshape(images, classes)[:, 1:])

    return np.stack(
        [count(areas, found, truth), count(predicted, ~real, answer), count(areas, ~found, truth)], axis=-1
    )
