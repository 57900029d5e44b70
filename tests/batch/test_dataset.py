"""Data sets: their batches, parts and data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bf_batch import Batch, Dataset
from bf_index import DatasetIndex


class Pairs(Batch):
    components = "x", "y"


def test_batches_come_in_order_with_their_data():
    dataset = Dataset(5, Pairs, preloaded=(np.arange(5), list("abcde")))
    batches = list(dataset.gen_batch(2))
    assert [batch.x.tolist() for batch in batches] == [[0, 1], [2, 3], [4]]
    assert [batch.y for batch in batches] == [["a", "b"], ["c", "d"], ["e"]]


def test_ids_of_a_created_batch_keep_their_order():
    dataset = Dataset(10, Pairs, preloaded=(np.arange(10), None))
    batch = dataset.create_batch([9, 7, 8])
    assert batch.x.tolist() == [9, 7, 8]
    batch[9].x = 99
    assert batch.x.tolist() == [99, 7, 8]
    assert dataset.create_batch([9]).x.tolist() == [9]
    with pytest.raises(KeyError, match="11"):
        dataset.create_batch([11])


def test_a_contiguous_batch_is_a_read_only_view():
    array = np.arange(100)
    dataset = Dataset(100, Pairs, preloaded=(array, None))
    batch = next(dataset.gen_batch(10))
    assert np.shares_memory(batch.x, array)
    with pytest.raises(ValueError, match="read-only"):
        batch.x[0] = 5
    for item in batch:
        item.x = -1
    assert batch.x.tolist() == [-1] * 10
    assert array[0] == 0


def test_copies_can_be_asked_for():
    array = np.arange(100)
    batch = next(Dataset(100, Pairs, preloaded=(array, None), copy=True).gen_batch(10))
    batch.x += 1
    assert array[0] == 0
    assert batch.x[0] == 1


def test_parts_see_the_rows_of_the_whole():
    array = np.arange(100) * 10
    dataset = Dataset(100, Pairs, preloaded=(array, None), unit="m")
    split = dataset.split([0.6, 0.3], shuffle=True, seed=5)
    seen = np.concatenate(
        [next(part.gen_batch(len(part))).x for part in (split.train, split.test, split.validation)]
    )
    assert sorted(seen.tolist()) == array.tolist()
    assert [len(part) for part in (split.train, split.test, split.validation)] == [60, 30, 10]
    for part in (split.train, split.test):
        batch = next(part.gen_batch(7, shuffle=True, seed=1))
        assert (batch.x == batch.indices * 10).all()
        assert part.unit == "m"
    deep = split.train.split(0.5).test.subset([3, 1])
    batch = next(deep.gen_batch(2))
    assert (batch.x == batch.indices * 10).all()


def test_a_part_of_a_slice_is_still_a_view():
    array = np.arange(100)
    part = Dataset(100, Pairs, preloaded=(array, None)).split(0.5).train.subset(slice(10, 30))
    assert np.shares_memory(next(part.gen_batch(5)).x, array)


def test_split_returns_another_data_set():
    dataset = Dataset(10, Pairs)
    assert dataset.split().is_split
    assert not dataset.is_split
    with pytest.raises(AttributeError, match=r"split\(\)"):
        dataset.train
    with pytest.raises(AttributeError, match="train, test"):
        dataset.split().validation


def test_labels_of_a_component_stratify():
    labels = np.repeat([0, 1], [80, 20])
    dataset = Dataset(100, Pairs, preloaded=(None, labels)).split(0.5, shuffle=True, seed=1, stratify="y")
    batch = next(dataset.test.gen_batch(50))
    assert np.bincount(batch.y).tolist() == [40, 10]
    with pytest.raises(ValueError, match="did you mean 'y'"):
        Dataset(100, Pairs, preloaded=(None, labels)).split(stratify="yy")


def test_folds_share_nothing_and_cover_all():
    folds = Dataset(10, Pairs, preloaded=(np.arange(10), None)).folds(3)
    tests = [next(fold.test.gen_batch(len(fold.test))).x.tolist() for fold in folds]
    assert sorted(number for test in tests for number in test) == list(range(10))
    assert [len(fold.train) + len(fold.test) for fold in folds] == [10, 10, 10]


def test_shards_cover_all():
    dataset = Dataset(10, Pairs, preloaded=(np.arange(10), None))
    shards = [next(dataset.shard(k, 3).gen_batch(3)).x for k in range(3)]
    assert len(set(np.concatenate(shards).tolist())) == 9


def test_shards_of_one_seed_draw_other_values():
    whole = Dataset(2000, Pairs)
    drawn = []
    for dataset in (whole.shard(0, 2), whole.shard(1, 2), Dataset(whole.index.shard(1, 2), Pairs)):
        assert dataset.gen_batch(1000, seed=7).seed == 7
        batch = next(dataset.gen_batch(1000, seed=7))
        drawn.append(batch.rng())
    first, second, again = (rng.normal(size=1000) for rng in drawn)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.15
    assert second.tolist() == again.tolist()


def test_subsets_by_id():
    dataset = Dataset(DatasetIndex(list("abcd")), Pairs, preloaded=(np.arange(4), None))
    part = dataset.create_subset(["d", "a"])
    assert next(part.gen_batch(2)).x.tolist() == [3, 0]
    with pytest.raises(KeyError, match="zz"):
        dataset.create_subset(["zz"])


def test_next_batch_is_endless_and_refuses_other_arguments_midway():
    dataset = Dataset(5, Pairs, preloaded=(np.arange(5), None))
    sizes = [len(dataset.next_batch(2)) for _ in range(4)]
    assert sizes == [2, 2, 1, 2]
    with pytest.raises(ValueError, match="reset"):
        dataset.next_batch(3)
    with pytest.raises(ValueError, match=r"got batch_size=3 \(was 2\), seed=1 \(was None\)"):
        dataset.next_batch(3, seed=1)
    assert len(dataset.reset().next_batch(3)) == 3


def test_next_batch_stops_when_told():
    dataset = Dataset(4, Pairs)
    assert [len(dataset.next_batch(2, n_epochs=1)) for _ in range(2)] == [2, 2]
    for _ in range(2):
        with pytest.raises(StopIteration):
            dataset.next_batch(2, n_epochs=1)


def test_the_state_of_an_iterator_is_returned_to():
    dataset = Dataset(20, Pairs, preloaded=(np.arange(20), None))
    batches = dataset.gen_batch(3, shuffle=True, n_epochs=2, seed=4)
    for _ in range(4):
        next(batches)
    state = batches.state()
    rest = [(batch.x.tolist(), batch.rng().random()) for batch in batches]
    again = dataset.gen_batch(3, shuffle=True, n_epochs=2, seed=4).restore(state)
    assert [(batch.x.tolist(), batch.rng().random()) for batch in again] == rest


def test_attributes_follow_into_parts_and_taken_names_are_refused():
    assert Dataset(10, Pairs, num_classes=3).split().train.num_classes == 3
    with pytest.raises(ValueError, match="'split'"):
        Dataset(10, Pairs, split=3)


def test_batch_class_must_be_one():
    with pytest.raises(TypeError, match="batch_class"):
        Dataset(3, dict)


def test_unknown_attributes_get_a_hint():
    with pytest.raises(AttributeError, match="did you mean 'gen_batch'"):
        Dataset(3).genbatch


def test_one_id_and_a_slice_of_ids_make_a_batch():
    dataset = Dataset(DatasetIndex(list("abcd")), Pairs, preloaded=(np.arange(4), None))
    assert dataset.create_batch("c").x.tolist() == [2]
    assert dataset.create_batch(slice("b", "d")).x.tolist() == [1, 2]
    assert dataset.create_batch(DatasetIndex(["d", "a"])).x.tolist() == [3, 0]


@st.composite
def parts(draw):
    """A data set's length and a chain of subsets."""
    n = draw(st.integers(1, 40))
    chain = []
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["slice", "numbers", "mask", "backwards"]))
        chain.append((kind, draw(st.randoms(use_true_random=False)).getrandbits(32)))
    return n, chain


@settings(max_examples=150, deadline=None)
@given(parts())
def test_any_chain_of_subsets_reads_its_own_rows(example):
    n, chain = example
    values = np.arange(n) * 3
    dataset, wanted = Dataset(n, Pairs, preloaded=(values, list(values))), np.arange(n)
    for kind, seed in chain:
        rng, length = np.random.default_rng(seed), len(wanted)
        if kind == "slice":
            start = int(rng.integers(0, length))
            positions = slice(start, int(rng.integers(start + 1, length + 1)))
        elif kind == "numbers":
            positions = rng.permutation(length)[: rng.integers(1, length + 1)]
        elif kind == "backwards":
            positions = np.arange(-1, -length - 1, -1)
        else:
            positions = rng.random(length) < 0.7
            positions[0] = True
        dataset, wanted = dataset.subset(positions), wanted[positions]
    size = int(np.random.default_rng(n).integers(1, len(wanted) + 1))
    batches = list(dataset.gen_batch(size, shuffle=bool(n % 2), seed=n))
    ids = np.concatenate([batch.indices for batch in batches])
    assert sorted(ids.tolist()) == sorted(wanted.tolist())
    for batch in batches:
        assert (batch.x == batch.indices * 3).all()
        assert batch.y == (batch.indices * 3).tolist()
        assert (batch.subset(slice(0, 1)).x == batch.x[:1]).all()


def test_a_subclass_may_use_any_private_name():
    class Mine(Dataset):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self._parts = self._labels = self._rows = self._source = "mine"

    dataset = Mine(10, Pairs, preloaded=(np.arange(10), np.arange(10) % 2)).split(0.5, stratify="y")
    assert type(dataset.train) is Mine
    assert len(next(dataset.train.gen_batch(5)).x) == 5
    assert dataset.train._labels == "mine"


# One item by its position


def test_an_item_is_a_tuple_of_what_is_preloaded():
    dataset = Dataset(list("abcde"), Pairs, preloaded=(np.arange(10).reshape(5, 2), list("ABCDE")))
    row, letter = dataset[1]
    assert (row.tolist(), letter) == ([2, 3], "B")
    assert dataset[-1][1] == "E"
    assert dataset[np.int64(2)][1] == "C"
    assert [letter for _, letter in dataset] == list("ABCDE")
    assert Dataset(5, Pairs, preloaded=(np.arange(5), None))[3] == (3,)


def test_an_item_of_a_part_is_that_of_the_whole():
    dataset = Dataset(20, Pairs, preloaded=(np.arange(20), None)).split(0.7, shuffle=True, seed=1)
    for part in (dataset.train, dataset.test, dataset.shard(1, 3), dataset.subset([9, 3, 5])):
        assert [item[0] for item in part] == [batch.x[0] for batch in part.gen_batch(1)]


def test_an_item_is_its_readers_own():
    values = np.zeros((4, 3))
    item = Dataset(4, Pairs, preloaded=(values, None))[2]
    item[0][:] = 1
    assert not values.any()


def test_items_without_components_are_rows_of_the_data():
    assert Dataset(3, preloaded=np.arange(6).reshape(3, 2))[1].tolist() == [2, 3]
    row, letter = Dataset(3, preloaded=(np.arange(6).reshape(3, 2), list("abc")))[1]
    assert (row.tolist(), letter) == ([2, 3], "b")
    named = Dataset(3, preloaded={"x": np.arange(3), "y": list("abc")})
    assert named[2] == {"x": 2, "y": "c"}


def test_what_is_no_item_is_told():
    dataset = Dataset(5, Pairs, preloaded=(np.arange(5), None))
    for position in (5, -6):
        with pytest.raises(IndexError, match=f"position {position} for a data set of 5 items"):
            dataset[position]
    for position in ("a", slice(2), True, [1, 2]):
        with pytest.raises(TypeError, match="subset"):
            dataset[position]
    with pytest.raises(TypeError, match="no component is preloaded"):
        Dataset(5, Pairs)[0]
