"""Samplers: shapes, the algebra, and that all randomness comes with the call."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.stats

from bf_pipeline.samplers import (
    ConstantSampler,
    HistogramSampler,
    NumpySampler,
    ScipySampler,
    as_sampler,
    concatenate,
)


def rng(seed=7):
    return np.random.default_rng(seed)


NORMAL = NumpySampler("normal", loc=5)
UNIFORM = NumpySampler("u", low=0, high=1)
EVERY_KIND = {
    "numpy": NORMAL,
    "two coordinates": NumpySampler("n", dim=2),
    "multivariate": NumpySampler("mvn", mean=[0, 5], cov=np.eye(2)),
    "choice": NumpySampler("c", a=["red", "green"]),
    "scipy": ScipySampler("gamma", a=2),
    "frozen scipy": ScipySampler(scipy.stats.norm(loc=2)),
    "scipy multivariate": ScipySampler(scipy.stats.multivariate_normal([0, 1])),
    "constant": ConstantSampler([1, 2]),
    "histogram": HistogramSampler(np.histogram([1, 2, 2, 3], bins=3)),
    "arithmetic": (NORMAL * 2 - 1) / UNIFORM,
    "mixture": 0.3 & NORMAL | UNIFORM | ConstantSampler(7),
    "stacked": NORMAL & UNIFORM & NORMAL,
    "applied": UNIFORM.apply(np.exp),
    "truncated": NORMAL.truncate(high=5, low=4),
}


@pytest.mark.parametrize("name", EVERY_KIND)
def test_a_sampler_is_a_pure_function_of_the_generator(name):
    sampler = EVERY_KIND[name]
    first, again = sampler.sample(20, rng()), sampler.sample(20, rng())
    assert first.shape == again.shape == (20, sampler.sample(1, rng()).shape[1])
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("name", EVERY_KIND)
def test_a_sampler_draws_no_rows_one_row_and_travels_to_a_worker(name):
    sampler = EVERY_KIND[name]
    width = sampler.sample(1, rng()).shape[1]
    assert sampler.sample(0, rng()).shape == (0, width)
    copy = pickle.loads(pickle.dumps(sampler))
    np.testing.assert_array_equal(copy.sample(9, rng()), sampler.sample(9, rng()))


@pytest.mark.parametrize("name", EVERY_KIND)
def test_a_sampler_reads_like_code(name):
    assert "object at" not in repr(EVERY_KIND[name])


def test_seeded_mixtures_repeat_and_have_the_asked_shares():
    mixture = 3 & ConstantSampler(1) | ConstantSampler(0)
    rows = mixture.sample(20_000, rng())
    assert rows.mean() == pytest.approx(0.75, abs=0.02)
    assert (rows[1:] != rows[:-1]).mean() > 0.3


def test_a_mixture_of_three_gives_each_a_third():
    mixture = ConstantSampler(0) | ConstantSampler(1) | ConstantSampler(2)
    counts = np.bincount(mixture.sample(30_000, rng())[:, 0])
    assert counts / 30_000 == pytest.approx([1 / 3] * 3, abs=0.02)


def test_coordinates_of_one_sampler_are_independent():
    rows = NumpySampler("normal", dim=2).sample(5_000, rng())
    assert abs(np.corrcoef(rows.T)[0, 1]) < 0.05


def test_arithmetic_is_on_the_drawn_values():
    two = ConstantSampler(2)
    cases = [
        two + 3,
        3 + two,
        two - 3,
        3 - two,
        two * 3,
        two / 4,
        6 / two,
        two // 2,
        two % 2,
        two**3,
        3**two,
        -two,
    ]
    assert [case.draw() for case in cases] == [5, 5, -1, 1, 6, 0.5, 3, 1, 0, 8, 9, -2]
    assert (two + two).draw() == 4
    np.testing.assert_array_equal((np.array([1, 2]) + (two & two)).draw(), [3, 4])


def test_stacking_and_concatenate_put_coordinates_side_by_side():
    stacked = ConstantSampler(1) & ConstantSampler([2, 3])
    assert stacked.sample(2, rng()).tolist() == [[1, 2, 3], [1, 2, 3]]
    assert concatenate(ConstantSampler(1), ConstantSampler([2, 3])).draw().tolist() == [1, 2, 3]


def test_one_value_per_item_or_a_row_per_item():
    assert NORMAL.values(4, rng()).shape == (4,)
    assert (NORMAL & NORMAL).values(4, rng()).shape == (4, 2)
    assert isinstance(NORMAL.draw(rng()), float)
    assert isinstance(NumpySampler("integers", low=0, high=9).draw(rng()), int)


def test_truncation_keeps_bounds_and_the_whole_sample():
    rows = NORMAL.truncate(low=6, high=7, prob=0.1).sample(500, rng())
    assert rows.shape == (500, 1)
    assert rows.min() >= 6
    assert rows.max() <= 7


def test_truncation_by_an_expression_of_the_row():
    square = UNIFORM & UNIFORM
    assert np.all(square.truncate(expr=lambda xy: xy[:, 0] < xy[:, 1]).sample(50, rng()) @ [1, -1] < 0)
    radius = square.truncate(high=0.5, expr=lambda xy: np.hypot(*xy.T)).sample(50, rng())
    assert np.hypot(*radius.T).max() <= 0.5


def test_impossible_truncation_is_an_error_and_not_an_endless_loop():
    with pytest.raises(ValueError, match=r"only 0 of 3 fit"):
        UNIFORM.truncate(low=2, max_iters=5).sample(3, rng())


def test_histogram_follows_its_counts_and_counts_more_points():
    empty = HistogramSampler(edges=[[0, 1, 2, 3]])
    with pytest.raises(ValueError, match="no points yet"):
        empty.sample(1)
    sampler = empty.update([[0.5]] * 3 + [[2.5]])
    rows = sampler.sample(8_000, rng())
    assert np.histogram(rows, bins=[0, 1, 2, 3])[0] / 8_000 == pytest.approx([0.75, 0, 0.25], abs=0.02)
    assert empty.counts.sum() == 0


def test_histogram_of_two_coordinates():
    points = rng().normal(size=(500, 2)) * [1, 9]
    rows = HistogramSampler(np.histogramdd(points, bins=12)).sample(3_000, rng())
    assert rows.std(axis=0) == pytest.approx(points.std(axis=0), rel=0.1)


def test_as_sampler_takes_names_samplers_and_frozen_distributions():
    assert as_sampler("uniform", low=3, high=4).draw(rng()) > 3
    assert as_sampler(NORMAL) is NORMAL
    assert as_sampler(scipy.stats.uniform(3)).draw(rng()) > 3
    with pytest.raises(TypeError, match="sampler"):
        as_sampler(5)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: NumpySampler("nromal"), ValueError, "normal"),
        (lambda: NumpySampler("normal", mu=1), TypeError, "NumpySampler"),
        (lambda: NumpySampler("normal", scale=-1), ValueError, "scale"),
        (lambda: NumpySampler("normal", seed=1), TypeError, "randomness comes with the call"),
        (lambda: NumpySampler("normal", dim=0), ValueError, "dim"),
        (lambda: ScipySampler("gamm", a=1), ValueError, "gamma"),
        (lambda: ScipySampler(5), TypeError, "frozen"),
        (lambda: HistogramSampler(), ValueError, "edges"),
        (lambda: HistogramSampler(edges=[[2, 1]]), ValueError, "grow"),
        (lambda: HistogramSampler((np.ones(3), [0, 1])), ValueError, "bins"),
        (lambda: -0.5 & NORMAL, ValueError, "weight"),
        (lambda: 0 & NORMAL | 0 & NORMAL, ValueError, "weight"),
        (lambda: NORMAL | 3, TypeError, "|"),
        (lambda: NORMAL + "a", TypeError, "+"),
        (lambda: NORMAL.truncate(), ValueError, "high"),
        (lambda: NORMAL.truncate(high=0, low=1), ValueError, "low"),
        (lambda: NORMAL.truncate(high=0, prob=0), ValueError, "prob"),
        (lambda: NORMAL.apply(3), TypeError, "function"),
        (lambda: NORMAL.sample(-1), ValueError, "-1"),
        (lambda: (NORMAL | NORMAL & NORMAL).sample(9), ValueError, "coordinates"),
        (lambda: NORMAL.apply(np.sum).sample(9), ValueError, "one row per row"),
        (lambda: concatenate(NORMAL, 3), TypeError, "3"),
    ],
)
def test_a_wrong_sampler_is_refused_with_its_reason(make, error, text):
    with pytest.raises(error) as caught:
        make()
    assert text in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
