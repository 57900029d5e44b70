"""A run takes the parts of a research: an experiment and a domain."""

from __future__ import annotations

from pathlib import Path

import pytest

from bf_pipeline import C
from bf_research import Option
from bf_research.domain.config import Config
from bf_research.research.run import prepare
from bf_research.units.base import Schedule
from bf_research.units.experiment import Experiment
from bf_research.units.functions import CallableUnit


def double(a: int) -> int:
    return 2 * a


UNIT = CallableUnit("double", double, (C("a"),), {}, ("twice",), Schedule.of(1))


def test_an_experiment_runs_over_a_domain_without_a_research(tmp_path: Path) -> None:
    domain = Option("a", [1, 2, 3])
    prepared = prepare(Experiment((UNIT,)), domain, tmp_path / "sweep", None, "never", {"parallel": False})
    results = prepared.run()
    assert [results.last("twice", record) for record in results.records] == [2, 4, 6]


def test_an_experiment_is_checked_against_configurations() -> None:
    Experiment((UNIT,)).check([Config({"a": 1})])
    with pytest.raises(ValueError, match=r"(?s)does not fit together.*'double'.*'a'"):
        Experiment((UNIT,)).check([Config({"b": 1})])
    with pytest.raises(ValueError, match="has no units"):
        Experiment(()).check([])
