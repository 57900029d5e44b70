"""Splits, folds and shards."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bf_index import DatasetIndex, split_positions
from bf_index.split import split_sizes


def parts(split):
    return [None if part is None else list(part) for part in split]


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        (0.8, [[2, 3, 4, 5, 6, 7, 8, 9], [0, 1], None]),
        ([0.6, 0.3], [[4, 5, 6, 7, 8, 9], [1, 2, 3], [0]]),
        ((0.6, 0.2, 0.2), [[4, 5, 6, 7, 8, 9], [2, 3], [0, 1]]),
        ([0.5, 0.5, 0], [[5, 6, 7, 8, 9], [0, 1, 2, 3, 4], None]),
        (np.array([0.5, 0.5]), [[5, 6, 7, 8, 9], [0, 1, 2, 3, 4], None]),
        (1, [list(range(10)), None, None]),
        (0.0, [None, list(range(10)), None]),
        ([0.9, 0.1, 0.0], [list(range(1, 10)), [0], None]),
        (0.99, [list(range(1, 10)), [0], None]),
        (0.01, [[9], list(range(9)), None]),
    ],
)
def test_shares_of_ten_items(shares, expected):
    assert parts(DatasetIndex(10).split(shares)) == expected


@given(
    st.integers(3, 200),
    st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda shares: sum(shares) <= 1),
    st.booleans(),
)
def test_parts_are_disjoint_and_whole(n, shares, shuffle):
    split = DatasetIndex(n).split(shares, shuffle=shuffle, seed=1)
    together = [item for part in split if part is not None for item in part]
    assert sorted(together) == list(range(n))
    for part, share in zip(split, shares):
        if part is not None:
            assert abs(len(part) - share * n) <= 2


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ([0.5, 0.6], r"sum to at most 1, got \[0.5, 0.6\] with the sum 1.1"),
        ([0.1, 0.1, 0.1, 0.1], "up to three"),
        ([], "up to three"),
        ("0.8", "one number or up to three"),
        (float("nan"), "between 0 and 1"),
        ([0.5, 0.2, 0.1], "must sum to 1"),
    ],
)
def test_wrong_shares_are_refused(shares, message):
    with pytest.raises(ValueError, match=message):
        DatasetIndex(10).split(shares)


def test_too_few_items_for_the_parts_are_refused():
    with pytest.raises(ValueError, match="1 items can't be split into 2 parts"):
        DatasetIndex(1).split(0.8)
    assert split_sizes(2, [0.98, 0.01, 0.01][:1]) == (1, 1, 0)
    assert split_sizes(3, [0.9, 0.05, 0.05]) == (1, 1, 1)


def test_shuffled_splits_are_reproducible_and_report_their_seed():
    index = DatasetIndex(1000)
    drawn = index.split(0.7, shuffle=True)
    assert drawn.seed is not None
    again = index.split(0.7, shuffle=True, seed=drawn.seed)
    assert parts(drawn) == parts(again)
    assert parts(drawn) != parts(index.split(0.7, shuffle=True, seed=drawn.seed + 1))
    assert list(drawn.train) != sorted(drawn.train)
    assert index.split(0.7).seed is None


@given(st.lists(st.sampled_from("abc"), min_size=10, max_size=300), st.booleans())
def test_stratified_parts_have_the_proportions_of_the_whole(labels, shuffle):
    labels = np.array(labels)
    n = len(labels)
    plain = DatasetIndex(n).split((0.6, 0.3), shuffle=shuffle, seed=2)
    split = DatasetIndex(n).split((0.6, 0.3), shuffle=shuffle, seed=2, stratify=labels)
    assert sorted(item for part in split for item in part) == list(range(n))
    assert [len(part) for part in split] == [len(part) for part in plain]
    for part in split:
        for label in "abc":
            expected = (labels == label).mean() * len(part)
            assert abs((labels[list(part)] == label).sum() - expected) < 1.5


@given(st.lists(st.sampled_from("aaaabbc"), min_size=10, max_size=60), st.booleans())
def test_a_stratified_split_tells_each_class_that_a_part_lacks(labels, shuffle):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        split = DatasetIndex(len(labels)).split((0.6, 0.3), shuffle=shuffle, seed=2, stratify=labels)
    lacking = {
        f"class {label!r} ({labels.count(label)} items) is not in {name}"
        for name, part in zip(("train", "test", "validation"), split)
        for label in set(labels) - {labels[place] for place in part}
    }
    assert len(seen) == bool(lacking)
    for sentence in lacking:
        assert sentence in str(seen[0].message)


def test_stratified_split_of_small_classes_keeps_order_when_not_shuffled():
    split = DatasetIndex(10).split(0.5, stratify=[0] * 6 + [1] * 4)
    assert parts(split) == [[3, 4, 5, 8, 9], [0, 1, 2, 6, 7], None]


@pytest.mark.parametrize("stratify", [[0, 1], [[0] * 10]])
def test_wrong_labels_are_refused(stratify):
    with pytest.raises(ValueError, match="labels"):
        DatasetIndex(10).split(stratify=stratify)


def test_unshuffled_parts_are_slices():
    assert split_positions(100, 0.8).train == slice(20, 100)


@given(st.integers(2, 120), st.integers(2, 10), st.booleans(), st.booleans())
def test_folds_test_each_item_once(n, count, shuffle, stratified):
    if count > n:
        return
    labels = np.arange(n) % 2 if stratified and n >= 2 * count else None
    folds = DatasetIndex(n).folds(count, shuffle=shuffle, seed=3, stratify=labels)
    assert len(folds) == count
    tested = [item for fold in folds for item in fold.test]
    assert sorted(tested) == list(range(n))
    sizes = [len(fold.test) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    for fold in folds:
        assert sorted([*fold.train, *fold.test]) == list(range(n))
        assert fold.validation is None


def test_stratified_folds_share_each_class_out_evenly():
    labels = np.repeat(["a", "b", "c"], [50, 31, 19])
    for fold in DatasetIndex(100).folds(5, shuffle=True, seed=1, stratify=labels):
        counts = [int((labels[list(fold.test)] == label).sum()) for label in "abc"]
        assert np.allclose(counts, [10, 6.2, 3.8], atol=1)


def test_folds_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="3 items can't be cut into 4 folds"):
        DatasetIndex(3).folds(4)
    with pytest.raises(ValueError, match="folds must be an integer >= 2, got 1"):
        DatasetIndex(3).folds(1)
    with pytest.warns(UserWarning, match="smallest class has 1 items"):
        DatasetIndex(6).folds(3, stratify=[0, 0, 0, 0, 0, 1])


@given(st.integers(1, 100), st.integers(1, 12), st.booleans())
def test_shards_are_disjoint_and_whole(n, count, even):
    if count > n:
        return
    shards = [DatasetIndex(n).shard(number, count, even=even) for number in range(count)]
    sizes = [len(shard) for shard in shards]
    assert sorted(item for shard in shards for item in shard) == list(
        range(n // count * count if even else n)
    )
    assert max(sizes) - min(sizes) <= (0 if even else 1)


def orders(shards, seed, epochs=1):
    return [
        [int(b.indices[0]) for b in s.gen_batch(1, shuffle=True, n_epochs=epochs, seed=seed)] for s in shards
    ]


def test_shards_of_one_seed_shuffle_apart():
    def position(shard):  # of each item in its shard
        return {int(item): place for place, item in enumerate(shard.indices)}

    for shards in (
        [DatasetIndex(4000).shard(number, 2) for number in range(2)],
        [DatasetIndex(8000).subset(slice(0, 4000)).shard(number, 2) for number in range(2)],
        [DatasetIndex(8000).shard(0, 2).shard(number, 2) for number in range(2)],
        [DatasetIndex(8000).shard(number, 2).subset(slice(0, 2000)) for number in range(2)],
        [DatasetIndex(DatasetIndex(4000).shard(number, 2)) for number in range(2)],
        [pickle.loads(pickle.dumps(DatasetIndex(4000).shard(number, 2))) for number in range(2)],
    ):
        first, second = (
            np.array([position(shard)[item] for item in order])
            for shard, order in zip(shards, orders(shards, 7))
        )
        # Two permutations by chance agree in one place, on average.
        assert (first == second).sum() < 10
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.1


def test_a_shard_of_a_seed_is_always_the_same_and_goes_on_from_its_state():
    shard = DatasetIndex(100).shard(1, 3)
    assert orders([shard], 7, 2) == orders([DatasetIndex(100).shard(1, 3)], 7, 2)
    batches = shard.gen_batch(5, shuffle=True, seed=7)
    assert batches.seed == 7
    assert batches.data_seed != 7
    next(batches)
    state = batches.state()
    left = [batch.indices.tolist() for batch in batches]
    again = shard.gen_batch(5, shuffle=True)
    again.restore(state)
    assert [batch.indices.tolist() for batch in again] == left
    assert again.seed == 7
    assert DatasetIndex(9).gen_batch(1, seed=7).data_seed == 7


@pytest.mark.parametrize(("number", "count"), [(3, 3), (-1, 3), (0, 0), (0, 11)])
def test_impossible_shards_are_refused(number, count):
    with pytest.raises(ValueError, match=r"shard|number|count"):
        DatasetIndex(10).shard(number, count)
