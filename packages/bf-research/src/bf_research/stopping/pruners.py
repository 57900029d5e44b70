"""Optuna's pruners as the state of a rule; nothing of their algorithms is here."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bf_index.errors import unknown
from bf_research.stopping.decisions import Decision
from bf_research.stopping.optuna_library import load_optuna

#: Optuna's classes by our names.
PRUNERS: Mapping[str, str] = MappingProxyType(
    {
        "percentile": "PercentilePruner",
        "threshold": "ThresholdPruner",
        "patient": "PatientPruner",
        "wilcoxon": "WilcoxonPruner",
        "median": "MedianPruner",
        "successive_halving": "SuccessiveHalvingPruner",
        "hyperband": "HyperbandPruner",
    }
)


def make_pruner(name: str, options: Mapping[str, Any]) -> Any:
    """Return Optuna's pruner; ``ValueError`` for an option that it has not, or one that it refuses.

    ``patient`` wraps no other pruner: it stops what has not become better for ``patience`` steps.
    """
    optuna = load_optuna("stopping")
    kind = getattr(optuna.pruners, PRUNERS[name])
    parameters = inspect.signature(kind).parameters
    known = [word for word in parameters if word != "wrapped_pruner"]
    for option in options:
        if option not in known:
            raise ValueError(unknown("option", str(option), known, f"stopping.options of {kind.__name__}"))
    for option in known:
        if option not in options and parameters[option].default is inspect.Parameter.empty:
            raise ValueError(
                f"stopping.pruner={name} needs an option: say stopping.options={{{option}: ...}}, "
                f"which goes to Optuna's {kind.__name__}"
            )
    fixed = {"wrapped_pruner": None} if name == "patient" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            return kind(**fixed, **options)
        except TypeError as error:
            raise ValueError(f"stopping.options of {kind.__name__}: {error}") from error


class Pruned(Decision):
    """A pruner of Optuna that hears all values, in a study in memory.

    A trial that came to its end and goes on later, as with more epochs, is left alone.

    ``less``: values come with their sign turned, and the pruner gets them as they were measured.
    """

    def __init__(self, pruner: Any, first: int, less: bool) -> None:
        optuna = load_optuna("stopping")
        self._first, self._sign = first, -1.0 if less else 1.0
        self._study = optuna.create_study(
            study_name="stopping",  # hyperband gives its brackets out by this name
            pruner=pruner,
            sampler=optuna.samplers.RandomSampler(seed=0),
            direction="minimize" if less else "maximize",
        )
        self._trials: dict[str, Any] = {}
        self._last: dict[str, float] = {}
        self._ended: set[str] = set()

    def decide(self, trial: str, step: int, value: float) -> str | None:
        """Return that the pruner ends a trial, None to go on."""
        if trial in self._ended:
            return None
        if trial not in self._trials:
            self._trials[trial] = self._study.ask()
        asked, self._last[trial] = self._trials[trial], self._sign * value
        asked.report(self._last[trial], step)
        if step < self._first or not asked.should_prune():
            return None
        return f"{type(self._study.pruner).__name__} of Optuna ends it at step {step}"

    def end(self, trial: str, pruned: bool) -> None:
        """Tell the study how a trial ended; pruners compare with those that came to their end."""
        if trial in self._ended:
            return
        self._ended.add(trial)
        state = load_optuna("stopping").trial.TrialState
        if pruned:
            self._study.tell(self._trials[trial], state=state.PRUNED)
        else:
            self._study.tell(self._trials[trial], self._last[trial], state=state.COMPLETE)
