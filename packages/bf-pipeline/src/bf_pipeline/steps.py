"""Recorded steps (``Call``, ``Repeat``, ``Sometimes``) and bound ones (``BoundStep``)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bf_pipeline.errors import Location
from bf_pipeline.expressions import Expr


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


@dataclass(frozen=True, slots=True, eq=False)
class BoundStep:
    """A step that is ready to run: ``run(batch)``, or ``run(batch, context)`` where ``contextual``.

    ``parent`` steps use what belongs to the whole run (models, variables that change) and so run in the
    caller's process, batch after batch; all others may run ahead of them, anywhere. ``pending`` ones leave
    their work to ``settle``.
    """

    number: int
    name: str
    where: Location
    run: Callable[..., Any]
    contextual: bool = False
    parent: bool = False
    resizes: bool = False
    pending: bool = False

    def __str__(self) -> str:
        return f"step {self.number} {self.name!r} ({self.where})"
