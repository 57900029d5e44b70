"""Configurations that Optuna proposes: seeds, repetitions, kills, warm starts, and the space of a domain."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from bf_pipeline import C
from bf_research import ASHA, RI, Domain, Option, Research, Search, integers, loguniform, normal, uniform
from bf_research.domain.config import Config
from bf_research.launcher.errors import PassingError
from bf_research.search.space import Space
from bf_research.stopping.measured import complete_metrics
from bf_research.sweep import journal as journals

optuna = pytest.importorskip("optuna")
N = 12


def valley(x: float, kind: str, width: int) -> dict[str, float]:
    depth = {"flat": 1.0, "deep": 2.0}[kind]
    return {"loss": (x - 0.3) ** 2 + 1 / depth, "cost": width * depth}


def make_domain(n: int = N, n_reps: int = 1, seed: int | None = 0) -> Domain:
    domain = Option("x", uniform(0, 1)) * Option("kind", ["flat", "deep"]) * Option("width", integers(1, 8))
    return Domain(domain).set_iterator(n_iters=n, n_reps=n_reps, seed=seed)


def loss(x: float, kind: str, width: int) -> float:
    return valley(x, kind, width)["loss"]


def run(folder: Path, search: Search, domain: Domain | None = None, **options: Any) -> Research:
    research = Research(domain or make_domain())
    research = research.add_callable(loss, C("x"), C("kind"), C("width"), returns="loss")
    return research.run(name=folder, parallel=False, search=search, **options)


def proposed(research: Research) -> list[tuple[Any, ...]]:
    return [tuple(trial.config.values()) for trial in research.trials.records]


def study_of(folder: Path) -> Any:
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "optuna.jsonl"))
    return optuna.load_study(study_name="sweep", storage=optuna.storages.JournalStorage(backend))


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2", "cmaes", "gp"])
def test_the_same_seed_proposes_the_same_trials_and_another_one_others(tmp_path: Path, sampler: str):
    if sampler in ("cmaes", "gp"):
        pytest.importorskip({"cmaes": "cmaes", "gp": "torch"}[sampler])
    search = Search(sampler, metric="loss")
    first, again = (run(tmp_path / name, search) for name in ("first", "again"))
    assert len(proposed(first)) == N
    assert proposed(first) == proposed(again)
    assert proposed(run(tmp_path / "other", search, make_domain(seed=1))) != proposed(first)


def test_tpe_learns_where_it_is_good(tmp_path: Path):
    late = {}
    for sampler in ("tpe", "random"):
        trials = run(tmp_path / sampler, Search(sampler, metric="loss"), make_domain(40)).trials
        late[sampler] = sum(trials.last("loss", record) for record in trials.records[20:]) / 20
    assert late["tpe"] < late["random"] - 0.1


def test_the_objective_is_the_mean_over_repetitions(tmp_path: Path):
    values = iter([1.0, 3.0, 5.0, 6.0])
    domain = Option("x", uniform(0, 1)) * Domain()
    domain = Domain(domain).set_iterator(n_iters=2, n_reps=2, seed=0)
    research = Research(domain).add_callable(lambda: next(values), returns="loss")
    research.run(name=tmp_path / "sweep", parallel=False, search=Search(metric="loss"))
    assert [trial.value for trial in study_of(tmp_path / "sweep").trials] == [2.0, 5.5]
    assert [trial.repetition for trial in research.trials.records] == [0, 1, 0, 1]


class Killed(BaseException):
    """The end of a process, as far as a sweep in this one can tell."""


@pytest.mark.parametrize("at", [0, 1, 13, 15])
def test_a_search_that_was_cut_off_goes_on_with_the_same_proposals(tmp_path: Path, at: int):
    search, domain = Search(metric="loss"), make_domain(16)
    whole = proposed(run(tmp_path / "whole", search, domain))
    calls = iter(range(100))

    def fragile(x: float, kind: str, width: int) -> float:
        if next(calls) == at:
            raise Killed
        return loss(x, kind, width)

    cut = Research(make_domain(16, seed=None).with_seed(0))
    cut = cut.add_callable(fragile, C("x"), C("kind"), C("width"), returns="loss")
    with pytest.raises(Killed):
        cut.run(name=tmp_path / "cut", parallel=False, search=search)
    research = cut.run(name=tmp_path / "cut", parallel=False, search=search, resume="missing")
    assert proposed(research) == whole
    states = [trial.state.name for trial in study_of(tmp_path / "cut").trials]
    assert states == ["COMPLETE"] * 16


KILLED = """
    import os
    import signal
    from pathlib import Path

    from bf_pipeline import C
    from bf_research import Domain, Option, Research, Search, integers, uniform

    def fragile(x, kind, width):
        calls = len(list(Path("calls").iterdir()))
        Path(f"calls/{{calls}}").touch()
        if calls in (1, 13):
            os.kill(os.getpid(), signal.SIGKILL)  # the driver: trials run in its process
        return (x - 0.3) ** 2 + 1 / {{"flat": 1.0, "deep": 2.0}}[kind]

    domain = Option("x", uniform(0, 1)) * Option("kind", ["flat", "deep"]) * Option("width", integers(1, 8))
    domain = Domain(domain).set_iterator(n_iters=16, seed={seed})
    Path("calls").mkdir(exist_ok=True)
    research = Research(domain).add_callable(fragile, C("x"), C("kind"), C("width"), returns="loss")
    research.run(name="cut", parallel=False, search=Search(metric="loss"), resume="missing")
"""


def test_a_search_whose_driver_is_killed_goes_on_with_the_same_proposals(tmp_path: Path, run_script):
    whole = proposed(run(tmp_path / "whole", Search(metric="loss"), make_domain(16)))
    codes = [run_script(KILLED.format(seed=0)).code for _ in range(3)]
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0]
    records = list(journals.read(tmp_path / "cut").records.values())
    assert [tuple(record.config.values()) for record in records] == whole
    assert {record.state.name for record in records} == {"DONE"}
    states = [trial.state.name for trial in study_of(tmp_path / "cut").trials]
    assert states == ["COMPLETE"] * 16
    assert len(list((tmp_path / "calls").iterdir())) == 18


@pytest.mark.parametrize("error", [PassingError, ValueError])
def test_what_is_tried_again_later_is_told_to_the_study(tmp_path: Path, error: type[Exception]):
    failing = [True]

    def fragile(x: float) -> float:
        if failing[0]:
            raise error("not now")
        return x

    domain = Domain(Option("x", uniform(0, 1))).set_iterator(n_iters=3, n_reps=2, seed=0)
    research = Research(domain).add_callable(fragile, C("x"), returns="loss")
    options: dict[str, Any] = {"name": tmp_path / "sweep", "parallel": False, "search": Search(metric="loss")}
    research.run(**options)
    states = {trial.state.name for trial in study_of(tmp_path / "sweep").trials}
    assert states == {"RUNNING" if error is PassingError else "FAIL"}
    failing[0] = False
    again = Research(domain).add_callable(fragile, C("x"), returns="loss")
    expected = {record.config["x"] for record in research.trials.records}
    for _ in range(2):  # told once, however often it goes on
        again.run(**options, resume="failed")
        known = [trial for trial in study_of(tmp_path / "sweep").trials if trial.state.name == "COMPLETE"]
        assert [trial.value for trial in known] == [trial.params["x"] for trial in known]
        assert len(known) == 3
        assert {trial.value for trial in known} == expected
        assert len(again.trials) == 6


def test_values_too_large_to_add_up_cost_a_search_nothing(tmp_path: Path):
    domain = Domain(Option("x", uniform(0, 1))).set_iterator(n_iters=2, n_reps=2, seed=0)
    research = Research(domain).add_callable(lambda: 1.5e308, returns="loss")
    research.run(name=tmp_path / "sweep", parallel=False, search=Search(metric="loss"))
    assert [trial.value for trial in study_of(tmp_path / "sweep").trials] == [1.5e308] * 2


def test_a_proposal_of_which_a_repetition_was_stopped_is_pruned_in_the_study(tmp_path: Path):
    values = {}

    def measure(x: float, i: int, repetition: int) -> float:
        values.setdefault(x, len(values))
        return (
            values[x] * (i + 1) * (-1) ** repetition
        )  # what is best in one repetition is worst in the other

    domain = Domain(Option("x", uniform(0, 1))).set_iterator(n_iters=8, n_reps=2, seed=0)
    research = Research(domain).add_callable(measure, C("x"), RI(), C("repetition"), returns="score")
    search = Search(metric="score", mode="max")
    research.run(9, name=tmp_path / "sweep", parallel=False, search=search, stopping=ASHA(metric="score"))
    records = research.trials.records
    ends = {tuple(sorted(str(r.state) for r in records[at : at + 2])) for at in range(0, 16, 2)}
    assert ("DONE", "PRUNED") in ends
    expected = [
        "PRUNED" if any(r.state == "PRUNED" for r in records[at : at + 2]) else "COMPLETE"
        for at in range(0, 16, 2)
    ]
    assert [trial.state.name for trial in study_of(tmp_path / "sweep").trials] == expected


def test_a_warm_start_knows_the_results_of_an_earlier_sweep(tmp_path: Path):
    earlier = Option("x", [0.25, 0.9, 7]) * Option("kind", ["deep"]) * Option("width", [2])
    research = Research(earlier).add_callable(loss, C("x"), C("kind"), C("width"), returns="loss")
    research.run(name=tmp_path / "earlier", parallel=False)
    run(tmp_path / "warm", Search(metric="loss", warm_start=str(tmp_path / "earlier")), make_domain(3))
    trials = study_of(tmp_path / "warm").trials
    assert [trial.params for trial in trials[:2]] == [
        {"x": 0.25, "kind": "deep", "width": 2},
        {"x": 0.9, "kind": "deep", "width": 2},
    ]
    assert trials[0].value == pytest.approx(0.05**2 + 0.5)
    assert len(trials) == 5  # 7 is not in the space


def test_several_metrics_count_together(tmp_path: Path):
    research = Research(make_domain(20)).add_callable(
        lambda x, kind, width: tuple(valley(x, kind, width).values()),
        C("x"),
        C("kind"),
        C("width"),
        returns=["loss", "cost"],
    )
    search = Search("nsga2", metric=["loss", "cost"], mode=["min", "min"])
    research.run(name=tmp_path / "sweep", parallel=False, search=search)
    study = study_of(tmp_path / "sweep")
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MINIMIZE"]
    rows = {(row["loss"], row["cost"]) for trial in research.trials.records for row in trial.rows}
    assert {tuple(trial.values) for trial in study.trials} == rows


def test_what_a_rule_stops_is_pruned_in_the_study(tmp_path: Path):
    research = Research(Domain(Option("x", uniform(0, 1))).set_iterator(n_iters=8, seed=0))
    research = research.add_callable(lambda x, i: x * (i + 1), C("x"), RI(), returns="score")
    search = Search(metric="score")
    research.run(9, name=tmp_path / "sweep", parallel=False, search=search, stopping=ASHA(metric="score"))
    ours = [{"DONE": "COMPLETE"}.get(str(trial.state), str(trial.state)) for trial in research.trials.records]
    assert [trial.state.name for trial in study_of(tmp_path / "sweep").trials] == ours
    assert set(ours) == {"COMPLETE", "PRUNED"}


def test_a_space_goes_to_configurations_and_back():
    domain = Option("model", ["a", "b"]) * (Option("lr", [0.1, 0.01]) @ Option("n", [1, 2]))
    domain = domain + Option("model", ["c"]) * Option("lr", loguniform(1e-4, 1e-1)) * Option(
        "k", [None, True]
    )
    space = Space(domain)
    assert set(space.parameters(0)) == {"0: model", "0: lr @ n"}
    for part, params in [
        (0, {"0: model": "b", "0: lr @ n": "0.01, 2"}),
        (1, {"1: model": "c", "1: lr": 0.003, "1: k": "true"}),
    ]:
        config = space.config(part, params)
        assert space.find(config.key) == (part, params)
    assert space.config(0, {"0: model": "b", "0: lr @ n": "0.01, 2"}) == Config(
        {"model": "b", "lr": 0.01, "n": 2}
    )
    assert space.find({"model": "c", "lr": 0.5, "k": None}) is None


@pytest.mark.parametrize(
    ("search", "domain", "message"),
    [
        (
            {"sampler": "tep", "metric": "loss"},
            None,
            "unknown sampler 'tep' of search.sampler",
        ),
        ({"metric": "los"}, None, "unknown result 'los' of search: metric; did you mean 'loss'"),
        ({}, None, "name the result that is to become better"),
        ({"metric": "loss", "mode": "max"}, None, "of 'loss' less is better"),
        ({"metric": "loss", "options": {"n_start": 1}}, None, "unknown option 'n_start' of search.options"),
        ({"metric": "loss", "options": {"seed": 1}}, None, "the seed is that of the sweep"),
        ({"metric": "loss", "warm_start": "nowhere"}, None, "there is no journal.jsonl in it"),
        ({"metric": "loss"}, Option("x", uniform(0, 1)), "search: say how many configurations tpe proposes"),
        ({"metric": "loss"}, Option("x", normal(0, 1)), "a sampler chooses from lists, uniform"),
        (
            {"metric": "loss"},
            Option("x", [1, 2]).where("x > 1"),
            "has conditions, which",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused_before_the_first_trial(tmp_path: Path, search, domain, message):
    if domain is not None:
        domain = domain * Option("kind", ["flat"]) * Option("width", [1])
        if "how many" not in message:
            domain.set_iterator(n_iters=3)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run(tmp_path / "sweep", Search(**search), domain)
    assert not (tmp_path / "sweep").exists()


def test_without_optuna_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"pip install 'bf-research\[optuna\]'"):
        run(tmp_path / "sweep", Search(metric="loss"))


def test_a_training_searches_by_what_its_validation_measures():
    config = {"pipeline": {"metrics": ["accuracy"]}, "validation": {"share": 0.1}}
    assert complete_metrics([], config, "search") == ["validation/accuracy"]
    assert complete_metrics(["test/accuracy"], config, "search") == ["test/accuracy"]
    with pytest.raises(ValueError, match="unknown metric 'test/acuracy'"):
        complete_metrics(["test/acuracy"], config, "search")


APPLICATION = """
import sys
import hydra


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config):
    return {"score": config.quality * config.repetition}


sys.argv[1:1] = ARGUMENTS
main()
"""
CONFIG = """
defaults: [_self_, {override hydra/sweeper: domain}]
quality: 0.1
repetition: 0
hydra: {output_subdir: null, sweeper: {seed: 0, search: {sampler: tpe, metric: score}}}
"""


def test_the_command_line_searches_and_goes_on(tmp_path: Path, run_script):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/train.yaml").write_text(CONFIG)
    swept = ["-m", "hydra.sweep.dir=out", "quality=tag(log,interval(0.01,1))", "hydra.sweeper.n_reps=2"]
    for count in (2, 3):
        code = APPLICATION.replace("ARGUMENTS", repr([*swept, f"hydra.sweeper.n_iters={count}"]))
        done = run_script(code)
        assert done.code == 0, done.err
        records = list(journals.read(tmp_path / "out").records.values())
        assert [record.repetition for record in records] == [0, 1] * count
    means = [trial.value for trial in study_of(tmp_path / "out").trials]
    assert means == [pytest.approx(record.config["quality"] / 2) for record in records[::2]]
    done = run_script(APPLICATION.replace("ARGUMENTS", repr(swept)))
    assert "search: say how many configurations tpe proposes: hydra.sweeper.n_iters=30" in done.err
