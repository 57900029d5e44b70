"""The steps ``init_variable``, ``update``, ``call`` and ``print``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bf_pipeline.bind.bound import BoundStep, Variable
from bf_pipeline.bind.builtin import BuiltinStep
from bf_pipeline.bind.calls import bind_function
from bf_pipeline.bind.names import Names
from bf_pipeline.context import Context
from bf_pipeline.errors import Location
from bf_pipeline.expressions.base import evaluate, lift
from bf_pipeline.plain_config import UNSET


@dataclass(frozen=True, slots=True, eq=False)
class InitVariable(BuiltinStep):
    """The step of ``init_variable(name, default)``; it only declares."""

    verb = "init_variable"

    name: Any
    default: Any = None
    init_on_each_run: Any = UNSET

    def declare(self, names: Names) -> None:
        """Declare the variable."""
        name, default, where = self.name, self.default, self.where
        if not isinstance(name, str):
            names.mistake(where, f"init_variable: the name must be a text, got {name!r}")
        elif self.init_on_each_run is not UNSET and default is not None:
            names.mistake(where, f"init_variable({name!r}): give default or init_on_each_run, not both")
        elif name in names.variables:
            first = names.variables[name].where
            names.mistake(where, f"variable {name!r} is declared twice, first at {first}")
        else:
            value = default if self.init_on_each_run is UNSET else self.init_on_each_run
            names.variables[name] = Variable(name, value, where)


@dataclass(frozen=True, slots=True, eq=False)
class Update(BuiltinStep):
    """The step of ``update(target, value, mode)``."""

    verb = "update"

    target: Any
    value: Any
    mode: Any = "w"

    def declare(self, names: Names) -> None:
        """Note what is updated."""
        names.note_target(self.target)

    def bind(self, names: Names, number: int) -> BoundStep | None:
        """Bind the value and the way to write it."""
        names.check(self.value, self.where, "update")
        write = names.writer(self.target, self.mode, self.where, "update")
        if write is None:
            if self.target is None:
                names.mistake(self.where, "update: the target is None")
            return None
        lifted = lift(self.value)

        def run(batch: Any, context: Context) -> Any:
            context.step, context.draws = number, 0
            write(evaluate(lifted, context), context)
            return batch

        return BoundStep(
            number, "update", self.where, run, True, names.needs_parent((self.target, self.value))
        )


@dataclass(frozen=True, slots=True, eq=False)
class CallFunction(BuiltinStep):
    """The step of ``call(function, ...)``: the function gets a batch only where an argument is ``B()``."""

    verb = "call"

    function: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @classmethod
    def read(cls, where: Location, function: Any, /, *args: Any, **kwargs: Any) -> CallFunction:
        """Make the step from the arguments of ``call``."""
        return cls(where, function, args, kwargs)

    def declare(self, names: Names) -> None:
        """Note where the result goes."""
        names.note_target(self.kwargs.get("save_to"))

    def bind(self, names: Names, number: int) -> BoundStep | None:
        """Bind the function and its arguments."""
        return bind_function(names, "call", self.where, number, self.function, self.args, dict(self.kwargs))


@dataclass(frozen=True, slots=True, eq=False)
class Print(BuiltinStep):
    """The step of ``print(...)``: it writes to standard output, in the order of the batches."""

    verb = "print"

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @classmethod
    def read(cls, where: Location, /, *args: Any, **kwargs: Any) -> Print:
        """Make the step from the arguments of ``print``."""
        return cls(where, args, kwargs)

    def bind(self, names: Names, number: int) -> BoundStep | None:
        """Bind the values, ``sep`` and ``end``."""
        names.check((self.args, self.kwargs), self.where, "print")
        unknown_options = set(self.kwargs) - {"sep", "end"}
        if unknown_options:
            text = f"print: unknown argument {min(unknown_options)!r}; there are sep and end"
            names.mistake(self.where, text)
            return None
        values, sep, end = lift(self.args), self.kwargs.get("sep", " "), self.kwargs.get("end", "\n")

        def run(batch: Any, context: Context) -> Any:
            context.step, context.draws = number, 0
            sys.stdout.write(sep.join(map(str, evaluate(values, context))) + end)
            return batch

        return BoundStep(number, "print", self.where, run, True, parent=True)
