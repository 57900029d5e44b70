"""Recorded steps (``Call``, ``Repeat``, ``Sometimes``)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bf_pipeline.errors import Location
from bf_pipeline.expressions.base import Expr


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """An action, or a step of the pipeline's own (``builtin``), with the line that recorded it."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    where: Location
    builtin: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Repeat:
    """Steps that run ``times`` times for each batch."""

    steps: tuple[Step, ...]
    times: int | Expr
    where: Location


@dataclass(frozen=True, slots=True, eq=False)
class Sometimes:
    """Steps that run for a batch with a probability: one coin for the whole batch."""

    steps: tuple[Step, ...]
    p: float | Expr
    where: Location


Step = Call | Repeat | Sometimes


def calls(steps: tuple[Step, ...]) -> Iterator[Call]:
    """Give the calls of steps in order, those inside repetitions and coins too."""
    for step in steps:
        if isinstance(step, Call):
            yield step
        else:
            yield from calls(step.steps)


def caller() -> Location:
    """Find the line that is recording: the nearest one outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("bf_pipeline."):
        frame = frame.f_back
    return Location(frame.f_code.co_filename, frame.f_lineno)
