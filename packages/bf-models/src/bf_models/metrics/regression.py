"""Metrics of predicted numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from bf_models.errors import unknown
from bf_models.metrics.gathered import Gathered

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


def _median_error(t: np.ndarray, p: np.ndarray, w: np.ndarray | None) -> np.ndarray:
    """Return the error below and above which lies half of the weight; the mean of two where two are it."""
    errors = np.sort(np.abs(t - p), axis=0)
    if w is None:
        return np.asarray(np.median(errors, axis=0))
    weights = w[np.argsort(np.abs(t - p), axis=0, kind="stable")]
    shares = np.cumsum(weights, axis=0)
    half = shares[-1] / 2
    # places of the first error that reaches the half, and of the first one beyond it
    low, high = ((shares < half).sum(0), (shares <= half).sum(0))
    columns = np.arange(errors.shape[1])
    return np.asarray((errors[low, columns] + errors[np.minimum(high, len(errors) - 1), columns]) / 2)


def _max_error(t: np.ndarray, p: np.ndarray, w: np.ndarray | None) -> np.ndarray:
    errors = np.abs(t - p)
    return np.asarray(errors.max(axis=0) if w is None else errors[w > 0].max(axis=0))


_METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray, np.ndarray | None], np.ndarray]] = {
    "mean_absolute_error": lambda t, p, w: _mean(np.abs(t - p), w),
    "mean_squared_error": _mse,
    "root_mean_squared_error": lambda t, p, w: np.sqrt(_mse(t, p, w)),
    "r2_score": lambda t, p, w: _share_explained(t, _mse(t, p, w), w),
    "explained_variance_ratio": _explained_variance,
    "median_absolute_error": _median_error,
    "max_error": _max_error,
}


class RegressionMetrics(Gathered):
    """Targets and predictions (N,) or (N, K) of numbers, kept, and errors of all that was gathered.

    ``weights`` (N,) weigh items in every metric (an item of weight 0 is not there); ``multi`` keeps the K
    columns apart. ValueError for shapes that differ, for NaN and for negative weights.

    >>> RegressionMetrics([1., 2.], [1., 4.]).evaluate('mae')
    1.0
    """

    def __init__(self, targets: Any, predictions: Any, weights: Any = None, multi: bool = False) -> None:
        shapes = np.shape(targets), np.shape(predictions)
        self._targets = _read_columns(targets, "targets")
        self._predictions = _read_columns(predictions, "predictions")
        self._weights = None if weights is None else _read_weights(weights, len(self._targets))
        self.multi = multi
        same = shapes[0] == shapes[1] or shapes[0] == (*shapes[1], 1) or shapes[1] == (*shapes[0], 1)
        if not same:
            raise ValueError(
                f"RegressionMetrics: targets of shape {shapes[0]} and predictions of shape {shapes[1]} "
                "do not match"
            )

    def update(self, other: RegressionMetrics) -> None:
        """Add the items of another."""
        if (self._weights is None) != (other._weights is None):
            raise ValueError("RegressionMetrics: one has weights and the other has not")
        mine, theirs = (item._targets.shape[1] for item in (self, other))
        if mine != theirs:
            raise ValueError(f"RegressionMetrics: {mine} and {theirs} columns do not go together")
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
        if metric not in (*_METRICS, "accuracy"):
            raise ValueError(unknown("metric", name, (*_METRICS, "accuracy", *_ALIASES), "RegressionMetrics"))
        if not len(self._targets) or (self._weights is not None and not self._weights.any()):
            raise ValueError(f"RegressionMetrics: there is nothing to make {metric} of, no item has a weight")
        if metric == "accuracy":
            values = _mean((np.abs(self._targets - self._predictions) <= gap).astype(float), self._weights)
        else:
            values = _METRICS[metric](self._targets, self._predictions, self._weights)
        return values if self.multi and agg is None else float(np.mean(values))


def _read_columns(values: Any, name: str) -> np.ndarray:
    array = np.asarray(values, float)
    if array.ndim == 0:
        raise ValueError(f"RegressionMetrics: {name} are an array with an axis of items, got {values!r}")
    if np.isnan(array).any():
        count = np.isnan(array).sum()
        raise ValueError(f"RegressionMetrics: {name} hold NaN, {count} of {array.size} values")
    return array.reshape(len(array), -1) if array.size else array.reshape(len(array), 1)


def _read_weights(values: Any, items: int) -> np.ndarray:
    array = np.asarray(values, float)
    if array.shape not in ((items,), (items, 1)):
        raise ValueError(f"RegressionMetrics: weights of shape {array.shape} for {items} items")
    if not (array >= 0).all():
        raise ValueError(f"RegressionMetrics: weights are 0 or more, got {array[~(array >= 0)].flat[0]}")
    return array.reshape(-1)
