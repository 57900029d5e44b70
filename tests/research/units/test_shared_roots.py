"""Roots that the trials of one process share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bf_batch import Batch, Dataset, action
from bf_pipeline import B, C, Pipeline, V
from bf_research import RI, Option, Research


class Numbers(Batch):
    """Batches of numbers."""

    components = ("x",)

    @action
    def add(self, value: float) -> Numbers:
        """Add a number."""
        self.x = self.x + value
        return self


DATA = Dataset(8, Numbers, preloaded=(np.full(8, 4.0),))


class Dear(Numbers):
    """Batches whose loading is counted in a file."""

    @action
    def load_slowly(self, path: str) -> Dear:
        """Note that a batch was loaded."""
        with Path(path).open("a") as file:
            file.write("loaded\n")
        return self


def shared(log: Path, n_epochs: int | None = 1) -> Research:
    """A research whose root notes each load, over 4 factors and 5 batches."""
    data = Dataset(10, Dear, preloaded=(np.arange(10.0),))
    root = Pipeline().load_slowly(str(log)).run_later(2, n_epochs=n_epochs) << data
    branch = (
        Pipeline().init_variable("sum", 0.0).add(C("shift")).update(V("sum"), V("sum") + B("x").attr("sum")())
    )
    return Research(Option("shift", [0, 1, 2, 3])).add_pipeline(root=root, branch=branch, variables="sum")


@pytest.mark.parametrize("options", [{"parallel": False}, {"workers": 2}], ids=["here", "workers"])
@pytest.mark.parametrize(("branches", "loads"), [(1, 20), (2, 10), (3, 10), (4, 5)])
def test_branches_share_the_batches_of_their_root_and_nothing_else(
    tmp_path: Path, options: dict[str, Any], branches: int, loads: int
) -> None:
    log = tmp_path / "log.txt"
    table = shared(log).run(name=tmp_path / "sweep", branches=branches, **options).results
    assert len(log.read_text().splitlines()) == loads
    last = table[table["iteration"] == 4].set_index("shift")["sum"]
    assert last.to_dict() == {shift: 45.0 + 10 * shift for shift in range(4)}
    assert set(table["state"]) == {"DONE"}


def test_a_branch_that_fails_costs_the_others_nothing(tmp_path: Path) -> None:
    def check(shift: int, iteration: int) -> None:
        if shift == 1 and iteration == 2:
            raise ValueError("one is bad")

    research = shared(tmp_path / "log.txt").add_callable(check, C("shift"), RI())
    research.run(name=tmp_path / "sweep", parallel=False, branches=4)
    states = {record.config["shift"]: str(record.state) for record in research.trials.records}
    assert states == {0: "DONE", 1: "FAILED", 2: "DONE", 3: "DONE"}
    assert "one is bad" in research.trials.failures[0].reason
    assert len(research.trials.failures[0].rows) == 3  # two whole iterations and the begun one
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 5
    research.run(name=tmp_path / "sweep", parallel=False, branches=4, resume="failed")
    assert len(research.trials.failures) == 1


def test_branches_go_on_without_end_when_iterations_are_given(tmp_path: Path) -> None:
    research = shared(tmp_path / "log.txt", n_epochs=None).run(
        7, name=tmp_path / "sweep", parallel=False, branches=4
    )
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 7
    assert len(research.results) == 28


def test_branches_that_cannot_share_are_refused(tmp_path: Path) -> None:
    root = Pipeline().add(C("shift")).run_later(4, n_epochs=1) << DATA
    research = Research(Option("shift", [1, 2])).add_pipeline(root, Pipeline().add(1), name="train")
    with pytest.raises(ValueError, match=r"(?s)branches=2: unit 'train': the root is shared.*'shift'"):
        research.run(name=tmp_path / "a", parallel=False, branches=2)
    with pytest.raises(ValueError, match="branches=3: nothing has a root"):
        Research().add_callable(int).run(name=tmp_path / "a", branches=3)
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="branches must be a whole number"):
            research.run(name=tmp_path / "a", branches=wrong)
    assert not (tmp_path / "a").exists()
