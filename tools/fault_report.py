"""Run the tests of faults and say which rows of the catalogue survive: ``survived x of n``.

Options: ids or their beginnings (``python tools/fault_report.py RN BA03``) run only those. Ends with 1 when a
row falls short, and names the rows that no test covers.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "faults"


class Survivors:
    """A pytest plugin that keeps, for each id of the catalogue, what its tests came to."""

    def __init__(self, wanted: tuple[str, ...]) -> None:
        self.wanted = wanted
        self.outcomes: dict[str, set[str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        kept = [item for item in items if any(name.startswith(self.wanted) for name in ids(item))]
        items[:] = kept

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item):
        report = yield
        if report.when == "call" or report.outcome != "passed":
            for name in ids(item):
                self.outcomes.setdefault(name, set()).add(report.outcome)
        return report


def ids(item: pytest.Item) -> list[str]:
    """The rows of the catalogue that a test is for."""
    return [name for mark in item.iter_markers("faults") for name in mark.args]


def catalogue() -> dict[str, str]:
    """Each id and what is injected."""
    lines = (FOLDER / "catalogue.txt").read_text().splitlines()
    return dict(line.split("\t", 1) for line in lines if line and not line.startswith("#"))


def main() -> int:
    """Run, then print the table."""
    wanted = tuple(sys.argv[1:]) or ("",)
    survivors = Survivors(wanted)
    pytest.main(["-q", "--no-header", "--timeout=300", str(FOLDER)], plugins=[survivors])
    rows = {name: text for name, text in catalogue().items() if name.startswith(wanted)}
    outcomes = survivors.outcomes
    survived = [name for name in rows if outcomes.get(name) == {"passed"}]
    fallen = [name for name in rows if name in outcomes and name not in survived]
    missing = [name for name in rows if name not in outcomes]
    print(f"\nsurvived {len(survived)} of {len(rows)}")
    for title, names in (("falls short", fallen), ("no test", missing)):
        for name in names:
            print(f"  {title}: {name}  {rows[name]}")
    return 1 if fallen else 0


if __name__ == "__main__":
    sys.exit(main())
