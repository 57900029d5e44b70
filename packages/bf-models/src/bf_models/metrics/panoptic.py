"""Panoptic quality: how well the objects of a picture and its other regions were found (arXiv:1801.00868)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from bf_models.errors import unknown
from bf_models.metrics.gathered import Gathered
from bf_models.metrics.rates import divide, finite_mean
from bf_models.metrics.reading import read_labels
from bf_models.metrics.runs import find_run, find_starts, lengths, number_areas

_NAMES = ("panoptic_quality", "segmentation_quality", "recognition_quality")
_ALIASES = {"pq": _NAMES[0], "sq": _NAMES[1], "rq": _NAMES[2]}
_GROUPS = ("things", "stuff")
#: Segments that share more than this of their union are the same one; at most one other can.
_SAME = 0.5


class _Side(NamedTuple):
    """Segments of one side: the segment of each joint run, the label and the size of each segment."""

    segments: np.ndarray
    labels: np.ndarray
    sizes: np.ndarray


class PanopticMetrics(Gathered):
    """Segments of masks (N, ..., W) found, missed and made up, and how well those found fit.

    A mask is labels, whose connected areas are the objects, or a tuple of labels and numbers of objects, both
    (N, ..., W). ``things`` are the classes that have objects, by default all but 0; a class of the others is
    one segment a picture. Targets of ``ignore`` are nobody's. ValueError for labels out of range.

    >>> mask = np.array([[[0, 1, 1, 0, 1]]])
    >>> PanopticMetrics(mask, np.array([[[0, 1, 0, 0, 1]]]), num_classes=2)['rq', 'pq']
    {'rq': 0.75, 'pq': 0.5833333333333333}
    """

    def __init__(
        self,
        targets: Any,
        predictions: Any,
        num_classes: int,
        things: Sequence[int] | None = None,
        ignore: int | None = None,
    ) -> None:
        things = range(1, num_classes) if things is None else things
        outside = [label for label in things if not 0 <= label < num_classes]
        if outside:
            raise ValueError(f"PanopticMetrics: things are labels 0..{num_classes - 1}, got {outside[0]}")
        self.num_classes, self.things = num_classes, sorted(set(things))
        truth, answer = _read(targets, "targets"), _read(predictions, "predictions")
        if truth[0].shape != answer[0].shape:
            raise ValueError(
                f"PanopticMetrics: targets of shape {truth[0].shape} and predictions of shape "
                f"{answer[0].shape} do not match"
            )
        for name, (labels, _) in (("targets", truth), ("predictions", answer)):
            wrong = (labels < 0) | (labels >= num_classes)
            if ignore is not None:
                wrong &= labels != ignore
            if wrong.any():
                raise ValueError(
                    f"PanopticMetrics: {name} are labels 0..{num_classes - 1}, got {labels[wrong].flat[0]}; "
                    "set num_classes, or ignore="
                )
        #: (classes, [sum of the overlaps of those found, found, made up, missed])
        self._counts = self._count(truth, answer, ignore)

    def _count(
        self, truth: tuple[np.ndarray, Any], answer: tuple[np.ndarray, Any], ignore: int | None
    ) -> np.ndarray:
        masks = [mask for side in (truth, answer) for mask in side if mask is not None]
        starts = find_starts(*masks)
        per_run = lengths(starts, truth[0].size)
        first, second = (self._segments(side, starts, per_run) for side in (truth, answer))
        inside = truth[0].reshape(-1)[starts] != ignore if ignore is not None else np.ones(len(starts), bool)
        real = np.ones(len(first.labels), bool) if ignore is None else first.labels != ignore
        offered = np.ones(len(second.labels), bool) if ignore is None else second.labels != ignore
        nobodys = np.bincount(second.segments[~inside], per_run[~inside], minlength=len(second.labels))
        pairs = first.segments * len(second.labels) + second.segments
        pairs, places = np.unique(pairs[inside], return_inverse=True)
        common = np.bincount(places, per_run[inside], minlength=len(pairs))
        one, other = np.divmod(pairs, len(second.labels))
        share = common / (first.sizes[one] + second.sizes[other] - nobodys[other] - common)
        same = (share > _SAME) & (first.labels[one] == second.labels[other]) & real[one]
        real[one[same]] = False
        offered[other[same]] = False
        offered &= nobodys <= _SAME * second.sizes
        matched = first.labels[one[same]]

        def count(labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
            return np.bincount(labels, weights, minlength=self.num_classes)

        return np.stack(
            [
                count(matched, share[same]),
                count(matched),
                count(second.labels[offered]),
                count(first.labels[real]),
            ],
            axis=-1,
        )

    def _segments(self, side: tuple[np.ndarray, Any], starts: np.ndarray, per_run: np.ndarray) -> _Side:
        """Return the segments of a side; the objects of labels alone are their connected areas."""
        labels, numbers = side
        flat = labels.reshape(-1)
        if numbers is None:
            own = find_starts(labels)
            objects = number_areas(labels, own)[find_run(own, starts, labels.size)]
        else:
            objects = np.unique(numbers.reshape(-1)[starts], return_inverse=True)[1]
        values = flat[starts].astype(np.int64)
        objects = np.where(np.isin(values, self.things), objects + 1, 0)
        images = starts // (labels.size // len(labels))
        known, kinds = np.unique(values, return_inverse=True)
        keys = (images * len(known) + kinds) * (int(objects.max()) + 1) + objects
        _, places, segments = np.unique(keys, return_index=True, return_inverse=True)
        return _Side(segments, values[places], np.bincount(segments, per_run))

    def update(self, other: PanopticMetrics) -> None:
        """Add the counts of another of the same classes."""
        if type(other) is not PanopticMetrics:
            raise TypeError(f"PanopticMetrics cannot take in {type(other).__name__}")
        if (self.num_classes, self.things) != (other.num_classes, other.things):
            raise ValueError("PanopticMetrics: the classes or the things of the two are not the same")
        self._counts = self._counts + other._counts

    append = update

    def evaluate(
        self,
        name: str | Sequence[str],
        agg: Literal["mean"] | None = "mean",
        label: int | None = None,
        zero_division: float = 0.0,
    ) -> Any:
        """Return the mean over the classes that targets or predictions have, or a dict of several metrics.

        Names: panoptic_quality (pq), segmentation_quality (sq, the mean overlap of what was found),
        recognition_quality (rq, the f1 score of segments); ``pq_things`` and ``pq_stuff`` are means over
        these classes. ``agg=None`` gives a value a class, ``label`` that of one; ``zero_division`` is that of
        a class nobody has.
        """
        if not isinstance(name, str):
            return {item: self.evaluate(item, agg, label, zero_division) for item in name}
        short, _, group = name.rpartition("_") if name.rpartition("_")[2] in _GROUPS else (name, "", "")
        metric = _ALIASES.get(short, short)
        if metric not in _NAMES:
            known = [f"{one}{end}" for one in (*_NAMES, *_ALIASES) for end in ("", "_things", "_stuff")]
            raise ValueError(unknown("metric", name, known, "PanopticMetrics"))
        if agg not in ("mean", None):
            raise ValueError(f"metrics: agg is 'mean' or None, got {agg!r}")
        if label is not None and not 0 <= label < self.num_classes:
            raise ValueError(f"metrics: label is one of 0..{self.num_classes - 1}, got {label}")
        overlap, found, made_up, missed = self._counts.T
        segments = found + (made_up + missed) / 2
        tops = {_NAMES[0]: overlap, _NAMES[1]: overlap, _NAMES[2]: found}
        values = divide(tops[metric], found if metric == _NAMES[1] else segments, (0, 0))
        values = np.where(segments > 0, values, np.nan)
        if group:
            things = np.isin(np.arange(self.num_classes), self.things)
            values = np.where(things == (group == "things"), values, np.nan)
        if agg is None or label is not None:
            values = np.where(np.isnan(values), zero_division, values)
            return values if label is None else float(values[label])
        return float(finite_mean(values, 0, zero_division))


def _read(mask: Any, what: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return labels and numbers of objects, or None; ValueError for shapes that no masks have."""
    both = mask if isinstance(mask, tuple) else (mask,)
    if len(both) > 2:
        raise ValueError(f"PanopticMetrics: {what} are labels, or labels and objects, got {len(both)}")
    arrays = [read_labels(np.asarray(one), f"PanopticMetrics: {what}") for one in both]
    shape = arrays[0].shape
    if len(shape) < 2 or 0 in shape or any(one.shape != shape for one in arrays):
        raise ValueError(
            f"PanopticMetrics: {what} are masks (N, ..., W) of one shape, got {[one.shape for one in arrays]}"
        )
    return arrays[0], arrays[1] if len(arrays) > 1 else None
