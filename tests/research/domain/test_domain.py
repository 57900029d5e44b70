"""Domains: the algebra, the order of configurations, random draws, conditions and what is refused."""

from __future__ import annotations

import copy
import pickle
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from bf_pipeline.samplers import NumpySampler
from bf_research.domain.config import Config
from bf_research.domain.domain import Domain, Option
from bf_research.domain.option import KV, integers, loguniform, normal, uniform
from bf_research.sweep.trial import trial_id


def pairs(domain: Domain) -> list[tuple[Any, ...]]:
    """Values and repetition of all configurations."""
    return [(*config.values(), config.repetition) for config in domain]


A, B, C = Option("a", [1, 2]), Option("b", ["x", "y"]), Option("c", [7, 8, 9])


def test_rightmost_option_runs_fastest() -> None:
    assert pairs(A * B) == [(1, "x", 0), (1, "y", 0), (2, "x", 0), (2, "y", 0)]


def test_sum_is_the_left_then_the_right() -> None:
    assert pairs(A + C) == [(1, 0), (2, 0), (7, 0), (8, 0), (9, 0)]


def test_product_spreads_over_a_sum() -> None:
    assert list(A * (B + C)) == list(A * B + A * C)
    assert len(A * (B + C)) == 10


def test_at_walks_side_by_side() -> None:
    assert pairs(A @ B) == [(1, "x", 0), (2, "y", 0)]


def test_at_takes_any_finite_domains_of_equal_length() -> None:
    four = Option("n", [1, 2, 3, 4])
    assert pairs((A * B) @ four)[3] == (2, "y", 4, 0)
    assert pairs((A + B) @ four)[2] == ("x", 3, 0)
    assert pairs(A @ B * C)[1] == (1, "x", 8, 0)


def test_operators_leave_their_operands_unchanged() -> None:
    option = Option("a", [1, 2])
    before = repr(option), option.plan
    _ = 0.3 * option, option * B, option + B, option @ B, option.where("a > 1")
    assert (repr(option), option.plan) == before
    assert option == Option("a", [1, 2])


def test_equal_domains_are_equal_and_others_not() -> None:
    assert Option("a", [1, 2]) * Option("b", ["x", "y"]) == A * B
    assert A * B != B * A
    assert 0.3 * A != A
    assert Option("a", [1, True]) != A
    assert A.where("a > 1") == A.where("a > 1")
    assert Domain(A) != Domain(A).set_iterator(n_reps=2)


def test_repr_spells_the_domain() -> None:
    zipped = "(Option('b', ['x', 'y']) @ Option('d', [1, 2]))"
    text = f"0.3 * Option('a', [1, 2]) * {zipped} + Option('r', uniform(0, 1))"
    domain = 0.3 * A * (B @ Option("d", [1, 2])) + Option("r", uniform(0, 1))
    assert repr(domain) == text


def test_domain_is_made_of_options_dicts_lists_and_keywords() -> None:
    assert Domain(A * B) == A * B
    assert Domain({"a": [1, 2], "b": ["x", "y"]}) == A * B
    assert Domain({"a": [1, 2]}, b=["x", "y"]) == A * B
    assert Domain([[A, B], [C]]) == A * B + C
    assert pairs(Domain()) == [(0,)]


def test_subclass_of_the_seed_keeps_its_iterator() -> None:
    class MyDomain(Domain):
        pass

    domain = MyDomain(Option("model", [int, float, str]))
    domain.set_iterator(brute_force=True, n_reps=2)
    assert len(domain) == 6
    assert [config["model"] for config in domain][:3] == [int, float, str]
    assert domain[0].aliases == {"model": "int"}


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ({"n_reps": 2}, [(1, 0), (2, 0), (1, 1), (2, 1)]),
        ({"n_reps": 2, "repeat_each": 1}, [(1, 0), (1, 1), (2, 0), (2, 1)]),
        ({"n_iters": 3}, [(1, 0), (2, 0), (1, 1)]),
        ({"n_iters": 1, "n_reps": 2}, [(1, 0), (1, 1)]),
        ({"n_iters": 3, "n_reps": 2, "repeat_each": 2}, [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (1, 3)]),
    ],
)
def test_repetitions_and_their_order(plan: dict[str, int], expected: list[tuple[int, int]]) -> None:
    domain = Domain(A)
    domain.set_iterator(**plan)
    assert pairs(domain) == expected
    assert len(domain) == len(expected)
    assert len({trial_id(config) for config in domain}) == len(expected)


@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    n_reps=st.integers(1, 3),
    n_iters=st.none() | st.integers(1, 30),
    repeat_each=st.none() | st.integers(1, 5),
    brute_force=st.booleans(),
    weights=st.lists(st.none() | st.floats(0.1, 2), min_size=3, max_size=3),
    summed=st.booleans(),
)
def test_index_and_walk_agree(sizes, n_reps, n_iters, repeat_each, brute_force, weights, summed) -> None:
    domain = Domain()
    for number, (size, weight) in enumerate(zip(sizes, weights)):
        option: Domain = Option(f"o{number}", list(range(size)))
        option = option if weight is None else weight * option
        domain = option if number == 0 else (domain + option if summed else domain * option)
    if not brute_force and n_iters is None:
        n_iters = 5
    domain.set_iterator(brute_force, n_reps, n_iters, repeat_each, seed=3)
    walked = list(domain)
    assert len(domain) == len(walked)
    assert [domain[number] for number in range(len(walked))] == walked
    assert domain[-1] == walked[-1]
    with pytest.raises(IndexError):
        domain[len(walked)]


def test_sampler_is_asked_for_each_combination_and_repeats_with_it() -> None:
    domain = Option("a", [1, 2]) * Option("lr", loguniform(1e-4, 1e-1))
    domain.set_iterator(n_reps=2, seed=1)
    rates = [config["lr"] for config in domain]
    assert rates[:2] == rates[2:]
    assert rates[0] != rates[1]
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)
    assert all(type(rate) is float for rate in rates)


def test_samplers_of_pipelines_are_options_too() -> None:
    domain = Option("lr", NumpySampler("uniform", low=2, high=3)) * Option("n", [1])
    assert 2 <= domain[0]["lr"] <= 3
    plane = Option("xy", NumpySampler("uniform", low=2, high=3) & NumpySampler("normal")) * Option("n", [1])
    assert len(plane[0]["xy"]) == 2


def test_only_samplers_never_end() -> None:
    domain = Option("lr", uniform(0, 1))
    assert domain.size is None
    with pytest.raises(TypeError, match=r"never ends.*n_iters"):
        len(domain)
    domain.set_iterator(n_iters=3, seed=0)
    assert len(list(domain)) == len(domain) == 3
    assert len({config["lr"] for config in domain}) == 3


def test_endless_part_in_front_of_others_is_refused() -> None:
    with pytest.raises(ValueError, match=r"never ends.*never reached"):
        next(iter(Option("lr", uniform(0, 1)) + A))
    assert next(iter(A + Option("lr", uniform(0, 1))))["a"] == 1


def test_random_draws_are_independent_and_repeat_with_the_seed() -> None:
    domain = A * C
    domain.set_iterator(brute_force=False, n_iters=200, seed=5)
    first = pairs(domain)
    assert set(first) == {(a, c, 0) for a in (1, 2) for c in (7, 8, 9)}
    assert pairs(domain) == first
    assert pairs(Domain(A * C).set_iterator(brute_force=False, n_iters=200, seed=6)) != first


def test_weights_mix_neighbours_by_their_shares_without_replacement() -> None:
    left, right = Option("a", list(range(500))), Option("b", list(range(500)))
    domain = 0.9 * left + 0.1 * right + Option("c", [1])
    domain.set_iterator(seed=0)
    names = [next(iter(config)) for config in domain]
    assert 60 <= names[:100].count("a") <= 100
    assert names[-1] == "c"
    assert sorted(names) == ["a"] * 500 + ["b"] * 500 + ["c"]
    assert [c["a"] for c in domain if "a" in c] == list(range(500))


def test_seed_none_is_drawn_once_and_told() -> None:
    domain = Option("lr", uniform(0, 1)) * A
    again = Option("lr", uniform(0, 1)) * A
    again.set_iterator(seed=domain.seed)
    assert list(domain) == list(domain) == list(again)


def test_condition_in_text_or_as_a_function() -> None:
    text = (A * C).where("a == 1 or c in [8, 9] and not c == 9")
    function = (A * C).where(lambda config: config["a"] == 1 or config["c"] == 8)
    assert pairs(text) == pairs(function) == [(1, 7, 0), (1, 8, 0), (1, 9, 0), (2, 8, 0)]
    assert len(text) == 4
    assert text[-1] == Config({"a": 2, "c": 8})


def test_condition_speaks_of_nested_names_and_aliases() -> None:
    domain = Option("model", [int, float]) * Option("model.lr", [0.1, 0.01])
    assert pairs(domain.where("model == 'int' and model.lr < 0.1")) == [(int, 0.01, 0)]


def test_condition_on_an_unknown_option_is_refused_with_a_hint() -> None:
    with pytest.raises(ValueError, match="did you mean 'lr'"):
        Option("lr", [1]).where("lrr < 1")


def test_condition_on_a_part_without_the_option_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"Option\('b', \['x', 'y'\]\) has no option 'a'; put the condition on"
    ):
        (A + B).where("a > 1")
    assert pairs(A.where("a > 1") + B) == [(2, 0), ("x", 0), ("y", 0)]


@pytest.mark.parametrize(
    "text", ["__import__('os')", "a[0]", "lambda: 1", "a if 1 else 2", "a ** 9", "a <", "a()"]
)
def test_condition_is_parsed_and_never_run(text: str) -> None:
    with pytest.raises(ValueError, match="where"):
        A.where(text)


def test_condition_that_refuses_all_draws_ends() -> None:
    with pytest.raises(ValueError, match="refuse"):
        next(iter(Option("lr", uniform(0, 1)).where("lr > 2")))
    with pytest.raises(ValueError, match="refuse"):
        next(iter(A.where("a > 2").set_iterator(brute_force=False)))
    assert list(A.where("a > 2")) == []


def test_nested_names_make_sections() -> None:
    assert Config({"model.lr": 1, "model.body.units": 2, "x": 3}).nested() == {
        "model": {"lr": 1, "body": {"units": 2}},
        "x": 3,
    }
    with pytest.raises(ValueError, match="inside 'model'"):
        Config({"model": 1, "model.lr": 2}).nested()
    with pytest.raises(ValueError, match="section"):
        Config({"model.lr": 2, "model": 1}).nested()


def test_config_is_a_mapping_with_a_hint_for_wrong_names() -> None:
    config = Config({"lr": 0.1})
    assert dict(config) == {"lr": 0.1}
    assert config == {"lr": 0.1}
    with pytest.raises(KeyError, match="did you mean 'lr'"):
        config["lrr"]


def test_value_without_a_stable_name_is_refused() -> None:
    with pytest.raises(TypeError, match="KV"):
        Option("model", [object()])
    assert Option("model", [KV(object(), "net")])[0].aliases == {"model": "net"}


def test_values_may_come_from_a_config() -> None:
    config = OmegaConf.create({"rates": [0.1, 0.01], "sizes": [{"n": 1}]})
    assert Option("lr", config.rates) == Option("lr", [0.1, 0.01])
    assert Option("size", config.sizes) == Option("size", [{"n": 1}])
    for wrong in ({1, 2}, b"ab", iter([1]), config):
        with pytest.raises(TypeError, match="option 'x'"):
            Option("x", wrong)


def test_two_values_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="both called '<lambda>'"):
        Option("f", [lambda: 1, lambda: 2])
    assert len(Option("f", [1, 1])) == 2


def test_distributions_stay_inside_and_refuse_nonsense() -> None:
    rng = np.random.default_rng(0)
    assert set(integers(1, 3).sample(200, rng).tolist()) == {1, 2, 3}
    assert set(integers(1, 100, log=True).sample(500, rng).tolist()) <= set(range(1, 101))
    assert np.abs(normal(5, 0.1).sample(100, rng).mean() - 5) < 0.1
    for wrong in (
        lambda: uniform(1, 1),
        lambda: loguniform(0, 1),
        lambda: integers(0.5, 2),  # type: ignore[arg-type]
        lambda: normal(0, 0),
        lambda: uniform(0, float("inf")),
    ):
        with pytest.raises(ValueError):
            wrong()


@pytest.mark.parametrize(
    "plan",
    [{"n_reps": 0}, {"n_iters": 0}, {"repeat_each": -1}, {"seed": -1}, {"n_reps": True}, {"n_iters": 2.5}],
)
def test_plan_with_nonsense_is_refused(plan: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(plan))):
        Domain(A).set_iterator(**plan)


def test_update_with_nonsense_is_refused() -> None:
    with pytest.raises(TypeError, match="function"):
        Domain(A).set_update(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="when"):
        Domain(A).set_update(print, when="lats")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n_updates"):
        Domain(A).set_update(print, n_updates=0)
    for when in ([3, "first"], "#0", "#", "%5", 0, True, 1.5):
        with pytest.raises(ValueError, match=r"set_update: when=.* is none of"):
            Domain(A).set_update(print, when=when)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="names no moment"):
        Domain(A).set_update(print, when=[])
    for name in ("n_reps", "n_iters", "repeat_each"):
        with pytest.raises(ValueError, match=name):
            Domain(A).set_update(print, **{name: 0})


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), True])
def test_weight_must_be_above_zero(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        weight * A


def test_same_option_twice_in_a_product_is_refused() -> None:
    for wrong in (lambda: A * A, lambda: A @ A, lambda: Domain(A, a=[1])):
        with pytest.raises(ValueError, match="'a' is on both sides"):
            wrong()


def test_at_of_endless_weighted_or_conditional_parts_is_refused() -> None:
    for wrong in (
        lambda: A @ Option("lr", uniform(0, 1)),
        lambda: (0.5 * A + 0.5 * B) @ Option("n", [1, 2, 3, 4]),
        lambda: A.where("a > 1") @ B,
    ):
        with pytest.raises(ValueError, match="@ pairs"):
            wrong()
    assert 0.3 * A @ B == 0.3 * (A @ B)


def test_domains_are_copied_and_pickled_whole() -> None:
    domain = 0.3 * A @ B + (Option("lr", uniform(0, 1)) * C).where("c > 7 and lr > 0")
    domain.set_iterator(n_reps=2, seed=3)
    for other in (copy.deepcopy(domain), pickle.loads(pickle.dumps(domain)), Domain(domain)):
        assert other == domain
        assert list(other) == list(domain)


def test_operators_refuse_strangers() -> None:
    for wrong in (lambda: A + 1, lambda: A @ 1, lambda: A * "x", lambda: [1] @ A):
        with pytest.raises(TypeError):
            wrong()


def test_a_hundred_million_configurations_cost_nothing() -> None:
    tracemalloc.start()
    domain = Domain()
    for name in "abcdefgh":
        domain = domain * Option(name, list(range(10)))
    first, last = next(iter(domain)), domain[10**8 - 1]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(domain) == 10**8
    assert set(first.values()) == {0}
    assert set(last.values()) == {9}
    assert peak < 2**20


def test_edges_have_every_value_together_and_keep_to_pairs_and_conditions() -> None:
    domain = A @ B * C.where("c != 8") + Option("many", list(range(10**6)))
    edges = list(domain.edges())
    assert {(edge["a"], edge["b"]) for edge in edges if "a" in edge} == {(1, "x"), (2, "y")}
    assert {edge["c"] for edge in edges if "c" in edge} == {7, 9}
    assert len(edges) < 200
    assert list(Domain().edges()) == [Config({})]
