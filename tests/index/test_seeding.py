"""rng_at: generators as pure functions of an address."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from bf_index import new_seed, rng_at
from bf_index.seeding import check_seed, words_at


def test_equal_addresses_give_equal_numbers_and_others_do_not():
    assert (rng_at(7, 0, 3).random(5) == rng_at(7, 0, 3).random(5)).all()
    firsts = {
        rng_at(seed, *path).integers(2**63)
        for seed in range(10)
        for path in [(), (0,), (0, 0), (1,), (0, 1), (1, 0)]
    }
    assert len(firsts) == 60


def test_numbers_never_change_between_versions_and_machines():
    assert rng_at(7, 1, 2).bit_generator.random_raw(2).tolist() == [7271751568182049998, 15606766673380126184]


def test_numpy_integers_are_the_same_address():
    assert rng_at(np.int64(7), np.uint8(2)).random() == rng_at(7, 2).random()


@pytest.mark.parametrize("seed", [-1, -(2**70)])
def test_negative_seeds_are_refused(seed):
    with pytest.raises(ValueError, match=">= 0"):
        rng_at(seed)


def test_seeds_may_be_large_and_generators_pickle():
    rng = rng_at(2**200, 3)
    assert pickle.loads(pickle.dumps(rng)).random() == rng.random()


def test_any_part_of_a_stream_of_words_is_the_same_words():
    whole = words_at(0, 50, 5, 1)
    for start in range(0, 20):
        assert (words_at(start, start + 11, 5, 1) == whole[start : start + 11]).all()


def test_streams_of_neighbouring_addresses_are_uniform_and_independent():
    first = np.array([rng_at(3, item).random() for item in range(4000)])
    assert abs(first.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.05
    assert np.histogram(first, 10, (0, 1))[0].min() > 320


def test_fresh_seeds_differ_and_are_short():
    seeds = {new_seed() for _ in range(50)}
    assert len(seeds) > 45
    assert max(seeds) < 2**32


@pytest.mark.parametrize(
    ("seed", "error"), [(1.0, TypeError), ("1", TypeError), (True, TypeError), (-1, ValueError)]
)
def test_seeds_of_other_kinds_are_refused(seed, error):
    with pytest.raises(error, match="seed must be an integer >= 0"):
        check_seed(seed)
