"""Units of an experiment: when they run, what their arguments speak of, what they return."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bf_pipeline import C
from bf_research import RD, RI, RID, RR, Option, Research


def here(research: Research, folder: Path, **options: Any) -> Any:
    """Run in this process and return the table."""
    return research.run(name=folder / "sweep", parallel=False, **options).results


def count(n: int) -> Iterator[int]:
    """Count to n."""
    yield from range(n)


@pytest.mark.parametrize(
    ("execute", "expected"),
    [
        (1, [0, 1, 2, 3, 4]),
        (2, [1, 3]),
        ("#3", [3]),
        ("last", [4]),
        (["#0", "last"], [0, 4]),
        ([0, "last"], [4]),
        ([2, "#4"], [1, 3, 4]),
        ("#9", []),
        (0, []),
    ],
)
@pytest.mark.parametrize("n_iters", [5, None])
def test_execute_says_when_a_unit_runs(
    tmp_path: Path, execute: Any, expected: list[int], n_iters: Any
) -> None:
    research = (
        Research()
        .add_generator(count, 5, returns="count")
        .add_callable(lambda i: i, RI(), returns="at", execute=execute)
    )
    table = here(research, tmp_path, n_iters=n_iters)
    assert table["count"].tolist() == [0, 1, 2, 3, 4]
    if expected:
        assert table.dropna(subset=["at"])["iteration"].tolist() == expected
    else:
        assert table["at"].isna().all()


@pytest.mark.parametrize("execute", ["%10", "lats", [], -1, 1.5, True, "#x", [1, "#"]])
def test_execute_that_means_nothing_is_refused(execute: Any) -> None:
    with pytest.raises(ValueError, match="execute"):
        Research().add_callable(print, execute=execute)


def test_arguments_speak_of_the_trial(tmp_path: Path) -> None:
    def note(folder: Path, trial: str, a: int, so_far: int) -> str:
        (folder / "note.txt").write_text(trial)
        return f"{a} {so_far} {folder.name == trial}"

    research = (
        Research(Option("a", [5]))
        .add_callable(lambda a: a * 2, C("a") + 1, returns="twice")
        .add_callable(note, RD(), RID(), a=C("a"), so_far=RR("twice"), returns="text")
    )
    table = here(research, tmp_path)
    assert table["text"][0] == "5 12 True"
    assert len(list((tmp_path / "sweep" / "trials").glob("*/note.txt"))) == 1


def test_nested_names_are_read_by_path_or_whole(tmp_path: Path) -> None:
    def first(lr: float, flat: float, section: dict[str, Any]) -> bool:
        return lr == flat == section["lr"]

    domain = Option("model.lr", [0.1]) * Option("model.depth", [3])
    research = Research(domain).add_callable(first, C("model/lr"), C("model.lr"), C("model"), returns="same")
    table = here(research, tmp_path)
    assert table["same"].tolist() == [True]
    assert table["model.lr"].tolist() == [0.1]


def test_several_returns_are_named_by_place_or_by_key(tmp_path: Path) -> None:
    research = (
        Research()
        .add_callable(lambda: (1, 2), returns=["a", "b"])
        .add_callable(lambda: {"d": 4, "c": 3, "e": 5}, returns=["c", "d"])
        .add_callable(lambda: np.arange(3), returns="array")
    )
    row = here(research, tmp_path).iloc[0]
    assert (row["a"], row["b"], row["c"], row["d"], row["array"]) == (1, 2, 3, 4, [0, 1, 2])


def test_results_may_have_any_name_but_the_columns_own(tmp_path: Path) -> None:
    research = Research().add_callable(lambda: [1, 2, 3], returns=["total", "done", "self"])
    assert research.run(name=tmp_path / "sweep", workers=1).results["total"].tolist() == [1]


def test_wrong_number_of_returns_fails_the_trial_with_the_unit(tmp_path: Path) -> None:
    research = Research().add_callable(lambda: (1, 2, 3), returns=["a", "b"], name="three")
    research.run(name=tmp_path / "sweep", parallel=False)
    (failure,) = research.trials.failures
    assert "three: returns has the names a, b" in failure.reason
    assert "in unit 'three', iteration 0" in failure.error


def test_result_that_is_no_data_fails_the_trial(tmp_path: Path) -> None:
    research = Research().add_callable(lambda: object(), returns="a")
    research.run(name=tmp_path / "sweep", parallel=False)
    assert "results hold numbers" in research.trials.failures[0].reason


def test_failed_trial_keeps_the_results_it_had(tmp_path: Path) -> None:
    def bad(i: int) -> int:
        if i == 2:
            raise RuntimeError("no more")
        return i

    research = Research().add_generator(count, 5, returns="n").add_callable(bad, RI(), returns="i")
    table = here(research, tmp_path)
    assert table["n"].tolist() == [0, 1, 2]
    assert set(table["state"]) == {"FAILED"}


def test_generator_that_is_a_plain_function_is_told_what_it_must_be(tmp_path: Path) -> None:
    research = Research().add_generator(lambda: 5, returns="n", name="five")
    here(research, tmp_path)
    assert (
        "five: the function returned 5; add_generator needs a generator" in research.trials.failures[0].reason
    )
    lists = Research().add_generator(lambda: [1, 2], returns="n")
    assert lists.run(name=tmp_path / "lists", parallel=False).results["n"].tolist() == [1, 2]
