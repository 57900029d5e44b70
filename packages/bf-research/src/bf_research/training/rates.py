"""Events that change the learning rate by what is measured."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from bf_index.errors import unknown
from bf_research.training.state import Event, Mode, TrainingState, check_count, check_mode, is_better

log = logging.getLogger(__name__)


class ReduceOnPlateau(Event):
    """Multiply the learning rate by a factor when a metric has not become better in so many measurements.

    ``patience`` is a number of measurements, ``min_delta`` what counts as better, ``cooldown`` the
    measurements after a change that do not count; the rate falls to ``least`` of what it was at the lowest.
    It multiplies the rate of a schedule, too. The model has an attribute ``rate_factor``, as KerasModel has.
    """

    def __init__(
        self,
        metric: str = "validation/loss",
        factor: float = 0.1,
        patience: int = 5,
        min_delta: float = 0.0,
        mode: Mode = "auto",
        cooldown: int = 0,
        least: float = 1e-4,
    ) -> None:
        check_count(patience, 1, "plateau: patience")
        check_count(cooldown, 0, "plateau: cooldown")
        check_mode(mode, "plateau")
        for name, value in (("factor", factor), ("least", least)):
            if not (isinstance(value, int | float) and 0 < value < 1):
                raise ValueError(f"plateau: {name} must be between 0 and 1, got {value!r}")
        if not (isinstance(min_delta, int | float) and min_delta >= 0):
            raise ValueError(f"plateau: min_delta must be 0 or more, got {min_delta!r}")
        self.metric, self.factor, self.patience, self.min_delta = metric, factor, patience, min_delta
        self.mode, self.cooldown, self.least = mode, cooldown, least
        self._best: float | None = None
        self._waited, self._resting, self._seen = 0, 0, 0
        self._scale = 1.0

    def check(self, state: TrainingState) -> None:
        """Refuse a metric that nobody measures, and a model whose rate can't be changed: ``ValueError``."""
        if self.metric not in state.metrics:
            raise ValueError(unknown("metric", self.metric, sorted(state.metrics), "plateau"))
        if not hasattr(state.model, "rate_factor"):
            raise ValueError(
                f"plateau: {type(state.model).__name__} has no rate_factor, by which its rate is changed"
            )

    def before(self, state: TrainingState) -> None:
        """Go on with the rate that an earlier part of the training ended with."""
        if self._scale != 1.0:
            state.model.rate_factor = self._scale

    def after_iteration(self, state: TrainingState) -> None:
        """Look at a metric that was measured now."""
        self._look(state)

    def after_epoch(self, state: TrainingState) -> None:
        """Look at a metric that was measured now."""
        self._look(state)

    def _look(self, state: TrainingState) -> None:
        measured = state.measured.get(self.metric, 0)
        if measured != state.iteration or measured == self._seen:
            return
        self._seen, value = measured, state.metrics[self.metric]
        if is_better(value, self._best, self.metric, self.mode, self.min_delta):
            self._best, self._waited = value, 0
            return
        if self._resting > 0:
            self._resting -= 1
            return
        self._waited += 1
        if self._waited >= self.patience and self._scale > self.least:
            self._scale = max(self._scale * self.factor, self.least)
            self._waited, self._resting = 0, self.cooldown
            state.model.rate_factor = self._scale
            log.info(
                "the learning rate is %g of what it was, from iteration %d on", self._scale, state.iteration
            )

    def state(self) -> dict[str, Any]:
        """Return the factor reached, the best value, and how long there was no better one."""
        return {
            "scale": self._scale,
            "best": self._best,
            "waited": self._waited,
            "resting": self._resting,
            "seen": self._seen,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take back what ``state`` returned."""
        self._scale, self._best = saved["scale"], saved["best"]
        self._waited, self._resting, self._seen = saved["waited"], saved["resting"], saved["seen"]
