"""Counts of pairs of labels, in blocks that stay in the processor's cache."""

from __future__ import annotations

import numpy as np

#: So many pairs at once: their numbers (1 MB) stay in the cache of a core.
_BLOCK = 1 << 17
#: Runs of fewer pixels are not worth being looked for.
_SHORT = 6
#: Labels of a byte, each with a column of its own: what is out of range shows in the counts, not in a pass.
_BYTES = 256


def confusion(
    targets: np.ndarray, predictions: np.ndarray, classes: int, ignore: int | None = None
) -> np.ndarray:
    """Count (classes, classes) of [predicted, target] labels; pairs whose target is ``ignore`` do not count.

    Both are arrays of whole numbers of one shape. ValueError for labels out of range.
    """
    if classes > _BYTES or (ignore is not None and not 0 <= ignore < _BYTES):
        left_out = None if ignore is None else targets == ignore
        if left_out is not None:
            targets, predictions = targets[~left_out], predictions[~left_out]
        _check(targets, predictions, classes, ignore)
        pairs = predictions.reshape(-1).astype(np.int64) * classes + targets.reshape(-1).astype(np.int64)
        return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
    counts = _count(targets, predictions, classes)
    outside = [number for number in range(classes, _BYTES) if number != ignore]
    if counts is None or counts[:, outside].any():
        _check(targets, predictions, classes, ignore)
    assert counts is not None, "labels out of range were refused"
    if ignore is not None and ignore < classes:
        counts[:, ignore] = 0
    return counts[:, :classes].copy()


def _count(targets: np.ndarray, predictions: np.ndarray, rows: int) -> np.ndarray | None:
    """Count (rows, 256) of [predicted, target] labels; None where some are out of that range."""
    truth, answers = targets.reshape(-1), predictions.reshape(-1)
    total = np.zeros(rows * _BYTES, np.int64)
    numbers = np.empty(min(_BLOCK, len(truth)), np.uint16)
    cells = np.empty(len(numbers), np.int64)
    lengths: np.ndarray | None = np.empty(0)
    for start in range(0, len(truth), _BLOCK):
        label, answer = truth[start : start + _BLOCK], answers[start : start + _BLOCK]
        if not (_is_below(answer, rows) and _is_below(label, _BYTES)):
            return None
        if lengths is not None:  # until a block is no mask of areas, but noise
            label, answer, lengths = _shorten(label, answer)
        number, cell = numbers[: len(label)], cells[: len(label)]  # two bytes for as long as they suffice
        np.copyto(number, answer, casting="unsafe")
        number *= np.uint16(_BYTES)
        if label.dtype == np.uint8:
            number += label
        else:
            number += label.astype(np.uint16)
        np.copyto(cell, number)
        total += np.bincount(cell, lengths, minlength=len(total)).astype(np.int64, copy=False)
    return total.reshape(rows, _BYTES)


def _shorten(label: np.ndarray, answer: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return a pair for each run of equal ones, and the lengths of runs; all pairs if runs are short."""
    change = np.empty(len(label), bool)
    change[0] = True
    np.not_equal(label[1:], label[:-1], out=change[1:])
    change[1:] |= answer[1:] != answer[:-1]
    starts = np.flatnonzero(change)
    if len(starts) * _SHORT > len(label):
        return label, answer, None
    return label[starts], answer[starts], np.diff(starts, append=len(label))


def _is_below(labels: np.ndarray, limit: int) -> bool:
    """Whether all labels are 0 or more and below a limit."""
    if labels.dtype == np.uint8 and limit == _BYTES:
        return True
    if labels.dtype == np.int64:  # a negative number has the highest bit, which makes it the largest
        labels = labels.view(np.uint64)
    return bool(labels.max() < limit and (labels.dtype.kind == "u" or labels.min() >= 0))


def _check(targets: np.ndarray, predictions: np.ndarray, classes: int, ignore: int | None) -> None:
    """Raise ValueError for labels out of range."""
    for name, labels in (("targets", targets), ("predictions", predictions)):
        wrong = (labels < 0) | (labels >= classes)
        but = ""
        if name == "targets" and ignore is not None:
            wrong &= labels != ignore
            but = f" or {ignore}, which does not count"
        if wrong.any():
            raise ValueError(
                f"metrics: {name} are labels 0..{classes - 1}{but}, got {labels.min()}..{labels.max()}; "
                f"{np.count_nonzero(wrong)} of {labels.size} are out of range; set num_classes"
            )
