"""Rates of a confusion matrix by name: formulas, aliases, and what stands for a division by zero."""

from __future__ import annotations

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

    def pooled(self) -> Cells:
        """Return the cells of all classes together, (..., 1)."""
        return Cells(*(item.sum(-1, keepdims=True) for item in (self.tp, self.fp, self.fn, self.tn)))


@dataclass(frozen=True, slots=True)
class Rate:
    """A fraction of cells; ``when_zero`` are its values for x / 0 with x > 0, and for 0 / 0."""

    top: Callable[[Cells], Counts]
    bottom: Callable[[Cells], Counts]
    when_zero: tuple[float, float]

    def __call__(self, cells: Cells) -> np.ndarray:
        """Return the value of each class."""
        return divide(self.top(cells), self.bottom(cells), self.when_zero)


def divide(top: np.ndarray, bottom: np.ndarray, when_zero: tuple[float, float]) -> np.ndarray:
    """Return the quotient, and ``when_zero`` where the divisor is zero."""
    top, bottom = np.asarray(top, float), np.asarray(bottom, float)
    value = np.divide(top, bottom, out=np.zeros(np.broadcast(top, bottom).shape), where=bottom != 0)
    return np.where(bottom != 0, value, np.where(top > 0, *when_zero))


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
    "true_positive_rate": Rate(lambda c: c.tp, _POSITIVE, (0, 1)),
    "false_positive_rate": Rate(lambda c: c.fp, _NEGATIVE, (1, 0)),
    "false_negative_rate": Rate(lambda c: c.fn, _POSITIVE, (1, 0)),
    "true_negative_rate": Rate(lambda c: c.tn, _NEGATIVE, (0, 1)),
    "prevalence": Rate(_POSITIVE, COUNTS["total_population"], (0, 0)),
    "positive_predictive_value": Rate(lambda c: c.tp, COUNTS["prediction_positive"], (0, 1)),
    "false_discovery_rate": Rate(lambda c: c.fp, COUNTS["prediction_positive"], (1, 0)),
    "false_omission_rate": Rate(lambda c: c.fn, COUNTS["prediction_negative"], (1, 0)),
    "negative_predictive_value": Rate(lambda c: c.tn, COUNTS["prediction_negative"], (0, 1)),
    "jaccard": Rate(lambda c: c.tp, lambda c: c.tp + c.fp + c.fn, (0, 1)),
}
ALIASES: Mapping[str, str] = {
    **dict.fromkeys(("recall", "sensitivity", "tpr"), "true_positive_rate"),
    **dict.fromkeys(("fallout", "fpr"), "false_positive_rate"),
    **dict.fromkeys(("miss_rate", "fnr"), "false_negative_rate"),
    **dict.fromkeys(("specificity", "tnr"), "true_negative_rate"),
    **dict.fromkeys(("precision", "ppv"), "positive_predictive_value"),
    "prv": "prevalence",
    "acc": "accuracy",
    "fdr": "false_discovery_rate",
    "for": "false_omission_rate",
    "npv": "negative_predictive_value",
    "plr": "positive_likelihood_ratio",
    "nlr": "negative_likelihood_ratio",
    "dor": "diagnostics_odds_ratio",
    **dict.fromkeys(("dice", "f1s", "f1"), "f1_score"),
    **dict.fromkeys(("iou", "jac"), "jaccard"),
}
#: Made of two rates that are averaged over classes first, as BatchFlow does.
COMPOSED: Mapping[str, tuple[str, str]] = {
    "f1_score": ("true_positive_rate", "positive_predictive_value"),
    "positive_likelihood_ratio": ("true_positive_rate", "false_positive_rate"),
    "negative_likelihood_ratio": ("false_negative_rate", "true_negative_rate"),
    "diagnostics_odds_ratio": ("positive_likelihood_ratio", "negative_likelihood_ratio"),
}
NAMES = ("accuracy", *COUNTS, *RATES, *COMPOSED)


def full_name(name: str, owner: str) -> str:
    """Return the name of a metric that an alias stands for; ValueError with close matches."""
    found = ALIASES.get(name, name)
    if found not in NAMES:
        raise ValueError(unknown("metric", name, (*NAMES, *ALIASES), owner))
    return found


def compose(name: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the value of a metric that is composed of two rates."""
    if name == "f1_score":
        return divide(2 * first * second, first + second, (0, 0))
    return divide(first, second, (np.inf, 0))
