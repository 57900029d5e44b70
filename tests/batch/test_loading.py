"""Loading and dumping: memory, files of an item, tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bf_batch import Batch, Dataset, Format, ItemError
from bf_index import DatasetIndex, FilesIndex


class Pictures(Batch):
    components = "images", "masks", "labels"


class Sounds(Batch):
    components = "sound", "rate"


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    index = DatasetIndex(["a", "b", "c"])
    values = rng.integers(0, 255, (3, 4, 5, 3), dtype=np.uint8)
    return Pictures(index, preloaded=(values, values[..., 0].astype(float), np.arange(3)))


@pytest.mark.parametrize("fmt", ["npy", "npz", "image"])
def test_files_of_items_come_back(pictures, fmt, tmp_path):
    pictures.dump(tmp_path / "out", fmt, "images")
    assert len(list((tmp_path / "out").iterdir())) == 3
    again = Pictures(pictures.index).load(tmp_path / "out", fmt, "images")
    assert (again.images == pictures.images).all()
    assert again.images.dtype == np.uint8
    files = FilesIndex(str(tmp_path / "out" / "*"), no_ext=True)
    by_ending = Dataset(files, Pictures).next_batch(3).load(dst="images")
    assert (by_ending.images == pictures.images).all()


def test_several_components_share_an_npz(pictures, tmp_path):
    pictures.dump(tmp_path, "npz", ("images", "labels"))
    again = Pictures(pictures.index).load(tmp_path, "npz", ("images", "labels"))
    assert (again.images == pictures.images).all()
    assert again.labels.tolist() == [0, 1, 2]
    with pytest.raises(ItemError, match="holds images, labels for the components"):
        Pictures(pictures.index).load(tmp_path, "npz", ("images", "masks"))


def test_folders_of_items_hold_a_file_for_each_component(pictures, tmp_path):
    for number in "123":
        (tmp_path / number).mkdir()
    index = FilesIndex(str(tmp_path / "*"), dirs=True)
    batch = Pictures(index, preloaded=(pictures.images, pictures.masks, None))
    batch.dump("image.png", src="images").dump("mask.npy", src="masks")
    assert (tmp_path / "2" / "image.png").is_file()
    again = Dataset(index, Pictures).next_batch(3).load(("image.png", "mask.npy"), dst=("images", "masks"))
    assert (again.images == pictures.images).all()
    assert (again.masks == pictures.masks).all()
    one = Pictures(index).load("image.png", dst="images")
    assert (one.images == pictures.images).all()


def test_items_of_many_shapes_load_as_a_list(tmp_path):
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", np.zeros(number + 1))
    batch = Pictures(FilesIndex(str(tmp_path / "*.npy"))).load(dst="images")
    assert batch.kinds()["images"] == "list"
    assert [len(image) for image in batch.images] == [1, 2, 3]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32"])
def test_sound_comes_back_with_its_rate(dtype, tmp_path):
    rng = np.random.default_rng(1)
    values = rng.integers(0, 100, (2, 50, 2)).astype(dtype)
    index = DatasetIndex(["x", "y"])
    Sounds(index, preloaded=(values, None)).dump(tmp_path, "wav", "sound", rate=8000)
    again = Sounds(index).load(tmp_path, "wav", ("sound", "rate"))
    assert (again.sound == values).all()
    assert again.sound.dtype == dtype
    assert again.rate.tolist() == [8000, 8000]
    alone = Sounds(index).load(tmp_path, "wav", "sound")
    assert (alone.sound == values).all()


def test_sound_of_24_bits_and_of_floats(tmp_path):
    import wave

    with wave.open(str(tmp_path / "x.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(3)
        file.setframerate(100)
        file.writeframes(b"\x00\x00\x40\x00\x00\xc0")
    batch = Sounds(DatasetIndex(["x"])).load(tmp_path, "wav", "sound")
    assert batch.sound.tolist() == [[2**30, -(2**30)]]
    batch.sound = np.array([[0.5, -1.0, 2.0]])
    batch.dump(tmp_path, "wav", "sound", rate=100)
    assert batch.load(tmp_path, "wav", "sound").sound.tolist() == [[16384, -32767, 32767]]


@pytest.mark.parametrize("fmt", ["csv", "parquet"])
def test_a_table_has_a_row_for_each_item(fmt, tmp_path):
    table = pd.DataFrame({"labels": [3, 1, 2], "masks": [0.5, 1.5, 2.5]}, index=["c", "a", "b"])
    path = tmp_path / f"table.{fmt}"
    getattr(table, f"to_{fmt}")(path)
    batch = Pictures(DatasetIndex(["a", "b", "c"])).load(path)
    assert batch.labels.tolist() == [1, 2, 3]
    assert batch.masks.tolist() == [1.5, 2.5, 0.5]
    assert batch.images is None
    one = Pictures(DatasetIndex(["b"])).load(path, dst="labels")
    assert one.labels.tolist() == [2]
    with pytest.raises(KeyError, match="no column 'label'; it has labels, masks"):
        batch.load(path, dst="label")
    with pytest.raises(KeyError, match="'zz'"):
        Pictures(DatasetIndex(["zz"])).load(path, dst="labels")
    batch.dump(tmp_path / f"out.{fmt}", src=("labels", "masks"))
    again = Pictures(batch.index).load(tmp_path / f"out.{fmt}")
    assert again.labels.tolist() == [1, 2, 3]


def test_memory_is_read_by_id_and_written_by_id():
    source = np.arange(10) * 2
    batch = Pictures(DatasetIndex([7, 3])).load(source, dst="labels")
    assert batch.labels.tolist() == [14, 6]
    batch.load({7: "x", 3: "y", 5: "z"}, dst="images")
    assert batch.images == ["x", "y"]
    batch.load(([1, 2], [3, 4]), dst=("masks", "labels"))
    assert batch.masks == [1, 2]
    target = np.zeros(10)
    batch.dump(target, src="labels")
    assert target[[7, 3]].tolist() == [3, 4]
    kept = {}
    batch.dump(kept, src="images")
    assert kept == {7: "x", 3: "y"}
    with pytest.raises(ValueError, match="takes one component"):
        batch.dump(target)


def test_loading_may_add_a_component():
    batch = Pictures(2).load([5, 6], dst="weights")
    assert batch.weights == [5, 6]
    assert "weights" not in Pictures.components


def test_a_broken_file_is_named_and_may_be_left_out(tmp_path):
    for number in range(5):
        np.save(tmp_path / f"{number}.npy", np.zeros(2))
    (tmp_path / "3.npy").write_bytes(b"garbage")
    (tmp_path / "1.npy").unlink()
    index = FilesIndex.from_paths([str(tmp_path / f"{number}.npy") for number in range(5)])
    with pytest.raises(ItemError, match=r"1\.npy"):
        Pictures(index).load(dst="images")
    batch = Pictures(index).load(dst="images", on_error="skip")
    assert batch.images.shape == (3, 2)
    assert [error.id for error in batch.skipped] == ["1.npy", "3.npy"]
    assert "3.npy can't be read" in str(batch.skipped[1])


def test_no_file_holds_half_of_a_value(tmp_path):
    class Fails(Exception):
        pass

    def write(file, value):
        file.write(b"half")
        raise Fails

    class Custom(Batch):
        components = ("x",)
        formats = {**Batch.formats, "mine": Format((".mine",), lambda file: file.read(), write)}

    (tmp_path / "0.mine").write_bytes(b"whole")
    batch = Custom(1).load(tmp_path, "mine")
    assert batch.x == [b"whole"]
    with pytest.raises(ItemError):
        batch.dump(tmp_path, "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["0.mine"]
    assert (tmp_path / "0.mine").read_bytes() == b"whole"


def test_objects_are_not_dumped_as_pickles(tmp_path):
    batch = Pictures(1, preloaded=([{"a": 1}], None, None))
    with pytest.raises(ItemError, match="without pickle"):
        batch.dump(tmp_path, "npy", "images")
    assert list(tmp_path.iterdir()) == []


def test_an_id_can_t_lead_out_of_the_folder(tmp_path):
    batch = Pictures(DatasetIndex(["../x"]), preloaded=(np.zeros((1, 2)), None, None))
    with pytest.raises(ItemError, match="leads out"):
        batch.dump(tmp_path / "in", "npy", "images")
    with pytest.raises(ValueError, match="leads out"):
        batch.load(tmp_path / "in", "npy", "images")


def test_the_component_must_be_clear(pictures, tmp_path):
    with pytest.raises(ValueError, match="say which of the components"):
        Pictures(2).load(tmp_path, "npy")
    with pytest.raises(ValueError, match="use a FilesIndex"):
        Pictures(2).load(dst="images")
    with pytest.raises(ValueError, match="holds one component"):
        pictures.dump(tmp_path, "npy")
    with pytest.raises(ValueError, match="no format for files such as"):
        Pictures(2).load("x.zzz", dst="images")
    with pytest.raises(ValueError, match="did you mean 'npz'"):
        Pictures(2).load("x", "npi", dst="images")


def test_remote_files_are_read(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for name in "ab":
        with memory.open(f"/pics/{name}.npy", "wb") as file:
            np.save(file, np.full(3, ord(name)))
    index = FilesIndex("memory://pics/*.npy")
    assert Pictures(index).load(dst="images").images[:, 0].tolist() == [97, 98]
