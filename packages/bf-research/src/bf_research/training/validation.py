"""Measurements while a network is trained: a validation on data of its own, and the log of each iteration."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from bf_research.training.state import Event, Every, TrainingState, check_count, is_better

log = logging.getLogger(__name__)


class Evaluation(Event):
    """Metrics on data of their own, measured when asked; as an event it tries out one batch at the beginning.

    ``pipeline`` is bound to the data and predicts with the model of the pipeline that trains
    (``import_model``); it gathers its metrics in the variable ``variable``, and the loss of each batch in the
    list ``losses`` if it has that variable. Values are named ``NAME/METRIC``.
    """

    def __init__(
        self,
        pipeline: Any,
        metrics: Sequence[str] = ("accuracy",),
        *,
        batch_size: int = 250,
        name: str = "test",
        variable: str = "metrics",
        losses: str = "losses",
    ) -> None:
        self.pipeline, self.metrics, self.batch_size, self.name = pipeline, list(metrics), batch_size, name
        self._variable, self._losses = variable, losses

    def check(self, state: TrainingState) -> None:
        """Take one batch through all steps: what is wrong with the data or a metric's name is told now."""
        self.measure(one=True)

    def measure(self, one: bool = False) -> dict[str, float]:
        """Return the metrics over all data, or over one batch."""
        count = len(self.pipeline)
        if count == 0:
            raise ValueError(f"{self.name}: there are no items to measure on")
        size = min(self.batch_size, count)
        done = self.pipeline.run(size, n_iters=1 if one else None, bar=False)
        gathered = done.v(self._variable)
        found: dict[str, float] = {}
        for name in self.metrics:
            try:
                found[f"{self.name}/{name}"] = float(gathered.evaluate(name))
            except Exception as error:
                error.add_note(f"while measuring {name!r} of {self.name}")
                raise
        try:
            losses = done.v(self._losses)
        except KeyError:  # the steps keep none
            losses = []
        if losses:
            items = [min(size, count - start) for start in range(0, count, size)]
            weighted = sum(number * float(loss) for number, loss in zip(items, losses))
            found[f"{self.name}/loss"] = weighted / sum(items[: len(losses)])
        return found


class Validation(Evaluation):
    """An evaluation after each epoch, or every so many iterations or seconds, while a network is trained."""

    def __init__(
        self, pipeline: Any, every: Any = "epoch", metrics: Sequence[str] = ("accuracy",), **how: Any
    ) -> None:
        super().__init__(pipeline, metrics, **{"name": "validation", **how})
        self.every = Every.of(every, self.name)
        self._measured = 0
        self._last = time.monotonic()
        self._best: dict[str, float] = {}

    def state(self) -> dict[str, Any]:
        """Return the best value of each metric so far."""
        return {"best": self._best}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take back what ``state`` returned."""
        self._best = dict(saved.get("best", {}))

    def check(self, state: TrainingState) -> None:
        """Take one batch through all steps, and say which metrics there will be."""
        for name, value in self.measure(one=True).items():
            state.metrics.setdefault(name, value)

    def before(self, state: TrainingState) -> None:
        """Begin to count the time."""
        self._last = time.monotonic()
        measured = [state.measured.get(f"{self.name}/{metric}", 0) for metric in (*self.metrics, "loss")]
        self._measured = max(measured)  # a checkpoint may lie between two measurements

    def after_iteration(self, state: TrainingState) -> None:
        """Measure if it is time."""
        if self.every.is_due(state, time.monotonic(), self._last):
            self._log(state)

    def after_epoch(self, state: TrainingState) -> None:
        """Measure if that is after each epoch."""
        if self.every.is_epoch:
            self._log(state)

    def after(self, state: TrainingState) -> None:
        """Measure the network as it is at the end; record the best value of each metric as one of its own."""
        if self._measured != state.iteration:
            self._log(state)
        for name, value in self._best.items():
            state.tracker.log_metric(f"{name}.best", value, state.iteration)

    def _log(self, state: TrainingState) -> None:
        found = self.measure()
        for name, value in found.items():
            state.log(name, value)
            if is_better(value, self._best.get(name), name, "auto"):
                self._best[name] = value
        told = ", ".join(f"{name.partition('/')[2]} {value:.4g}" for name, value in found.items())
        log.info("%s after %d iterations: %s", self.name, state.iteration, told)
        if self.name in state.run.variables:  # which the bar may show
            state.run.variables[self.name] = told
        self._last, self._measured = time.monotonic(), state.iteration


class IterationLog(Event):
    """Log the loss of each iteration, rate and speed of each epoch, the gradient's norm now and then.

    The norm costs some percents of a step: it is measured every ``norms`` iterations, None for never.
    """

    def __init__(self, norms: int | None = 50) -> None:
        if norms is not None:
            check_count(norms, 1, "IterationLog: norms")
        self.norms = norms
        self._items, self._since = 0, time.monotonic()

    def check(self, state: TrainingState) -> None:
        """Say what will be logged."""
        state.metrics.setdefault("train/loss", state.loss)

    def before(self, state: TrainingState) -> None:
        """Begin to count."""
        self._items, self._since = 0, time.monotonic()
        if state.iteration:  # there is a model
            self._ask_for_norm(state)

    def after_iteration(self, state: TrainingState) -> None:
        """Log the loss, and the norm that was asked for."""
        if not math.isnan(state.loss):
            state.log("train/loss", state.loss)
        self._items += 1
        norm = getattr(state.model, "gradient_norm", None) if self._is_measured(state.iteration) else None
        if norm is not None and not math.isnan(norm):
            state.log("train/gradient_norm", norm)
        self._ask_for_norm(state)

    def _is_measured(self, iteration: int) -> bool:
        return self.norms is not None and iteration % self.norms == 0

    def _ask_for_norm(self, state: TrainingState) -> None:
        """Have the next step's gradient measured if it is time."""
        ask = getattr(state.model, "measure_gradient_norm", None)
        if ask is not None and self._is_measured(state.iteration + 1):
            ask()

    def after_epoch(self, state: TrainingState) -> None:
        """Log the learning rate and the number of items a second."""
        seconds = time.monotonic() - self._since
        size = state.run.options.batch_size
        if seconds > 0 and self._items:
            state.log("train/items_per_second", self._items * size / seconds)
        rate = getattr(state.model, "learning_rate", None)
        if rate is not None:
            state.log("train/learning_rate", float(rate))
        self._items, self._since = 0, time.monotonic()
