"""What arguments of a unit may speak of: the trial's iteration, units, folder, id and results so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from bf_index.errors import unknown
from bf_pipeline.expressions import Expr

if TYPE_CHECKING:
    from bf_research.units import Going


def _going(context: Any) -> Going:
    """The trial that runs; these expressions mean nothing inside a pipeline."""
    going = getattr(context, "going", None)
    if going is None:
        raise TypeError(
            "RI, RP, RD, RID and RR stand in the arguments of units of a Research, not of pipelines"
        )
    return cast("Going", going)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RI(Expr):
    """``RI()`` is the iteration of the trial, from 0."""

    def evaluate(self, context: Any) -> Any:
        """Return the iteration."""
        return _going(context).iteration


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RP(Expr):
    """``RP('train')`` is the run of a pipeline unit: ``.v(name)``, ``.m(name)``."""

    unit: str

    def evaluate(self, context: Any) -> Any:
        """Return the run; begins it when the unit has not run yet."""
        return _going(context).run_of(self.unit)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RD(Expr):
    """``RD()`` is the folder of the trial, a ``Path``; it exists."""

    def evaluate(self, context: Any) -> Any:
        """Return the folder."""
        return _going(context).folder


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RID(Expr):
    """``RID()`` is the id of the trial."""

    def evaluate(self, context: Any) -> Any:
        """Return the id."""
        return _going(context).trial.id


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RR(Expr):
    """``RR('accuracy')`` is the latest value of a result in this trial; ``KeyError`` without one."""

    name: str

    def evaluate(self, context: Any) -> Any:
        """Return the value."""
        latest = _going(context).latest
        if self.name not in latest:
            raise KeyError(unknown("result", self.name, latest, "this trial so far"))
        return latest[self.name]
