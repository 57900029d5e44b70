"""What trials gave as numbers: the last value of a result, mean and deviation over several trials."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any


def last_value(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    """Return the last value of a result in the rows of a trial; NaN where there is none, or no number."""
    values = [row[name] for row in rows if row.get(name) is not None]
    try:
        return float(values[-1]) if values else math.nan
    except (TypeError, ValueError, OverflowError):  # a text, a list, a whole number that no float holds
        return math.nan


def mean_and_deviation(numbers: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation of finite numbers; NaN for none, and of fewer than two.

    Numbers that are too large to add up give the mean without its last digits, and infinity.
    """
    if not numbers:
        return math.nan, math.nan
    try:
        mean = statistics.fmean(numbers)
    except OverflowError:
        mean = math.fsum(number / len(numbers) for number in numbers)
    try:
        return mean, statistics.stdev(numbers) if len(numbers) > 1 else math.nan
    except OverflowError:
        return mean, math.inf
