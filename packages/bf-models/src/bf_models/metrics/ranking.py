"""What is made of scores: areas under their curves, the first k classes, how far to trust them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bf_models.metrics.rates import TOP

#: Bins of confidences, each holds its upper end.
BINS = 15


@dataclass(frozen=True, slots=True)
class Scores:
    """Labels (N,) and scores of classes (N, C) of each batch; (N, 1) is the score of a yes.

    They are probabilities; with ``logits`` those of a yes are not.
    """

    parts: tuple[tuple[np.ndarray, np.ndarray], ...]
    logits: bool = False

    def join(self, other: Scores) -> Scores:
        """Return the items of both; ValueError when their numbers of classes differ."""
        mine, theirs = (item.parts[0][1].shape[1] for item in (self, other))
        if mine != theirs:
            raise ValueError(f"metrics: scores of {mine} and of {theirs} classes do not go together")
        if self.logits != other.logits:
            raise ValueError("metrics: logits and probabilities do not go together")
        return Scores(self.parts + other.parts, self.logits)

    def evaluate(self, metric: str, label: int | None, multiclass: str | None) -> np.ndarray:
        """Return the area of one class, of all together (micro), their mean, or (classes,) of each.

        ``top5_accuracy`` and ``calibration_error`` are of all classes; ValueError where one is asked for.
        """
        labels, scores = (np.concatenate(item) for item in zip(*self.parts))
        if metric not in AREAS:
            if label is not None or multiclass is None:
                raise ValueError(f"metrics: {metric} is of all classes; give neither label nor multiclass")
            return np.asarray(self._evaluate_all(metric, labels, scores))
        area, classes = AREAS[metric], scores.shape[1]
        if classes == 1:
            yes = label in (None, 1)
            return np.asarray(area(labels == int(yes), scores[:, 0] if yes else -scores[:, 0]))
        if label is None and classes == 2 and multiclass is not None:
            label = 1
        if label is not None:
            return np.asarray(area(labels == label, scores[:, label]))
        found = labels[:, None] == np.arange(classes)
        if multiclass == "micro":
            return np.asarray(area(found.ravel(), scores.ravel()))
        values = np.array([area(found[:, number], scores[:, number]) for number in range(classes)])
        return values if multiclass is None else _mean_of_known(values)

    def _evaluate_all(self, metric: str, labels: np.ndarray, scores: np.ndarray) -> float:
        if not len(labels):
            return float("nan")
        if scores.shape[1] == 1:
            yes = 1 / (1 + np.exp(-scores.astype(float))) if self.logits else scores
            scores = np.concatenate([1 - yes, yes], axis=1)
        if top := TOP.fullmatch(metric):
            return _top_accuracy(labels, scores, int(top[1]))
        return _calibration_error(labels, scores)


def _top_accuracy(labels: np.ndarray, scores: np.ndarray, count: int) -> float:
    """Return the share of items whose class is among the first; of equal scores the last is first."""
    own = np.take_along_axis(scores, labels[:, None].astype(np.int64), 1)
    later = np.arange(scores.shape[1]) > labels[:, None]
    before = ((scores > own) | ((scores == own) & later)).sum(1)
    return float(np.mean(before < count))


def _calibration_error(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the expected calibration error over 15 bins of equal width (arXiv:1706.04599)."""
    confidence = scores.max(1).astype(float)
    right = scores.argmax(1) == labels
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    known = values[~np.isnan(values)]
    return np.asarray(known.mean() if known.size else np.nan)


def _roc_auc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Return the share of pairs of a positive and a negative in the right order, ties a half."""
    n_positive = int(positive.sum())
    pairs = n_positive * (len(positive) - n_positive)
    if not pairs:
        return float("nan")
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return float((ranks[places][positive].sum() - n_positive * (n_positive + 1) / 2) / pairs)


def _curve(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return precision and recall at each distinct score, from the highest down."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    found = np.cumsum(positive[order])[ends]
    return found / (ends + 1), found / positive.sum()


def _average_precision(positive: np.ndarray, scores: np.ndarray) -> float:
    if not positive.any():
        return float("nan")
    precision, recall = _curve(positive, scores)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def _pr_auc(positive: np.ndarray, scores: np.ndarray) -> float:
    if not positive.any():
        return float("nan")
    precision, recall = _curve(positive, scores)
    heights, places = np.append(1.0, precision), np.append(0.0, recall)
    return float(np.sum((heights[1:] + heights[:-1]) / 2 * np.diff(places)))  # numpy 1 has no trapezoid


AREAS: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "pr_auc": _pr_auc,
}
