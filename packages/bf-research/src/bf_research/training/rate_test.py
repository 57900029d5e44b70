"""The learning-rate range test: a short training whose rate grows until the loss does."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bf_research.training.state import Event, TrainingState

log = logging.getLogger(__name__)

PICTURE = "learning_rate.png"
#: The rate of the first step, which only measures where the loss begins: so little that nothing is learnt.
_NOTHING = 1e-12
_KEPT = 0.8
_FEWEST = 5


class RateTest(Event):
    """Raise the learning rate from ``least`` to ``most`` in equal factors, and suggest one (Smith 2017).

    It needs a number of iterations, and a model with ``rate_factor`` and ``learning_rate``, as KerasModel
    has, whose schedule is constant. The training stops when the smoothed loss is ``diverged`` times its best.
    ``rates`` and ``losses`` have the points, each loss that of the batch after the step with the rate;
    ``suggested`` is the rate where the loss falls most steeply. The network is trained by it: begin anew.
    """

    def __init__(self, least: float = 1e-6, most: float = 1.0, diverged: float = 4.0) -> None:
        if not (0 < least < most < math.inf):
            raise ValueError(f"rate_test: least is above 0 and below most, got {least!r} and {most!r}")
        if not diverged > 1:
            raise ValueError(f"rate_test: diverged is a number above 1, got {diverged!r}")
        self.least, self.most, self.diverged = float(least), float(most), float(diverged)
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._base: float | None = None
        self._now: float | None = None

    def check(self, state: TrainingState) -> None:
        """Refuse a training without a length, and a model whose rate can't be changed: ``ValueError``."""
        if state.total is None or state.total < _FEWEST:
            raise ValueError(
                f"rate_test: it needs a number of iterations, {_FEWEST} or more, got {state.total}; "
                "such as n_iters=100"
            )
        if not hasattr(state.model, "rate_factor"):
            raise ValueError(f"rate_test: {type(state.model).__name__} has no rate_factor to change")
        if state.iteration == 0:
            state.model.rate_factor = _NOTHING

    def after_iteration(self, state: TrainingState) -> None:
        """Note the loss that the last rate led to, and set the next rate."""
        if self._base is None:
            rate = getattr(state.model, "learning_rate", None)
            if not rate:
                raise ValueError(f"rate_test: {type(state.model).__name__} tells no learning_rate above 0")
            self._base = rate / state.model.rate_factor
        if self._now is not None:
            self.rates.append(self._now)
            self.losses.append(state.loss)
            state.log("rate_test/learning_rate", self._now)
            smoothed = smooth(self.losses)
            if len(smoothed) >= _FEWEST and smoothed[-1] > self.diverged * smoothed.min() > 0:
                state.stop(
                    f"the loss is more than {self.diverged:g} times its best at a rate of {self._now:.3g}"
                )
        assert state.total is not None, "check has seen it"
        share = len(self.rates) / max(state.total - 2, 1)
        self._now = self.least * (self.most / self.least) ** share
        state.model.rate_factor = self._now / self._base

    def after(self, state: TrainingState) -> None:
        """Tell what is suggested, and keep the picture with the run."""
        found = self.suggested
        if found is None:
            log.info("rate_test: no rate from %g to %g made the loss fall", self.least, self.most)
        else:
            log.info("rate_test: the loss falls most steeply at optimizer.learning_rate=%.2g", found)
            state.log("rate_test/suggested", found)
        if state.folder is not None and self.rates:
            path = state.folder / PICTURE
            self.draw().savefig(path)
            state.tracker.log_artifact(str(path))

    @property
    def suggested(self) -> float | None:
        """The rate where the smoothed loss falls most steeply; None where it does not fall."""
        return suggest_rate(self.rates, self.losses)

    def draw(self) -> Any:
        """Return a ``matplotlib.figure.Figure`` of the loss by the rate, with the suggested one."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 3.5), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.plot(self.rates, self.losses, color="tab:gray", alpha=0.4)
        axes.plot(self.rates, smooth(self.losses), color="tab:blue")
        axes.set_xscale("log")
        axes.set_xlabel("learning rate")
        axes.set_ylabel("loss")
        if self.suggested is not None:
            axes.axvline(self.suggested, color="tab:orange", label=f"{self.suggested:.2g}")
            axes.legend()
        return figure

    def state(self) -> dict[str, Any]:
        """Return the points so far."""
        return {"rates": self.rates, "losses": self.losses, "base": self._base, "now": self._now}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take back what ``state`` returned."""
        self.rates, self.losses = list(saved["rates"]), list(saved["losses"])
        self._base, self._now = saved["base"], saved["now"]


def smooth(losses: Sequence[float], kept: float = _KEPT) -> np.ndarray:
    """Return exponential means of losses, free of the bias of the first ones."""
    found, mean = np.empty(len(losses)), 0.0
    for number, loss in enumerate(losses):
        mean = kept * mean + (1 - kept) * loss
        found[number] = mean / (1 - kept ** (number + 1))
    return found


def suggest_rate(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return the rate where smoothed losses fall most steeply, before their least; None without a fall."""
    smoothed = smooth(losses)
    last = int(np.argmin(smoothed)) + 1 if len(smoothed) else 0
    if last < 2:
        return None
    slopes = np.gradient(smoothed[:last], np.log(rates[:last]))
    return float(rates[int(np.argmin(slopes))]) if slopes.min() < 0 else None
