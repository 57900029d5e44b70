"""SECURITY.md: every promise names the tests that hold it, and every attack is named there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "SECURITY.md").read_text()
OWN = {"test_page", "test_canary"}
NAMED = re.compile(r"\[(\w+\.\w+(?:, \w+\.\w+)*)\]")
"""``[archives.links, pickles.npy_files]``: ``test_links`` of test_archives.py, and one of test_pickles.py."""


def points() -> list[str]:
    """Return the points of all lists of the page."""
    return [" ".join(point.split()) for point in re.findall(r"^- (.+(?:\n  .+)*)", PAGE, re.MULTILINE)]


def promises() -> list[str]:
    """Return the sentences of all points, each with the tests behind it."""
    return [
        sentence
        for point in points()
        for sentence in re.findall(r"\S.*?[.:](?: \[[^\]]*\]|$|(?= [A-Z]))", point)
    ]


def attacks() -> dict[str, set[str]]:
    """Return the names of the tests of each file."""
    return {
        path.stem.removeprefix("test_"): {
            node.name.removeprefix("test_")
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        }
        for path in sorted(HERE.glob("test_*.py"))
        if path.stem not in OWN
    }


def test_the_page_is_made_of_promises():
    assert len(points()) >= 4
    assert "".join(promises()).replace(" ", "") == "".join(points()).replace(" ", "")


@pytest.mark.parametrize("promise", promises())
def test_a_promise_names_tests_that_exist(promise: str):
    named = NAMED.search(promise)
    assert named, f"no test is named behind: {promise}"
    for name in named[1].split(", "):
        file, test = name.split(".")
        assert test in attacks().get(file, ()), f"there is no {name} in tests/attacks/"


@pytest.mark.parametrize("file", attacks())
def test_every_file_of_attacks_is_on_the_page(file: str):
    assert any(name.startswith(f"{file}.") for names in NAMED.findall(PAGE) for name in names.split(", "))


def test_the_page_is_one_page():
    assert len(PAGE.splitlines()) <= 120
