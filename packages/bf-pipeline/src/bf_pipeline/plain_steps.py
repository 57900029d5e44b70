"""The steps ``update``, ``call`` and ``print``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from bf_pipeline.context import Context
from bf_pipeline.expressions import lift, value_of
from bf_pipeline.steps import BoundStep, Call

if TYPE_CHECKING:
    from bf_pipeline.binding import Binder


def bind_update(
    binder: Binder, call: Call, number: int, target: Any, value: Any, mode: Any = "w"
) -> BoundStep | None:
    """Bind ``update(target, value, mode)``."""
    binder.check(value, call.where, call.name)
    write = binder.writer(target, mode, call)
    if write is None:
        if target is None:
            binder.mistake(call.where, "update: the target is None")
        return None
    lifted = lift(value)

    def run(batch: Any, context: Context) -> Any:
        context.step, context.draws = number, 0
        write(value_of(lifted, context), context)
        return batch

    return BoundStep(number, call.name, call.where, run, True, binder.parental((target, value)))


def bind_call(
    binder: Binder, call: Call, number: int, function: Any, *args: Any, **kwargs: Any
) -> BoundStep | None:
    """Bind ``call(function, ...)``: no batch is handed in unless asked for with ``B()``."""
    return binder.function(call, number, function, args, kwargs)


def bind_print(binder: Binder, call: Call, number: int, *args: Any, **kwargs: Any) -> BoundStep | None:
    """Bind ``print(...)``: it writes to standard output, in the order of the batches."""
    binder.check((args, kwargs), call.where, call.name)
    unknown_options = set(kwargs) - {"sep", "end"}
    if unknown_options:
        binder.mistake(call.where, f"print: unknown argument {min(unknown_options)!r}; there are sep and end")
        return None
    values, sep, end = lift(args), kwargs.get("sep", " "), kwargs.get("end", "\n")

    def run(batch: Any, context: Context) -> Any:
        context.step, context.draws = number, 0
        sys.stdout.write(sep.join(map(str, value_of(values, context))) + end)
        return batch

    return BoundStep(number, call.name, call.where, run, True, parent=True)
