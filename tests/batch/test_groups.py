"""Batches without components: one container of rows, several of them, or a table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bf_batch import Batch, Dataset

N = 10
NAMES = [f"id{number}" for number in range(N)]


def make_tuple():
    return np.arange(N) + 100, [str(number) for number in range(N)]


def make_mapping():
    return dict(zip(("x", "y"), make_tuple()))


def make_table():
    return pd.DataFrame({"x": np.arange(N) + 100, "y": [str(number) for number in range(N)]}, index=NAMES)


def read(data):
    """The two parts of some data as plain lists."""
    parts = data if isinstance(data, tuple) else (data["x"], data["y"])
    return [list(part) for part in parts]


@pytest.mark.parametrize("make", [make_tuple, make_mapping, make_table])
@pytest.mark.parametrize("ids", [N, NAMES], ids=["numbers", "names"])
class TestParts:
    """What holds for a tuple, a mapping and a table alike."""

    @pytest.fixture
    def dataset(self, make, ids):
        if make is make_table and ids == N:
            return Dataset(N, preloaded=make().reset_index(drop=True))
        return Dataset(ids, preloaded=make())

    def test_batches_have_the_rows_of_their_items(self, dataset, make):
        batch = list(dataset.gen_batch(4))[1]
        assert read(batch.data) == [[104, 105, 106, 107], ["4", "5", "6", "7"]]
        assert type(batch.data) is type(make())
        positions = next(dataset.gen_batch(4, shuffle=True, seed=1)).indices
        where = dataset.index.positions(positions)
        shuffled = next(dataset.gen_batch(4, shuffle=True, seed=1))
        assert read(shuffled.data)[0] == (where + 100).tolist()

    def test_parts_copies_and_merged_batches_keep_them(self, dataset, make):
        batch = dataset.subset(slice(2, 6)).next_batch(3)
        assert read(batch.data) == [[102, 103, 104], ["2", "3", "4"]]
        assert read(batch.subset([2, 0]).data) == [[104, 102], ["4", "2"]]
        merged, rest = Batch.merge([batch, batch.copy()], batch_size=4)
        assert read(merged.data)[0] == [102, 103, 104, 102]
        assert read(rest.data)[0] == [103, 104]
        again = batch.as_dataset().create_batch(batch.indices[1:])
        assert read(again.data)[0] == [103, 104]

    def test_a_copy_can_be_changed_and_the_data_stay(self, dataset, make):
        batch = dataset.next_batch(2).copy()
        first = batch.data[0] if isinstance(batch.data, tuple) else batch.data["x"]
        first[:] = 0
        dataset.reset()
        assert read(dataset.next_batch(2).data)[0] == [100, 101]

    def test_items_have_an_entry_of_each_part(self, dataset, make):
        entry = dataset.next_batch(3).items[1].data
        assert (entry[0] if isinstance(entry, tuple) else entry["x"]) == 101
        batch = dataset.reset().next_batch(3)
        joined = batch.apply(
            lambda entry: "".join(
                map(
                    str,
                    entry
                    if make is make_tuple
                    else entry[["x", "y"]]
                    if make is make_table
                    else entry.values(),
                )
            )
        )
        assert list(joined.data) == ["1000", "1011", "1022"]

    def test_they_reach_other_processes(self, dataset, make):
        from bf_pipeline import B, Pipeline

        pipeline = Pipeline(dataset).update(B("_seen"), B("data"))
        for batch in pipeline.gen_batch(5, prefetch=2, engine="processes", workers=1):
            assert read(batch._seen) == read(batch.data)

    def test_they_are_loaded_from_memory(self, make, ids):
        dataset = Dataset(NAMES if make is make_table else ids)
        batch = dataset.create_batch(dataset.indices[3:5])
        data = make()
        if make is not make_table and ids != N:
            data = (
                tuple(part[3:5] for part in data)
                if make is make_tuple
                else {k: v[3:5] for k, v in data.items()}
            )
        assert read(batch.load(src=data).data) == [[103, 104], ["3", "4"]]


def test_a_list_holds_rows_and_a_mapping_of_ids_is_read_by_id():
    rows = Dataset(2, preloaded=[[1, 2], [3, 4]]).next_batch(2)
    assert rows.data == [[1, 2], [3, 4]]
    by_id = Dataset(["a", "b"], preloaded={"b": [3], "a": [1]}).next_batch(2)
    assert by_id.data == [[1], [3]]
    numbers = Dataset(3, preloaded=(1, 2, 3)).next_batch(2)  # a tuple of values, not of containers
    assert numbers.data == [1, 2]


def test_a_part_of_a_wrong_length_is_refused_by_its_name():
    with pytest.raises(ValueError, match=r"preloaded data\['y'\]: got 3 rows for 4 items"):
        Dataset(4, preloaded={"x": np.zeros(4), "y": np.zeros(3)})
    with pytest.raises(KeyError, match="no value for the id 'd'"):
        Dataset(["a", "d"], preloaded=pd.DataFrame({"x": [1, 2]}, index=["a", "b"]))
    batch = Batch(2)
    with pytest.raises(ValueError, match="got 1 rows for 2 items"):
        batch.load(src=(np.zeros(2), np.zeros((1, 1))))


def test_batches_whose_parts_differ_are_not_merged():
    one, other = Batch(1, preloaded={"x": [1]}), Batch(1, preloaded={"y": [1]})
    with pytest.raises(ValueError, match="which do not fit together"):
        Batch.merge([one, other])
