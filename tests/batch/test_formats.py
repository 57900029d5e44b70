"""Formats of files against the libraries that they belong to: blosc, HDF5, Feather."""

from __future__ import annotations

import io
import sys

import h5py
import numcodecs
import numpy as np
import pandas as pd
import pytest
from pyarrow import feather

from bf_batch import Batch, Dataset, ItemError
from bf_batch.data import blosc, hdf5
from bf_index import DatasetIndex, FilesIndex


class Data(Batch):
    components = "images", "labels", "names"


IMAGES = np.random.default_rng(0).normal(size=(4, 5, 6)).astype("f4")
NAMES = np.array(["one", "zwei", "три", ""])


def make(ids):
    return Data(DatasetIndex(ids), preloaded=(IMAGES[: len(ids)], np.arange(len(ids)), NAMES[: len(ids)]))


ARRAYS = {
    "numbers": IMAGES,
    "columns": np.asfortranarray(IMAGES[0]),
    "none": np.zeros((0, 3)),
    "one": np.array(2.5),
    "bools": np.arange(5) > 2,
    "complex": np.arange(3) * 1j,
    "small": np.arange(7, dtype=">i2"),
    "half": np.arange(3, dtype="f2"),
    "texts": NAMES,
    "bytes": np.array([b"a", b"bcd"]),
    "pairs": np.array([(1, 2.0)], [("x", "u1"), ("y", "f8")]),
}


@pytest.mark.parametrize("codec", [blosc, hdf5])
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back_as_they_were(codec, name, tmp_path):
    with open(tmp_path / "f", "w+b") as file:
        codec.write(file, ARRAYS[name])
        file.seek(0)
        again = codec.read(file)
    again = again["data"] if codec is hdf5 else again
    assert again.dtype == ARRAYS[name].dtype
    np.testing.assert_array_equal(again, ARRAYS[name])
    assert again.flags.writeable


@pytest.mark.parametrize("fmt", ["blosc", "hdf5", "npz"])
def test_several_components_share_a_file_of_an_item(fmt, tmp_path):
    batch = make(["a", "b"]).dump(tmp_path, fmt, ("images", "labels"))
    again = Data(batch.index).load(tmp_path, fmt, ("images", "labels"))
    np.testing.assert_array_equal(again.images, IMAGES[:2])
    assert again.labels.tolist() == [0, 1]
    with pytest.raises(ItemError, match="holds images, labels for the components"):
        Data(batch.index).load(tmp_path, fmt, ("images", "names"))
    ending = {"hdf5": "h5"}.get(fmt, fmt)
    files = Dataset(FilesIndex(str(tmp_path / f"*.{ending}")), Data).next_batch(2).load(dst="images")
    np.testing.assert_array_equal(files.images, IMAGES[:2])


# Blosc


@pytest.mark.parametrize("compression", ["lz4", "lz4hc", "zstd", "zlib", "blosclz"])
@pytest.mark.parametrize("level", [0, 9])
def test_blosc_files_are_npy_files_in_chunks(compression, level, tmp_path):
    make(["a"]).dump(tmp_path, "blosc", "images", compression=compression, level=level)
    plain = numcodecs.Blosc().decode((tmp_path / "a.blosc").read_bytes())
    np.testing.assert_array_equal(np.load(io.BytesIO(plain)), IMAGES[0])
    (tmp_path / "b.blosc").write_bytes(numcodecs.Blosc(compression).encode(plain))
    again = Data(DatasetIndex(["b"])).load(tmp_path, "blosc", "images").images
    np.testing.assert_array_equal(again, IMAGES[:1])


def test_shuffled_numbers_take_less_room(tmp_path):
    slow = np.linspace(0, 1, 10_000)[None]
    batch = Data(DatasetIndex(["a"]), preloaded=(slow, None, None))
    sizes = {}
    for shuffle in (False, True):
        batch.dump(tmp_path, "blosc", "images", shuffle=shuffle)
        sizes[shuffle] = (tmp_path / "a.blosc").stat().st_size
    assert sizes[True] < 0.9 * sizes[False]


def test_large_arrays_are_several_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(blosc, "_CHUNK", 1001)
    values = np.arange(3000)
    with open(tmp_path / "f", "w+b") as file:
        blosc.write(file, values)
        file.seek(0)
        assert len(list(blosc._find_chunks(file, (tmp_path / "f").stat().st_size))) > 20
        np.testing.assert_array_equal(blosc.read(file), values)


@pytest.mark.parametrize(
    ("codec", "options", "message"),
    [
        (blosc, {"compression": "snappy"}, "there are lz4"),
        (blosc, {"level": 10}, "0 to 9"),
        (hdf5, {"compression": "szip"}, "there are gzip, lzf"),
    ],
)
def test_unknown_options_are_refused(codec, options, message):
    with pytest.raises(ValueError, match=message):
        codec.write(io.BytesIO(), np.arange(3), **options)


# HDF5


@pytest.mark.parametrize("ids", [["a", "b", "c", "ü"], [7, 3, 1000, -2], range(4)])
@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
def test_hdf5_has_a_row_for_each_item(ids, compression, tmp_path):
    make(ids).dump(tmp_path / "all.h5", compression=compression)
    with h5py.File(tmp_path / "all.h5") as file:
        np.testing.assert_array_equal(file["images"][:], IMAGES)
        assert [name.decode() for name in file["names"]] == NAMES.tolist()
        assert sorted(file) == ["id", "images", "labels", "names"]
    some = Data(DatasetIndex([ids[2], ids[0]])).load(tmp_path / "all.h5")
    np.testing.assert_array_equal(some.images, IMAGES[[2, 0]])
    assert some.labels.tolist() == [2, 0]
    assert some.names.tolist() == ["три", "one"]
    with pytest.raises(KeyError, match="no array 'label'; it has images, labels, names"):
        some.load(tmp_path / "all.h5", dst="label")


def test_rows_far_apart_are_read_alone(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["labels"] = np.arange(1000) * 2
        file["names"] = [f"n{number}" for number in range(1000)]  # texts of any length
    batch = Data(DatasetIndex([900, 3, 500])).load(tmp_path / "f.h5")
    assert batch.labels.tolist() == [1800, 6, 1000]
    assert list(batch.names) == ["n900", "n3", "n500"]


def test_ids_may_have_another_name_and_texts_of_any_length(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["key"] = ["b", "a"]
        file["labels"] = [1, 2]
    assert Data(DatasetIndex(["a"])).load(tmp_path / "f.h5", dst="labels", ids="key").labels.tolist() == [2]
    with pytest.raises(ValueError, match=r"f\.h5.*no array 'id' that says.*ids='NAME'"):
        Data(DatasetIndex(["a"])).load(tmp_path / "f.h5", dst="labels")
    with pytest.raises(ValueError, match=r"'labels' has 2 rows, and ids 1 to 2 can't be row numbers"):
        Data(DatasetIndex([1, 2])).load(tmp_path / "f.h5", dst="labels")
    with pytest.raises(KeyError, match="no value for the id 'c'"):
        Data(DatasetIndex(["c"])).load(tmp_path / "f.h5", dst="labels", ids="key")
    with h5py.File(tmp_path / "f.h5", "a") as file:
        file["twice"] = ["b", "b"]
        file["more"] = ["a", "b", "c"]
    with pytest.raises(ValueError, match="the id 'b' is there more than once"):
        Data(DatasetIndex(["b"])).load(tmp_path / "f.h5", dst="labels", ids="twice")
    with pytest.raises(ValueError, match="'labels' has 2 rows, and there are 3 ids in 'more'"):
        Data(DatasetIndex(["b"])).load(tmp_path / "f.h5", dst="labels", ids="more")


def test_items_of_several_shapes_need_a_file_each(tmp_path):
    batch = Data(DatasetIndex(["a", "b"]), preloaded=([np.zeros(2), np.zeros(3)], None, None))
    with pytest.raises(ValueError, match=r"'images': items have the shapes \(2,\) and \(3,\).*fmt='hdf5'"):
        batch.dump(tmp_path / "f.h5", src="images")
    batch.dump(tmp_path / "out", "hdf5", "images")
    assert [len(image) for image in Data(batch.index).load(tmp_path / "out", "hdf5", "images").images] == [
        2,
        3,
    ]


def test_what_hdf5_has_no_type_for_is_refused(tmp_path):
    with pytest.raises(TypeError, match="has no times"):
        hdf5.write(io.BytesIO(), np.array(["2020-01-01"], "M8[D]"))
    with pytest.raises(TypeError, match="without pickle"):
        hdf5.write(io.BytesIO(), np.array([{}]))
    with pytest.raises(ValueError, match="'a/b' is no name"):
        hdf5.write(io.BytesIO(), {"a/b": np.zeros(2)})


@pytest.mark.parametrize("kind", ["external link", "soft link", "virtual", "raw", "references", "filter"])
def test_hdf5_reads_nothing_of_other_files(kind, tmp_path):
    (tmp_path / "secret").write_bytes(b"12345678")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"] = np.arange(4)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        if kind == "external link":
            file["images"] = h5py.ExternalLink("other.h5", "/images")
        elif kind == "soft link":
            file["images"] = h5py.SoftLink("/group/x")
            file["group/x"] = np.arange(4)
        elif kind == "virtual":
            layout = h5py.VirtualLayout((4,), "i8")
            layout[:] = h5py.VirtualSource("other.h5", "images", (4,))
            file.create_virtual_dataset("images", layout)
        elif kind == "raw":
            file.create_dataset("images", (8,), "u1", external=[(str(tmp_path / "secret"), 0, 8)])
        elif kind == "references":
            file["images"] = np.array([file.ref], h5py.ref_dtype)
        else:
            file.create_dataset("images", data=np.arange(4), chunks=(4,), scaleoffset=0)
    words = {"references": "numbers and texts are read", "filter": "packed by the filters 6"}
    with pytest.raises(ValueError, match=rf"f\.h5.*{words.get(kind, 'in another file')}"):
        Data(4).load(tmp_path / "f.h5", dst="images")
    index = DatasetIndex(["f.h5"])
    with pytest.raises(ItemError, match=rf"f\.h5.*{words.get(kind, 'in another file')}"):
        Data(index).load(tmp_path, "hdf5", "images")


# Feather


@pytest.mark.parametrize("compression", ["lz4", "zstd", "uncompressed"])
def test_feather_files_are_those_of_pyarrow(compression, tmp_path):
    batch = make(["a", "b", "c"])
    batch.dump(tmp_path / "f.feather", src=("labels", "names"), compression=compression)
    table = feather.read_feather(tmp_path / "f.feather")
    assert table.columns.tolist() == ["id", "labels", "names"]
    assert table["names"].tolist() == NAMES[:3].tolist()
    again = Data(DatasetIndex(["c", "a"])).load(tmp_path / "f.feather")
    assert again.labels.tolist() == [2, 0]
    assert again.names.tolist() == ["три", "one"]


def test_feather_finds_ids_in_the_index_or_the_first_column(tmp_path):
    table = pd.DataFrame({"labels": [3, 1], "names": ["x", "y"]}, index=["a", "b"])
    feather.write_feather(table, tmp_path / "f.feather")
    assert Data(DatasetIndex(["b"])).load(tmp_path / "f.feather").labels.tolist() == [1]
    table.reset_index().to_feather(tmp_path / "f.feather")
    assert Data(DatasetIndex(["b"])).load(tmp_path / "f.feather").labels.tolist() == [1]
    with pytest.raises(KeyError, match="no value for the id 'z'"):
        Data(DatasetIndex(["z"])).load(tmp_path / "f.feather")
    with pytest.raises(ValueError, match="no name of a feather file"):
        make(["a"]).dump(tmp_path / "f.txt", "feather", "labels")


def test_feather_of_lists_texts_times_and_classes_comes_back(tmp_path):
    table = pd.DataFrame(
        {
            "id": [0, 1],
            "lists": [[1.0], [2.0, 3.0]],
            "times": pd.to_datetime(["2020-01-01", "2021-01-01"]),
            "classes": pd.Categorical(["x", "y"]),
            "missing": [None, "t"],
        }
    )
    table.to_feather(tmp_path / "f.feather", compression="zstd")
    batch = Data(2).load(tmp_path / "f.feather", dst=("lists", "times", "classes", "missing"))
    assert [list(entry) for entry in batch.lists] == [[1.0], [2.0, 3.0]]
    assert list(batch.classes) == ["x", "y"]
    assert batch.missing[1] == "t"
    assert (batch.times == table["times"].to_numpy()).all()


# What is not installed


@pytest.mark.parametrize(
    ("module", "name", "advice"),
    [
        ("h5py", "f.h5", r"bf-batch\[hdf5\]"),
        ("numcodecs", "f.blosc", r"bf-batch\[blosc\]"),
        ("pyarrow", "f.feather", r"bf-batch\[tables\]"),
    ],
)
def test_a_library_that_lacks_is_named_with_its_extra(module, name, advice, tmp_path, monkeypatch):
    batch = make(["a"])
    path, fmt = (tmp_path, "blosc") if module == "numcodecs" else (tmp_path / name, None)
    batch.dump(path, fmt, "labels")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises((ImportError, ItemError), match=f"pip install '{advice}'"):
        batch.dump(path, fmt, "labels")
    with pytest.raises((ImportError, ItemError), match=f"pip install '{advice}'"):
        Data(batch.index).load(path, fmt, "labels")


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_of_any_name_are_those_that_numpy_reads(compressed, tmp_path):
    class Odd(Batch):
        components = "file", "allow_pickle", "empty"

    values = {
        "file": IMAGES,
        "allow_pickle": np.asfortranarray(NAMES[:, None]),
        "empty": np.zeros((4, 0), "f2"),
    }
    batch = Odd(DatasetIndex(["a", "b", "c", "d"]), preloaded=tuple(values.values()))
    batch.dump(tmp_path, "npz", tuple(values), compressed=compressed)
    for number, name in enumerate("abcd"):
        with np.load(tmp_path / f"{name}.npz", allow_pickle=False) as found:
            assert sorted(found) == sorted(values)
            for key, array in values.items():
                np.testing.assert_array_equal(found[key], array[number])
                assert found[key].dtype == array.dtype
    again = Odd(batch.index).load(tmp_path, "npz", tuple(values))
    np.testing.assert_array_equal(again.file, IMAGES)
