"""The rules that stop trials, against tables worked by hand, the papers' numbers and plain counting."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bf_research import ASHA, Hyperband, MedianStopping, StoppingRule
from bf_research.stopping.decisions import Brackets, Judge, Rungs
from bf_research.stopping.measured import check_ranking, complete_rule
from bf_research.stopping.rules import read_stopping


def test_asha_keeps_the_best_third_of_those_that_came_so_far():
    judge = ASHA("accuracy", factor=3).judge()
    # value at step 1, how many before were better, how many may go on (a third, at least one), goes on
    table = [
        (0.50, 0, 1, True),
        (0.60, 0, 1, True),
        (0.40, 2, 1, False),
        (0.70, 0, 1, True),
        (0.30, 4, 1, False),
        (0.65, 1, 2, True),
        (0.60, 2, 2, False),
        (0.62, 2, 2, False),
        (0.64, 2, 3, True),
    ]
    for number, (value, better, kept, goes_on) in enumerate(table):
        why = judge.tell(f"trial {number}", 1, value)
        said = f"{better} of {number + 1} that came to step 1 were better, {kept} may go on"
        assert why == (None if goes_on else said)
    assert set(judge.stopped) == {"trial 2", "trial 4", "trial 6", "trial 7"}


def test_asha_compares_at_its_rungs_only_and_less_is_better_of_a_loss():
    judge = ASHA("validation/loss", min_steps=2, factor=2).judge()
    for trial, loss in (("good", 0.1), ("bad", 0.9)):
        steps = [step for step in range(1, 10) if judge.tell(trial, step, loss) is not None]
        assert steps == ([] if trial == "good" else list(range(2, 10)))  # once stopped, always
    assert [step for step in range(1, 40) if Rungs(2, 2).is_rung(step)] == [2, 4, 8, 16, 32]


def test_asha_is_plain_counting():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 30, 200) / 30  # with many ties
    judge = ASHA("accuracy", factor=4).judge()
    for number, value in enumerate(values):
        so_far = values[: number + 1]
        goes_on = (so_far > value).sum() < max(len(so_far) // 4, 1)
        assert (judge.tell(str(number), 1, float(value)) is None) == goes_on


def test_hyperband_has_the_brackets_of_the_paper():
    # Table 1 of Li et al. 2018 (JMLR 18): R = 81, eta = 3
    brackets = Brackets(1, 3, 81)
    assert [rungs.first for rungs in brackets.rungs] == [1, 3, 9, 27, 81]
    assert brackets.shares == [81, 34, 15, 8, 5]
    for number in range(143):
        brackets.decide(str(number), 1, 0.0)
    given = [list(brackets._bracket.values()).count(place) for place in range(5)]
    assert given == brackets.shares


def test_hyperband_stops_by_the_rungs_of_a_trials_bracket():
    judge = Hyperband("accuracy", max_steps=9).judge()
    stopped = {}
    for number in range(20):
        for step in range(1, 10):
            why = judge.tell(str(number), step, 1 - number / 100, final=step == 9)
            if why is not None:
                stopped[number] = step
                break
    assert {1, 3} == set(stopped.values())
    assert 0 not in stopped
    assert len(stopped) < 20 - 3  # those of the last bracket run to their end


def test_median_compares_the_best_with_the_averages_of_the_others():
    judge = MedianStopping("accuracy", min_trials=2).judge()
    assert [judge.tell("a", step, value) for step, value in enumerate([1, 2, 3], 1)] == [None] * 3
    assert [judge.tell("b", step, value) for step, value in enumerate([3, 3, 3], 1)] == [None] * 3
    # step 1: averages 1 and 3, their median is 2
    assert judge.tell("c", 1, 0.5) == "its best of 1 values is worse than the median of 2 others at step 1"
    # step 1: 0.5, 1 and 3, median 1; step 2: 1.5 and 3, median 2.25, and the best of d is 1.9
    assert judge.tell("d", 1, 1.9) is None
    assert judge.tell("d", 2, 0.0) is not None
    # equal to the median is not worse
    assert judge.tell("e", 1, 1.45) is None
    assert judge.tell("e", 2, 2.9) is None


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("rule", [ASHA("loss"), MedianStopping("loss"), Hyperband("loss", max_steps=9)])
def test_a_value_that_is_no_finite_number_stops_its_trial_alone(rule: StoppingRule, broken: float):
    judge = rule.judge()
    for number in range(5):
        assert judge.tell(f"broken {number}", 1, broken) is not None
    for number in range(5):
        assert judge.tell(f"fine {number}", 1, 0.5) is None


def test_the_same_question_has_the_same_answer_and_the_last_step_stops_nothing():
    judge = ASHA("accuracy").judge()
    judge.tell("good", 1, 0.9)
    why = judge.tell("bad", 1, 0.1)
    assert why is not None
    assert judge.tell("bad", 1, 0.95) == why
    assert judge.tell("good", 1, 0.0) is None  # told before, as after a restart from a checkpoint
    assert judge.tell("short", 1, 0.0, final=True) is None
    assert dict(judge.told) == {"good": 1, "bad": 1, "short": 1}


def test_decisions_told_again_in_their_order_are_the_same():
    rng = np.random.default_rng(1)
    told = [(str(rng.integers(20)), step, float(rng.random())) for step in range(1, 10) for _ in range(20)]
    judges: list[Judge] = []
    for _ in range(2):
        judges.append(ASHA("accuracy", factor=2).judge())
        for one in told:
            judges[-1].tell(*one)
    assert dict(judges[0].stopped) == dict(judges[1].stopped) != {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "ahsa"}, "unknown rule 'ahsa' of stopping.rule; did you mean 'asha'"),
        (
            {"rule": "asha", "facter": 3},
            "unknown option 'facter' of stopping, rule asha; did you mean 'factor'",
        ),
        ({"rule": "asha", "factor": 1}, "stopping.factor must be a whole number of at least 2, got 1"),
        ({"rule": "asha", "min_steps": 0}, "stopping.min_steps must be a whole number of at least 1"),
        ({"rule": "asha", "mode": "up"}, "mode must be 'min', 'max' or 'auto', got 'up'"),
        ({"rule": "asha", "metric": "test/accuracy", "mode": "min"}, "of 'test/accuracy' more is better"),
        (
            {"rule": "median", "metric": "validation/loss", "mode": "max"},
            "of 'validation/loss' less is better",
        ),
        ({"rule": "hyperband"}, "stopping.max_steps: hyperband has to know"),
        ({"rule": "hyperband", "max_steps": 2, "min_steps": 3}, "stopping.max_steps must be .* at least 3"),
    ],
)
def test_what_is_wrong_with_a_rule_is_told(options, message):
    with pytest.raises(ValueError, match=message):
        read_stopping(options)


def test_the_metric_is_one_that_the_training_measures():
    config = {"pipeline": {"metrics": ["accuracy"]}, "validation": {"share": 0.1}}
    assert complete_rule(ASHA(), config, "stopping").metric == "validation/accuracy"
    assert complete_rule(ASHA("train/loss"), config, "stopping").metric == "train/loss"
    message = r"unknown metric 'validation/acuracy' of stopping.metric; did you mean 'validation/accuracy'"
    with pytest.raises(ValueError, match=message):
        complete_rule(ASHA("validation/acuracy"), config, "stopping")
    with pytest.raises(ValueError, match="there is no validation, so nothing is measured to stop by"):
        complete_rule(ASHA(), {**config, "validation": None}, "stopping")
    with pytest.raises(ValueError, match="name the metric that trials report"):
        complete_rule(ASHA(), {}, "hydra.sweeper.stopping")


def test_a_ranking_in_the_other_direction_is_refused():
    check_ranking(ASHA("validation/loss"), "validation/loss", True, "stopping")
    check_ranking(ASHA("validation/loss"), "test/accuracy", False, "stopping")
    with pytest.raises(ValueError, match=r"hydra\.sweeper\.minimize=false ranks the others first"):
        check_ranking(ASHA("validation/loss"), "validation/loss", False, "stopping")
