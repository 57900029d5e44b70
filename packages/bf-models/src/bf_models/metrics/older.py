"""Rates by the convention of the older BatchFlow: nothing to find and nothing found is a rate of 1.

Classes that nobody has count in means over classes. Likelihood ratios are averaged as they are ('macro'), or
the sums of their two rates over classes are divided ('micro'). An f1 score is made of the means of recall and
precision; that of nothing, and its jaccard, are infinite, so that means leave them out.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from bf_models.metrics.rates import COUNTS, RATES, RATIOS, Cells, divide, finite_mean

How = Literal["each", "macro", "micro"]


def compute_older(metric: str, cells: Cells, how: How) -> np.ndarray:
    """Return the value of each class (..., classes), or of all together (..., 1)."""
    if metric in COUNTS:
        return np.asarray(COUNTS[metric](cells.pooled() if how == "micro" else cells))
    if metric in RATIOS:
        first, second = (compute_older(item, cells, "each") for item in RATIOS[metric])
        if how == "micro":
            first, second = (item.sum(-1, keepdims=True) for item in (first, second))
        with np.errstate(invalid="ignore"):  # infinite ones of both are NaN, which no mean counts
            ratio = divide(first, second, (np.inf, 0))
        return _mean(ratio) if how == "macro" else ratio
    if metric == "f1_score":
        return _f1(cells, how)
    if metric == "jaccard":
        dice = _f1(cells, how)
        finite = np.isfinite(dice)
        share = np.where(finite, dice, 0.0)
        return np.where(finite, share / (2 - share), np.inf)
    return _rate(metric, cells, RATES[metric].older, how)


def _mean(values: np.ndarray) -> np.ndarray:
    return finite_mean(values, -1, np.inf)[..., None]


def _rate(metric: str, cells: Cells, when_nothing: float, how: How) -> np.ndarray:
    values = RATES[metric](cells.pooled() if how == "micro" else cells, when_nothing)
    return _mean(values) if how == "macro" else values


def _f1(cells: Cells, how: How) -> np.ndarray:
    """Return the harmonic mean of recall and precision, of which classes without any are left out."""
    names = ("true_positive_rate", "positive_predictive_value")
    recall, precision = (_rate(item, cells, np.inf, how) for item in names)
    nothing = np.isinf(recall) & np.isinf(precision)
    known = np.isfinite(recall) & np.isfinite(precision)
    recall, precision = np.where(known, recall, 0.0), np.where(known, precision, 0.0)
    return np.where(nothing, np.inf, divide(2 * recall * precision, recall + precision, (0, 0)))
