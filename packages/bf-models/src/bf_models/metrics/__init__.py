"""Metrics of predictions, in numpy: accumulated over batches, evaluated by name."""

from bf_models.metrics.classification import ClassificationMetrics
from bf_models.metrics.loss import Loss
from bf_models.metrics.named import find_metrics
from bf_models.metrics.panoptic import PanopticMetrics
from bf_models.metrics.reconstruction import ReconstructionMetrics
from bf_models.metrics.regression import RegressionMetrics
from bf_models.metrics.segmentation import SegmentationMetrics, SegmentationMetricsByInstances

__all__ = [
    "ClassificationMetrics",
    "Loss",
    "PanopticMetrics",
    "ReconstructionMetrics",
    "RegressionMetrics",
    "SegmentationMetrics",
    "SegmentationMetricsByInstances",
    "find_metrics",
]
