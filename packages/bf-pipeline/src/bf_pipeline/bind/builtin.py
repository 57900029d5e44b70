"""The steps that pipelines have themselves: one class each, which declares and binds itself.

To add a step, write its class in the file of its kind and the method of ``Pipeline`` that records it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from bf_pipeline.bind.bound import BoundStep
from bf_pipeline.bind.calls import explain_mismatch
from bf_pipeline.bind.names import Names
from bf_pipeline.errors import Location
from bf_pipeline.record.recorded import Call


@dataclass(frozen=True, slots=True, eq=False)
class BuiltinStep:
    """A step of the pipeline's own; its fields are the arguments of its verb, the method of ``Pipeline``.

    First every step of a pipeline declares what it brings along or changes, then each is bound. What is wrong
    is noted with ``names.mistake(where, text)``. A verb that takes ``*args`` or ``**kwargs`` needs a class
    method ``read(where, /, ...)`` with the verb's signature, which makes the step.
    """

    verb: ClassVar[str]

    where: Location

    def declare(self, names: Names) -> None:
        """Note what the step declares, changes or adds; all steps do so before the first one is bound."""

    def bind(self, names: Names, number: int) -> BoundStep | None:
        """Return the step ready to run; None if it only declares, or if it noted a mistake."""
        return None


def list_steps(*modules: ModuleType) -> dict[str, type[BuiltinStep]]:
    """Return the classes of steps in modules by the name of their verb."""
    found = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return {step.verb: step for step in found if issubclass(step, BuiltinStep) and step is not BuiltinStep}


def read_step(step: type[BuiltinStep], call: Call, names: Names) -> BuiltinStep | None:
    """Make the step that a call records; None, with the mistake noted, if the arguments do not fit."""
    make: Any = getattr(step, "read", step)
    if text := explain_mismatch(call.name, make, 1, call.args, call.kwargs):
        names.mistake(call.where, text)
        return None
    made: BuiltinStep = make(call.where, *call.args, **call.kwargs)
    return made
