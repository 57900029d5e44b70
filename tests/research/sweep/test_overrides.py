"""Between Hydra's override grammar and domains."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import assume, given
from hypothesis import strategies as st

from bf_research import Domain
from bf_research.sweep.overrides import Keys, spell_value, split_overrides

#: Numbers, and texts with every sign that means something in the grammar.
KEYS = (
    st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False)
    | st.booleans()
    | st.none()
    | st.text("ab1.e_-+/$%*@?|()[]{}:=, \t\\\u00e9^'\"\n", max_size=5)
)


def from_command_line(*overrides: str) -> Domain:
    """The domain of a command line."""
    return split_overrides(OverridesParser.create().parse_overrides(list(overrides)), Keys())[0]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("a=tag(zop1,choice(1,2))", "did you mean 'zip1'"),
        ("a=tag(log,choice(1,2))", "unknown tag 'log'"),
        ("a=tag(zip1,interval(1,2))", "no length"),
        ("a=shuffle(1,2,3)", "brute_force=false"),
        ("a=tag(log,interval(0,2))", "above 0"),
    ],
)
def test_sweep_that_the_grammar_allows_but_means_nothing_is_refused(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_command_line(override)


def test_groups_inside_groups_are_swept() -> None:
    domain = from_command_line("db=a,b", "db/engine=x,y")
    pairs = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
    assert [(config["db"], config["db/engine"]) for config in domain] == pairs


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(10**9), 10**9)
        | st.floats(allow_nan=False)
        | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
        max_leaves=5,
    )
)
def test_any_value_survives_the_way_through_an_override(value: Any) -> None:
    try:
        written = spell_value(value)
    except TypeError:
        assume(False)
    (override,) = OverridesParser.create().parse_overrides([f"a={written}"])
    assert repr(override.value()) == repr(value)  # types of keys and values too: 1 is not True


@pytest.mark.parametrize(
    "key",
    [
        0,
        -3,
        0.5,
        1e-9,
        math.inf,
        True,
        None,
        "layer1.*",
        "body/block[0-9]",
        r"\d+(a|b)",
        "a b",
        "a:b",
        "x=1,y",
        "{a}",
    ],
)
def test_keys_of_mappings_keep_their_type(key: Any) -> None:
    (override,) = OverridesParser.create().parse_overrides([f"w={spell_value({key: 1})}"])
    assert repr(override.value()) == repr({key: 1})


@pytest.mark.parametrize(
    "value", [{"0": 1}, {"null": 1}, {"1e3": 1}, {"^a": 1}, {"": 1}, {" a": 1}, {(1, 2): 1}, "a\nb"]
)
def test_what_the_grammar_can_not_hold_is_refused_and_not_changed(value: Any) -> None:
    with pytest.raises(TypeError, match=r"an override can't hold .*a file of a group"):
        spell_value([value])
