"""The state of a rule in one sweep: it hears a trial, a step and a value, and says whether to go on.

Of all values more is better here. Nothing depends on time or on order but that of the calls.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right, insort
from collections.abc import Callable, Mapping

#: Stands for what is no finite number: the worst there is, and sums of it stay finite.
_WORST = -1e300


class Decision(ABC):
    """A rule that has begun."""

    @abstractmethod
    def decide(self, trial: str, step: int, value: float) -> str | None:
        """Return why a trial should stop at a step, None to go on; each step of a trial comes once."""

    def end(self, trial: str, pruned: bool) -> None:  # noqa: B027 - only what compares with ended trials needs it
        """Hear that a trial has told its last value, by itself or stopped."""


class Rungs(Decision):
    """Successive halving: at ``first``, ``first * factor``... the best 1 of ``factor`` so far go on."""

    def __init__(self, first: int, factor: int, last: int | None = None) -> None:
        self.first, self.factor, self.last = first, factor, last
        self._values: dict[int, list[float]] = {}

    def decide(self, trial: str, step: int, value: float) -> str | None:
        """Return why a trial should stop at a rung; None between rungs."""
        if not self.is_rung(step):
            return None
        values = self._values.setdefault(step, [])
        insort(values, value)
        better = len(values) - bisect_right(values, value)
        kept = max(len(values) // self.factor, 1)
        if better < kept:
            return None
        return f"{better} of {len(values)} that came to step {step} were better, {kept} may go on"

    def is_rung(self, step: int) -> bool:
        """Whether trials are compared at a step."""
        rung = self.first
        while rung < step:
            rung *= self.factor
        return rung == step and (self.last is None or step < self.last)


class Brackets(Decision):
    """Hyperband: brackets of successive halving that begin at several steps, each with its share of trials.

    Bracket s of s_max + 1 begins at ``last / factor^s`` and has ``(s_max + 1) / (s + 1) * factor^s`` trials
    of a round; trials are given out so that each has its share at any time.
    """

    def __init__(self, first: int, factor: int, last: int) -> None:
        count = 1
        while first * factor**count <= last:
            count += 1
        self.rungs = [Rungs(max(last // factor**s, first), factor, last) for s in reversed(range(count))]
        self.shares = [math.ceil(count / (s + 1) * factor**s) for s in reversed(range(count))]
        self._given = [0] * count
        self._bracket: dict[str, int] = {}

    def decide(self, trial: str, step: int, value: float) -> str | None:
        """Return why a trial should stop at a rung of its bracket; None between rungs."""
        if trial not in self._bracket:
            place = min(
                range(len(self.shares)), key=lambda number: (self._given[number] + 1) / self.shares[number]
            )
            self._given[place] += 1
            self._bracket[trial] = place
        number = self._bracket[trial]
        why = self.rungs[number].decide(trial, step, value)
        return why and f"bracket {number + 1} of {len(self.rungs)}: {why}"


class Median(Decision):
    """Median stopping: the best so far against the median of the running averages of others."""

    def __init__(self, first: int, least: int) -> None:
        self.first, self.least = first, least
        self._told: dict[str, tuple[int, float, float]] = {}
        self._averages: dict[int, list[float]] = {}

    def decide(self, trial: str, step: int, value: float) -> str | None:
        """Return why a trial should stop, once enough others have come as far."""
        count, total, best = self._told.get(trial, (0, 0.0, -math.inf))
        count, total, best = count + 1, total + value, max(best, value)
        self._told[trial] = count, total, best
        others = self._averages.setdefault(step, [])
        middle = _median(others) if len(others) >= self.least else -math.inf
        insort(others, total / count)
        if step < self.first or not best < middle:
            return None
        return (
            f"its best of {count} values is worse than the median of {len(others) - 1} others at step {step}"
        )


def _median(ordered: list[float]) -> float:
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2


class Judge:
    """The decisions of a rule in one sweep, each made once: the same question has the same answer.

    Configurations are compared within a repetition, with a decision for each: folds of other data are no
    rivals, and neither are repetitions of one configuration, of which all but the best would be stopped.
    ``told`` holds the last step of each trial, ``stopped`` why trials were stopped.
    """

    def __init__(self, start: Callable[[], Decision], less: bool) -> None:
        self._start, self._less = start, less
        self._decisions: dict[int, Decision] = {}
        self._told: dict[str, int] = {}
        self._stopped: dict[str, str] = {}

    def tell(
        self, trial: str, step: int, value: float, final: bool = False, repetition: int = 0
    ) -> str | None:
        """Tell the value of a trial at a step; return why it should stop, None to go on.

        A value that is no finite number is the worst, and stops its trial. A trial that was stopped is told
        so again; a step that it had before, as when it was cut off and goes on from a checkpoint, changes
        nothing. ``final``: the trial ends here by itself, so it is not stopped. ``repetition``: that of its
        configuration, or its fold.
        """
        if trial in self._stopped:
            return self._stopped[trial]
        if step <= self._told.get(trial, 0):
            return None
        self._told[trial] = step
        broken = not math.isfinite(value)
        better = _WORST if broken else max(-value if self._less else value, _WORST)
        if repetition not in self._decisions:
            self._decisions[repetition] = self._start()
        decision = self._decisions[repetition]
        why = decision.decide(trial, step, better)
        if broken and why is None:
            why = f"its value at step {step} is {value}, no finite number"
        if final:
            why = None
        elif why is not None:
            self._stopped[trial] = why
        if final or why is not None:
            decision.end(trial, pruned=why is not None)
        return why

    @property
    def told(self) -> Mapping[str, int]:
        """The last step that each trial told."""
        return self._told

    @property
    def stopped(self) -> Mapping[str, str]:
        """Why trials were stopped."""
        return self._stopped
