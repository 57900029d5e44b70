"""The steps ``update``, ``call`` and ``print``."""

from __future__ import annotations

import sys
from typing import Any

from bf_pipeline.bind.bound import BoundStep
from bf_pipeline.bind.calls import bind_function
from bf_pipeline.bind.names import Names
from bf_pipeline.context import Context
from bf_pipeline.expressions.base import lift, value_of
from bf_pipeline.record.steps import Call


def bind_update(
    names: Names, call: Call, number: int, target: Any, value: Any, mode: Any = "w"
) -> BoundStep | None:
    """Bind ``update(target, value, mode)``."""
    names.check(value, call.where, call.name)
    write = names.writer(target, mode, call.where, call.name)
    if write is None:
        if target is None:
            names.mistake(call.where, "update: the target is None")
        return None
    lifted = lift(value)

    def run(batch: Any, context: Context) -> Any:
        context.step, context.draws = number, 0
        write(value_of(lifted, context), context)
        return batch

    return BoundStep(number, call.name, call.where, run, True, names.needs_parent((target, value)))


def bind_call(
    names: Names, call: Call, number: int, function: Any, *args: Any, **kwargs: Any
) -> BoundStep | None:
    """Bind ``call(function, ...)``: no batch is handed in unless asked for with ``B()``."""
    return bind_function(names, call, number, function, args, kwargs)


def bind_print(names: Names, call: Call, number: int, *args: Any, **kwargs: Any) -> BoundStep | None:
    """Bind ``print(...)``: it writes to standard output, in the order of the batches."""
    names.check((args, kwargs), call.where, call.name)
    unknown_options = set(kwargs) - {"sep", "end"}
    if unknown_options:
        names.mistake(call.where, f"print: unknown argument {min(unknown_options)!r}; there are sep and end")
        return None
    values, sep, end = lift(args), kwargs.get("sep", " "), kwargs.get("end", "\n")

    def run(batch: Any, context: Context) -> Any:
        context.step, context.draws = number, 0
        sys.stdout.write(sep.join(map(str, value_of(values, context))) + end)
        return batch

    return BoundStep(number, call.name, call.where, run, True, parent=True)
