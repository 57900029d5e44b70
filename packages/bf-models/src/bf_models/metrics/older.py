"""Rates by the convention of the older BatchFlow: nothing to find and nothing found is a rate of 1.

Classes that nobody has count in macro means, and what is made of two rates (an f1 score, a likelihood ratio)
is made of their macro means.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bf_models.metrics.rates import COUNTS, RATES, RATIOS, Cells, divide, finite_mean

#: Made of two rates after these were averaged over classes.
_COMPOSED: Mapping[str, tuple[str, str]] = {
    "f1_score": ("true_positive_rate", "positive_predictive_value"),
    **RATIOS,
}


def compute_older(metric: str, cells: Cells, macro: bool) -> np.ndarray:
    """Return the value of each class (..., classes), or of their mean (..., 1)."""
    if metric in COUNTS:
        return np.asarray(COUNTS[metric](cells))
    if metric in _COMPOSED:
        first, second = (compute_older(item, cells, macro) for item in _COMPOSED[metric])
        if metric == "f1_score":
            return divide(2 * first * second, first + second, (0, 0))
        return divide(first, second, (np.inf, 0))
    values = RATES[metric](cells, RATES[metric].older)
    return finite_mean(values, -1, np.inf)[..., None] if macro else values
