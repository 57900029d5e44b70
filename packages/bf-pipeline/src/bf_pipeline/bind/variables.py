"""Variables of a run: declared once, made afresh for each run, changed by steps in the order of batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bf_pipeline.bind.bound import Variable
from bf_pipeline.bind.names import Names
from bf_pipeline.context import Context, Scope
from bf_pipeline.errors import Location
from bf_pipeline.unset import UNSET


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
    names: Names, where: Location, name: Any, default: Any = None, init_on_each_run: Any = UNSET
) -> None:
    """Take an ``init_variable`` into a names."""
    if not isinstance(name, str):
        names.mistake(where, f"init_variable: the name must be a text, got {name!r}")
    elif init_on_each_run is not UNSET and default is not None:
        names.mistake(where, f"init_variable({name!r}): give default or init_on_each_run, not both")
    elif name in names.variables:
        first = names.variables[name].where
        names.mistake(where, f"variable {name!r} is declared twice, first at {first}")
    else:
        value = default if init_on_each_run is UNSET else init_on_each_run
        names.variables[name] = Variable(name, value, where)
