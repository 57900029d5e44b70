"""Optuna's pruners as a rule of a sweep, against numpy's percentiles and plain comparisons."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from bf_pipeline import C
from bf_research import RI, Option, OptunaPruner, Research, Search, TrialState
from bf_research.search.options import read_search
from bf_research.stopping.rules import read_stopping

pytest.importorskip("optuna")


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_percentile_is_that_of_numpy_over_ended_trials(metric: str):
    rng = np.random.default_rng(0)
    quality = rng.random(40)
    options = {"percentile": 25.0, "n_startup_trials": 4}
    judge = OptunaPruner(metric, pruner="percentile", options=options).judge()
    ended: list[float] = []
    for number, value in enumerate(quality):
        why = judge.tell(str(number), 1, float(value))
        kept = 25 if metric == "loss" else 75
        wanted = len(ended) < 4 or (
            value <= np.percentile(ended, kept) if metric == "loss" else value >= np.percentile(ended, kept)
        )
        assert (why is None) == wanted, number
        if why is None:
            judge.tell(str(number), 2, float(value), final=True)
            ended.append(float(value))
    assert 4 < len(ended) < 30


@pytest.mark.parametrize(("metric", "values"), [("loss", [3.0, 2.0, 11.0]), ("accuracy", [0.5, 0.6, 0.05])])
def test_thresholds_are_of_the_value_as_it_is_measured(metric: str, values: list[float]):
    options = {"upper": 10.0} if metric == "loss" else {"lower": 0.1}
    judge = OptunaPruner(metric, pruner="threshold", options=options).judge()
    told = [judge.tell("a", step, value) for step, value in enumerate(values, 1)]
    assert told == [None, None, "ThresholdPruner of Optuna ends it at step 3"]


def test_patience_counts_steps_without_anything_better_from_the_first_step_that_may_stop():
    for min_steps, last in ((1, 4), (7, 7)):
        judge = OptunaPruner(
            "accuracy", min_steps=min_steps, pruner="patient", options={"patience": 2}
        ).judge()
        told = [
            judge.tell("a", step, value) for step, value in enumerate([0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.3], 1)
        ]
        assert told.index(f"PatientPruner of Optuna ends it at step {last}") == last - 1


def test_a_trial_that_goes_on_after_its_end_is_left_alone_and_decisions_told_again_are_the_same():
    rng = np.random.default_rng(2)
    told = [(str(trial), step, float(rng.random()), step == 5) for trial in range(30) for step in range(1, 6)]
    stopped = []
    for _ in range(2):
        judge = OptunaPruner("accuracy", pruner="hyperband").judge()
        for one in told:
            judge.tell(*one)
        assert judge.tell("0", 6, 0.0) is None
        assert judge.tell("0", 7, 0.0, final=True) is None
        stopped.append(dict(judge.stopped))
    assert stopped[0] == stopped[1] != {}


def test_a_sweep_is_stopped_by_it(tmp_path: Path):
    def score(quality: float, iteration: int) -> float:
        return quality * (iteration + 1)

    results = (
        Research(Option("quality", [0.5, 0.6, 0.4, 0.7, 0.3, 0.65]))
        .add_callable(score, C("quality"), RI(), returns="score")
        .run(
            n_iters=4,
            name=tmp_path / "sweep",
            parallel=False,
            stopping=OptunaPruner("score", options={"n_startup_trials": 2}),
        )
    )
    states = {record.config["quality"]: record.state for record in results.trials.records}
    assert [quality for quality, state in states.items() if state is TrialState.PRUNED] == [0.4, 0.3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pruner": "percentil"}, "unknown pruner 'percentil' of stopping.pruner; did you mean 'percentile'"),
        (
            {"pruner": "percentile"},
            r"pruner=percentile needs an option: say stopping\.options=\{percentile: ",
        ),
        (
            {"pruner": "patient", "options": {"patence": 1}},
            "unknown option 'patence' of stopping.options of PatientPruner; did you mean 'patience'",
        ),
        ({"pruner": "percentile", "options": {"percentile": 200.0}}, "between 0 and 100"),
    ],
)
def test_what_is_wrong_is_told_before_the_sweep(options: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        read_stopping({"rule": "optuna", **options})


def test_every_search_and_rule_of_the_command_takes_options_of_optunas_class(
    configure: Callable[..., DictConfig],
):
    for name in ("tpe", "cmaes", "nsga2"):
        wanted = {"population_size": 20} if name == "nsga2" else {"n_startup_trials": 5}
        said = ",".join(f"{key}: {value}" for key, value in wanted.items())
        for option in (
            f"search.options={{{said}}}",
            *[f"+search.options.{k}={v}" for k, v in wanted.items()],
        ):
            search = read_search(OmegaConf.to_container(configure(f"search={name}", option).search))
            assert search is not None
            assert search.options == wanted
            search.make_sampler(0)
    assert read_search(OmegaConf.to_container(configure("search=gp").search)) == Search("gp")
    config = configure("stopping=optuna", "stopping.pruner=percentile", "stopping.options={percentile: 25.0}")
    rule = read_stopping(OmegaConf.to_container(config.stopping))
    assert rule == OptunaPruner(pruner="percentile", options={"percentile": 25.0})
    assert read_stopping(OmegaConf.to_container(configure("stopping=optuna").stopping)) == OptunaPruner()
