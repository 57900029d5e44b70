"""A step of the pipeline's own is one class and one verb."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import pytest

from bf_pipeline import B, BindError, Pipeline
from bf_pipeline.bind import bind as binding
from bf_pipeline.bind.bind import STEPS
from bf_pipeline.bind.bound import BoundStep
from bf_pipeline.bind.builtin import BuiltinStep
from bf_pipeline.bind.names import Names
from bf_pipeline.context import Context
from bf_pipeline.expressions.base import evaluate, lift
from bf_pipeline.record.recorded import Recorded


@pytest.mark.parametrize("verb", STEPS)
def test_every_step_has_its_verb_with_the_same_arguments(verb):
    step = STEPS[verb]
    read = inspect.signature(getattr(step, "read", step)).parameters.values()
    verbs = inspect.signature(vars(Pipeline)[verb]).parameters.values()
    taken = [p.name for p in list(read)[1:] if p.kind is not p.VAR_KEYWORD]
    offered = [p.name for p in list(verbs)[1:] if p.kind is not p.VAR_KEYWORD]
    assert [name for name in offered if verb != "print" or name not in ("sep", "end")] == taken


def test_every_verb_of_a_pipeline_has_its_step():
    source = inspect.getsource(Pipeline)
    recorded = {word.split('"')[1] for word in source.split("self._builtin(")[1:]}
    assert recorded == set(STEPS)


def test_a_pipeline_is_a_recorded_value_and_no_mixin():
    assert Pipeline.__mro__ == (Pipeline, Recorded, object)
    assert not hasattr(Pipeline(), "__dict__")


@dataclass(frozen=True, slots=True, eq=False)
class Collect(BuiltinStep):
    """The step of ``collect(value, into)``: appends a value of every batch to a list."""

    verb = "collect"

    value: Any
    into: list[Any]

    def bind(self, names: Names, number: int) -> BoundStep | None:
        """Look the names in the value up, and return the step ready to run."""
        names.check(self.value, self.where, "collect")
        value, into = lift(self.value), self.into

        def run(batch: Any, context: Context) -> Any:
            context.step, context.draws = number, 0
            into.append(evaluate(value, context))
            return batch

        return BoundStep(number, "collect", self.where, run, contextual=True, parent=True)


class Collecting(Pipeline):
    """A pipeline with one more verb."""

    __slots__ = ()

    def collect(self, value: Any, into: list[Any]) -> Collecting:
        """Append a value of every batch to a list."""
        return self._builtin("collect", value, into)


def test_a_new_step_is_a_class_and_a_verb(dataset, monkeypatch):
    monkeypatch.setitem(binding.STEPS, "collect", Collect)
    found: list[Any] = []
    pipeline = Collecting(dataset).collect(B("x").attr("sum")(), found)
    pipeline.run(5)
    assert found == [10, 35]
    assert repr(pipeline).startswith("Pipeline().collect(B('x').attr('sum')(), [")
    with pytest.raises(BindError, match="collect: unknown component 'xx' of Points"):
        Collecting(dataset).collect(B("xx"), found).run(5)
