"""From what a user calls targets and predictions to labels; what cannot be what it is called is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

Format: TypeAlias = Literal["proba", "logits", "labels"]
#: So many logits, or more, that could all be probabilities are taken for them.
_TELLING = 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """Target and predicted labels of one shape, and the scores of classes (..., C) where there were any.

    ``classes`` is how many the predictions tell apart; None for labels. ``logits``: scores of a yes are no
    probabilities.
    """

    targets: np.ndarray
    labels: np.ndarray
    classes: int | None
    scores: np.ndarray | None
    logits: bool = False


def read(
    targets: Any, predictions: Any, fmt: Format, axis: int | None, threshold: float, owner: str
) -> Outcome:
    """Read targets and predictions of a format; ValueError says what does not fit.

    Classes stand along ``axis``, the last one where predictions have one axis more; one column there, or no
    axis, is a yes or no by the threshold (inclusive). Targets that are shares of classes, as those of mixup,
    stand for the class of the largest one: along ``axis``, or the last one of targets (..., C) where
    predictions are labels (...).
    """
    if fmt not in get_args(Format):
        raise ValueError(f"metrics: fmt is 'proba', 'logits' or 'labels', got {fmt!r}")
    targets, predictions = np.asarray(targets), np.asarray(predictions)
    shapes = targets.shape, predictions.shape
    _refuse_objects(targets, f"{owner}: targets")
    _refuse_objects(predictions, f"{owner}: predictions")
    if fmt == "labels":
        targets = _choose_class(targets, predictions, axis)
        targets, predictions = _match(targets, predictions, owner, shapes)
        answers = read_labels(predictions, f"{owner}: predictions")
        return Outcome(read_labels(targets, f"{owner}: targets"), answers, None, None)
    column = targets.ndim == predictions.ndim > 1 == targets.shape[-1] != predictions.shape[-1]
    if axis is None and (predictions.ndim == targets.ndim + 1 or column):
        axis = -1
    if axis is not None:
        if targets.shape == predictions.shape:
            targets = np.moveaxis(targets, axis, -1)
        predictions = np.moveaxis(predictions, axis, -1)
    several = axis is not None and predictions.shape[-1] > 1
    _check_format(predictions, fmt, several, owner)
    if not several:
        targets, predictions = _match(targets, predictions, owner, shapes)
        # a probability of p is a logit of log(p / (1 - p))
        limit = threshold if fmt == "proba" else np.log(threshold / (1 - threshold))
        answers = (predictions >= limit).astype(np.int64)
        return Outcome(
            read_labels(targets, f"{owner}: targets"), answers, 2, predictions[..., None], fmt == "logits"
        )
    scores = _softmax(predictions) if fmt == "logits" else predictions
    if targets.shape == predictions.shape:
        targets = targets.argmax(-1)  # shares of classes
    targets, labels = _match(targets, predictions.argmax(-1), owner, shapes)
    return Outcome(read_labels(targets, f"{owner}: targets"), labels, predictions.shape[-1], scores)


def _choose_class(targets: np.ndarray, predictions: np.ndarray, axis: int | None) -> np.ndarray:
    """Return the classes of the largest shares where targets are shares; all others as they are."""
    if targets.dtype.kind != "f" or targets.ndim != predictions.ndim + 1:
        return targets
    shares = np.moveaxis(targets, -1 if axis is None else axis, -1)
    if shares.shape[:-1] != predictions.shape or shares.shape[-1] < 2 or not shares.size:
        return targets
    whole = shares.min() >= 0 and np.allclose(shares.sum(-1), 1, atol=1e-3)
    return shares.argmax(-1) if whole else targets


def _match(
    targets: np.ndarray, predictions: np.ndarray, owner: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return both in one shape: (N,) and (N, 1) mean the same, all else is an error that names both."""
    if targets.shape == (*predictions.shape, 1):
        targets = targets[..., 0]
    elif predictions.shape == (*targets.shape, 1):
        predictions = predictions[..., 0]
    if targets.shape != predictions.shape:
        raise ValueError(
            f"{owner}: targets of shape {shapes[0]} and predictions of shape {shapes[1]} do not match; "
            "set the axis of classes by axis="
        )
    return targets, predictions


def _refuse_objects(array: np.ndarray, what: str) -> None:
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{what} are numbers, got {array.dtype} of shape {array.shape}")
    if array.ndim == 0:
        raise ValueError(f"{what} are an array with an axis of items, got the number {array}")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise ValueError(f"{what} hold NaN, {np.isnan(array).sum()} of {array.size} values")


def read_labels(array: np.ndarray, what: str) -> np.ndarray:
    """Return labels as whole numbers; ValueError names a value that is none."""
    if array.dtype.kind in "iu":
        return array
    labels = array.astype(np.int64) if array.dtype.kind != "f" or np.isfinite(array).all() else None
    wrong = array[~np.isfinite(array)] if labels is None else array[labels != array]
    if wrong.size:
        raise ValueError(
            f"{what} are labels, which are whole numbers, got {wrong.flat[0]}; "
            "fmt='proba' and fmt='logits' take scores, and with axis=-1 shares of classes as targets"
        )
    assert labels is not None, "what is not finite was refused"
    return labels


def _check_format(predictions: np.ndarray, fmt: Format, several: bool, owner: str) -> None:
    if not predictions.size:
        return
    low, high = predictions.min(), predictions.max()
    inside = bool(low >= 0 and high <= 1)
    if fmt == "proba":
        if not inside:
            raise ValueError(
                f"{owner}: probabilities are 0 to 1, got {low:g} to {high:g}; "
                "fmt='logits' takes outputs of a network, fmt='labels' labels"
            )
        return
    if predictions.dtype.kind != "f" or (inside and low < high and np.isin(predictions, (0, 1)).all()):
        raise ValueError(
            f"{owner}: logits are floats of any size, got {predictions.dtype} of {low} to {high}; "
            "fmt='labels' takes labels"
        )
    shares = several and inside and np.allclose(predictions.sum(-1), 1, atol=1e-3)
    spread = not several and inside and predictions.size >= _TELLING and high - low >= 0.5
    if shares or spread:
        raise ValueError(
            f"{owner}: logits that are all probabilities, {low:g} to {high:g}; fmt='proba' takes these"
        )


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(np.asarray(logits, float) - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))
