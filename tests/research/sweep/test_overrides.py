"""Between Hydra's override grammar and domains."""

from __future__ import annotations

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from bf_research import Domain
from bf_research.sweep.overrides import Keys, spell_value, split_overrides


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


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(10**9), 10**9)
        | st.floats(allow_nan=False)
        | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=5,
    )
)
def test_any_value_survives_the_way_through_an_override(value: Any) -> None:
    if isinstance(value, str) and ("\n" in value or "\r" in value):
        return  # the grammar has no way to write them
    (override,) = OverridesParser.create().parse_overrides([f"a={spell_value(value)}"])
    assert override.value() == value
    assert type(override.value()) is type(value)
