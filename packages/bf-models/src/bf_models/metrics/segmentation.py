"""Metrics of predicted masks: by pixels of each image, and by connected areas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from bf_models.errors import unknown
from bf_models.metrics.classification import ClassificationMetrics, Format, confusion
from bf_models.metrics.rates import divide


class SegmentationMetrics(ClassificationMetrics):
    """ClassificationMetrics of masks (N, H, W): counts are kept image by image, rates averaged over images.

    >>> mask = np.zeros((2, 4, 4), int)
    >>> SegmentationMetrics(mask, mask, fmt='labels').evaluate('accuracy')
    1.0
    """

    def _count(self) -> np.ndarray:
        pairs = zip(self._targets, self._labels)
        return np.stack([confusion(target, labels, self.num_classes) for target, labels in pairs])

    def _join(self, mine: np.ndarray, other: ClassificationMetrics) -> np.ndarray:
        return np.concatenate([mine, *other._matrices])


def components(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Number (from 1) the connected areas of a mask of any rank, and count them.

    Neighbours share a side. Numbers sink to the smallest of an area; pointers are halved, so rounds are few.
    """
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    changed = True
    while changed:
        before = labels.copy()
        for axis in range(mask.ndim):
            one = np.moveaxis(labels, axis, 0)
            for low, high in ((one[:-1], one[1:]), (one[1:], one[:-1])):
                both = (low > 0) & (high > 0)
                high[both] = np.minimum(low, high)[both]
        flat = np.concatenate([[0], labels.ravel()])
        labels = flat[labels]
        changed = not np.array_equal(before, labels)
    numbers, compact = np.unique(labels, return_inverse=True)
    shift = 0 if numbers[0] == 0 else 1
    return compact.reshape(mask.shape) + shift, len(numbers) - 1 + shift


_INSTANCE: Mapping[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "true_positive": lambda tp, fp, fn: tp,
    "false_positive": lambda tp, fp, fn: fp,
    "false_negative": lambda tp, fp, fn: fn,
    "recall": lambda tp, fp, fn: divide(tp, tp + fn, (0, 1)),
    "precision": lambda tp, fp, fn: divide(tp, tp + fp, (0, 1)),
    "f1_score": lambda tp, fp, fn: divide(2 * tp, 2 * tp + fp + fn, (0, 1)),
    "jaccard": lambda tp, fp, fn: divide(tp, tp + fp + fn, (0, 1)),
}
_ALIASES = {
    "tpr": "recall",
    "sensitivity": "recall",
    "true_positive_rate": "recall",
    "ppv": "precision",
    "positive_predictive_value": "precision",
    "dice": "f1_score",
    "f1": "f1_score",
    "iou": "jaccard",
}


class SegmentationMetricsByInstances:
    """Connected areas of masks (N, H, W) found, missed and made up, for each class but the background.

    An area is found when the predicted areas cover at least ``iot`` of it. There are no true negatives.
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
    ) -> None:
        pixels = SegmentationMetrics(targets, predictions, fmt, num_classes, axis, threshold)
        if not 0 < iot <= 1:
            raise ValueError(
                f"SegmentationMetricsByInstances: iot is a share above 0 and up to 1, got {iot!r}"
            )
        self.num_classes, self.iot = pixels.num_classes, iot
        #: (images, classes without background, [found, made up, missed])
        self._counts = np.stack(
            [self._image(target, labels) for target, labels in zip(pixels._targets, pixels._labels)]
        )

    def _image(self, target: np.ndarray, labels: np.ndarray) -> np.ndarray:
        rows = [self._class(target == number, labels == number) for number in range(1, self.num_classes)]
        return np.array(rows)

    def _class(self, target: np.ndarray, predicted: np.ndarray) -> tuple[int, int, int]:
        true_areas, n_true = components(target)
        areas, n_predicted = components(predicted)
        sizes = np.bincount(true_areas.ravel(), minlength=n_true + 1)[1:]
        covered = np.bincount(true_areas[predicted], minlength=n_true + 1)[1:]
        found = covered >= self.iot * sizes
        matched = np.isin(true_areas, np.flatnonzero(found) + 1) & predicted
        real = np.unique(areas[matched])
        return int(found.sum()), n_predicted - len(real[real > 0]), n_true - int(found.sum())

    def update(self, other: SegmentationMetricsByInstances) -> None:
        """Add the images of another."""
        if self.num_classes != other.num_classes:
            raise ValueError(f"metrics: {self.num_classes} and {other.num_classes} classes; set num_classes")
        self._counts = np.concatenate([self._counts, other._counts])

    append = update

    def evaluate(self, name: str, agg: Literal["mean"] | None = "mean") -> Any:
        """Return the mean of a metric over images and classes; with ``agg=None`` all, (images, classes)."""
        metric = _ALIASES.get(name, name)
        if metric not in _INSTANCE:
            raise ValueError(unknown("metric", name, (*_INSTANCE, *_ALIASES), type(self).__name__))
        tp, fp, fn = np.moveaxis(self._counts, -1, 0)
        values = _INSTANCE[metric](tp, fp, fn)
        return values if agg is None else float(np.mean(values))
