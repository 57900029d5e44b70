"""Loading and dumping: memory, files of an item, tables."""

from __future__ import annotations

import os
import re
import resource
import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

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
    with pytest.raises(ValueError, match="leads out"):
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


# Names of files


class Numbers(Batch):
    components = ("x",)


PARTS = st.sampled_from(["a", "b", ".", "/", ".npy", ".png", ".PNG"])
NAMES = st.lists(st.lists(PARTS, min_size=1, max_size=4).map("".join), min_size=1, max_size=6)


@settings(max_examples=200, deadline=None)
@given(names=NAMES, fmt=st.sampled_from(["npy", "npz"]))
def test_no_two_items_are_written_to_one_file(names, fmt, tmp_path_factory):
    names = list(dict.fromkeys(names))
    out = tmp_path_factory.mktemp("out")
    dataset = Dataset(names, Numbers, preloaded=(np.arange(len(names)),))
    try:
        for batch in dataset.gen_batch(1):
            batch.dump(out, fmt, "x")
    except (ValueError, ItemError):
        return
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) == len(names)
    assert {path.suffix for path in files} == {f".{fmt}"}
    for batch in dataset.gen_batch(1):
        assert Numbers(batch.index).load(out, fmt, "x").x.tolist() == batch.x.tolist()


@settings(max_examples=100, deadline=None)
@given(names=st.lists(st.sampled_from(["a", "b", "c/a", "c/b", "d/a"]), min_size=1, unique=True),
       endings=st.sampled_from([(".png",), (".png", ".jpg"), (".npy", ".png")]),
       no_ext=st.booleans(), relative=st.booleans())  # fmt: skip
def test_files_of_an_index_are_written_apart(names, endings, no_ext, relative, tmp_path_factory):
    root = tmp_path_factory.mktemp("in")
    for number, name in enumerate(names):
        path = root / (name + endings[number % len(endings)])
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    try:
        index = FilesIndex(f"{root}/**/*.*", relative=relative, no_ext=no_ext)
    except ValueError as error:
        assert "two files have the id" in str(error)  # noqa: PT017
        return
    out = tmp_path_factory.mktemp("out")
    dataset = Dataset(index, Numbers, preloaded=(np.arange(len(index)),))
    for batch in dataset.gen_batch(1):
        batch.dump(out, "npy", "x")
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) == len(names)
    assert {path.suffix for path in files} == {".npy"}
    for batch in dataset.gen_batch(1):
        assert (
            Dataset(batch.index, Numbers).next_batch(1).load(out, "npy", "x").x.tolist() == batch.x.tolist()
        )


def test_relative_ids_are_read_from_their_own_places(tmp_path):
    for folder, value in (("cats", 1), ("dogs", 2)):
        for kind in ("images", "masks"):
            (tmp_path / kind / folder).mkdir(parents=True)
            Image.new("L", (2, 2), value + 10 * (kind == "masks")).save(tmp_path / kind / folder / "1.png")
    for no_ext in (False, True):
        index = FilesIndex(tmp_path / "images" / "*" / "*.png", relative=True, no_ext=no_ext)
        batch = (
            Dataset(index, Pictures).next_batch(2).load(dst="images").load(tmp_path / "masks", dst="masks")
        )
        assert batch.images[:, 0, 0].tolist() == [1, 2]
        assert batch.masks[:, 0, 0].tolist() == [11, 12]


def test_a_file_keeps_an_ending_of_its_format_and_gets_one_otherwise(tmp_path):
    for name in ("1.png", "2.jpg"):
        Image.new("RGB", (8, 8), 200).save(tmp_path / name)
    batch = Dataset(FilesIndex(tmp_path / "*.*"), Pictures).next_batch(2).load(dst="images")
    batch.dump(tmp_path / "out", "image", "images")
    assert {path.name: Image.open(path).format for path in (tmp_path / "out").iterdir()} == {
        "1.png": "PNG", "2.jpg": "JPEG",
    }  # fmt: skip
    before = (tmp_path / "1.png").read_bytes()
    batch.dump(fmt="npy", src="images")  # beside the files of the index, which are pictures
    assert (tmp_path / "1.png").read_bytes() == before
    assert np.load(tmp_path / "1.png.npy").tolist() == batch.images[0].tolist()


def test_a_given_format_reads_files_of_other_names(tmp_path):
    os.makedirs(tmp_path / "in")
    os.makedirs(tmp_path / "labels")
    for folder in ("in", "labels"):
        with open(tmp_path / folder / "1.dat", "wb") as file:
            np.save(file, np.arange(3))
    batch = Numbers(FilesIndex(tmp_path / "in" / "*.dat"))
    assert batch.load(tmp_path / "labels", "npy", "x").x.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("letter", ["n", "é", "日"])
def test_names_as_long_as_the_file_system_takes_are_written(tmp_path, letter):
    name = letter * ((255 - len(".npy")) // len(letter.encode()))
    Numbers([name], preloaded=([2.0],)).dump(tmp_path, "npy", "x")
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.npy"]
    with pytest.raises(ItemError, match="name too long"):
        Numbers([letter * 256], preloaded=([2.0],)).dump(tmp_path, "npy", "x")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_told_with_the_file(tmp_path):
    batch = Numbers(["a"], preloaded=(np.zeros((1, 100_000)),))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(ItemError, match=re.escape(f"{tmp_path}/a.npy")):
            batch.dump(tmp_path, "npy", "x", target="inline")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("there", "asked"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_that_differ_in_their_unicode_form_only_are_told(tmp_path, there, asked):
    known, id = (unicodedata.normalize(form, "Zoë") for form in (there, asked))
    np.save(tmp_path / f"{known}.npy", 1)
    for error, work in (
        (ItemError, lambda: Numbers([id]).load(tmp_path, "npy", "x", target="inline")),
        (KeyError, lambda: Numbers([id]).load({known: 1}, dst="x")),
        (KeyError, lambda: Numbers([id]).load(pd.Series({known: 1}), dst="x")),
        (KeyError, lambda: DatasetIndex([known, "other"]).positions(id)),
    ):
        with pytest.raises(error, match="in its Unicode form only") as caught:
            work()
        told = caught.value.args[0] if error is KeyError else str(caught.value)
        assert ascii(known)[:-1] in told
        assert ascii(id)[:-1] in told


# Tables


def frame(ids, **columns):
    return pd.DataFrame(columns or {"x": np.arange(len(ids)) * 10}, index=ids)


def test_text_ids_of_a_csv_file_are_texts(tmp_path):
    ids = ["001", "1", "1.0", "NA", "", "true", "1e3"]
    frame(ids).to_csv(tmp_path / "t.csv", index_label="id")
    for order in (ids, ids[::-1]):
        batch = Numbers(order).load(tmp_path / "t.csv", dst="x")
        assert batch.x.tolist() == [10 * ids.index(id) for id in order]
    frame([3, 1]).to_csv(tmp_path / "n.csv", index_label="id")
    assert Numbers(DatasetIndex([1, 3])).load(tmp_path / "n.csv", dst="x").x.tolist() == [10, 0]


def test_ids_of_another_type_are_told_with_both_types(tmp_path):
    frame([1, 2]).to_csv(tmp_path / "t.csv", index_label="id")
    read = {"dtype": {"id": int}}
    for work in (
        lambda: Numbers(["001", "2"]).load(tmp_path / "t.csv", dst="x", **read),
        lambda: Numbers(["001", "2"]).load(frame([1, 2]), dst="x"),
        lambda: Dataset(["001", "2"], Numbers, preloaded=frame([1, 2])),
        lambda: Dataset(["001", "2"], Numbers, preloaded={"x": {1: 0, 2: 1}}),
    ):
        with pytest.raises(KeyError, match="int such as 1, those of the items str such as '001'"):
            work()


@pytest.mark.parametrize("kind", ["series", "frame", "frame of a component", "csv", "parquet"])
def test_an_id_that_is_there_twice_is_told_where(tmp_path, kind):
    table = frame(["a", "b", "b", "c", "d", "d"])
    if kind in ("csv", "parquet"):
        where = str(tmp_path / f"t.{kind}")
        table.to_csv(where, index_label="id") if kind == "csv" else table.to_parquet(where)

    def read(ids):
        if kind in ("csv", "parquet"):
            return Numbers(ids).load(where, dst="x").x.tolist()
        given = {"series": {"x": table.x}, "frame": table, "frame of a component": {"x": table[["x"]]}}[kind]
        return np.ravel(Dataset(ids, Numbers, preloaded=given).next_batch(len(ids)).x).tolist()

    with pytest.raises(
        ValueError, match=r"'b' is there 2 times, in rows 1 and 2 .*; 1 ids are repeated"
    ) as caught:
        read(["a", "b", "c"])
    assert kind not in ("csv", "parquet") or where in str(caught.value)
    assert read(["c", "a"]) == [30, 0]  # others may be repeated


@pytest.mark.parametrize("seed", range(5))
def test_rows_of_any_labels_are_those_that_pandas_gives(seed):
    rng = np.random.default_rng(seed)
    for labels in (
        rng.permutation(50),
        rng.permutation(50).astype(str),
        rng.permutation(50) * 0.5,
        pd.date_range("2026-01-01", periods=50)[rng.permutation(50)],
        pd.MultiIndex.from_product([list("abcde"), range(10)])[rng.permutation(50)],
    ):
        table = pd.DataFrame({"x": rng.normal(size=50)}, index=labels)
        ids = DatasetIndex(labels.tolist() if labels.dtype == object else np.asarray(labels)).subset(
            rng.permutation(50)[:20]
        )
        batch = Dataset(ids, Numbers, preloaded=table).next_batch(20)
        assert batch.x.tolist() == [table.x.loc[id] for id in ids.indices]


def test_columns_of_a_table_are_checked_as_names_in_a_dict():
    for table in (frame([0, 1], age=[1, 2]), frame([0, 1], x=[1, 2], y=[1, 2])):
        for make in (Dataset, lambda n, _, preloaded: Numbers(n, preloaded=preloaded)):
            with pytest.raises(ValueError, match=r"unknown component '(age|y)' of Numbers"):
                make(2, Numbers, preloaded=table)
    twice = pd.DataFrame([[1, 2], [3, 4]], columns=["x", "x"])
    with pytest.raises(ValueError, match="two columns 'x'"):
        Dataset(2, Numbers, preloaded=twice)


@pytest.mark.parametrize("value", [np.array(5), 5, np.float32(5)])
def test_one_value_for_a_component_is_refused_by_its_name(value):
    with pytest.raises(TypeError, match=r"preloaded x: got one value, (ndarray|int|float32); give an array"):
        Dataset(4, Numbers, preloaded={"x": value})
    with pytest.raises(TypeError, match=r"x: got"):
        Numbers(4, preloaded={"x": value})
