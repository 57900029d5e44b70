"""Classes of metrics by short names, those of the older BatchFlow among them."""

from __future__ import annotations

from collections.abc import Mapping

from bf_models.errors import unknown
from bf_models.metrics.classification import ClassificationMetrics
from bf_models.metrics.gathered import Gathered
from bf_models.metrics.loss import Loss
from bf_models.metrics.panoptic import PanopticMetrics
from bf_models.metrics.reconstruction import ReconstructionMetrics
from bf_models.metrics.regression import RegressionMetrics
from bf_models.metrics.segmentation import SegmentationMetrics, SegmentationMetricsByInstances

METRICS: Mapping[str, type[Gathered]] = {
    "classification": ClassificationMetrics,
    "segmentation": SegmentationMetrics,
    "instances": SegmentationMetricsByInstances,
    "panoptic": PanopticMetrics,
    "regression": RegressionMetrics,
    "reconstruction": ReconstructionMetrics,
    "loss": Loss,
}
_OLDER: Mapping[str, str] = {
    "class": "classification",
    **dict.fromkeys(("segm", "mask", "masks", "pixels"), "segmentation"),
    **dict.fromkeys(("inst", "instance"), "instances"),
    "regr": "regression",
}


def find_metrics(name: str) -> type[Gathered]:
    """Return the class of metrics that a name stands for; ValueError with close matches.

    >>> find_metrics('loss').__name__
    'Loss'
    """
    found = _OLDER.get(name, name)
    if found not in METRICS:
        raise ValueError(unknown("metrics", name, METRICS))
    return METRICS[found]
