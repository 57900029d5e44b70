"""Metrics of predictions, in numpy: accumulated over batches, evaluated by name."""

from bf_models.metrics.classification import ClassificationMetrics
from bf_models.metrics.regression import RegressionMetrics
from bf_models.metrics.segmentation import SegmentationMetrics, SegmentationMetricsByInstances

__all__ = [
    "ClassificationMetrics",
    "RegressionMetrics",
    "SegmentationMetrics",
    "SegmentationMetricsByInstances",
]
