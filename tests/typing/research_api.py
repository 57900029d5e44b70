"""How the public API of research is typed: read by mypy, not meant to be executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

from bf_pipeline import C
from bf_research import ASHA, Config, Domain, Option, OptunaPruner, Research, Results, Search, Trial, uniform


def api(research: Research, results: Results) -> None:
    """Use the API; a type checker reads it, nothing runs it."""
    domain = Option("lr", [0.1, 0.01]) * Option("width", uniform(1, 8)) + Option("lr", [1.0])
    assert_type(domain, Domain)
    assert_type(domain @ Option("name", ["a", "b"]), Domain)
    assert_type(domain.set_iterator(n_iters=10, n_reps=2), Domain)
    assert_type(domain.where("lr > 0.1"), Domain)
    assert_type(domain[0], Config)
    assert_type(domain[:2], list[Config])
    assert_type(next(iter(domain)), Config)
    assert_type(len(domain), int)
    assert_type(Research(domain).add_callable(max, C("lr"), returns="score"), Research)
    rules: list[Any] = [ASHA(metric="score", factor=4), OptunaPruner(pruner="patient")]
    ran = research.run(n_iters=3, workers=2, stopping=rules[0], search=Search("tpe", metric="score"))
    assert_type(ran, Research)
    assert_type(research.trials, Results)
    assert_type(results.filter(lr=0.1), Results)
    assert_type(results.summary("score"), list[dict[str, Any]])
    assert_type(len(results), int)
    results.save(Path("results.json"))
    assert_type(Results.load("results.json"), Results)

    ASHA(facter=4)  # type: ignore[call-arg]
    ASHA(mode="up")  # type: ignore[arg-type]
    results.best("score", "least")  # type: ignore[arg-type]
    domain.set_iterator(n_iter=10)  # type: ignore[call-arg]
    research.run(3, worker=2)  # type: ignore[call-arg]


def of_a_trial(trial: Trial) -> None:
    """Use what a unit gets of its trial."""
    assert_type(trial.config, Config)
