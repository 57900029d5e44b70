"""DatasetIndex: what it takes in, what it answers, and what it refuses."""

from __future__ import annotations

import pickle
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bf_index import DatasetIndex

ids_of_a_kind = st.one_of(
    st.lists(st.integers(-(2**62), 2**62), min_size=1, unique=True),
    st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1), min_size=1, unique=True),
)


def test_a_number_stands_for_that_many_ids():
    assert list(DatasetIndex(4)) == [0, 1, 2, 3]
    assert list(DatasetIndex(np.int64(4))) == [0, 1, 2, 3]
    assert len(DatasetIndex(10**15)) == 10**15


@pytest.mark.parametrize(
    "ids",
    [
        [5, 3, 8],
        ["a", "b"],
        [b"a", b"b"],
        [1.5, 2.5],
        [("a", 1), ("b", 2)],
        [date(2026, 1, 2), date(2026, 1, 3)],
        [2**70, 1],
        np.array(["2026-01-02", "2026-01-03"], "datetime64[D]").tolist(),
        ["x" * 500, *[str(number) for number in range(50)]],
        range(3, 30, 4),
    ],
)
def test_ids_come_back_as_given(ids):
    index = DatasetIndex(ids)
    assert list(index) == list(ids)
    assert [type(item) for item in index] == [type(item) for item in ids]
    assert index.positions(list(ids)).tolist() == list(range(len(ids)))


@given(ids_of_a_kind)
def test_positions_are_the_inverse_of_ids(ids):
    index = DatasetIndex(ids)
    assert list(index) == ids
    assert [index.positions(item) for item in ids] == list(range(len(ids)))
    assert list(index.create_subset(ids[::-1])) == ids[::-1]


def test_arrays_series_callables_and_indices_are_taken_in():
    pandas = pytest.importorskip("pandas")
    for source in (
        np.arange(3),
        pandas.Series([0, 1, 2]),
        lambda: 3,
        DatasetIndex(3),
        iter([0, 1, 2]),
        {0: "a", 1: "b", 2: "c"},
    ):
        assert DatasetIndex(source) == DatasetIndex(3)
    assert list(DatasetIndex(pandas.Index(["x", "y"]))) == ["x", "y"]


def test_consecutive_integers_take_no_memory_however_they_are_given():
    assert DatasetIndex(np.arange(1000))._store() == range(1000)
    assert DatasetIndex(10**12).subset(slice(5, 10**11))._store() == range(5, 10**11)
    assert DatasetIndex(10**12).shard(3, 8).subset(slice(1, None))._store() == range(11, 10**12, 8)


def test_a_later_change_of_the_given_array_does_not_reach_the_index():
    given = np.array([3, 1, 2])
    index = DatasetIndex(given)
    given[0] = 7
    assert list(index) == [3, 1, 2]
    with pytest.raises(ValueError, match="read-only"):
        index.indices[0] = 7


def test_content_hash_depends_on_ids_alone():
    names = [f"item{number}" for number in range(40_000)]
    hashes = {
        DatasetIndex(names).content_hash(),
        DatasetIndex(np.array(names, "U40")).content_hash(),
        DatasetIndex(np.array(names, object)).content_hash(),
        DatasetIndex(["zz" * 20, *names]).subset(slice(1, None)).content_hash(),
    }
    assert len(hashes) == 1
    assert DatasetIndex(names[::-1]).content_hash() not in hashes
    assert DatasetIndex(5) == DatasetIndex(np.arange(5, dtype=np.uint8)) == DatasetIndex([0, 1, 2, 3, 4])
    assert DatasetIndex(5) != DatasetIndex(["0", "1", "2", "3", "4"])
    assert DatasetIndex(["ab", "c"]) != DatasetIndex(["a", "bc"])
    assert len({DatasetIndex(5), DatasetIndex(range(5)), DatasetIndex(6)}) == 2


def test_content_hash_never_changes_between_versions():
    assert DatasetIndex(10).content_hash() == "79e0e15ce6cb94186af547abd887dd5a"
    assert (
        DatasetIndex(["a", "b"]).content_hash() == DatasetIndex(["a", "b", "c"]).subset([0, 1]).content_hash()
    )


def test_subset_takes_slices_integers_and_masks():
    index = DatasetIndex(["a", "b", "c", "d"])
    assert list(index.subset(slice(1, 3))) == ["b", "c"]
    assert list(index.subset(slice(None, None, -2))) == ["d", "b"]
    assert list(index.subset(slice(None, None, 2))) == ["a", "c"]
    assert list(index.subset([-1, 0])) == ["d", "a"]
    assert list(index.subset([True, False, True, False])) == ["a", "c"]
    assert list(DatasetIndex(10).subset([7, 1]).subset([1])) == [1]


@pytest.mark.parametrize(
    ("positions", "error", "message"),
    [
        ([4], IndexError, "position 4 is outside of an index of 4 items"),
        ([-5], IndexError, "position -5"),
        ([], ValueError, "empty"),
        (slice(4, 9), ValueError, "empty"),
        ([True, False], ValueError, "got 2 for an index of 4"),
        ([[0]], ValueError, "1-d"),
        (["a"], TypeError, "create_subset"),
        ([0.5], TypeError, "integers or a mask"),
    ],
)
def test_wrong_positions_are_refused(positions, error, message):
    with pytest.raises(error, match=message):
        DatasetIndex(4).subset(positions)


def test_positions_of_a_slice_of_ids_are_a_slice():
    index = DatasetIndex(["a", "b", "c", "d", "e"])
    assert index.positions(slice("b", "d", 2)) == slice(1, 3, 2)
    assert index.positions(slice(None, "c")) == slice(None, 2)
    assert list(index.create_subset(slice("b", "d"))) == ["b", "c"]


def test_positions_of_many_integers_are_arithmetic():
    index = DatasetIndex(10**12).shard(3, 7)
    ids = np.arange(3, 10**6, 7)
    assert np.array_equal(index.positions(ids), np.arange(len(ids)))
    assert DatasetIndex(range(10, 0, -2)).positions(np.array([10, 2])).tolist() == [0, 4]
    for wrong in (4, -4, 10**12 + 7):
        with pytest.raises(KeyError, match=f"unknown id {wrong} of DatasetIndex"):
            index.positions(np.array([3, wrong]))


def test_equal_ids_hash_alike_whatever_held_them():
    assert DatasetIndex([b"a", b"bc"]) == DatasetIndex(np.array([b"a", b"bc"]))
    assert DatasetIndex([2**63, 1]) == DatasetIndex(np.array([2**63, 1], np.uint64))
    assert DatasetIndex([5, 3]) == DatasetIndex(np.array([5, 3], ">i2"))
    assert DatasetIndex(np.array(["a", "é"], ">U3")) == DatasetIndex(["a", "é"])


def test_membership_filter_and_repr():
    index = DatasetIndex(["cat1", "dog1", "cat2"])
    assert "cat1" in index
    assert "cow" not in index
    assert [] not in index
    assert list(index.filter(lambda name: name.startswith("cat"))) == ["cat1", "cat2"]
    assert repr(index) == "DatasetIndex(3 items: 'cat1', 'dog1', 'cat2')"
    assert repr(DatasetIndex(10**9)) == "DatasetIndex(1000000000 items: 0, 1, 2, ...)"
    with pytest.raises(ValueError, match="accepts none of 3 ids"):
        index.filter(lambda name: False)


def test_indices_add_up():
    assert list(DatasetIndex(["a"]) + DatasetIndex(["b"]) + ["c"]) == ["a", "b", "c"]
    assert list(DatasetIndex.concat(DatasetIndex(2), [5, 7])) == [0, 1, 5, 7]
    assert list(DatasetIndex.concat(np.array([0.5, 1.5]), [2.5])) == [0.5, 1.5, 2.5]
    with pytest.raises(ValueError, match=r"must be unique, got 1 at positions 1 and 2"):
        DatasetIndex(2) + [1]  # noqa: RUF005
    with pytest.raises(TypeError, match="one type"):
        DatasetIndex(["a"]) + [1]  # noqa: RUF005
    with pytest.raises(TypeError):
        DatasetIndex(2) + 5


@pytest.mark.parametrize("wrong", [True, None, "abc", b"abc", 2.5, {1, 2}, frozenset("ab"), object()])
def test_what_is_no_set_of_ids_is_a_type_error(wrong):
    with pytest.raises(TypeError, match="index"):
        DatasetIndex(wrong)


@pytest.mark.parametrize("wrong", [[True, False], [None], np.array([True]), [[1], [2]], np.zeros(3, "V4")])
def test_ids_of_unusable_kinds_are_refused(wrong):
    with pytest.raises((TypeError, ValueError), match="index"):
        DatasetIndex(wrong)


def test_nan_and_unhashable_ids_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        DatasetIndex([1.0, float("nan")])
    unhashable = np.empty(2, object)
    unhashable[:] = [{1: 2}, {3: 4}]
    with pytest.raises(TypeError, match="hashable"):
        DatasetIndex(unhashable)


def test_a_pickled_subset_goes_without_its_parent():
    parent = DatasetIndex([f"a rather long name {number}" for number in range(10_000)])
    packed = pickle.dumps(parent.subset(slice(5, 8)))
    assert len(packed) < 2000
    copy = pickle.loads(packed)
    assert copy == parent.subset([5, 6, 7])
    assert copy.positions("a rather long name 6") == 1


def test_subclasses_find_their_ids_and_keep_attributes_in_parts():
    class Wells(DatasetIndex):
        def __init__(self, index, field="north"):
            super().__init__(index)
            self.field = field

        def build_index(self, index):
            return [f"well{number}" for number in range(index)]

    wells = Wells(6, field="south")
    part = wells.split(0.5).train.subset([0])
    assert type(part) is Wells
    assert part.field == "south"
    assert list(part) == ["well3"]
    assert pickle.loads(pickle.dumps(DatasetIndex(3).subset([1]))) == DatasetIndex([1])
    assert len(next(wells.gen_batch(4))) == 4
    assert (wells.subset([0]) + wells.subset([2])).field == "south"


def test_copies_and_pickles_are_read_only_too():
    import copy

    index = DatasetIndex(["a", "b"])
    for other in (copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        assert other == index
        with pytest.raises(ValueError, match="read-only"):
            other.indices[0] = "c"


def test_threads_may_look_at_one_index_at_once():
    from concurrent.futures import ThreadPoolExecutor

    for _ in range(20):
        part = DatasetIndex([f"n{number}" for number in range(2000)]).subset(slice(0, 1000))
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(part.positions, [f"n{number}" for number in range(64)]))
        assert found == list(range(64))
