"""The keyed permutation: a bijection at any length, as random as a stored one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bf_index.permutation import SMALL, Permutation, permute


@given(st.integers(1, 20_000), st.integers(0, 2**64))
def test_each_position_comes_once(n, seed):
    images = permute(0, n, n, seed, 1)
    assert np.array_equal(np.sort(images), np.arange(n))


@pytest.mark.parametrize("n", [*range(1, 70), 255, 256, 257, SMALL, SMALL + 1, 65_535, 65_537, 1_000_003])
def test_the_network_itself_is_a_bijection(n):
    assert np.array_equal(np.sort(Permutation(n, 5, n).between(0, n)), np.arange(n))


@given(st.integers(1, 10**15), st.integers(0, 1000), st.data())
def test_any_block_equals_that_part_of_the_whole(n, seed, data):
    start = data.draw(st.integers(0, n - 1))
    stop = data.draw(st.integers(start, min(n, start + 40)))
    block = permute(start, stop, n, seed, 2)
    assert len(block) == stop - start
    assert ((block >= 0) & (block < n)).all()
    if stop - start > 1:
        assert permute(start + 1, stop, n, seed, 2).tolist() == block[1:].tolist()


@pytest.mark.parametrize("n", [2**32 - 1, 2**32, 2**32 + 1, 10**12, 2**61])
def test_lengths_around_the_word_size_work(n):
    permutation = Permutation(n, 1, 1)
    images = permutation.between(n - 1000, n)
    assert len(set(images.tolist())) == 1000
    assert images.min() >= 0
    assert images.max() < n
    assert permutation.at(np.arange(n - 1000, n)[::-1]).tolist() == images[::-1].tolist()


def test_items_are_spread_over_places_evenly():
    n, bins, runs = 5000, 20, 60
    counts = np.zeros((bins, bins))
    for seed in range(runs):
        images = Permutation(n, seed, 0).between(0, n)
        counts += np.histogram2d(np.arange(n), images, bins)[0]
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3


def test_numbers_of_a_class_in_batches_are_as_in_a_true_shuffle():
    """Two rounds fail this: the variance of a class's count in batches shows their structure."""
    n, size = 100_000, 250
    counts = []
    for seed in range(20):
        classes = Permutation(n, seed, 0).between(0, n) < n // 10
        counts.append(classes.reshape(-1, size).sum(axis=1))
    variance = np.var(np.concatenate(counts))
    expected = size * 0.1 * 0.9 * (n - size) / (n - 1)
    assert abs(variance / expected - 1) < 0.06


def test_small_permutations_all_occur_equally_often():
    seen = [tuple(permute(0, 4, 4, seed, 0).tolist()) for seed in range(4800)]
    counts = np.unique(seen, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 1e-3


def test_neighbours_do_not_stay_neighbours():
    images = Permutation(200_000, 9, 0).between(0, 200_000)
    steps = np.diff(images)
    assert abs(np.corrcoef(images[:-1], images[1:])[0, 1]) < 0.01
    assert (np.abs(steps) == 1).sum() < 12


def test_other_seeds_and_epochs_give_other_orders():
    orders = {tuple(permute(0, 30, 10_000, seed, epoch).tolist()) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def test_orders_never_change_between_versions():
    assert permute(0, 6, 6, 1, 2).tolist() == [3, 5, 2, 4, 0, 1]
    assert permute(0, 4, 10**6, 1, 2).tolist() == [562453, 245891, 930888, 148380]
    assert permute(0, 4, 10**12, 1, 2).tolist() == [977968787102, 890873124754, 571263028808, 997567221450]
