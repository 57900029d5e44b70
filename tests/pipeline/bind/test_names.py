"""Names of a pipeline are looked up without binding it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bf_pipeline import B, C, M, V
from bf_pipeline.bind.bound import Variable, find_circle
from bf_pipeline.bind.names import Names
from bf_pipeline.errors import Location
from bf_pipeline.record.recorded import Recorded

HERE = Location("here.py", 1)


@pytest.fixture
def names(dataset):
    recorded = Recorded(dataset, {"lr": 0.1}, namespaces=(SimpleNamespace(double=lambda x: 2 * x),))
    return Names(recorded, dataset.batch_class, bind_other=lambda other: pytest.fail("nothing is joined"))


def test_every_mistake_is_noted_with_its_line(names):
    names.check([V("los"), B("xx"), C("rate"), M("net"), B("x"), C("lr")], HERE, "update")
    assert len(names.mistakes) == 4
    assert all(where == HERE and text.startswith("update: unknown") for where, text in names.mistakes)


def test_a_declared_variable_is_known_and_changed_ones_need_the_parent(names):
    names.variables["loss"] = Variable("loss", 0, HERE)
    assert names.explain_unknown(V("loss")) == ""
    assert not names.needs_parent(V("loss"))
    names.note_target(V("loss"))
    assert names.needs_parent(V("loss") + 1)


def test_a_target_adds_its_component(names):
    assert names.explain_unknown(B("made")) != ""
    names.note_target(B("made"))
    assert names.explain_unknown(B("made")) == ""


def test_actions_and_functions_of_namespaces_are_known(names):
    assert names.knows_action("add")
    assert names.knows_action("double")
    assert "did you mean 'double'?" in names.unknown_action("duoble")
    assert "mark it with @action" in names.unknown_action("x_of_items")


def test_what_a_join_leaves_is_taken_once(names):
    names.joined, names.joined_in_parent = (B("x"),), True
    assert len(names.take_joined()[0]) == 1
    assert names.take_joined() == ((), False)


def test_variables_in_a_circle_are_found():
    variables = {name: Variable(name, V(needed), HERE) for name, needed in ("ab", "bc", "ca")}
    assert find_circle(variables) == ["a", "b", "c", "a"]
    assert find_circle({"a": Variable("a", 1, HERE)}) == []
