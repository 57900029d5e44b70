"""Trainings in trials: their metrics are results, and a trial that is tried again goes on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bf_batch import Batch, Dataset
from bf_pipeline import B, C, Pipeline, V
from bf_research import Checkpoints, Event, IterationLog, Option, Research, Training, TrainingState


class Points(Batch):
    components = "x", "y"


class Line:
    """A line that is fitted by steps of gradient descent."""

    def __init__(self, config: Any) -> None:
        self.weight, self.rate = 0.0, config["rate"]

    def train(self, inputs: Any, targets: Any, **options: Any) -> float:
        wrong = self.weight * inputs - targets
        self.weight -= self.rate * float((wrong * inputs).mean())
        return float((wrong**2).mean())

    def predict(self, inputs: Any, **options: Any) -> Any:
        return self.weight * inputs

    def save(self, path: Path) -> None:
        Path(path).write_text(repr((self.weight, self.rate)))

    @classmethod
    def load(cls, path: Path) -> Line:
        weight, rate = map(float, Path(path).read_text().strip("()").split(","))
        model = cls({"rate": rate})
        model.weight = weight
        return model


class Seen(Event):
    """Metrics of an event: one now and then, one at the end only; a file says how often iterations ran."""

    def __init__(self, log: Path, fails_at: int) -> None:
        self.log, self.fails_at = log, fails_at

    def check(self, state: TrainingState) -> None:
        state.metrics |= {"weight": 0.0, "end": 0.0}

    def after_iteration(self, state: TrainingState) -> None:
        with self.log.open("a") as file:
            file.write(f"{state.model.rate} {state.iteration}\n")
        if state.iteration % 4 == 0:
            state.log("weight", state.model.weight)
        if state.iteration == self.fails_at and not self.log.with_suffix(".mended").exists():
            raise RuntimeError("the machine is gone")

    def after(self, state: TrainingState) -> None:
        state.log("end", state.model.weight)


def make(rate: float, log: Path, fails_at: int = 0) -> Training:
    x = np.linspace(-1, 1, 40)
    data = Dataset(40, Points, preloaded={"x": x, "y": 3 * x})
    steps = Pipeline().init_variable("loss", 0.0).init_model("static", Line, "net", {"rate": rate})
    steps = steps.train_model("net", B("x"), B("y"), fetches="loss", save_to=V("loss"))
    pipeline = (steps << data).run_later(8, n_epochs=2, shuffle=True, seed=1)
    return Training(pipeline, events=[IterationLog(), Seen(log, fails_at), Checkpoints(every=3, keep=1)])


RETURNS = ["train/loss", "weight", "end"]


def research(log: Path, fails_at: int = 0) -> Research:
    rates = Research(Option("rate", [0.1, 0.5]))
    return rates.add_training(
        partial(make, log=log, fails_at=fails_at), C("rate"), returns=RETURNS, name="fit"
    )


def table(found: Research) -> list[dict[str, Any]]:
    rows = found.results[["rate", "iteration", *RETURNS]].to_dict("records")
    return [{name: value for name, value in row.items() if not pd.isna(value)} for row in rows]


def test_metrics_of_a_training_are_the_results_of_their_iterations(tmp_path: Path) -> None:
    found = table(research(tmp_path / "log").run(name=tmp_path / "sweep", parallel=False))
    expected = []
    for rate in (0.1, 0.5):
        states = make(rate, tmp_path / "other").inside(tmp_path / str(rate)).iterate()
        for number, state in enumerate(states):
            weight = {"weight": state.model.weight} if number % 4 == 3 else {}
            expected.append({"rate": rate, "iteration": number, "train/loss": state.loss, **weight})
        expected.append({"rate": rate, "iteration": 10, "end": state.model.weight})
    assert found == expected


@pytest.mark.parametrize("parallel", [False, True])
def test_a_trial_that_is_tried_again_goes_on_and_returns_all(tmp_path: Path, parallel: bool) -> None:
    whole = table(research(tmp_path / "whole").run(name=tmp_path / "never", parallel=False))
    cut = research(tmp_path / "log", fails_at=8)
    cut.run(name=tmp_path / "sweep", parallel=parallel)
    assert [failure.state for failure in cut.trials.failures] == ["FAILED"] * 2
    (tmp_path / "log.mended").touch()
    cut.run(name=tmp_path / "sweep", parallel=parallel, resume="failed")
    assert table(cut) == whole
    ran = [int(line.split()[1]) for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted(ran) == sorted([*range(1, 9), *range(7, 11)] * 2), "iterations 7 and 8 were run again"


def test_a_metric_that_is_not_measured_is_named(tmp_path: Path) -> None:
    wrong = Research().add_training(partial(make, 0.1, tmp_path / "log"), returns="train/lost")
    with pytest.raises(ValueError, match=r"unknown metric 'train/lost'.*did you mean 'train/loss'"):
        wrong.test()


def test_a_function_that_makes_no_training_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="returned 3; add_training needs one that returns a Training"):
        Research().add_training(lambda: 3).test()
