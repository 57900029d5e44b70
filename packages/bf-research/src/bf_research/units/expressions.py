"""Expressions for the arguments of units (iteration, units, folder, id, results), and their checks."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from bf_index.errors import close_matches, unknown
from bf_pipeline.expressions.base import Expr, walk
from bf_pipeline.expressions.named import C
from bf_research.units.base import NamedResults, RunningTrial, Unit


def _running_trial(context: Any) -> RunningTrial:
    """Return the trial that runs; ``TypeError`` inside a pipeline, where these expressions mean nothing."""
    running = getattr(context, "running_trial", None)
    if running is None:
        raise TypeError(
            "RI, RP, RD, RID, RO, RR and S stand in the arguments of units of a Research, not of pipelines"
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


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RO(Expr):
    """``RO('load')`` is what a unit returned last in this trial, whatever it is, or its instance.

    It is in no table of results. ``KeyError`` when the unit has not run yet.
    """

    unit: str

    def evaluate(self, context: Any) -> Any:
        """Return the value."""
        return _running_trial(context).output_of(self.unit)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class S(Expr):
    """``S()`` takes results whose names are known at run time: ``storage.update_variable(name, value)``."""

    def evaluate(self, context: Any) -> Any:
        """Return what takes them."""
        return NamedResults(_running_trial(context))


#: What methods that add a unit take by keyword; other keywords go on to a function or a config.
OWN_KEYWORDS = ("returns", "name", "execute", "root")


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
    """Yield what the expressions in arguments refer to that is not there.

    ``results`` is empty where units name results at run time, so that nobody can know them.
    """
    names = [unit.name for unit in before]
    valued = [unit.name for unit in before if getattr(unit, "has_output", False)]
    for expr in walk(value):
        if isinstance(expr, RR) and results and expr.name not in results:
            yield unknown("result", expr.name, results, "this research")
        if isinstance(expr, RO) and expr.unit not in valued:
            told = unknown("unit", expr.unit, valued)
            yield told if expr.unit not in names else f"{told}; RP({expr.unit!r}) is the run of a pipeline"
        if isinstance(expr, C) and expr.absent(config):
            yield expr.missing(config)
        elif isinstance(expr, RP) and expr.unit not in names:
            yield unknown("unit", expr.unit, names)


def own_faults(value: Any, before: Sequence[Unit]) -> Iterator[str]:
    """Yield what the arguments of a root ask for that belongs to one of the trials which share it."""
    shared = {unit.name for unit in before if getattr(unit, "root", False)}
    results = {name for unit in before if unit.name in shared for name in unit.returns}
    for expr in walk(value):
        if isinstance(expr, RD | RID | RP | S):
            yield f"a root is shared by trials, and {type(expr).__name__} is of one of them"
        elif isinstance(expr, RO) and expr.unit not in shared:
            yield f"a root is shared by trials, and unit {expr.unit!r} is of one; make that a root too"
        elif isinstance(expr, RR) and expr.name not in results:
            yield f"a root is shared by trials, and result {expr.name!r} is of one of them"


def differing_faults(value: Any, differing: Collection[str]) -> Iterator[str]:
    """Yield the options in the arguments of a root that are not the same in all trials which share it."""
    for expr in walk(value):
        if not isinstance(expr, C):
            continue
        read = None if expr.path is None else expr.path.replace("/", ".")
        for name in sorted(differing):
            other = name.replace("/", ".")
            if read is None or other == read or other.startswith(f"{read}.") or read.startswith(f"{other}."):
                yield f"a root is shared, so it can't know {name!r}, which differs between trials"
                break
