"""Events that change the learning rate by what is measured."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from bf_research.stopping.directions import Mode
from bf_research.training.state import Event, TrainingState, Watch, check_count

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
        for name, value in (("factor", factor), ("least", least)):
            if not (isinstance(value, int | float) and 0 < value < 1):
                raise ValueError(f"plateau: {name} must be between 0 and 1, got {value!r}")
        self.watch = Watch(metric, min_delta, mode, "plateau")
        self.factor, self.patience, self.cooldown, self.least = factor, patience, cooldown, least
        self._waited, self._resting = 0, 0
        self._scale = 1.0

    @property
    def metric(self) -> str:
        """The metric that is looked at."""
        return self.watch.metric

    def check(self, state: TrainingState) -> None:
        """Refuse a metric that nobody measures, and a model whose rate can't be changed: ``ValueError``."""
        self.watch.check(state)
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
        if (better := self.watch.look(state)) is not None:
            self._count(state, better)

    def after_epoch(self, state: TrainingState) -> None:
        """Look at a metric that was measured now."""
        self.after_iteration(state)

    def _count(self, state: TrainingState, better: bool) -> None:
        if better:
            self._waited = 0
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
        progress = {"scale": self._scale, "waited": self._waited, "resting": self._resting}
        return {**self.watch.state(), **progress}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take back what ``state`` returned."""
        self.watch.restore(saved)
        self._scale, self._waited, self._resting = saved["scale"], saved["waited"], saved["resting"]
