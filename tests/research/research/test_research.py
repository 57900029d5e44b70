"""The Research API: pipelines, runs on workers and in this process, checks, updates, tracking."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bf_batch import Batch, Dataset, action
from bf_index.errors import StateError
from bf_pipeline import B, C, Pipeline, V
from bf_research import KV, RP, RR, Domain, Option, Research, Results, uniform


class Numbers(Batch):
    """Batches of numbers."""

    components = ("x",)

    @action
    def add(self, value: float) -> Numbers:
        """Add a number."""
        self.x = self.x + value
        return self


class Line:
    """A model of one number: trained by moving to the mean."""

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self.at = 0.0
        self.rate = float((config or {}).get("rate", 0.5))

    def train(self, inputs: Any = None, targets: Any = None, *, fetches: Any = None, **kwargs: Any) -> Any:
        """Move towards the mean of the inputs; the loss is the distance."""
        loss = float(np.abs(np.mean(inputs) - self.at))
        self.at += self.rate * float(np.mean(inputs) - self.at)
        return loss if fetches else None

    def predict(self, inputs: Any = None, targets: Any = None, **kwargs: Any) -> Any:
        """Say where it is."""
        return np.full(len(inputs), self.at)

    def save(self, path: Any) -> None:
        """Write the number."""
        Path(path).write_text(str(self.at))

    @classmethod
    def load(cls, path: Any) -> Line:
        """Read the number."""
        model = cls()
        model.at = float(Path(path).read_text())
        return model


class Half(Line):
    """Another class of models."""


class Error:
    """Metrics: the mean distance."""

    def __init__(self, targets: Any, predictions: Any, **kwargs: Any) -> None:
        self.values = [float(np.abs(np.asarray(targets) - np.asarray(predictions)).mean())]

    def update(self, other: Error) -> None:
        """Take in another batch."""
        self.values += other.values

    def evaluate(self, name: str, agg: str = "mean") -> float:
        """Give the mean over batches, or their number."""
        return float(np.mean(self.values)) if name == "error" else float(len(self.values))


DATA = Dataset(8, Numbers, preloaded=(np.full(8, 4.0),))


NO_DATA = (
    Pipeline()
    .init_variable("loss", 0.0)
    .init_model("dynamic", C("model"), "net", config={"rate": C("rate", 0.5)})
    .train_model("net", B("x"), fetches="loss", save_to=V("loss"))
    .run_later(2, n_epochs=1, seed=0)
)


TRAIN = NO_DATA << DATA


TEST = (
    Pipeline()
    .import_model("net", C("import_from"))
    .init_variable("metrics", init_on_each_run=None)
    .init_variable("predictions", init_on_each_run=list)
    .predict_model("net", B("x"), save_to=V("predictions"))
    .gather_metrics(Error, targets=B("x"), predictions=V("predictions"), save_to=V("metrics"), mode="u")
    .run_later(2, n_epochs=1)
) << DATA


def seed_research(domain: Domain) -> Research:
    return (
        Research()
        .init_domain(domain)
        .add_pipeline(TRAIN, name="train", variables="loss")
        .add_pipeline(TEST, name="test", import_from="train", execute="last")
        .get_metrics(
            pipeline="test", metrics_var="metrics", metrics_name="error", returns="error", execute="last"
        )
    )


def here(research: Research, folder: Path, **options: Any) -> Any:
    """Run in this process and return the table."""
    return research.run(name=folder / "sweep", parallel=False, **options).results


def count(n: int) -> Iterator[int]:
    """Count to n."""
    yield from range(n)


def test_pipelines_train_test_and_measure_on_workers(tmp_path: Path) -> None:
    domain = Option("model", [Line, Half]) * Option("rate", [0.5, 1.0])
    research = seed_research(domain)
    research.run(name=tmp_path / "sweep", workers=2, devices=["cpu:0", "cpu:1"])
    table = research.results
    assert len(table) == 16
    last = table.dropna(subset=["error"]).sort_values(["rate", "id"])
    assert last["error"].tolist() == [0.25, 0.25, 0.0, 0.0]
    assert set(last["model"]) == {Line, Half}
    assert set(last["iteration"]) == {3}
    assert set(table["state"]) == {"DONE"}
    assert table["loss"].tolist()[:4] == [4.0, 2.0, 1.0, 0.5]


def test_workers_and_this_process_give_the_same(tmp_path: Path) -> None:
    research = seed_research(Option("model", [Line]) * Option("rate", [0.5, 0.25]))
    apart = research.run(name=tmp_path / "apart", workers=2).results.sort_values(["id", "iteration"])
    same = research.run(name=tmp_path / "same", parallel=False).results.sort_values(["id", "iteration"])
    assert apart.reset_index(drop=True).equals(same.reset_index(drop=True))


def test_whole_test_set_is_measured_at_the_last_iteration(tmp_path: Path) -> None:
    research = seed_research(Option("model", [Line])).get_metrics(
        "test", "metrics", ["error", "batches"], returns=["again", "batches"], execute="last"
    )
    assert here(research, tmp_path)["batches"].tolist()[-1] == 4


def test_n_iters_stops_training_early_or_goes_on_over_epochs(tmp_path: Path) -> None:
    domain = Option("model", [Line])
    short = seed_research(domain).run(3, name=tmp_path / "a", parallel=False).results
    assert short["iteration"].tolist() == [0, 1, 2]
    assert short["error"].notna().tolist() == [False, False, True]
    endless = TRAIN.run_later(n_epochs=None)
    long = Research().init_domain(domain).add_pipeline(endless, variables="loss")
    assert len(long.run(10, name=tmp_path / "b", parallel=False).results) == 10


def test_pipeline_can_run_whole_every_so_often(tmp_path: Path) -> None:
    research = (
        Research(Option("model", [Line]))
        .add_pipeline(TRAIN, name="train")
        .add_pipeline(TEST, name="test", import_from="train", execute=[2, "#0"], run=True)
        .get_metrics("test", "metrics", "error", execute=[2, "#0"])
    )
    table = here(research, tmp_path)
    assert table["iteration"].tolist() == [0, 1, 3]
    assert table["error"].tolist() == [2.0, 1.0, 0.25]


def test_branch_takes_the_batches_of_the_root(tmp_path: Path) -> None:
    root = Pipeline().add(C("shift")).run_later(4, n_epochs=1) << DATA
    branch = Pipeline().init_variable("seen", 0.0).update(V("seen"), V("seen") + B("x").attr("sum")())
    research = Research(Option("shift", [1, 2])).add_pipeline(root, branch, variables="seen")
    assert here(research, tmp_path)["seen"].tolist() == [20.0, 40.0, 24.0, 48.0]


def test_folds_are_an_option(tmp_path: Path) -> None:
    data = Dataset(8, Numbers, preloaded=(np.arange(8.0),))
    folds = Option("fold", [KV(fold, str(number)) for number, fold in enumerate(data.folds(4))])
    total = Pipeline().init_variable("sum", 0.0).update(V("sum"), V("sum") + B("x").attr("sum")())
    research = (
        Research(folds)
        .add_pipeline(total.run_later(1), dataset=C("fold").attr("train"), run=True, name="train")
        .add_pipeline(
            total.run_later(1), dataset=C("fold").attr("test"), execute="last", variables="sum", name="test"
        )
    )
    table = here(research, tmp_path)
    assert sum(table["sum"]) == sum(range(8))
    assert all(fold is value for fold, value in zip(table["fold"], folds.values, strict=True))
    assert [row["fold"] for row in research.trials.summary("sum")] == ["3", "2", "1", "0"]
    assert len(research.trials.filter(fold=folds.values[0])) == len(research.trials.filter(fold="0")) == 1
    assert len(table) == 4
    assert research.trials.options == ("fold",)
    assert [record.config["fold"] for record in research.trials.records] == ["0", "1", "2", "3"]


def test_callable_reads_a_run_of_a_pipeline(tmp_path: Path) -> None:
    research = (
        Research(Option("model", [Line]))
        .add_pipeline(TRAIN, name="train")
        .add_callable(lambda run: run.m("net").at, RP("train"), returns="at", execute="last")
    )
    assert here(research, tmp_path)["at"].tolist() == [3.75]


def test_repetitions_are_a_column(tmp_path: Path) -> None:
    domain = Domain(Option("a", [1, 2]))
    domain.set_iterator(brute_force=True, n_reps=2)
    table = here(Research(domain).add_callable(lambda a: a, C("a"), returns="b"), tmp_path)
    assert table[["a", "repetition"]].to_numpy().tolist() == [[1, 0], [2, 0], [1, 1], [2, 1]]


def test_numbers_of_init_domain_go_over_those_of_the_domain() -> None:
    domain = Domain(Option("a", [1, 2, 3]))
    domain.set_iterator(n_reps=5, seed=4)
    research = Research().init_domain(domain, n_configs=2, n_reps=3)
    assert len(research.domain) == 6
    assert research.domain.seed == 4
    assert len(domain) == 15
    assert repr(research) == "<Research of no units over Option('a', [1, 2, 3])>"


def test_saved_research_is_loaded(tmp_path: Path) -> None:
    research = Research(Option("a", [1, 2])).add_callable(lambda a: a, C("a"), returns="b")
    table = here(research, tmp_path)
    for name in ("r.json", "r.parquet"):
        research.save(tmp_path / name)
        assert Research.load(tmp_path / name).results.astype(str).equals(table.astype(str))


def test_test_run_gives_one_iteration_and_raises() -> None:
    assert seed_research(Option("model", [Line])).test() == [{"iteration": 0, "loss": 4.0, "error": 2.0}]
    with pytest.raises(ZeroDivisionError):
        Research().add_callable(lambda: 1 / 0).test()


def test_sweep_is_not_begun_when_its_test_run_fails(tmp_path: Path) -> None:
    good = Research().add_generator(count, 3, returns="n")
    assert len(good.run(name=tmp_path / "good", workers=1, test_run=True).results) == 3
    bad = Research(Option("a", [0, 1])).add_callable(lambda a: 1 / a, C("a"), returns="b")
    with pytest.raises(RuntimeError, match=r"test run failed.*ZeroDivisionError"):
        bad.run(name=tmp_path / "bad", workers=1, test_run=True)
    assert not (tmp_path / "bad").exists()


def test_run_without_a_name_takes_a_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    research = Research().add_callable(os.getpid, returns="pid")
    first = research.run(parallel=False).folder
    second = research.run(parallel=False).folder
    assert first != second
    assert len(list((tmp_path / "research").iterdir())) == 2


def test_what_does_not_fit_is_told_before_anything_runs(tmp_path: Path) -> None:
    domain = Option("model", [Line]) * Option("rate", [1])
    broken = TRAIN << {"model": Line}
    cases = {
        "did you mean 'rate'": Research(domain).add_callable(print, C("rat")),
        "did you mean 'train'": seed_research(domain).add_callable(print, RP("trai")),
        "unknown variable 'metric' of pipeline 'test'; did you mean 'metrics'": seed_research(
            domain
        ).get_metrics("test", "metric", "error", returns="other"),
        "unknown pipeline 'tset'; did you mean 'test'": seed_research(domain).get_metrics(
            "tset", "metrics", "error", returns="other"
        ),
        "import_from: unknown pipeline 'trian'": Research(domain)
        .add_pipeline(TRAIN, name="train")
        .add_pipeline(TEST, import_from="trian"),
        "unknown variable 'losss'": Research(domain).add_pipeline(broken, variables="losss"),
        "has no units": Research(domain),
        "option 'a/b/c' lies inside option 'a/b', which has values of its own": seed_research(
            Option("a/b", [1]) * domain * Option("a/b/c", [2])
        ),
        "option 'a/b' lies inside option 'a'": seed_research(
            domain * (Option("a/b", [1]) @ Option("a", [2]))
        ),
        "unknown result 'tota' of this research; did you mean 'total'": Research(domain)
        .add_callable(len, "text", returns="total")
        .add_callable(print, RR("tota")),
        "unit 'made': unknown variable 'losss' of pipeline 'made'; did you mean 'loss'": Research(
            Option("fold", [KV(DATA, "0")]) * domain
        ).add_pipeline(NO_DATA, dataset=C("fold").attr("copy")(), variables="losss", name="made"),
        "unit 'found': unknown variable 'losss'": Research(
            Option("fold", [KV(DATA, "0")]) * domain
        ).add_pipeline(NO_DATA, dataset=C("fold"), variables="losss", name="found"),
        "unknown action 'ad' of Numbers": Research(Option("fold", [KV(DATA, "0")])).add_pipeline(
            Pipeline().ad(1).run_later(2), dataset=C("fold")
        ),
        "dataset=C('fold').attr('trian')": Research(Option("fold", [KV(DATA, "0")]) * domain).add_pipeline(
            NO_DATA, dataset=C("fold").attr("trian")
        ),
        "dataset=C('rate'): a Dataset is needed, got 1": Research(domain).add_pipeline(
            NO_DATA, dataset=C("rate")
        ),
        "unknown variable 'los' of pipeline 'made'; did you mean 'loss'": Research(
            Option("fold", [KV(DATA, "0")]) * domain
        )
        .add_pipeline(NO_DATA, dataset=C("fold").attr("copy")(), name="made")
        .get_metrics("made", "los", "error"),
        "'model'": Research(Option("modle", [Line])).add_pipeline(TRAIN),
    }
    for message, research in cases.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            research.run(name=tmp_path / "sweep", workers=2)
    assert not (tmp_path / "sweep").exists()


def test_result_with_the_name_of_an_option_is_refused_before_anything_runs(tmp_path: Path) -> None:
    called = Research(Option("a", [1])).add_callable(lambda a: a + 1, C("a"), returns="a", name="more")
    trained = Research(Option("loss", [1]) * Option("model", [Line])).add_pipeline(TRAIN, variables="loss")
    for research, unit, name in [(called, "more", "a"), (trained, "pipeline", "loss")]:
        with pytest.raises(ValueError, match=f"unit '{unit}': '{name}' is an option.*name it otherwise"):
            research.run(name=tmp_path / "sweep", parallel=False)
        with pytest.raises(ValueError, match="is an option"):
            research.test()
    assert not (tmp_path / "sweep").exists()


def test_another_research_does_not_go_on_in_the_folder_of_one(tmp_path: Path) -> None:
    def made(values: list[int], returns: str = "n", name: str = "count") -> Research:
        return Research(Option("a", values)).add_generator(count, 5, returns=returns, name=name)

    options: dict[str, Any] = {"name": tmp_path / "sweep", "parallel": False, "resume": "missing"}
    assert len(made([1]).run(3, **options).results) == 3
    journal = (tmp_path / "sweep" / "journal.jsonl").read_text()
    for research, n_iters, message in [
        (made([1, 2]), 4, "began with n_iters=3, got 4; give the same"),
        (made([1, 2]), None, "began with n_iters=3, got None"),
        (made([1, 2], returns="m"), 3, r"began with returns=\['n'\], got \['m'\]"),
        (made([1, 2], name="other"), 3, r"began with units=\['count'\], got \['other'\]"),
    ]:
        with pytest.raises(StateError, match=message):
            research.run(n_iters, **options)
    assert (tmp_path / "sweep" / "journal.jsonl").read_text() == journal
    assert made([2, 1]).run(3, **options).results["a"].tolist() == [1] * 3 + [2] * 3


def test_journal_that_does_not_tell_its_research_goes_on(tmp_path: Path) -> None:
    research = Research(Option("a", [1])).add_callable(lambda a: a, C("a"), returns="b")
    here(research, tmp_path)
    path = tmp_path / "sweep" / "journal.jsonl"
    head, *lines = path.read_text().splitlines(keepends=True)
    old = {name: value for name, value in json.loads(head).items() if name != "research"}
    path.write_text("".join([json.dumps(old) + "\n", *lines]))
    assert here(research.init_domain(Option("a", [1, 2])), tmp_path, n_iters=1, resume="missing")[
        "b"
    ].tolist() == [1, 2]


def test_units_are_checked_when_they_are_added() -> None:
    research = Research().add_callable(len, returns="n", name="count")
    with pytest.raises(ValueError, match="unit 'count' already"):
        research.add_callable(len, name="count")
    with pytest.raises(ValueError, match="returns 'n' already"):
        research.add_callable(len, returns="n")
    with pytest.raises(ValueError, match="'state' is a column"):
        research.add_callable(len, returns="state")
    with pytest.raises(ValueError, match="no dataset"):
        research.add_pipeline(Pipeline().add(1))
    with pytest.raises(TypeError, match="Pipeline is needed"):
        research.add_pipeline(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="function"):
        research.add_callable("len")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 names for 2 metrics"):
        research.get_metrics("a", "b", ["c", "d"], returns="e")


def test_misspelt_keywords_of_units_are_refused_with_the_close_match() -> None:
    research = Research(Option("a", [1]) * Option("model", [Line]))
    shifted = Pipeline().add(C("add/shift")).run_later(4) << DATA
    for add, message in [
        (lambda: research.add_callable(slow, C("a"), return_="k"), "'return_'.*did you mean 'returns'"),
        (lambda: research.add_callable(slow, C("a"), nothing="k"), "'nothing' of the function slow"),
        (lambda: research.add_generator(count, 3, exectue=2), "'exectue'.*did you mean 'execute'"),
        (lambda: research.add_callable(max, 1, 2, retruns="k"), "did you mean 'returns'"),
        (lambda: research.get_metrics("a", "b", "c", exceute=2), "did you mean 'execute'"),
        (lambda: research.add_pipeline(TRAIN, name="train", varables="loss"), "did you mean 'variables'"),
        (lambda: research.add_pipeline(TRAIN, exectue=2), "did you mean 'execute'"),
        (lambda: research.add_pipeline(TRAIN, raet=2), r"did you mean 'rate'.*no C\('raet'\)"),
        (lambda: research.add_pipeline(shifted, shift=2), "unknown argument 'shift'"),
    ]:
        with pytest.raises(TypeError, match=message):
            add()
    assert research.experiment.units == ()
    research.add_callable(slow, a=C("a")).add_callable(lambda **names: names, return_=1)
    research.add_pipeline(TRAIN, rate=0.5).add_pipeline(shifted, add={"shift": 2})
    research.add_pipeline(Pipeline().add(C()) << DATA, anything=2)
    research.add_pipeline((Pipeline().add(1) @ C("share") << DATA).run_later(4), TRAIN, share=0.5, rate=1)


def test_run_refuses_what_means_nothing(tmp_path: Path) -> None:
    research = Research(Option("a", [1])).add_callable(len)
    for options, error, message in [
        ({"n_iters": 0}, ValueError, "n_iters"),
        ({"workers": 0}, ValueError, "workers"),
        ({"workers": True}, ValueError, "workers"),
        ({"devices": ["tpu:0"]}, ValueError, "tpu:0"),
        ({"devices": []}, ValueError, "devices is empty"),
        ({"devices": "gpu:0"}, TypeError, "list"),
        ({"resume": "yes"}, ValueError, "resume"),
        ({"on_failure": "ignore"}, ValueError, "on_failure"),
        ({"retries": -1}, ValueError, "retries"),
        ({"timeout": 0}, ValueError, "timeout"),
        ({"timeout": 5, "parallel": False}, ValueError, "timeout=5 with parallel=False.*leave out"),
        ({"tracking": "mlfow"}, ValueError, "unknown tracker 'mlfow' of tracking; did you mean 'mlflow'"),
        (
            {"tracking": "sqlite:///runs.db"},
            ValueError,
            r"a store of MLflow is given as {'uri': 'sqlite:///runs.db'}",
        ),
        ({"tracking": True}, TypeError, "tracking must be a name.*got True"),
        ({"tracking": {"experment": "x"}}, TypeError, "'experment' of tracking .*mean 'experiment'"),
        ({"worker": 2}, TypeError, "did you mean 'workers'"),
    ]:
        with pytest.raises(error, match=message):
            research.run(name=tmp_path / "sweep", **options)
    endless = Domain(Option("a", [1])).set_iterator(brute_force=False)
    with pytest.raises(ValueError, match="conditions leave all of them out"):
        Research(Option("a", [1]).where("a > 1")).add_callable(len).run(name=tmp_path / "sweep")
    with pytest.raises(ValueError, match=r"brute_force=False .*random draws.* never ends.*n_iters"):
        Research(endless).add_callable(len).run(name=tmp_path / "sweep")
    for parallel in (True, False):
        with pytest.raises(ValueError, match=r"^name=/proc/x can't be made.*choose another folder"):
            research.run(name="/proc/x", parallel=parallel)
    assert not (tmp_path / "sweep").exists()


def test_update_of_the_domain_goes_on_with_what_it_returns(tmp_path: Path) -> None:
    asked: list[int] = []

    def narrow(results: Any) -> Domain | None:
        asked.append(len(results))
        best = results.best("score").config["a"]
        return Option("a", [best * 10, best * 10 + 1])

    domain = Domain(Option("a", [1, 2]))
    domain.set_update(narrow, n_updates=2)
    table = here(Research(domain).add_callable(lambda a: a, C("a"), returns="score"), tmp_path)
    assert table["a"].tolist() == [1, 2, 20, 21, 210, 211]
    assert asked == [2, 4]


def test_update_in_the_middle_replaces_what_is_left(tmp_path: Path) -> None:
    domain = Domain(Option("a", list(range(100))))
    domain.set_update(lambda results: Option("a", [-1]), when=3)
    table = here(Research(domain).add_callable(lambda a: a, C("a"), returns="score"), tmp_path)
    assert table["a"].tolist() == [0, 1, 2, -1]


def slow(a: int) -> int:
    """Give the number a moment later, so that no worker is free before."""
    time.sleep(0.05)
    return a


def test_updates_at_several_moments_have_repetitions_of_their_own(tmp_path: Path) -> None:
    moments: list[int] = []

    def more(results: Results) -> Domain:
        moments.append(sum(record.state.finished for record in results.records))
        return Option("x", [4, 5, 6])

    domain = Option("x", [1, 2, 3])
    domain.set_iterator(n_reps=2)
    research = Research(domain).add_callable(lambda x: x, C("x"), returns="seen")
    research.update_domain(more, ["#5", "#8", "last"], n_reps=3, repeat_each=1, n_configs=2)
    table = research.run(name=tmp_path / "sweep", parallel=False).results
    assert moments == [5, 8, 14]
    assert table["seen"].tolist() == [1, 2, 3, 1, 2] + [4, 4, 4] + [4, 4, 4, 5, 5, 5] * 2
    assert table["repetition"].tolist() == [0, 0, 0, 1, 1] + [0, 1, 2] + [0, 1, 2] * 4
    assert domain.update is None, "the domain that was handed in is as it was"


def test_an_update_without_end_is_refused_as_the_first_domain_is(tmp_path: Path) -> None:
    research = Research(Option("x", [1])).add_callable(lambda x: x, C("x"), returns="seen")
    research.update_domain(lambda results: Option("x", uniform(0, 1)))
    with pytest.raises(ValueError, match=r"never ends; set_update\(..., n_iters="):
        research.run(name=tmp_path / "sweep", parallel=False)
    research.update_domain(lambda results: Option("x", uniform(0, 1)), n_configs=3)
    assert len(research.run(name=tmp_path / "other", parallel=False).results) == 4


@pytest.mark.parametrize("options", [{"workers": 1}, {"workers": 2}, {"workers": 4}, {"parallel": False}])
@pytest.mark.parametrize("when", [1, 2, "last"])
def test_domain_of_an_update_runs_also_when_all_trials_had_been_taken(
    tmp_path: Path, options: dict[str, Any], when: Any
) -> None:
    domain = Domain(Option("a", [1, 2]))
    domain.set_update(lambda results: Option("a", [100 + len(results), 200]), when, n_updates=2)
    research = Research(domain).add_callable(slow, C("a"), returns="b")
    table = research.run(name=tmp_path / "sweep", **options).results
    assert table["a"].tolist()[-1] == 200
    assert table["b"].tolist() == table["a"].tolist()
    assert max(record.update for record in research.trials.records) == 2


@pytest.mark.slow
def test_trials_are_recorded_in_mlflow_below_the_run_of_the_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    research = seed_research(Option("model", [Line, Half]) * Option("rate", [0.5, 1.0]))
    research.run(name=tmp_path / "sweep", workers=2, tracking={"uri": store, "experiment": "lines"})
    client = mlflow.MlflowClient(store)
    experiment = client.get_experiment_by_name("lines")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert sorted(run.data.metrics["error"] for run in children) == [0.0, 0.0, 0.25, 0.25]
    assert {run.data.params["model"] for run in children} == {"Line", "Half"}
    assert len(client.get_metric_history(children[0].info.run_id, "loss")) == 4
    assert "compare" in capsys.readouterr().out
