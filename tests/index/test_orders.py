"""Weighted and Balanced orders, and orders of one's own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bf_index import Balanced, DatasetIndex, Order, Sequential, Shuffled, Weighted


def draw(order, n, **arguments):
    batches = DatasetIndex(n).gen_batch(**{"batch_size": 1, "order": order, "seed": 1, **arguments})
    return np.concatenate([batch.indices for batch in batches])


def test_items_are_drawn_in_proportion_to_their_weights():
    weights = [0, 1, 2, 0, 7, 0]
    counts = np.bincount(draw(Weighted(weights, draws=20_000), 6, batch_size=1000), minlength=6)
    assert counts[[0, 3, 5]].sum() == 0
    assert stats.chisquare(counts[[1, 2, 4]], np.array([0.1, 0.2, 0.7]) * 20_000).pvalue > 1e-3


def test_weights_without_replacement_give_permutations_with_heavy_items_first():
    order = Weighted([1, 1, 1, 50], replacement=False)
    epochs = draw(order, 4, n_epochs=300).reshape(300, 4)
    assert all(sorted(epoch) == [0, 1, 2, 3] for epoch in epochs.tolist())
    assert (epochs[:, 0] == 3).mean() > 0.85


@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("scale", [1.0, 5e-324, 1e-310, 1e308])
def test_items_without_a_weight_are_never_drawn(replacement, scale):
    weights = np.array([0, 1, 0, 0, 1, 1, 0, 0]) * scale
    order = Weighted(weights, replacement=replacement)
    drawn = draw(order, 8, batch_size=1, n_epochs=200)
    assert set(drawn.tolist()) == {1, 4, 5}
    assert stats.chisquare(np.bincount(drawn)[[1, 4, 5]]).pvalue > 1e-3
    assert order.epoch_length(8) == (8 if replacement else 3)


def test_weighted_without_replacement_first_places_have_the_right_chances():
    order = Weighted([1, 2, 3, 4], replacement=False)
    firsts = np.bincount(draw(order, 4, n_epochs=4000).reshape(-1, 4)[:, 0])
    assert stats.chisquare(firsts, np.array([0.1, 0.2, 0.3, 0.4]) * 4000).pvalue > 1e-3


def test_every_batch_of_a_balanced_order_is_balanced():
    labels = np.repeat(["a", "b", "c"], [900, 90, 10])
    for batch in DatasetIndex(1000).gen_batch(30, order=Balanced(labels), seed=2, drop_last=True):
        assert np.unique(labels[batch.indices], return_counts=True)[1].tolist() == [10, 10, 10]


def test_balanced_items_of_a_class_come_once_before_any_comes_again():
    labels = np.array([0] * 6 + [1] * 3)
    drawn = draw(Balanced(labels, draws=12), 9, n_epochs=5).reshape(5, 12)
    for epoch in drawn:
        assert sorted(epoch[epoch < 6]) == [0, 1, 2, 3, 4, 5]
        small = epoch[epoch >= 6]
        assert sorted(small[:3]) == [6, 7, 8]
        assert sorted(small[3:]) == [6, 7, 8]
    assert len({tuple(epoch) for epoch in drawn.tolist()}) == 5


@pytest.mark.parametrize(
    "order",
    [
        Sequential(),
        Shuffled(),
        Weighted(np.arange(1, 1001)),
        Weighted(np.arange(1, 1001), replacement=False),
        Balanced(np.arange(1000) % 7, draws=1500),
        Balanced(np.arange(1000) ** 2 % 11),
    ],
)
def test_blocks_of_an_order_do_not_depend_on_where_they_begin(order):
    assert isinstance(order, Order)
    length = order.epoch_length(1000)

    def block(start, stop):
        part = order.block(3, start, stop, 1000, 5)
        return np.arange(part.start, part.stop) if isinstance(part, slice) else part

    whole = block(0, length)
    assert len(whole) == length
    for start, stop in [(0, 1), (1, 6), (5, 400), (399, 402), (length - 3, length)]:
        assert block(start, stop).tolist() == whole[start:stop].tolist()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Weighted([1, -1]), r"got -1.0 at position 1"),
        (lambda: Weighted([1, float("nan")]), "got nan at position 1"),
        (lambda: Weighted([0, 0]), "all weights are 0"),
        (lambda: Weighted([]), "not empty"),
        (lambda: Weighted([[1]]), r"1-d and not empty, got shape \(1, 1\)"),
        (lambda: Weighted([1, 2], draws=0), "draws must be at least 1, got 0"),
        (lambda: Weighted([1, 2], replacement=False, draws=3), "3 draws from 2 items .* need replacement"),
        (lambda: Weighted([0, 1, 2, 0], replacement=False, draws=3), "3 draws from 2 items with a weight"),
        (lambda: Balanced([]), "not empty"),
        (lambda: Balanced([[1, 2]]), "1-d"),
        (lambda: Balanced([1, 2], draws=0), "draws must be at least 1"),
    ],
)
def test_wrong_weights_and_labels_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_labels_that_can_not_be_sorted_are_refused():
    with pytest.raises(TypeError, match="Balanced: labels must be of one type"):
        Balanced(np.array(["a", 1, None], object))


def test_changing_the_given_weights_changes_nothing():
    weights = np.ones(4)
    order = Weighted(weights)
    before = draw(order, 4, n_epochs=5)
    weights[:] = [0, 0, 0, 9]
    assert (draw(order, 4, n_epochs=5) == before).all()


def test_an_order_of_ones_own_works():
    class Backwards:
        def epoch_length(self, n):
            return n

        def block(self, epoch, start, stop, n, seed):
            return np.arange(n - start - 1, n - stop - 1, -1)

        def fingerprint(self):
            return "backwards"

    assert [list(batch) for batch in DatasetIndex(5).gen_batch(2, order=Backwards())] == [[4, 3], [2, 1], [0]]
