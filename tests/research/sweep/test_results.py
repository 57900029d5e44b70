"""Results: the table, filters, ranks, files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bf_index import StateError
from bf_research import KV, Domain, Option, Research, Results, TrialState, uniform
from bf_research.search.study import objectives
from bf_research.sweep.records import Record
from bf_research.sweep.tables import describe, failure_table, ranking


def record(
    number: int, lr: float, repetition: int, *losses: float, state: TrialState = TrialState.DONE
) -> Record:
    rows = [{"iteration": step, "loss": loss} for step, loss in enumerate(losses)]
    config = {"model": "Net", "lr": lr}
    return Record(f"t{number}", number, config, repetition, state=state, rows=rows, reason="bad luck")


RESULTS = Results(
    (
        record(0, 0.1, 0, 3.0, 1.0),
        record(1, 0.1, 1, 3.0, 2.0),
        record(2, 0.01, 0, 4.0, 0.5),
        record(3, 0.01, 1, 9.0, math.nan),
        record(4, 1.0, 0, state=TrialState.FAILED),
    ),
    values={f"t{number}": {"model": int, "lr": lr} for number, lr in enumerate([0.1, 0.1, 0.01, 0.01, 1.0])},
)


def test_table_has_real_values_and_a_row_for_a_failure() -> None:
    table = RESULTS.df
    assert list(table.columns) == ["id", "model", "lr", "repetition", "iteration", "loss", "state"]
    assert len(table) == 9
    assert set(table["model"]) == {int}
    assert table.iloc[-1]["state"] == "FAILED"
    assert math.isnan(table.iloc[-1]["loss"])
    assert Results().df.empty


def test_filter_takes_a_domain_for_each_of_its_configurations(tmp_path: Path) -> None:
    options = Option("x", [1, 2]) * Option("net", [KV(int, "small"), KV(str, "large")])
    other = Option("y", [KV([1, 2], "list")])
    research = Research((options + other).set_iterator(n_reps=2)).add_callable(int, returns="n")
    trials = research.run(name=tmp_path / "sweep", parallel=False).trials
    for known in (trials, Research.load(tmp_path / "sweep").trials):
        assert len(known.filter(Option("x", [2, 3]))) == 4
        assert len(known.filter(Option("x", [2]) * Option("net", [KV(str, "large")]))) == 2
        assert len(known.filter(Option("x", [1]) @ Option("net", [KV(int, "small")]) + other)) == 4
        assert len(known.filter(Option("x", [1, 2]).where("x > 1"), repetition=1)) == 2
        assert len(known.filter(Domain())) == len(known) == 10
    with pytest.raises(ValueError, match="unknown option 'z'"):
        trials.filter(Option("z", [1]))
    with pytest.raises(ValueError, match="are drawn"):
        trials.filter(Option("x", uniform(0, 1)))


def test_filter_takes_real_values_aliases_and_states() -> None:
    assert len(RESULTS.filter(lr=0.1)) == 2
    assert len(RESULTS.filter({"lr": 0.01}, repetition=1)) == 1
    assert len(RESULTS.filter(model="Net")) == 5
    assert len(RESULTS.filter(state="FAILED")) == 1
    assert len(RESULTS.filter(model=int)) == 5
    assert len(RESULTS.filter(model=object())) == 0
    with pytest.raises(ValueError, match="did you mean 'lr'"):
        RESULTS.filter(lrr=0.1)


def test_infinite_and_huge_values_are_never_best_and_texts_no_numbers() -> None:
    results = Results(
        tuple(record(n, n, 0, value) for n, value in enumerate([0.5, math.inf, -math.inf, math.nan, 0.7]))
    )
    assert (results.best("loss").id, results.best("loss", "min").id) == ("t4", "t0")
    assert [row["count"] for row in results.summary("loss", "min")] == [1, 1, 0, 0, 0]
    assert [row["mean"] for row in results.summary("loss")][:2] == [0.7, 0.5]
    with pytest.raises(ValueError, match="none of 1 finished trials has a finite number"):
        results.filter(lr=1).best("loss")
    huge = Results(tuple(record(n, 0.1, n, 1.5e308) for n in range(4)))
    assert huge.summary("loss")[0]["mean"] == 1.5e308
    texts = Results((record(0, 0.1, 0, "a text"), record(1, 0.1, 1, [1, 2])))  # type: ignore[arg-type]
    assert texts.summary("loss")[0]["missing"] == 2
    assert "-" in ranking(texts, "loss")


def test_a_whole_number_that_no_float_holds_is_none() -> None:
    rows = ({"score": 0.5}, {"score": 10**400})
    records = tuple(
        Record(str(number), number, {"a": number}, state=TrialState.DONE, rows=[row])
        for number, row in enumerate(rows)
    )
    assert math.isnan(Results().last("score", records[1]))
    assert Results(records).best("score").id == "0"
    assert [row["count"] for row in Results(records).summary("score")] == [1, 0]
    assert objectives(records, ["score"]) == [0.5]


def test_best_and_summary_take_the_last_values() -> None:
    assert RESULTS.best("loss", "min").id == "t2"
    assert RESULTS.best("loss").id == "t1"
    summary = RESULTS.summary("loss", "min")
    assert [(row["lr"], row["mean"], row["count"], row["missing"]) for row in summary[:2]] == [
        (0.01, 0.5, 1, 1),
        (0.1, 1.5, 2, 0),
    ]
    assert summary[1]["std"] == pytest.approx(0.5**0.5)
    assert math.isnan(summary[2]["mean"])
    for wrong in (lambda: RESULTS.best("los"), lambda: RESULTS.summary("los")):
        with pytest.raises(ValueError, match="did you mean 'loss'"):
            wrong()
    with pytest.raises(ValueError, match="mode"):
        RESULTS.best("loss", "maximum")  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_saved_results_are_loaded_with_aliases(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"results.{suffix}"
    RESULTS.save(path)
    loaded = Results.load(path)
    plain = Results(RESULTS.records).df
    assert set(loaded.df["model"]) == {"Net"}
    assert loaded.df.astype(str).equals(plain.astype(str))
    assert loaded.failures[0].reason == "bad luck"
    assert [r.id for r in loaded.records] == [r.id for r in RESULTS.records]


def test_mixed_values_go_to_parquet_too(tmp_path: Path) -> None:
    mixed = Results(
        (
            Record("x", 0, {"a": 1}, state=TrialState.DONE, rows=[{"r": [1, 2]}]),
            Record("y", 1, {"a": "two"}, state=TrialState.DONE, rows=[{"r": [3]}]),
        )
    )
    mixed.save(tmp_path / "r.parquet")
    loaded = Results.load(tmp_path / "r.parquet")
    assert [r.config["a"] for r in loaded.records] == [1, "two"]
    assert [r.rows[0]["r"] for r in loaded.records] == [[1, 2], [3]]


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.json or \.parquet"):
        RESULTS.save(tmp_path / "results.csv")
    (tmp_path / "r.json").write_text('{"results": 99, "trials": []}')
    with pytest.raises(StateError, match="99"):
        Results.load(tmp_path / "r.json")
    (tmp_path / "r.json").write_text("[]")
    with pytest.raises(StateError):
        Results.load(tmp_path / "r.json")


def test_tables_for_a_person() -> None:
    lines = failure_table(RESULTS, Path("sweeps")).splitlines()
    assert lines[0] == "1 of 5 trials failed; all tracebacks are in sweeps/journal.jsonl"
    assert lines[2].split() == ["4", "FAILED", "model=Net,", "lr=1.0", "0", "bad", "luck"]
    ranked = ranking(RESULTS, "loss", "min").splitlines()
    assert ranked[1].split() == ["1", "int", "0.01", "0.5", "-", "1"]
    assert ranked[3].split() == ["3", "int", "1", "-", "-", "0"]
    assert "... and 2 more" in ranking(RESULTS, "loss", most=1)
    assert describe(RESULTS.records[1]) == "model=Net, lr=0.1, repetition=1"


def test_results_that_are_not_there_are_told_by_their_name() -> None:
    with pytest.raises(FileNotFoundError, match="no folder or file 'nosuch'"):
        Research.load("nosuch")
