"""Metrics of predicted masks: by pixels of each image, and by connected areas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import numpy as np

from bf_models.errors import unknown
from bf_models.metrics.classification import ClassificationMetrics, Convention
from bf_models.metrics.confusion import confusion
from bf_models.metrics.ranking import Scores
from bf_models.metrics.rates import divide, finite_mean
from bf_models.metrics.reading import Format, Outcome, read


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


_Counted = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
_COUNTS: Mapping[str, _Counted] = {
    "true_positive": lambda found, made_up, missed: found,
    "false_positive": lambda found, made_up, missed: made_up,
    "false_negative": lambda found, made_up, missed: missed,
}
#: Divisors of rates whose dividend is what was found.
_DIVISORS: Mapping[str, _Counted] = {
    "recall": lambda found, made_up, missed: found + missed,
    "precision": lambda found, made_up, missed: found + made_up,
    "f1_score": lambda found, made_up, missed: found + (made_up + missed) / 2,
    "jaccard": lambda found, made_up, missed: found + made_up + missed,
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
        outcome = read(targets, predictions, fmt, axis, threshold, type(self).__name__)
        if not 0 < iot <= 1:
            raise ValueError(
                f"SegmentationMetricsByInstances: iot is a share above 0 and up to 1, got {iot!r}"
            )
        self.num_classes, self.iot = pixels.num_classes, iot
        #: (images, classes without background, [found, made up, missed])
        self._counts = np.stack(
            [self._image(target, labels) for target, labels in zip(outcome.targets, outcome.labels)]
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

    def evaluate(
        self,
        name: str,
        agg: Literal["mean"] | None = "mean",
        zero_division: float = 0.0,
        convention: Convention = "scikit-learn",
    ) -> Any:
        """Return the mean of a metric over images and classes; with ``agg=None`` all, (images, classes).

        A rate of an image is the mean over the classes that it has in targets or predictions, and images
        without any are left out. ``zero_division`` is the value of 0 / 0, NaN is left out of means;
        ``convention='batchflow'`` is that of the older BatchFlow: 0 / 0 is 1 and always counts.
        """
        metric = _ALIASES.get(name, name)
        if metric not in (*_COUNTS, *_DIVISORS):
            raise ValueError(unknown("metric", name, (*_COUNTS, *_DIVISORS, *_ALIASES), type(self).__name__))
        if convention not in get_args(Convention):
            raise ValueError(f"metrics: convention is 'scikit-learn' or 'batchflow', got {convention!r}")
        cells = np.moveaxis(self._counts, -1, 0)
        older = convention == "batchflow"
        if metric in _COUNTS:
            values = _COUNTS[metric](*cells)
        else:
            zero = 1.0 if older else zero_division
            values = divide(cells[0], _DIVISORS[metric](*cells), (zero, zero))
        if agg is None:
            return values
        if older or metric in _COUNTS:
            return float(np.mean(values))
        present = np.where(cells.sum(0) > 0, values, np.nan)
        return float(finite_mean(finite_mean(present, -1, np.nan), 0, zero_division))
