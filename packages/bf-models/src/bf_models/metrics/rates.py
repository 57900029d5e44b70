"""Rates of a confusion matrix by name: formulas and aliases, as scikit-learn defines them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bf_models.errors import unknown

Counts = np.ndarray


@dataclass(frozen=True, slots=True)
class Cells:
    """True and false positives and negatives of each class, arrays (..., classes)."""

    tp: Counts
    fp: Counts
    fn: Counts
    tn: Counts

    @classmethod
    def of(cls, confusion: Counts) -> Cells:
        """Return the cells of confusion matrices (..., predicted, target)."""
        tp = np.diagonal(confusion, axis1=-2, axis2=-1)
        fp, fn = confusion.sum(-1) - tp, confusion.sum(-2) - tp
        return cls(tp, fp, fn, confusion.sum((-2, -1))[..., None] - tp - fp - fn)

    @property
    def present(self) -> np.ndarray:
        """Whether targets or predictions have a class, bools (..., classes)."""
        return np.asarray(self.tp + self.fp + self.fn > 0)

    def pooled(self) -> Cells:
        """Return the cells of all classes together, (..., 1)."""
        return Cells(*(item.sum(-1, keepdims=True) for item in (self.tp, self.fp, self.fn, self.tn)))

    def without_first(self) -> Cells:
        """Return the cells of all classes but the first, the background."""
        return Cells(*(item[..., 1:] for item in (self.tp, self.fp, self.fn, self.tn)))


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of cells, the top a part of the bottom; ``older`` was 0 / 0 in the older BatchFlow."""

    top: Callable[[Cells], Counts]
    bottom: Callable[[Cells], Counts]
    older: float

    def __call__(self, cells: Cells, zero_division: float) -> np.ndarray:
        """Return the value of each class."""
        return divide(self.top(cells), self.bottom(cells), (zero_division, zero_division))


def divide(top: np.ndarray, bottom: np.ndarray, when_zero: tuple[float, float]) -> np.ndarray:
    """Return the quotient; ``when_zero`` are its values for x / 0 with x > 0, and for 0 / 0."""
    top, bottom = np.asarray(top, float), np.asarray(bottom, float)
    value = np.divide(top, bottom, out=np.zeros(np.broadcast(top, bottom).shape), where=bottom != 0)
    return np.where(bottom != 0, value, np.where(top > 0, *when_zero))


def finite_mean(values: np.ndarray, axis: int, otherwise: float) -> np.ndarray:
    """Return the mean of the values that are finite; where none is, infinite ones or ``otherwise`` of NaN."""
    finite = np.isfinite(values)
    count = finite.sum(axis)
    total = np.where(finite, values, 0.0).sum(axis)
    none = np.where(np.isinf(values).any(axis), np.inf, otherwise)
    return np.where(count > 0, total / np.maximum(count, 1), none)


COUNTS: Mapping[str, Callable[[Cells], Counts]] = {
    "true_positive": lambda c: c.tp,
    "false_positive": lambda c: c.fp,
    "true_negative": lambda c: c.tn,
    "false_negative": lambda c: c.fn,
    "condition_positive": lambda c: c.tp + c.fn,
    "condition_negative": lambda c: c.fp + c.tn,
    "prediction_positive": lambda c: c.tp + c.fp,
    "prediction_negative": lambda c: c.fn + c.tn,
    "total_population": lambda c: c.tp + c.fp + c.fn + c.tn,
}
_POSITIVE, _NEGATIVE = COUNTS["condition_positive"], COUNTS["condition_negative"]
RATES: Mapping[str, Rate] = {
    "true_positive_rate": Rate(lambda c: c.tp, _POSITIVE, 1),
    "false_positive_rate": Rate(lambda c: c.fp, _NEGATIVE, 0),
    "false_negative_rate": Rate(lambda c: c.fn, _POSITIVE, 0),
    "true_negative_rate": Rate(lambda c: c.tn, _NEGATIVE, 1),
    "prevalence": Rate(_POSITIVE, COUNTS["total_population"], 0),
    "positive_predictive_value": Rate(lambda c: c.tp, COUNTS["prediction_positive"], 1),
    "false_discovery_rate": Rate(lambda c: c.fp, COUNTS["prediction_positive"], 0),
    "false_omission_rate": Rate(lambda c: c.fn, COUNTS["prediction_negative"], 0),
    "negative_predictive_value": Rate(lambda c: c.tn, COUNTS["prediction_negative"], 1),
    "f1_score": Rate(lambda c: 2 * c.tp, lambda c: 2 * c.tp + c.fp + c.fn, np.inf),
    "jaccard": Rate(lambda c: c.tp, lambda c: c.tp + c.fp + c.fn, np.inf),
}
ALIASES: Mapping[str, str] = {
    **dict.fromkeys(("recall", "sensitivity", "tpr"), "true_positive_rate"),
    **dict.fromkeys(("fallout", "fpr"), "false_positive_rate"),
    **dict.fromkeys(("miss_rate", "fnr"), "false_negative_rate"),
    **dict.fromkeys(("specificity", "tnr"), "true_negative_rate"),
    **dict.fromkeys(("precision", "ppv"), "positive_predictive_value"),
    "prv": "prevalence",
    **dict.fromkeys(("acc", "pixel_accuracy"), "accuracy"),
    "fdr": "false_discovery_rate",
    "for": "false_omission_rate",
    "npv": "negative_predictive_value",
    "plr": "positive_likelihood_ratio",
    "nlr": "negative_likelihood_ratio",
    "dor": "diagnostics_odds_ratio",
    **dict.fromkeys(("dice", "f1s", "f1"), "f1_score"),
    **dict.fromkeys(("iou", "jac"), "jaccard"),
    "miou": "mean_iou",
    "auc": "roc_auc",
    "ap": "average_precision",
    "ece": "calibration_error",
}
#: Quotients of two others.
RATIOS: Mapping[str, tuple[str, str]] = {
    "positive_likelihood_ratio": ("true_positive_rate", "false_positive_rate"),
    "negative_likelihood_ratio": ("false_negative_rate", "true_negative_rate"),
    "diagnostics_odds_ratio": ("positive_likelihood_ratio", "negative_likelihood_ratio"),
}
#: Means over all classes that targets or predictions have, of two classes too.
MEANS: Mapping[str, str] = {"mean_iou": "jaccard", "mean_dice": "f1_score"}
#: Made of scores, see ``ranking``; beside them the accuracy of the first k, ``top5_accuracy``.
RANKED = ("roc_auc", "average_precision", "pr_auc", "calibration_error")
TOP = re.compile(r"top_?([1-9]\d*)(_accuracy)?")
NAMES = ("accuracy", *COUNTS, *RATES, *RATIOS, *MEANS, *RANKED)


def full_name(name: str, owner: str) -> str:
    """Return the name of a metric that an alias stands for; ValueError with close matches."""
    found = ALIASES.get(name, name)
    if found in NAMES:
        return found
    if top := TOP.fullmatch(name):
        return f"top{top[1]}_accuracy"
    raise ValueError(unknown("metric", name, (*NAMES, "top5_accuracy", *ALIASES), owner))


def is_ranked(metric: str) -> bool:
    """Whether a metric is made of scores."""
    return metric in RANKED or TOP.fullmatch(metric) is not None


def compute(metric: str, cells: Cells, zero_division: float) -> np.ndarray:
    """Return the value of a count, a rate or a ratio for each class."""
    if metric in COUNTS:
        return np.asarray(COUNTS[metric](cells))
    if metric in RATES:
        return RATES[metric](cells, zero_division)
    first, second = (compute(item, cells, zero_division) for item in RATIOS[metric])
    return divide(first, second, (np.inf, zero_division))


def average(values: np.ndarray, cells: Cells) -> np.ndarray:
    """Return the mean over the classes that targets or predictions have; NaN where there are none."""
    return finite_mean(np.where(cells.present, values, np.nan), -1, np.nan)
