"""Metrics of items that are told again from a few numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bf_models.errors import unknown
from bf_models.metrics.gathered import Gathered

_ALIASES = {
    "mae": "mean_absolute_error",
    "mse": "mean_squared_error",
    "rmse": "root_mean_squared_error",
    "kl": "divergence",
}
_OF_SHARES, _OF_POSTERIORS = ("cross_entropy",), ("divergence", "active_units")
_NAMES = (
    *("mean_absolute_error", "mean_squared_error", "root_mean_squared_error"),
    *(*_OF_SHARES, *_OF_POSTERIORS),
)
_ACTIVE = 0.01
"""A number of a code says something where the variance of its mean over the items is above that."""


class ReconstructionMetrics(Gathered):
    """Items and what they were told again as, (N, ...) each, as sums: memory does not grow with items.

    ``mae``, ``mse`` and ``rmse`` are over all numbers. ``cross_entropy``, in nats an item, is of numbers from
    0 to 1 that were told again as such. ``posterior`` (N, 2 * latent), means and logarithms of variances,
    gives ``kl``, the divergence from the standard normal distribution in nats an item, and ``active_units``,
    how many numbers of a code have a mean whose variance over the items is above 0.01 (Burda et al. 2015,
    arXiv:1509.00519). ValueError for shapes that differ and for NaN.

    >>> ReconstructionMetrics([[0., 1.]], [[0., 3.]]).evaluate('mse')
    2.0
    """

    def __init__(self, targets: Any, predictions: Any, posterior: Any = None) -> None:
        told, known = _read("predictions", predictions), _read("targets", targets)
        shapes = known.shape, told.shape
        if not (shapes[0] == shapes[1] or shapes[0] == (*shapes[1], 1) or shapes[1] == (*shapes[0], 1)):
            raise ValueError(
                f"ReconstructionMetrics: targets of shape {shapes[0]} and predictions of shape {shapes[1]} "
                "do not match"
            )
        told = told.reshape(known.shape)
        away = known - told
        self._sums: dict[str, Any] = {
            "items": len(known),
            "numbers": away.size,
            "absolute": float(np.abs(away).sum()),
            "squared": float(np.square(away).sum()),
            "entropy": _sum_entropy(known, told),
        }
        if posterior is not None:
            self._sums |= _sum_posterior(_read("posterior", posterior), len(known))

    def update(self, other: ReconstructionMetrics) -> None:
        """Add the items of another."""
        if self._sums.keys() != other._sums.keys():
            raise ValueError("ReconstructionMetrics: one has posteriors and the other has not")
        self._sums = {name: value + other._sums[name] for name, value in self._sums.items()}

    append = update

    def evaluate(self, name: str | Sequence[str]) -> Any:
        """Return the value of a metric, or a dict of several; ValueError for what was not gathered."""
        if not isinstance(name, str):
            return {item: self.evaluate(item) for item in name}
        metric = _ALIASES.get(name, name)
        if metric not in _NAMES:
            raise ValueError(unknown("metric", name, (*_NAMES, *_ALIASES), "ReconstructionMetrics"))
        sums = self._sums
        if not sums["items"]:
            raise ValueError(f"ReconstructionMetrics: there is nothing to make {metric} of")
        if metric in _OF_POSTERIORS and "divergence" not in sums:
            raise ValueError(
                f"ReconstructionMetrics: {name} is of a distribution of codes, and no posterior was given; a "
                "VAE has the layer 'posterior' (task=variational on the command line)"
            )
        value = _find(metric, sums)
        if np.isnan(value):
            raise ValueError(
                f"ReconstructionMetrics: {name} is of numbers from 0 to 1, and there were others among the "
                "targets or the predictions"
            )
        return value


def _find(metric: str, sums: Mapping[str, Any]) -> float:
    if metric == "mean_absolute_error":
        return float(sums["absolute"] / sums["numbers"])
    if metric == "cross_entropy":
        return float(sums["entropy"] / sums["items"])
    if metric == "divergence":
        return float(sums["divergence"] / sums["items"])
    if metric == "active_units":
        varying = sums["squares"] / sums["items"] - (sums["means"] / sums["items"]) ** 2
        return float(np.count_nonzero(varying > _ACTIVE))
    squared = float(sums["squared"] / sums["numbers"])
    return squared if metric == "mean_squared_error" else float(np.sqrt(squared))


def _read(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values, np.float64)
    if array.ndim == 0:
        raise ValueError(f"ReconstructionMetrics: {name} are an array with an axis of items, got {values!r}")
    if np.isnan(array).any():
        raise ValueError(
            f"ReconstructionMetrics: {name} hold NaN, {np.isnan(array).sum()} of {array.size} values"
        )
    return array


def _sum_entropy(known: np.ndarray, told: np.ndarray) -> float:
    """Return the cross-entropy of all items; NaN where numbers are no shares."""
    if not all(item.size == 0 or (item.min() >= 0 and item.max() <= 1) for item in (known, told)):
        return float("nan")
    least = float(np.finfo(np.float32).eps)  # float32 tells a share of 1 from less no further
    told = np.clip(told, least, 1 - least)
    return float(-(known * np.log(told) + (1 - known) * np.log(1 - told)).sum())


def _sum_posterior(posterior: np.ndarray, items: int) -> dict[str, Any]:
    if posterior.ndim != 2 or posterior.shape[1] % 2 or len(posterior) != items:
        raise ValueError(
            f"ReconstructionMetrics: posterior has the shape ({items}, 2 * latent), got {posterior.shape}"
        )
    mean, log_variance = np.split(posterior, 2, axis=1)
    divergence = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum()
    return {"divergence": float(divergence), "means": mean.sum(0), "squares": (mean**2).sum(0)}
