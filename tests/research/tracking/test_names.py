"""Names and texts are what MLflow takes, as MLflow itself judges, and no two become one."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bf_research.tracking import flatten
from bf_research.tracking.names import Names, as_texts, clean_name, clean_path, clean_text, plain_step

#: Signs that mean something to MLflow, to paths or to encodings, among others.
NAMES = st.text(st.sampled_from("ab/..\\ :-_#%(é€\0\n\ud800") | st.characters(), max_size=300)


@given(NAMES)
def test_mlflow_takes_every_cleaned_name(name: str) -> None:
    from mlflow.utils.validation import _validate_metric, _validate_param, _validate_tag

    clean = clean_name(name)
    _validate_metric(clean, 1.0, 0, 0)
    _validate_param(clean, "value")
    _validate_tag(clean, "value")
    assert clean_name(clean) == clean


@given(NAMES)
def test_a_cleaned_path_stays_inside_and_fits_a_file_system(path: str) -> None:
    from mlflow.store.artifact.artifact_repo import verify_artifact_path

    clean = clean_path(path)
    verify_artifact_path(clean)
    assert not os.path.isabs(clean)
    assert max(len(os.fsencode(part)) for part in clean.split("/")) <= 255 if clean.isascii() else True
    assert clean_path(clean) == clean


@given(st.lists(NAMES, max_size=8))
def test_names_that_would_become_one_are_kept_apart(wanted: list[str]) -> None:
    from mlflow.utils.validation import _validate_metric

    names = Names()
    names.fit(wanted)
    assert len(set(names.given.values())) == len(set(wanted))
    for given_name in names.given.values():
        _validate_metric(given_name, 1.0, 0, 0)
    again = Names(given=names.given)
    assert again.fit(wanted) == {}


def test_a_good_name_is_kept_whatever_would_become_it() -> None:
    names = Names()
    changed = names.fit(["a#b", "a%b", "a_b", "long" * 100, "long" * 100 + "er"])
    assert names.given["a_b"] == "a_b"
    assert sorted(changed) == ["a#b", "a%b", "long" * 100, "long" * 100 + "er"]
    assert changed["a#b"] != changed["a%b"]
    assert all(len(name) <= 250 for name in changed.values())
    other = Names()
    other.fit(["a_b", "a%b"])
    assert other.given["a%b"] == changed["a%b"]  # the same in every run


def test_repeated_names_of_a_configuration_lose_no_value() -> None:
    assert flatten({"a": {"b": 1}, "a.b": 2, "a#b": 3, "a_b": 4}) | {} == {
        "a.b": "1",
        "a.b_2": "2",
        "a_b": "4",
        Names().fit(["a_b", "a#b"])["a#b"]: "3",
    }
    assert as_texts({1: "x", "1": "y"}) == {"1": "x", "1#2": "y"}


@given(st.text(st.characters()))
def test_every_text_can_be_stored(text: str) -> None:
    assert "\0" not in clean_text(text)
    clean_text(text).encode()
    if text.isascii() and "\0" not in text:
        assert clean_text(text) == text


@pytest.mark.parametrize(
    ("step", "whole"), [(3, 3), (2.0, 2), (True, 1), (0.5, 0.5), (2**70, 2**70), (-1, -1), ("7", 7)]
)
def test_steps_are_whole_numbers_where_they_are(step: object, whole: float) -> None:
    found = plain_step(step)
    assert (found, type(found)) == (whole, type(whole))


@pytest.mark.parametrize("step", [None, "x", [1, 2], float("inf"), 1j])
def test_what_is_no_step_is_no_number(step: object) -> None:
    found = plain_step(step)
    assert not float("-inf") < found < float("inf")
