"""The best of a sweep so far, kept up to date trial by trial."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from bf_index.errors import escape
from bf_research.domain.option import canonical
from bf_research.search.values import last_value
from bf_research.stopping.directions import Mode, choose_metric, less_is_better
from bf_research.sweep.records import Record
from bf_research.sweep.trial import TrialState


@dataclass(slots=True)
class _Place:
    """The values of one configuration over its repetitions."""

    config: dict[str, Any]
    mean: float = 0.0
    count: int = 0
    #: trials that the stopping rule stopped, and that did not go on since
    pruned: tuple[str, ...] = ()

    def take(self, value: float) -> None:
        """Take in a value; the mean of finite numbers is finite, however large they are."""
        self.count += 1
        self.mean = self.mean * ((self.count - 1) / self.count) + value / self.count


@dataclass
class Standing:
    """The configuration with the best mean of a metric so far, as the table at the end ranks them.

    ``metric``: chosen from the first results where it is None; ``by_fold``: each repetition is a fold.
    ``mode``: ``'auto'`` goes by the name of the metric. Configurations of which repetitions were stopped come
    behind the others: those that were not are the lucky ones.
    ``repeats=False``: no configuration comes twice, so that the best one alone has to be kept.
    """

    metric: str | None = None
    mode: Mode = "auto"
    by_fold: bool = False
    repeats: bool = True
    _places: dict[str, _Place] = field(default_factory=dict)
    _best: _Place | None = None

    def hear(self, record: Record) -> None:
        """Take in a trial that has ended; only what is finished and has a finite number counts."""
        if record.state is TrialState.PRUNED and self.repeats:
            self._note_pruned(record)
        if record.state is not TrialState.DONE:
            return
        if self.metric is None:
            names = [name for row in record.rows for name in row if name != "iteration"]
            self.metric = choose_metric(list(dict.fromkeys(names)), self.by_fold)
        value = math.nan if self.metric is None else last_value(record.rows, self.metric)
        if not math.isfinite(value):
            return
        place = _Place(record.config)
        if self.repeats:
            place = self._places.setdefault(canonical(record.config), place)
        place.take(value)
        if record.id in place.pruned:  # it was taken up again
            place.pruned = tuple(trial for trial in place.pruned if trial != record.id)
        if place is self._best:  # a further repetition may have made it worse
            self._choose()
        elif self._best is None or self._rank(place) > self._rank(self._best):
            self._best = place

    def _note_pruned(self, record: Record) -> None:
        place = self._places.setdefault(canonical(record.config), _Place(record.config))
        if record.id not in place.pruned:
            place.pruned = (*place.pruned, record.id)
            if place is self._best:
                self._choose()

    def _choose(self) -> None:
        """Look for the best among all."""
        if self.repeats:
            self._best = max((one for one in self._places.values() if one.count), key=self._rank)

    def describe(self) -> str:
        """Return the best so far in one line; empty before the first result."""
        best = self._best
        if best is None:
            return ""
        options = " ".join(f"{name}={value}" for name, value in best.config.items())
        times = f" (mean of {best.count})" if best.count > 1 else ""
        return escape(f"{self.metric} {best.mean:.4g}{times}  {options}")

    def _rank(self, place: _Place) -> tuple[bool, float]:
        less = self.metric is not None and less_is_better(self.metric, self.mode)
        return not place.pruned, -place.mean if less else place.mean
