"""Metrics of predicted numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from bf_models.errors import unknown

_ALIASES = {
    "mae": "mean_absolute_error",
    "mse": "mean_squared_error",
    "rmse": "root_mean_squared_error",
    "r2": "r2_score",
    "acc": "accuracy",
}


def _mean(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    return np.average(values, axis=0, weights=weights)


def _mse(t: np.ndarray, p: np.ndarray, w: np.ndarray | None) -> np.ndarray:
    return _mean((t - p) ** 2, w)


def _share_explained(t: np.ndarray, error: np.ndarray, w: np.ndarray | None) -> np.ndarray:
    spread = _mean((t - _mean(t, w)) ** 2, w)
    # constant targets: nothing to explain, so 1 without an error and 0 otherwise, as in scikit-learn
    share = 1 - np.divide(error, spread, out=np.zeros_like(error), where=spread != 0)
    return np.where(spread != 0, share, np.where(error == 0, 1.0, 0.0))


def _explained_variance(t: np.ndarray, p: np.ndarray, w: np.ndarray | None) -> np.ndarray:
    error = t - p
    return _share_explained(t, _mean((error - _mean(error, w)) ** 2, w), w)


_METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray, np.ndarray | None], np.ndarray]] = {
    "mean_absolute_error": lambda t, p, w: _mean(np.abs(t - p), w),
    "mean_squared_error": _mse,
    "root_mean_squared_error": lambda t, p, w: np.sqrt(_mse(t, p, w)),
    "r2_score": lambda t, p, w: _share_explained(t, _mse(t, p, w), w),
    "explained_variance_ratio": _explained_variance,
    "median_absolute_error": lambda t, p, w: np.median(np.abs(t - p), axis=0),
    "max_error": lambda t, p, w: np.abs(t - p).max(axis=0),
}


class RegressionMetrics:
    """Targets and predictions (N,) or (N, K) of numbers, kept, and errors of all that was gathered.

    ``weights`` (N,) weigh items; ``multi`` keeps the K columns apart.

    >>> RegressionMetrics([1., 2.], [1., 4.]).evaluate('mae')
    1.0
    """

    def __init__(self, targets: Any, predictions: Any, weights: Any = None, multi: bool = False) -> None:
        self._targets = _columns(targets)
        self._predictions = _columns(predictions)
        self._weights = None if weights is None else np.asarray(weights, float).reshape(-1)
        self.multi = multi
        if self._targets.shape != self._predictions.shape:
            raise ValueError(
                f"RegressionMetrics: targets of shape {np.shape(targets)} and predictions of shape "
                f"{np.shape(predictions)} do not match"
            )
        if self._weights is not None and len(self._weights) != len(self._targets):
            raise ValueError(
                f"RegressionMetrics: {len(self._weights)} weights for {len(self._targets)} items"
            )

    def update(self, other: RegressionMetrics) -> None:
        """Add the items of another."""
        if (self._weights is None) != (other._weights is None):
            raise ValueError("RegressionMetrics: one has weights and the other has not")
        self._targets = np.concatenate([self._targets, other._targets])
        self._predictions = np.concatenate([self._predictions, other._predictions])
        if self._weights is not None and other._weights is not None:
            self._weights = np.concatenate([self._weights, other._weights])

    append = update

    def evaluate(
        self, name: str | Sequence[str], agg: Literal["mean"] | None = "mean", gap: float = 3
    ) -> Any:
        """Return the value of a metric, or a dict of several.

        ``accuracy`` is the share of errors within ``gap``.
        """
        if not isinstance(name, str):
            return {item: self.evaluate(item, agg, gap) for item in name}
        metric = _ALIASES.get(name, name)
        if metric == "accuracy":
            values = _mean((np.abs(self._targets - self._predictions) <= gap).astype(float), self._weights)
        elif metric in _METRICS:
            values = _METRICS[metric](self._targets, self._predictions, self._weights)
        else:
            raise ValueError(unknown("metric", name, (*_METRICS, "accuracy", *_ALIASES), "RegressionMetrics"))
        return values if self.multi and agg is None else float(np.mean(values))


def _columns(values: Any) -> np.ndarray:
    array = np.asarray(values, float)
    return array.reshape(len(array), -1)
