"""Steps that hold other steps: repetition and coins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bf_batch import SkipBatch, StopPipeline
from bf_index.seeding import key_at
from bf_pipeline.bind.bound import BoundStep, check_returned
from bf_pipeline.bind.names import Names
from bf_pipeline.context import EXPRESSIONS, Context
from bf_pipeline.expressions.base import Expr, lift, walk
from bf_pipeline.expressions.random import PP, P
from bf_pipeline.record.recorded import Repeat, Sometimes

# Each level of repetition moves the step's address by so many bits: no two repetitions draw the same.
_REPETITION_BITS = 20
_COIN = -1
# What an expression for p draws is apart from what the arguments of the same step draw.
_DRAWS_OF_COIN = 1 << 32


def _make_block(steps: Sequence[BoundStep]) -> Callable[[Any, Context], Any]:
    """Return a function that runs the steps of a block over a batch."""
    entries = tuple((step, step.run, step.contextual) for step in steps)

    def run(batch: Any, context: Context) -> Any:
        for step, function, contextual in entries:
            if batch is not None:
                batch.step = step.number + context.offset
            try:
                result = function(batch, context) if contextual else function(batch)
            except (SkipBatch, StopPipeline):
                raise
            except Exception as error:
                error.add_note(f"inside: {step}")
                raise
            if result is not batch:
                batch = context.batch = check_returned(result, batch, step)
        return batch

    return run


def _throw_coin(context: Context, number: int) -> float:
    """Return a number in [0, 1), which depends on the seed, the step and the place only."""
    place = context.place
    key = key_at(
        context.scope.seed, EXPRESSIONS, place.epoch, place.batch, number + context.offset, _COIN, size=8
    )
    return int.from_bytes(key, "little") / 2**64


def _explain_probability(p: Any, name: str) -> str:
    if any(isinstance(expr, P | PP) for expr in walk(p)):
        return f"{name}: p={p!r} is per item; the coin is thrown for the whole batch"
    if isinstance(p, Expr):
        return ""
    if isinstance(p, bool) or not isinstance(p, int | float | np.number):
        return f"{name}: p must be a number from 0 to 1 or an expression, got {p!r}"
    return "" if 0 <= p <= 1 else f"{name}: p must be from 0 to 1, got {p!r}"


def bind_coin(names: Names, step: BoundStep, p: Any) -> BoundStep | None:
    """Return the step made to run with probability ``p``, decided once for the whole batch."""
    if text := _explain_probability(p, step.name):
        names.mistake(step.where, text)
        return None
    number, function, contextual = step.number, step.run, step.contextual

    def run(batch: Any, context: Context) -> Any:
        context.step, context.draws = number, _DRAWS_OF_COIN
        wanted = p.evaluate(context) if isinstance(p, Expr) else p
        if _throw_coin(context, number) >= wanted:
            return batch
        return function(batch, context) if contextual else function(batch)

    return replace(step, run=run, contextual=True, parent=step.parent or names.needs_parent(p))


def bind_sometimes(
    names: Names, step: Sometimes, number: int, inner: Sequence[BoundStep]
) -> BoundStep | None:
    """Bind ``pipeline @ p``; ``inner`` are its steps, bound already."""
    names.check(step.p, step.where, "pipeline @ p")
    run = _make_block(inner)
    parent, resizes = any(one.parent for one in inner), any(one.resizes for one in inner)
    block = BoundStep(number, "@", step.where, run, True, parent, resizes)
    return bind_coin(names, block, step.p)


def _is_count(value: Any) -> bool:
    return not isinstance(value, bool) and hasattr(value, "__index__") and value >= 0


def bind_repeat(names: Names, step: Repeat, number: int, inner: Sequence[BoundStep]) -> BoundStep:
    """Bind ``pipeline * times``; ``inner`` are its steps, bound already."""
    times = lift(step.times)
    names.check(times, step.where, "pipeline * n")
    if not isinstance(times, Expr) and not _is_count(times):
        names.mistake(step.where, f"pipeline * n: n must be an integer >= 0, got {times!r}")
    once = _make_block(inner)

    def run(batch: Any, context: Context) -> Any:
        context.step, context.draws = number, 0
        count = times.evaluate(context) if isinstance(times, Expr) else times
        if not _is_count(count):
            raise ValueError(f"pipeline * n: n must be an integer >= 0, {times!r} is {count!r}")
        outer = context.offset
        try:
            for repetition in range(count):
                context.offset = (outer + repetition) << _REPETITION_BITS
                batch = once(batch, context)
        finally:
            context.offset = outer
        return batch

    parent = any(one.parent for one in inner) or names.needs_parent(times)
    return BoundStep(number, "*", step.where, run, True, parent, any(one.resizes for one in inner))
