"""Preloaded data of many kinds: which rows are read for which items, and when."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bf_batch import Batch, Dataset
from bf_index import DatasetIndex


class Pairs(Batch):
    components = "x", "y"


def test_a_table_and_mappings_are_read_by_id():
    table = pd.DataFrame({"x": [1, 2], "y": ["u", "v"]}, index=["a", "b"])
    batch = Dataset(DatasetIndex(["b", "a"]), Pairs, preloaded=table).next_batch(2)
    assert batch.x.tolist() == [2, 1]
    batch = Dataset(DatasetIndex(["b", "a"]), Pairs, preloaded={"x": {"a": 10, "b": 20}}).next_batch(2)
    assert batch.x == [20, 10]
    assert batch.y is None
    with pytest.raises(KeyError, match="'c'"):
        Dataset(DatasetIndex(["a", "c"]), Pairs, preloaded={"x": {"a": 10}})


def test_more_rows_than_items_are_read_by_integer_ids():
    array = np.arange(10) * 2
    batch = Dataset(DatasetIndex([7, 2]), Pairs, preloaded=(array, None)).next_batch(2)
    assert batch.x.tolist() == [14, 4]
    view = next(Dataset(DatasetIndex([4, 5, 6]), Pairs, preloaded=(array, None)).gen_batch(2))
    assert np.shares_memory(view.x, array)


def test_rows_in_doubt_are_refused():
    with pytest.raises(ValueError, match="Say which"):
        Dataset(DatasetIndex([2, 0, 1]), Pairs, preloaded=(np.arange(3), None))
    with pytest.raises(IndexError, match="one row for each item"):
        Dataset(DatasetIndex(["a", "b"]), Pairs, preloaded=(np.arange(3), None))
    with pytest.raises(IndexError, match="can't be row numbers"):
        Dataset(DatasetIndex([5, 20]), Pairs, preloaded=(np.arange(10), None))


def test_database_ids_go_with_as_many_rows():
    batch = Dataset(DatasetIndex([1001, 7, 1005]), Pairs, preloaded=(np.arange(3), None)).next_batch(3)
    assert batch.x.tolist() == [0, 1, 2]


def test_data_of_an_unknown_component_is_refused():
    with pytest.raises(ValueError, match="did you mean 'x'"):
        Dataset(3, Pairs, preloaded={"xx": np.arange(3)})
    with pytest.raises(ValueError, match="3 values for the 2 components"):
        Dataset(3, Pairs, preloaded=(1, 2, 3))
    with pytest.raises(TypeError, match="int"):
        Dataset(3, Pairs, preloaded=(5, None))


def test_a_memory_mapped_file_is_read_lazily(tmp_path):
    path = tmp_path / "data.npy"
    np.save(path, np.arange(50).reshape(25, 2))
    mapped = np.load(path, mmap_mode="r")
    for source in (path, str(path), mapped, mapped[5:]):
        offset = 5 if source is not path and not isinstance(source, str) and len(source) == 20 else 0
        dataset = Dataset(20, Pairs, preloaded={"x": source})
        assert next(dataset.gen_batch(4)).x[0].tolist() == [2 * offset, 2 * offset + 1]
        assert dataset.create_batch([6, 3]).x[:, 0].tolist() == [12 + 2 * offset, 6 + 2 * offset]


def test_a_memory_mapped_array_travels_as_its_place_in_the_file(tmp_path):
    import pickle

    path = tmp_path / "data.npy"
    np.save(path, np.zeros((1000, 1000)))
    dataset = Dataset(900, Pairs, preloaded={"x": np.load(path, mmap_mode="r")[100:]})
    data = pickle.dumps(dataset)
    assert len(data) < 5000
    assert next(pickle.loads(data).gen_batch(3)).x.shape == (3, 1000)


def test_hdf5_rows_come_in_any_order(tmp_path):
    h5py = pytest.importorskip("h5py")
    import pickle

    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"] = np.arange(40).reshape(20, 2)
    file = h5py.File(tmp_path / "data.h5", "r")
    dataset = Dataset(20, Pairs, preloaded={"x": file["x"]})
    assert dataset.create_batch([7, 2, 9]).x[:, 0].tolist() == [14, 4, 18]
    assert next(dataset.gen_batch(3)).x.shape == (3, 2)
    again = pickle.loads(pickle.dumps(dataset))
    assert again.create_batch([7, 2]).x[:, 0].tolist() == [14, 4]
    file.close()


def test_zarr_rows_come_in_any_order(tmp_path):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(store=str(tmp_path / "data.zarr"), shape=(20, 2), chunks=(4, 2), dtype="i4")
    array[:] = np.arange(40).reshape(20, 2)
    dataset = Dataset(20, Pairs, preloaded={"x": array})
    assert dataset.create_batch([7, 2, 9]).x[:, 0].tolist() == [14, 4, 18]
    assert next(dataset.gen_batch(3)).x.shape == (3, 2)


def test_a_series_is_taken_by_position():
    batch = Pairs(2)
    batch.x = pd.Series([5, 6], index=[10, 11])
    assert [item.x for item in batch] == [5, 6]


def test_preloaded_arrays_stay_read_only_in_a_pickle():
    import pickle

    dataset = pickle.loads(pickle.dumps(Dataset(10, Pairs, preloaded=(np.arange(10), None))))
    with pytest.raises(ValueError, match="read-only"):
        next(dataset.gen_batch(3)).x[0] = 5
