"""The rules by which a sweep stops trials, as options: halving, hyperband, the median, Optuna's pruners."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bf_index.errors import unknown
from bf_research.stopping.decisions import Brackets, Decision, Judge, Median, Rungs
from bf_research.stopping.directions import Mode, check_direction, less_is_better
from bf_research.stopping.pruners import PRUNERS, Pruned, make_pruner


@dataclass(frozen=True)
class StoppingRule(ABC):
    """What all rules have: the metric they look at, which values are better, and the first step they look at.

    A *step* is a measurement of the metric in its trial: with a validation after each epoch, step 3 is after
    the third epoch.
    """

    metric: str | None = None
    mode: Mode = "auto"
    min_steps: int = 1

    name: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if self.metric is not None and (not isinstance(self.metric, str) or not self.metric):
            raise ValueError(f"stopping.metric must be the name of a metric, got {self.metric!r}")
        check_direction(self.metric or "", self.mode, "stopping")
        _check_whole(self.min_steps, 1, "min_steps")

    @abstractmethod
    def start(self) -> Decision:
        """Return what decides in one sweep; more is better of the values that it gets."""

    def judge(self) -> Judge:
        """Return what decides in one sweep and remembers its decisions; it takes values as they are."""
        if self.metric is None:
            raise ValueError("stopping.metric: the rule has to know which metric it looks at")
        return Judge(self.start, less_is_better(self.metric, self.mode))


@dataclass(frozen=True)
class ASHA(StoppingRule):
    """Asynchronous successive halving (Li et al. 2018, arXiv 1810.05934) that stops instead of pausing.

    At the steps ``min_steps``, times ``factor``, times ``factor`` again... a trial goes on if it is among the
    best 1 of ``factor`` of those that came there before it, itself included; the first there always does.
    """

    factor: int = 3

    name: ClassVar[str] = "asha"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_whole(self.factor, 2, "factor")

    def start(self) -> Decision:
        """Return what decides in one sweep."""
        return Rungs(self.min_steps, self.factor)


@dataclass(frozen=True)
class Hyperband(StoppingRule):
    """Hyperband (Li et al. 2016, arXiv 1603.06560): successive halving that begins at several steps.

    Some trials are looked at from ``min_steps`` on, others from ``factor`` times as many, and some run to
    the end, ``max_steps``, whatever they look like at first; how many of each is as in the paper. It needs
    more trials than ``ASHA``, and forgives metrics that say little early.
    """

    factor: int = 3
    max_steps: int | None = None

    name: ClassVar[str] = "hyperband"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_whole(self.factor, 2, "factor")
        if self.max_steps is None:
            raise ValueError("stopping.max_steps: hyperband has to know how many steps a trial has at most")
        _check_whole(self.max_steps, self.min_steps, "max_steps")

    def start(self) -> Decision:
        """Return what decides in one sweep."""
        assert self.max_steps is not None
        return Brackets(self.min_steps, self.factor, self.max_steps)


@dataclass(frozen=True)
class MedianStopping(StoppingRule):
    """Median stopping (Golovin et al. 2017, Google Vizier, section 3.2.2).

    From ``min_steps`` on a trial is stopped when its best value so far is worse than the median of the
    averages over the same steps of the others that came as far; at least ``min_trials`` of them.
    """

    min_trials: int = 4

    name: ClassVar[str] = "median"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_whole(self.min_trials, 1, "min_trials")

    def start(self) -> Decision:
        """Return what decides in one sweep."""
        return Median(self.min_steps, self.min_trials)


@dataclass(frozen=True)
class OptunaPruner(StoppingRule):
    """A pruner of Optuna: what is stopped is told by its class, which gets the values as they are measured.

    ``pruner`` is one of ``percentile``, ``threshold``, ``patient``, ``wilcoxon``, ``median``,
    ``successive_halving``, ``hyperband``; ``options`` go to the class. Before ``min_steps`` it is told values
    and not asked. Most of them compare with trials that came to their end, so that the first ones are never
    stopped. ``ValueError`` for a pruner or an option that there is not, ``ImportError`` without Optuna.
    """

    pruner: str = "median"
    options: Mapping[str, Any] = field(default_factory=dict)

    name: ClassVar[str] = "optuna"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pruner not in PRUNERS:
            raise ValueError(unknown("pruner", self.pruner, PRUNERS, "stopping.pruner"))
        if not isinstance(self.options, Mapping):
            raise TypeError(f"stopping.options must be a mapping, got {self.options!r}")
        make_pruner(self.pruner, self.options)

    def start(self) -> Decision:
        """Return what decides in one sweep."""
        less = less_is_better(self.metric or "", self.mode)
        return Pruned(make_pruner(self.pruner, self.options), self.min_steps, less)


_KINDS: tuple[type[StoppingRule], ...] = (ASHA, Hyperband, MedianStopping, OptunaPruner)
RULES: Mapping[str, type[StoppingRule]] = {kind.name: kind for kind in _KINDS}


def read_stopping(given: Any) -> StoppingRule | None:
    """Return the rule of ``stopping``: a rule, a mapping such as ``{rule: asha, factor: 4}``, None for none.

    ``ValueError`` for a rule or an option that there is not, ``TypeError`` for anything else.
    """
    if given is None or isinstance(given, StoppingRule):
        return given
    if not isinstance(given, Mapping):
        raise TypeError(f"stopping: a rule such as ASHA() or {{rule: asha}} is needed, got {given!r}")
    if not given:
        return None
    said = {str(name): value for name, value in given.items() if (name, value) != ("options", None)}
    options = {name: value for name, value in said.items() if name != "rule"}
    kind = str(given.get("rule"))
    if kind not in RULES:
        raise ValueError(unknown("rule", kind, RULES, "stopping.rule"))
    known = list(inspect.signature(RULES[kind]).parameters)
    for name in options:
        if name not in known:
            raise ValueError(unknown("option", name, known, f"stopping, rule {kind}"))
    return RULES[kind](**options)


def _check_whole(value: Any, least: int, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"stopping.{name} must be a whole number of at least {least}, got {value!r}")
