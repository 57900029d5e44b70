"""Variables of a run: declared once, made afresh for each run, changed by steps in the order of batches."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bf_pipeline.context import PLAIN, Context, Scope
from bf_pipeline.errors import Location
from bf_pipeline.expressions import Expr, walk
from bf_pipeline.named import V
from bf_pipeline.unset import UNSET

if TYPE_CHECKING:
    from bf_pipeline.binding import Binder


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """A declared variable: a callable default is called for each run, any other is copied for it."""

    name: str
    default: Any
    where: Location

    @property
    def plain(self) -> bool:
        """Whether the initial value is a number or a text, which no step can change in place."""
        return isinstance(self.default, PLAIN)

    def needs(self) -> list[str]:
        """Name the variables that the default is made from."""
        return [expr.name for expr in walk(self.default) if isinstance(expr, V)]

    def initial(self, context: Context) -> Any:
        """Make the value that a run starts with."""
        default = self.default
        if isinstance(default, Expr):
            return default.evaluate(context)
        if callable(default):
            return default()
        return (
            copy.deepcopy(default) if isinstance(default, list | dict | set | tuple | np.ndarray) else default
        )


def initialise(variables: Mapping[str, Variable], scope: Scope) -> None:
    """Put fresh values of all variables into a scope, those that others are made from first."""
    context = Context(scope)

    def make(variable: Variable) -> None:
        if variable.name in scope.variables:
            return
        for name in variable.needs():
            make(variables[name])
        try:
            scope.variables[variable.name] = variable.initial(context)
        except Exception as error:
            error.add_note(f"in the default of variable {variable.name!r} ({variable.where})")
            raise

    for variable in variables.values():
        make(variable)


def cycle(variables: Mapping[str, Variable]) -> list[str]:
    """Find variables whose defaults need each other: their names in a circle, or nothing."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done or name not in variables:
            return []
        for needed in variables[name].needs():
            if found := visit(needed, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in variables if (found := visit(name, []))), [])


def declare(
    binder: Binder, where: Location, name: Any, default: Any = None, init_on_each_run: Any = UNSET
) -> None:
    """Take an ``init_variable`` into a binder."""
    if not isinstance(name, str):
        binder.mistake(where, f"init_variable: the name must be a text, got {name!r}")
    elif init_on_each_run is not UNSET and default is not None:
        binder.mistake(where, f"init_variable({name!r}): give default or init_on_each_run, not both")
    elif name in binder.variables:
        first = binder.variables[name].where
        binder.mistake(where, f"variable {name!r} is declared twice, first at {first}")
    else:
        value = default if init_on_each_run is UNSET else init_on_each_run
        binder.variables[name] = Variable(name, value, where)
