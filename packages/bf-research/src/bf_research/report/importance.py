"""How much each option matters: the share of the metric's variance that its values explain alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bf_research.domain.option import canonical
from bf_research.search.values import mean_and_deviation

METHOD = (
    "Share of the variance between trials that the values of an option explain alone: epsilon squared of "
    "a one-way analysis of variance (Kelley 1935), which is eta squared corrected for the number of values, "
    "and never below 0. Numbers with many values are put into five groups of equal size. What options do "
    "together is in no share, and drawn configurations need many trials for a share that holds."
)
#: A number with more distinct values than this is put into so many groups.
MOST_VALUES, GROUPS = 8, 5
#: The value of an option that a configuration does not have.
MISSING = "–"


@dataclass(frozen=True)
class Level:
    """A value of an option, or a group of values: the trials that had it, and what came out."""

    label: str
    count: int
    mean: float
    std: float
    best: float


@dataclass(frozen=True)
class Importance:
    """An option, the share of variance that it explains alone (NaN where nothing can be said), its values."""

    option: str
    share: float
    levels: tuple[Level, ...]


def rate_options(
    configs: Sequence[Mapping[str, Any]], values: Sequence[float], options: Sequence[str], less: bool
) -> list[Importance]:
    """Return the options with the most important first; ``values`` has a finite number for each config."""
    rated = [_rate(name, [config.get(name, MISSING) for config in configs], values, less) for name in options]
    return sorted(rated, key=lambda found: -1.0 if math.isnan(found.share) else found.share, reverse=True)


def explained(groups: Sequence[Sequence[float]]) -> float:
    """Return epsilon squared of groups of numbers; NaN for one group, no number to spare, or equal numbers.

    >>> explained([[1.0, 1.0], [2.0, 2.0]]), explained([[1.0, 2.0], [1.0, 2.0]])
    (1.0, 0.0)
    """
    everything = np.concatenate([np.asarray(group, float) for group in groups])
    count, parts = len(everything), len(groups)
    if parts < 2 or count <= parts:
        return math.nan
    # in units in which no square is too large
    everything = everything / (np.abs(everything).max() or 1.0)
    total = float(((everything - everything.mean()) ** 2).sum())
    if total <= 1e-24 * count:
        return math.nan
    pieces = np.split(everything, np.cumsum([len(group) for group in groups])[:-1])
    inner = sum(float(((piece - piece.mean()) ** 2).sum()) for piece in pieces)
    return max(0.0, 1.0 - (inner / total) * (count - 1) / (count - parts))


def _rate(option: str, settings: Sequence[Any], values: Sequence[float], less: bool) -> Importance:
    groups = _group(settings, values)
    levels = []
    for label, numbers in groups:
        mean, std = mean_and_deviation(numbers)
        levels.append(Level(label, len(numbers), mean, std, min(numbers) if less else max(numbers)))
    share = explained([numbers for _, numbers in groups]) if groups else math.nan
    return Importance(option, share, tuple(levels))


def _group(settings: Sequence[Any], values: Sequence[float]) -> list[tuple[str, list[float]]]:
    """Return the numbers of each value of an option, in the order of the values."""
    distinct = {canonical(setting): setting for setting in settings}
    if len(distinct) > MOST_VALUES and all(is_number(setting) for setting in distinct.values()):
        return _group_by_size([float(setting) for setting in settings], values)
    groups: dict[str, list[float]] = {
        key: [] for key in sorted(distinct, key=lambda key: order_of(distinct[key]))
    }
    for setting, value in zip(settings, values, strict=True):
        groups[canonical(setting)].append(value)
    return [(spell(distinct[key]), group) for key, group in groups.items()]


def _group_by_size(settings: Sequence[float], values: Sequence[float]) -> list[tuple[str, list[float]]]:
    order = np.argsort(settings, kind="stable")
    parts = [part for part in np.array_split(order, GROUPS) if len(part)]
    labels = [f"{settings[part[0]]:.4g} … {settings[part[-1]]:.4g}" for part in parts]
    return [(label, [values[place] for place in part]) for label, part in zip(labels, parts, strict=True)]


def is_number(value: Any) -> bool:
    """Whether a value of an option is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the floats
        return False


def order_of(value: Any) -> tuple[int, float, str]:
    """Return what values are sorted by: numbers by their size, then all others by their text."""
    return (0, float(value), "") if is_number(value) else (1, 0.0, spell(value))


def spell(value: Any) -> str:
    """Return a value of an option as people write it.

    >>> spell('vgg7'), spell(0.01), spell(None), spell([1, 2])
    ('vgg7', '0.01', 'null', '[1, 2]')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.5g}"
    return json.dumps(value, ensure_ascii=False, default=str)
