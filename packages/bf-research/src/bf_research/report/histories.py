"""How metrics went by iteration: from the rows of a sweep, what its trials told, or its store of runs."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bf_research.report.contents import Configuration, Contents
from bf_research.report.recorded import read_trial
from bf_research.report.runs import Runs

log = logging.getLogger(__name__)

#: Configurations with a curve of their own, trials of one of them, pictures, points of one curve.
MOST_CURVES, MOST_TRIALS, MOST_METRICS, MOST_POINTS = 8, 20, 3, 400

Points = Mapping[int, float]


@dataclass(frozen=True)
class Curve:
    """A metric of a configuration: its mean over repetitions at each step, and the least and the most."""

    place: int
    steps: tuple[int, ...]
    mean: tuple[float, ...]
    least: tuple[float, ...]
    most: tuple[float, ...]
    trials: int


def read_curves(contents: Contents, runs: Runs) -> dict[str, list[Curve]]:
    """Return the curves of the best configurations by metric, those of the ranking first."""
    best = contents.ranked[:MOST_CURVES]
    found = _choose(contents, _from_rows(contents, best))
    if not found:
        found = _from_store(contents, best, runs)
    if not found:
        found = _choose(contents, _from_files(contents, best))
    if not found:
        found = _choose(contents, _from_told(contents, best))
    curves = {
        metric: [curve for place, trials in enumerate(places) if (curve := join_trials(place, trials))]
        for metric, places in found.items()
    }
    return {metric: lines for metric, lines in curves.items() if lines}


Places = Sequence[Sequence[Points]]


def _choose(contents: Contents, found: Mapping[str, Places]) -> dict[str, Places]:
    """Return a few metrics of those that have more than one point somewhere."""
    moving = [name for name, places in found.items() if _moves(places)]
    return {name: found[name] for name in preferred(moving, contents.metric)}


def _moves(places: Places) -> bool:
    return any(len(points) > 1 for trials in places for points in trials)


def preferred(names: Iterable[str], metric: str) -> list[str]:
    """Return the metrics to draw: the one of the ranking, the same of validation, the training's loss.

    >>> preferred(['train/loss', 'validation/loss', 'validation/accuracy'], 'test/accuracy')
    ['validation/accuracy', 'train/loss', 'validation/loss']
    """
    wanted = [metric, f"validation/{metric.rpartition('/')[2]}", "train/loss"]
    known = list(dict.fromkeys(names))
    others = [name for name in known if name not in wanted and not name.startswith(("system/", "train/"))]
    return [*(name for name in wanted if name in known), *others][:MOST_METRICS]


def _from_rows(contents: Contents, best: Sequence[Configuration]) -> dict[str, Places]:
    names = contents.results.returns[:100]
    return {
        name: [[_points(record.rows, name) for record in found.records[:MOST_TRIALS]] for found in best]
        for name in names
    }


def _points(rows: Iterable[Mapping[str, Any]], name: str) -> dict[int, float]:
    points = {}
    for place, row in enumerate(rows):
        step, value = row.get("iteration", place), row.get(name)
        if type(step) is int and _is_plottable(step) and type(value) in (int, float) and _is_plottable(value):
            points[step] = float(value)  # type: ignore[arg-type]
    return points


def _is_plottable(value: Any) -> bool:
    # the largest number there is stands for infinity in stores
    return abs(value) < 1e300 and math.isfinite(value)


def _from_told(contents: Contents, best: Sequence[Configuration]) -> dict[str, Places]:
    """Return what trials told the stopping rule."""
    by_trial: dict[str, dict[str, dict[int, float]]] = {}
    for told in contents.told:
        if _is_plottable(told.value) and _is_plottable(told.step):
            by_trial.setdefault(told.metric, {}).setdefault(told.trial, {})[told.step] = told.value
    return {
        metric: [[trials.get(record.id, {}) for record in found.records[:MOST_TRIALS]] for found in best]
        for metric, trials in by_trial.items()
    }


def _from_files(contents: Contents, best: Sequence[Configuration]) -> dict[str, Places]:
    """Return what trackers wrote into files."""
    ids = {record.id for found in best for record in found.records[:MOST_TRIALS]}
    trials = {trial: read_trial(contents.folder, trial) for trial in ids}
    moving = dict.fromkeys(
        name for points in trials.values() for name, there in points.items() if len(there) > 1
    )

    def points(trial: str, name: str) -> Points:
        there = trials[trial].get(name, {}).items()
        return {step: value for step, value in there if _is_plottable(step) and _is_plottable(value)}

    return {
        name: [[points(record.id, name) for record in found.records[:MOST_TRIALS]] for found in best]
        for name in preferred(moving, contents.metric)
    }


def _from_store(contents: Contents, best: Sequence[Configuration], runs: Runs) -> dict[str, Places]:
    names = runs.metrics([record.id for found in best for record in found.records[:MOST_TRIALS]])

    def places(read: Callable[[str], Points]) -> Places:
        return [[read(record.id) for record in found.records[:MOST_TRIALS]] for found in best]

    found: dict[str, Places] = {}
    for name in preferred(names, contents.metric):
        history = places(lambda trial, name=name: runs.history(trial, name))  # type: ignore[misc]
        if _moves(history):
            found[name] = history
    return found


def join_trials(place: int, trials: Sequence[Points]) -> Curve | None:
    """Return the mean of the trials at each step that at least half of them have, with the band between them.

    Of many steps some are left out, evenly and never the last one. None where there is no point.
    """
    there = [points for points in trials if points]
    columns: dict[int, list[float]] = {}
    for points in there:
        for step, value in points.items():
            columns.setdefault(step, []).append(value)
    steps = sorted(step for step, column in columns.items() if 2 * len(column) >= len(there))
    if not steps:
        return None
    stride = -(-len(steps) // MOST_POINTS)
    steps = steps[::-1][::stride][::-1]
    mean = tuple(math.fsum(value / len(columns[step]) for value in columns[step]) for step in steps)
    least, most = tuple(min(columns[step]) for step in steps), tuple(max(columns[step]) for step in steps)
    return Curve(place, tuple(steps), mean, least, most, len(there))
