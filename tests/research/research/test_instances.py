"""Instances, roots that are called once for several trials, values of units, names known at run time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bf_batch import Batch, Dataset
from bf_pipeline import B, C, Pipeline, V
from bf_research import RD, RI, RID, RO, RP, RR, Domain, Option, Research, S


class Numbers(Batch):
    components = ("x",)


DATA = Dataset(20, Numbers, preloaded=(np.arange(20.0),))


class Model:
    """A model with a pipeline, made for each trial."""

    made: list[int] = []

    def __init__(self, scale: int, note: bool = False) -> None:
        self.scale, self.steps = scale, 0
        total = Pipeline().init_variable("sum", 0.0).update(V("sum"), V("sum") + B("x").attr("sum")() * scale)
        self.train_pipeline = total.run_later(5, n_epochs=1) << DATA
        self.bare = total.run_later(5)
        if note:
            Model.made.append(scale)

    def step(self, by: int = 1) -> int:
        self.steps += by
        return self.steps * self.scale

    def count(self, n: int) -> Iterator[int]:
        yield from range(0, n * self.scale, self.scale)


def here(research: Research, folder: Path, **options: Any) -> Any:
    return research.run(name=folder / "sweep", parallel=False, **options).results


def test_units_use_methods_generators_and_pipelines_of_an_instance(tmp_path: Path) -> None:
    research = (
        Research(Option("scale", [1, 10]))
        .add_instance("model", Model, C("scale"))
        .add_pipeline("model.train_pipeline", variables="sum")
        .add_generator("model.count", 4, returns="count")
        .add_callable("model.step", by=RI(), returns="steps")
        .add_callable(lambda model, run: (model.scale, run.v("sum")), RO("model"), RP("model.train_pipeline"),
                      returns=["own", "seen"], execute="last")
    )  # fmt: skip
    table = here(research, tmp_path)
    for scale in (1, 10):
        rows = table[table["scale"] == scale]
        assert rows["count"].tolist() == [0, scale, 2 * scale, 3 * scale]
        assert rows["steps"].tolist() == [0, scale, 3 * scale, 6 * scale]
        assert rows["sum"].tolist() == [scale * value for value in (10, 45, 105, 190)]
        assert rows[["own", "seen"]].iloc[-1].tolist() == [scale, 190 * scale]


def test_an_instance_of_a_class_that_is_an_option(tmp_path: Path) -> None:
    research = (
        Research(Option("kind", [list, dict]))
        .add_instance("made", C("kind"))
        .add_callable("made.copy", returns="copy")
    )
    assert here(research, tmp_path)["copy"].tolist() == [[], {}]


def test_instances_travel_to_workers(tmp_path: Path) -> None:
    research = (
        Research(Option("scale", [1, 10]))
        .add_instance("model", Model, C("scale"))
        .add_callable("model.step", returns="steps")
    )
    table = research.run(2, name=tmp_path / "sweep", workers=2).results
    assert sorted(table["steps"].tolist()) == [1, 2, 10, 20]


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (lambda r: r.add_callable("model.stepp"), "unknown attribute 'stepp'.*did you mean 'step'"),
        (lambda r: r.add_pipeline("model.train_pipelin"), "did you mean 'train_pipeline'"),
        (lambda r: r.add_callable("modle.step"), "unknown instance 'modle'.*did you mean 'model'"),
        (lambda r: r.add_instance("model", Model, 1), "a unit 'model' already"),
        (lambda r: r.add_instance("a.b", Model, 1), "without dots"),
        (lambda r: r.add_callable("model.step", root=True).check(), "'model' has to be made with root=True"),
        (lambda r: r.add_callable(len, RO("step")).check(), "unknown unit 'step'"),
        (
            lambda r: r.add_pipeline("model.train_pipeline", name="p").add_callable(len, RO("p")).check(),
            r"RP\('p'\) is the run of a pipeline",
        ),
        (lambda r: r.add_pipeline("model.bare", import_from="trian").check(), "unknown pipeline 'trian'"),
    ],
)
def test_what_does_not_fit_an_instance_is_refused(add: Any, message: str) -> None:
    research = Research(Option("scale", [1])).add_instance("model", Model, C("scale"))
    with pytest.raises(ValueError, match=rf"(?s){message}"):
        add(research)


def test_arguments_of_an_instance_are_checked() -> None:
    with pytest.raises(TypeError, match="did you mean 'scale'"):
        Research().add_instance("model", Model, scael=1)
    with pytest.raises(TypeError, match="class or a function is needed, got 3"):
        Research().add_instance("model", 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'sclae'"):
        Research(Option("scale", [1])).add_instance("model", Model, C("sclae")).check()


def test_parts_that_are_not_what_is_needed_fail_their_trial_by_name(tmp_path: Path) -> None:
    research = Research().add_instance("model", Model, 1).add_callable("model.scale")
    assert "model.scale: a method is needed, got 1" in _failure(research, tmp_path / "a")
    research = Research().add_instance("model", Model, 1).add_pipeline("model.bare")
    assert "model.bare: the pipeline has no dataset" in _failure(research, tmp_path / "b")
    research = Research().add_instance("model", Model, 1).add_pipeline("model.scale")
    assert "model.scale: a Pipeline is needed, got 1" in _failure(research, tmp_path / "c")


def _failure(research: Research, folder: Path) -> str:
    return research.run(name=folder, parallel=False).trials.failures[0].reason


def dear(log: Path, by: int = 1) -> int:
    with log.open("a") as file:
        file.write("called\n")
    return len(log.read_text().splitlines()) * by


def produce(log: Path, n: int) -> Iterator[list[int]]:
    for number in range(n):
        dear(log)
        yield [number]


@pytest.mark.parametrize(("branches", "calls"), [(1, 12), (2, 6), (4, 3)])
def test_a_root_is_called_once_for_branches(tmp_path: Path, branches: int, calls: int) -> None:
    log = tmp_path / "log.txt"
    research = (
        Research(Option("factor", [1, 2, 3, 4]))
        .add_callable(dear, log, returns="at", name="dear", root=True)
        .add_callable(lambda value, factor: value * factor, RO("dear"), C("factor"), returns="product")
    )
    options: dict[str, Any] = {} if branches == 1 else {"branches": branches}
    table = here(research, tmp_path, n_iters=3, **options)
    assert len(log.read_text().splitlines()) == calls
    assert (table["product"] == table["at"] * table["factor"]).all()
    if branches == 4:
        assert table.groupby("iteration")["at"].unique().map(list).tolist() == [[1], [2], [3]]


def test_a_generator_and_an_instance_are_shared_too(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    Model.made.clear()
    research = (
        Research(Option("factor", [1, 2]))
        .add_instance("model", Model, 3, note=True, root=True)
        .add_callable("model.step", root=True, returns="step")
        .add_generator(produce, log, 3, name="numbers", root=True)
        .add_callable(
            lambda numbers, factor: numbers[0] * factor, RO("numbers"), C("factor"), returns="product"
        )
    )
    table = here(research, tmp_path, branches=2).sort_values(["factor", "iteration"])
    assert Model.made == [3]
    assert len(log.read_text().splitlines()) == 3
    assert table["product"].tolist() == [0, 1, 2, 0, 2, 4]
    assert table["step"].tolist()[:3] == [3, 6, 9]


def test_the_error_of_a_root_is_that_of_all_its_branches(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"

    def fail() -> None:
        dear(log)
        raise OSError("no such disk")

    research = Research(Option("factor", [1, 2])).add_callable(fail, root=True, name="load")
    trials = research.run(name=tmp_path / "sweep", parallel=False, branches=2).trials
    assert len(log.read_text().splitlines()) == 1
    first, second = (record.reason for record in trials.failures)
    assert first == "OSError: no such disk"
    assert second == (
        "RuntimeError: load, which is called once for all branches, failed: OSError: no such disk"
    )


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (RD(), "RD is of one of them"),
        (RID(), "RID is of one of them"),
        (RR("own"), "result 'own' is of one of them"),
        (RO("own"), "unit 'own' is of one; make that a root too"),
        (S(), "S is of one of them"),
    ],
)
def test_a_root_knows_nothing_of_a_single_trial(argument: Any, message: str) -> None:
    research = Research(Option("factor", [1, 2])).add_callable(int, name="own", returns="own")
    with pytest.raises(ValueError, match=message):
        research.add_callable(str, argument, root=True).check()


@pytest.mark.parametrize("argument", [C("factor"), C(), C("model")])
def test_a_root_cannot_know_what_differs_between_its_trials(tmp_path: Path, argument: Any) -> None:
    options = Option("factor", [1, 2]) * Option("model.depth", [1, 2]) * Option("same", [1])
    research = Research(options).add_callable(str, argument, root=True, returns="text")
    with pytest.raises(ValueError, match=r"a root is shared, so it can't know '(factor|model.depth)'"):
        research.run(name=tmp_path / "sweep", parallel=False, branches=2)
    fine = Research(options).add_callable(str, RI(), root=True, returns="text")
    assert len(here(fine, tmp_path, branches=2)) == 4


def measure(x: int, storage: Any) -> None:
    storage.update_variable("large" if x > 2 else "small", x**2)


def test_results_named_at_run_time(tmp_path: Path) -> None:
    research = (
        Research(Option("x", [1, 2, 3, 4]))
        .add_callable(measure, C("x"), S())
        .add_callable(lambda value: value + 1, RR("small"), returns="more", execute="#9")
    )
    table = here(research, tmp_path)
    assert table["large"].tolist()[2:] == [9, 16]
    assert table["small"].tolist()[:2] == [1, 4]
    assert table["large"].isna().tolist() == [True, True, False, False]
    loaded = Research.load(tmp_path / "sweep")
    assert loaded.trials.best("large").config == {"x": 4}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x", "ValueError: update_variable: 'x' is an option already"),
        ("state", "ValueError: update_variable: 'state' is a column of every table already"),
        ("own", "ValueError: update_variable: 'own' is a result of unit 'own' already"),
        (3, "TypeError: update_variable: a name is a text"),
        (" ", "TypeError: update_variable: a name is a text"),
    ],
)
def test_names_at_run_time_that_are_taken_are_refused(tmp_path: Path, name: Any, message: str) -> None:
    research = (
        Research(Option("x", [1]))
        .add_callable(int, returns="own", name="own")
        .add_callable(lambda storage: storage.update_variable(name, 1), S())
    )
    assert _failure(research, tmp_path / "sweep").startswith(message)


def test_a_value_before_its_unit_ran_is_an_error_that_says_so(tmp_path: Path) -> None:
    research = (
        Research().add_callable(int, name="late", execute="#3").add_callable(str, RO("late"), execute="#0")
    )
    assert "unit 'late' has not run yet in this trial" in _failure(research, tmp_path / "sweep")


def test_results_on_a_schedule_of_their_own(tmp_path: Path) -> None:
    research = (
        Research(Domain())
        .add_callable(lambda i: {"a": i, "b": [i]}, RI(), name="f")
        .add_result(RO("f"), ["a", "b"], execute=[2, "last"])
        .add_result(RO("f")["a"] * 10, "ten", execute="#1")
    )
    table = here(research, tmp_path, n_iters=5)
    assert table["iteration"].tolist() == [1, 3, 4]
    assert table["a"].tolist() == [1, 3, 4]
    assert table["b"].tolist() == [[1], [3], [4]]
    assert table["ten"].tolist()[0] == 10
    with pytest.raises(ValueError, match="returns 'a' already"):
        research.add_result(1, "a")
    with pytest.raises(ValueError, match="a name for the value"):
        research.add_result(1, [])
