"""Recorded steps (``Call``, ``Repeat``, ``Sometimes``) and bound ones (``BoundStep``)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bf_pipeline.errors import Where
from bf_pipeline.expressions import Expr, arguments, written


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """An action, or a step of the pipeline's own (``builtin``), with the line that recorded it."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    where: Where
    builtin: bool = False

    def __str__(self) -> str:
        return f".{self.name}({arguments(self.args, dict(self.kwargs))})"


@dataclass(frozen=True, slots=True, eq=False)
class Repeat:
    """Steps that run ``times`` times for each batch."""

    steps: tuple[Step, ...]
    times: int | Expr
    where: Where

    def __str__(self) -> str:
        return f"{nested(self.steps)} * {written(self.times)}"


@dataclass(frozen=True, slots=True, eq=False)
class Sometimes:
    """Steps that run for a batch with a probability: one coin for the whole batch."""

    steps: tuple[Step, ...]
    p: float | Expr
    where: Where

    def __str__(self) -> str:
        return f"{nested(self.steps)} @ {written(self.p)}"


Step = Call | Repeat | Sometimes


def nested(steps: tuple[Step, ...]) -> str:
    """Write steps as one expression that can be an operand."""
    text = code(steps)
    return f"({text})" if isinstance(steps[-1:], tuple) and len(steps) > 0 and " " in text else text


def code(steps: tuple[Step, ...]) -> str:
    """Write steps as the code that records them: chains of calls joined by ``+``."""
    terms: list[str] = []
    chain = ""
    for step in steps:
        if isinstance(step, Call):
            chain += f"\n    {step}"
            continue
        if chain:
            terms.append(f"Pipeline(){chain}")
            chain = ""
        terms.append(str(step))
    if chain or not terms:
        terms.append(f"Pipeline(){chain}")
    return "\n+ ".join(terms)


def calls(steps: tuple[Step, ...]) -> Iterator[Call]:
    """Give the calls of steps in order, those inside repetitions and coins too."""
    for step in steps:
        if isinstance(step, Call):
            yield step
        else:
            yield from calls(step.steps)


def caller() -> Where:
    """Find the line that is recording: the nearest one outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("bf_pipeline."):
        frame = frame.f_back
    return Where(frame.f_code.co_filename, frame.f_lineno)


@dataclass(frozen=True, slots=True, eq=False)
class BoundStep:
    """A step that is ready to run: ``run(batch)``, or ``run(batch, context)`` where ``contextual``.

    ``parent`` steps use what belongs to the whole run (models, variables that change) and so run in the
    caller's process, batch after batch; all others may run ahead of them, anywhere.
    """

    number: int
    name: str
    where: Where
    run: Callable[..., Any]
    contextual: bool = False
    parent: bool = False
    resizes: bool = False

    def __str__(self) -> str:
        return f"step {self.number} {self.name!r} ({self.where})"
