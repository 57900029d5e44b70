"""Expressions for the arguments of units (iteration, units, folder, id, results), and their checks."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from bf_index.errors import close_matches, unknown
from bf_pipeline.expressions.base import Expr, walk
from bf_pipeline.expressions.named import C
from bf_research.units.base import RunningTrial, Unit


def _running_trial(context: Any) -> RunningTrial:
    """Return the trial that runs; ``TypeError`` inside a pipeline, where these expressions mean nothing."""
    running = getattr(context, "running_trial", None)
    if running is None:
        raise TypeError(
            "RI, RP, RD, RID and RR stand in the arguments of units of a Research, not of pipelines"
        )
    return cast("RunningTrial", running)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RI(Expr):
    """``RI()`` is the iteration of the trial, from 0."""

    def evaluate(self, context: Any) -> Any:
        """Return the iteration."""
        return _running_trial(context).iteration


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RP(Expr):
    """``RP('train')`` is the run of a pipeline unit: ``.v(name)``, ``.m(name)``."""

    unit: str

    def evaluate(self, context: Any) -> Any:
        """Return the run, begun when the unit has not run yet."""
        return _running_trial(context).run_of(self.unit)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RD(Expr):
    """``RD()`` is the folder of the trial, a ``Path``; it exists."""

    def evaluate(self, context: Any) -> Any:
        """Return the folder."""
        return _running_trial(context).folder


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RID(Expr):
    """``RID()`` is the id of the trial."""

    def evaluate(self, context: Any) -> Any:
        """Return the id."""
        return _running_trial(context).trial.id


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RR(Expr):
    """``RR('accuracy')`` is the latest value of a result in this trial; ``KeyError`` without one."""

    name: str

    def evaluate(self, context: Any) -> Any:
        """Return the value."""
        latest = _running_trial(context).latest
        if self.name not in latest:
            raise KeyError(unknown("result", self.name, latest, "this trial so far"))
        return latest[self.name]


#: What methods that add a unit take by keyword; other keywords go on to a function or a config.
OWN_KEYWORDS = ("returns", "name", "execute")


def check_keywords(method: str, function: Any, keywords: Sequence[str]) -> None:
    """Raise ``TypeError`` for keywords that a function does not take: they are ours, misspelt.

    For a function of unknown parameters (also None, one that is not known yet) only keywords that look like
    ours are refused.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        known, strange = list(OWN_KEYWORDS), [name for name in keywords if close_matches(name, OWN_KEYWORDS)]
    else:
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return
        named = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
        known, strange = [*OWN_KEYWORDS, *named], [name for name in keywords if name not in named]
    for name in strange:
        raise TypeError(unknown("argument", name, known, method))


def expression_faults(
    value: Any, before: Sequence[Unit], results: Sequence[str], config: Mapping[str, Any]
) -> Iterator[str]:
    """Yield what the expressions in arguments refer to that is not there."""
    names = [unit.name for unit in before]
    for expr in walk(value):
        if isinstance(expr, RR) and expr.name not in results:
            yield unknown("result", expr.name, results, "this research")
        if isinstance(expr, C) and expr.absent(config):
            yield expr.missing(config)
        elif isinstance(expr, RP) and expr.unit not in names:
            yield unknown("unit", expr.unit, names)
