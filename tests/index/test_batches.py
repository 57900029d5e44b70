"""gen_batch and next_batch: which batches come, and when they end."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bf_index import Balanced, BatchIterator, DatasetIndex, Place, Sequential, Shuffled, Weighted
from bf_index.plan import make_plan


def ids(batches):
    return [list(batch) for batch in batches]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, [[0, 1, 2], [3]]),
        ({"drop_last": True}, [[0, 1, 2]]),
        ({"n_epochs": 2}, [[0, 1, 2], [3], [0, 1, 2], [3]]),
        ({"n_epochs": 2, "drop_last": True}, [[0, 1, 2], [0, 1, 2]]),
        ({"n_iters": 3}, [[0, 1, 2], [3], [0, 1, 2]]),
        ({"n_iters": 3, "drop_last": True}, [[0, 1, 2]] * 3),
        ({"n_iters": 0}, []),
        ({"n_epochs": 0}, []),
        ({"n_epochs": 2, "cross_epochs": True}, [[0, 1, 2], [3, 0, 1], [2, 3]]),
        ({"n_epochs": 2, "cross_epochs": True, "drop_last": True}, [[0, 1, 2], [3, 0, 1]]),
        ({"n_iters": 3, "cross_epochs": True}, [[0, 1, 2], [3, 0, 1], [2, 3, 0]]),
        ({"order": Sequential()}, [[0, 1, 2], [3]]),
    ],
)
def test_batches_of_three_of_four_items(arguments, expected):
    iterator = DatasetIndex(4).gen_batch(3, **arguments)
    assert iterator.total == len(expected)
    assert ids(iterator) == expected


@given(
    n=st.integers(1, 60),
    share=st.floats(0, 1),
    epochs=st.integers(1, 4),
    drop_last=st.booleans(),
    cross=st.booleans(),
    seed=st.integers(0, 2**40),
)
def test_epochs_are_permutations_of_their_own(n, share, epochs, drop_last, cross, seed):
    size = max(1, round(share * n))
    iterator = DatasetIndex(n).gen_batch(
        size, shuffle=True, n_epochs=epochs, drop_last=drop_last, cross_epochs=cross, seed=seed
    )
    batches = ids(iterator)
    assert len(batches) == iterator.total
    flat = [item for batch in batches for item in batch]
    if cross:
        assert all(len(batch) == size for batch in batches[:-1])
        assert len(flat) == (n * epochs // size * size if drop_last else n * epochs)
        starts = range(0, len(flat), n)
    else:
        in_epoch = n // size * size if drop_last else n
        assert all(len(batch) == len(set(batch)) for batch in batches)
        starts = range(0, len(flat), in_epoch)
        assert len(flat) == in_epoch * epochs
    for start in starts:
        part = flat[start : start + (n if cross else in_epoch)]
        assert len(set(part)) == len(part)


def test_each_epoch_has_another_order_and_a_seed_fixes_all_of_them():
    def run(seed):
        return ids(DatasetIndex(50).gen_batch(50, shuffle=True, n_epochs=4, seed=seed))

    assert run(3) == run(3)
    assert run(3) != run(4)
    assert len({tuple(epoch) for epoch in run(3)}) == 4


def test_places_say_epoch_batch_and_positions():
    iterator = DatasetIndex(5).gen_batch(2, n_epochs=2)
    places = [iterator.next_place() for _ in range(6)]
    assert [(place.epoch, place.batch) for place in places] == [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
        (1, 2),
    ]
    assert places[0].positions == slice(0, 2)
    assert places[2] == Place(0, 2, slice(4, 5))
    with pytest.raises(StopIteration):
        iterator.next_place()
    with pytest.raises(StopIteration):
        iterator.next_place()


def test_shuffled_positions_are_read_only():
    place = DatasetIndex(5).gen_batch(2, shuffle=True).next_place()
    assert place.positions.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        place.positions[0] = 1


def test_addresses_of_batches_that_cross_epochs_are_unique():
    iterator = DatasetIndex(5).gen_batch(3, n_iters=40, cross_epochs=True)
    places = [iterator.next_place() for _ in range(40)]
    assert len({(place.epoch, place.batch) for place in places}) == 40
    assert [place.epoch for place in places[:6]] == [0, 0, 1, 1, 2, 3]


@pytest.mark.parametrize("n", [65_536, 65_537, 200_000])
def test_blocks_join_without_a_seam(n):
    for shuffle in (False, True):
        flat = np.concatenate(
            [batch.indices for batch in DatasetIndex(n).gen_batch(300, shuffle=shuffle, seed=1)]
        )
        assert np.array_equal(np.sort(flat), np.arange(n))
    larger = next(DatasetIndex(n).gen_batch(n, shuffle=True, seed=1)).indices
    assert np.array_equal(larger, flat)


def test_the_first_batch_of_a_huge_index_costs_nothing():
    batch = next(DatasetIndex(10**15).gen_batch(10, shuffle=True, seed=1))
    assert len(set(batch)) == 10
    assert max(batch) > 10**13


def test_iterators_are_independent():
    index = DatasetIndex(6)
    first, second = index.gen_batch(2, shuffle=True, seed=1), index.gen_batch(2, shuffle=True, seed=1)
    next(first)
    index.next_batch(2)
    assert ids(second) == [*ids(index.gen_batch(2, shuffle=True, seed=1))]
    assert len(ids(first)) == 2


def test_seeds_are_reported_and_drawn_when_absent():
    index = DatasetIndex(100)
    assert index.gen_batch(10, seed=np.int64(7)).seed == 7
    drawn = index.gen_batch(10, shuffle=True)
    again = index.gen_batch(10, shuffle=True, seed=drawn.seed)
    assert ids(drawn) == ids(again)
    assert index.gen_batch(10).seed != index.gen_batch(10).seed


def test_next_batch_goes_on_for_ever_by_default():
    index = DatasetIndex(4)
    assert [list(index.next_batch(3)) for _ in range(4)] == [[0, 1, 2], [3], [0, 1, 2], [3]]


def test_next_batch_ends_after_its_epochs_until_reset():
    index = DatasetIndex(4)
    assert [list(index.next_batch(3, n_epochs=1)) for _ in range(2)] == [[0, 1, 2], [3]]
    for _ in range(2):
        with pytest.raises(StopIteration):
            index.next_batch(3, n_epochs=1)
    index.reset()
    assert list(index.next_batch(3, n_epochs=1)) == [0, 1, 2]


def test_next_batch_with_other_arguments_in_the_middle_is_refused():
    index = DatasetIndex(4)
    index.next_batch(3)
    with pytest.raises(ValueError, match=r"reset\(\)"):
        index.next_batch(2)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"batch_size": 2.0}, TypeError, "batch_size must be an integer"),
        ({"batch_size": True}, TypeError, "batch_size must be an integer"),
        ({"batch_size": "2"}, TypeError, "batch_size must be an integer"),
        ({"shuffle": 42}, TypeError, "shuffle=True, seed="),
        ({"shuffle": np.random.default_rng(1)}, TypeError, "shuffle=True, seed="),
        ({"shuffle": None}, TypeError, "shuffle must be True or False"),
        ({"drop_last": 1}, TypeError, "drop_last must be True or False"),
        ({"cross_epochs": "no"}, TypeError, "cross_epochs must be True or False"),
        ({"seed": 1.5}, TypeError, "seed must be an integer"),
        ({"seed": -1}, ValueError, "got -1"),
        ({"n_iters": -1}, ValueError, "n_iters must be an integer >= 0, got -1"),
        ({"n_epochs": 1.0}, TypeError, "n_epochs must be an integer"),
        ({"order": Shuffled}, TypeError, "order must be"),
        ({"order": "shuffled"}, TypeError, "order must be"),
        ({"shuffle": True, "order": Sequential()}, ValueError, "contradict"),
        ({"order": Weighted([1, 2])}, ValueError, "got 2 weights for an index of 4 items"),
        ({"order": Balanced([1, 2, 3])}, ValueError, "got 3 labels for an index of 4 items"),
        ({"order": Weighted([1, 1, 1, 1], draws=1)}, ValueError, "batch_size=2 for 1 draws of an epoch"),
    ],
)
def test_wrong_arguments_are_refused_at_the_call(arguments, error, message):
    with pytest.raises(error, match=message):
        DatasetIndex(4).gen_batch(**{"batch_size": 2, **arguments})
    with pytest.raises(error, match=message):
        DatasetIndex(4).next_batch(**{"batch_size": 2, **arguments})


def test_repr_and_total_tell_where_an_iterator_is():
    iterator = DatasetIndex(10).gen_batch(4, n_epochs=2, seed=5)
    next(iterator)
    assert iterator.total == 6
    assert "1 batches of 6" in repr(iterator)
    assert "size 4, seed 5" in repr(iterator)
    endless = DatasetIndex(10).endless(4)
    assert endless.total is None
    assert "without end" in repr(endless)
    assert json.dumps(endless.state())


class Letters:
    """The least that can be cut into batches."""

    def __init__(self, text):
        self.text = text

    def subset(self, positions):
        return Letters("".join(np.array(list(self.text))[positions]))

    def content_hash(self):
        return self.text


def test_anything_with_subsets_and_a_hash_is_cut_into_batches():
    iterator = BatchIterator(Letters("abcde"), make_plan(5, 2, Sequential(), n_epochs=1), seed=0)
    assert next(iterator).text == "ab"
    state = iterator.state()
    assert [batch.text for batch in iterator] == ["cd", "e"]
    iterator.restore(state)
    assert next(iterator).text == "cd"


@given(
    st.integers(4, 60),
    st.integers(1, 4),
    st.integers(1, 5),
    st.booleans(),
    st.sampled_from([{}, {"drop_last": True}, {"cross_epochs": True, "n_epochs": 3}, {"n_iters": 11}]),
)
def test_shares_in_turn_are_the_batches_of_the_whole(n, size, count, shuffle, plan):
    def begin():
        return DatasetIndex(n).gen_batch(size, shuffle, seed=7, **plan)

    wanted = ids(begin())
    shares = [begin().share(number, count) for number in range(count)]
    assert sum(share.total for share in shares) == len(wanted)
    got = [ids(share) for share in shares]
    assert [got[k % count][k // count] for k in range(len(wanted))] == wanted
    parts = [ids(begin().share(1, 2).share(number, 2)) for number in range(2)]
    assert sorted(parts[0] + parts[1]) == sorted(wanted[1::2])


def test_a_share_goes_on_from_its_state():
    def begin():
        return DatasetIndex(20).gen_batch(2, True, n_epochs=2, seed=7).share(1, 3)

    wanted, share = ids(begin()), begin()
    for done in range(len(wanted) + 1):
        other = begin()
        other.restore(json.loads(json.dumps(share.state())))
        assert ids(other) == wanted[done:]
        next(share, None)


def test_a_share_is_one_of_several():
    batches = DatasetIndex(20).gen_batch(2)
    for number, count in ((3, 3), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="share"):
            batches.share(number, count)
