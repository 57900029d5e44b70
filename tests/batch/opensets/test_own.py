"""Data of one's own: class folders, tables of paths, tables of numbers, arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from PIL import Image
from sklearn.datasets import load_iris, load_sample_image
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from bf_batch.opensets import ArrayFiles, ImageFiles, ImageFolder, RowsBatch, Table
from bf_batch.opensets.own.labels import number_labels
from bf_batch.opensets.own.pictures import PictureSet


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.asarray(load_sample_image("china.jpg"))


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray) -> Path:
    """Twelve crops of a photo in two class folders, of sizes that differ."""
    for number in range(12):
        file = tmp_path / "photos" / ("cat", "dog")[number % 2] / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo[: 40 + number, : 60 + number]).save(file)
    return tmp_path / "photos"


@pytest.fixture
def iris(tmp_path: Path) -> Path:
    frame = load_iris(as_frame=True).frame
    frame["kind"] = frame.pop("target").map({0: "setosa", 1: "versicolor", 2: "virginica"})
    frame.to_csv(tmp_path / "iris.csv", index=False, sep=";")
    return tmp_path / "iris.csv"


def test_a_class_folder_is_split_and_looked_at(folder: Path) -> None:
    dataset = ImageFolder(folder, shares="auto", unreadable="raise", strict=True)
    assert (dataset.classes, dataset.channels) == (("cat", "dog"), 3)
    assert len(dataset.train) + len(dataset.test) == 12
    assert dataset.sizes.tolist() == [
        list(np.asarray(Image.open(folder / n)).shape[:2]) for n in dataset.indices
    ]


def test_a_file_that_is_no_picture_is_named_or_left_out(folder: Path) -> None:
    (folder / "cat" / "0.jpg").write_text("no picture")
    with pytest.raises(ValueError, match=r"1 of 12 files are no pictures.*cat/0\.jpg.*unreadable=leave_out"):
        ImageFolder(folder, shares="auto", unreadable="raise")
    dataset = ImageFolder(folder, shares="auto", unreadable="leave_out")
    assert len(dataset) == len(dataset.sizes) == 11
    assert "cat/0.jpg" not in dataset.indices
    assert dataset.next_batch(11).labels.tolist() == [name.startswith("dog") for name in dataset.indices]


def write_colours(path: Path) -> Path:
    """Forty rows, of which the last ones, the test, have a colour that no other row has."""
    rows = [("red", "blue", "red", "green")[k % 4] if k < 38 else "pink" for k in range(40)]
    lines = [f"{k},{colour},{k % 3},{'train' if k < 32 else 'test'},{k % 2}" for k, colour in enumerate(rows)]
    path.write_text("\n".join(["a,colour,month,part,y", *lines]))
    return path


def test_texts_of_a_table_are_categories_of_the_rows_to_train_on(tmp_path: Path, caplog) -> None:
    path = write_colours(tmp_path / "t.csv")
    dataset = Table(path, "y", part="part")
    assert dataset.columns == ("a", "colour=blue", "colour=green", "colour=red", "month")
    assert dataset.one_hot == (False, True, True, True, False)
    frame = pandas.read_csv(path)
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(frame[["colour"]][:32])
    want = np.column_stack([frame["a"], encoder.transform(frame[["colour"]]), frame["month"]])
    np.testing.assert_array_equal(dataset.next_batch(40).features, want)
    assert "column colour: 2 rows have values that the training rows have not, such as 'pink'" in caplog.text
    asked = Table(path, "y", part="part", categories=["month"])
    assert asked.columns[-3:] == ("month=0", "month=1", "month=2")
    again = Table.unlabelled(path, features=asked.features, categories=asked.categories)
    np.testing.assert_array_equal(again.next_batch(40).features, asked.next_batch(40).features)
    with pytest.raises(ValueError, match=r"'colour' holds texts such as 'red'.*categories=\[colour\]"):
        Table.unlabelled(path, features=["colour"])
    with pytest.raises(ValueError, match="unknown column of categories 'mont'; did you mean 'month'"):
        Table(path, "y", categories=["mont"])
    names = [f"{k},name {k},{k % 2}" for k in range(300)]
    path.write_text("\n".join(["a,name,y", *names]))
    with pytest.raises(ValueError, match=r"'name' holds 240 different texts in 240 rows.*ignore=\[name\]"):
        Table(path, "y")


def test_missing_values_of_a_table_are_named_left_out_or_filled(tmp_path: Path) -> None:
    path = write_colours(tmp_path / "t.csv")
    lines = path.read_text().splitlines()
    for row, (old, new) in {4: ("3,", ","), 9: (",red,", ",,")}.items():
        lines[row] = lines[row].replace(old, new, 1)
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"row 4 has no value in the column 'a' .*missing=fill.*=leave_out"):
        Table(path, "y", part="part")
    less = Table(path, "y", part="part", missing="leave_out")
    assert len(less) == 38
    filled = Table(path, "y", part="part", missing="fill")
    frame = pandas.read_csv(path)
    want = SimpleImputer().fit(frame[["a"]][:32]).transform(frame[["a"]])[:, 0]
    np.testing.assert_allclose(filled.next_batch(40).features[:, 0], want, rtol=1e-6)
    assert filled.next_batch(40).features[8, 1:4].tolist() == [0, 0, 0]
    new = Table.unlabelled(
        path, features=filled.features, categories=filled.categories, missing="fill", fills=filled.fills
    )
    np.testing.assert_array_equal(new.next_batch(40).features, filled.next_batch(40).features)
    left = Table.unlabelled(path, features=less.features, categories=less.categories, missing="leave_out")
    assert left.indices.tolist() == [k for k in range(40) if k not in (3, 8)]
    np.testing.assert_array_equal(left.next_batch(38).features, less.next_batch(38).features)
    with pytest.raises(ValueError, match=r"'a' lacks numbers, and it is not known what stands for them"):
        Table.unlabelled(path, features=["a"], missing="fill")
    lines[6] = lines[6].rsplit(",", 1)[0] + ","
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match="row 6 has no value in the column 'y'"):
        Table(path, "y", part="part", missing="fill")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_file_that_was_cut_off_is_told_before_it_is_read(tmp_path: Path, photo: np.ndarray, format: str):
    ending = {"JPEG": "jpg", "TIFF": "tif"}.get(format, format.lower())
    for number in range(3):
        Image.fromarray(photo[: 90 + number, :80]).save(tmp_path / f"{number}.{ending}", format)
    assert len(ImageFiles.unlabelled(tmp_path, "raise")) == 3
    cut = tmp_path / f"1.{ending}"
    whole = cut.read_bytes()
    cut.write_bytes(whole + bytes(200))  # what some cameras add
    assert len(ImageFiles.unlabelled(tmp_path, "raise")) == 3
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ValueError, match=rf"1 of 3 files are no pictures that can be read: .*1\.{ending}"):
        ImageFiles.unlabelled(tmp_path, "raise")


def test_what_is_left_out_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "cat" / "0.jpg").write_text("no picture")
    for unlabelled in (ImageFolder.unlabelled, ImageFiles.unlabelled):
        caplog.clear()
        assert "cat/0.jpg" not in unlabelled(folder, unreadable="leave_out").indices
        assert "cat/0.jpg: no picture of a known format. They are left out" in caplog.text
        assert len(unlabelled(folder)) == 12  # not looked at


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    for make in (ImageFolder, ImageFolder.unlabelled, ImageFiles.unlabelled):
        with pytest.raises(FileNotFoundError, match=r"no pictures below '.*empty'.*known endings: \.jpg"):
            make(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="no file and no folder 'nowhere'"):
        ImageFolder.unlabelled("nowhere")


def test_an_argument_that_pictures_are_not_loaded_with_is_named(folder: Path) -> None:
    with pytest.raises(TypeError, match="unknown argument 'mdoe' of load for pictures; did you mean 'mode'"):
        ImageFolder(folder).next_batch(2).load(fmt="image", mdoe="gray")


def test_a_class_without_pictures_is_refused_if_strict(folder: Path) -> None:
    (folder / "fox").mkdir()
    with pytest.raises(
        ValueError, match=r"photos: classes without items: 'fox' has none in train.*strict=false"
    ):
        ImageFolder(folder, shares="auto", strict=True)
    with pytest.warns(UserWarning, match="fox"):
        assert ImageFolder(folder, shares="auto").num_classes == 3


def test_a_class_that_has_pictures_in_train_only_is_refused_if_strict(folder: Path) -> None:
    for part, classes in {"train": ("cat", "dog"), "val": ("cat",)}.items():
        for name in classes:
            (folder / part / name).mkdir(parents=True)
            for number, file in enumerate(sorted((folder / name).iterdir())):
                (folder / part / name / f"{number}.jpg").write_bytes(file.read_bytes())
    own = folder / "both"
    own.mkdir()
    for part in ("train", "val"):
        (folder / part).rename(own / part)
    with pytest.raises(ValueError, match="'dog' has none in test"):
        ImageFolder(own, shares="auto", strict=True)
    loose = ImageFolder(own, shares="auto")
    assert (len(loose.train), len(loose.test)) == (12, 6)  # what is called val is the test


def test_labels_of_pictures_come_from_a_table(folder: Path, tmp_path: Path) -> None:
    names = [f"{kind}/{number}.jpg" for number in range(12) for kind in [("cat", "dog")[number % 2]]]
    rows = [f"{name},{number / 4},{name[:3]}" for number, name in enumerate(names)]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["path,weight,kind", *rows]))
    dataset = ImageFiles(folder, table, label="kind")
    assert dataset.classes == ("cat", "dog")
    batch = dataset.next_batch(12).load()
    assert [image.shape for image in batch.images] == [(40 + k, 60 + k, 3) for k in range(12)]
    assert batch.labels.tolist() == [0, 1] * 6
    numbers = ImageFiles(folder, table, task="regression")
    assert numbers.next_batch(12).labels.tolist() == [k / 4 for k in range(12)]
    assert not hasattr(numbers, "num_classes")
    with pytest.raises(ValueError, match=r"labels\.csv, column weight: .*such as 0\.25.*task=regression"):
        ImageFiles(folder, table)
    Image.new("RGB", (9, 9)).save(folder / "cat" / "more.png")
    with pytest.raises(
        ValueError, match=r"1 of the 13 pictures of .* are not in the table, such as .*more\.png"
    ):
        ImageFiles(f"{folder}/**/*", table, label="kind")


def test_paths_that_are_not_there_are_named(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("path,kind\ncat/0.jpg,a\ncat/99.jpg,b\n")
    with pytest.raises(
        FileNotFoundError, match=r"labels\.csv, column path: 1 of 2 .*cat/99\.jpg.*path=FOLDER"
    ):
        ImageFiles(folder, table)
    table.write_text("path,kind\ncat/0.jpg,a\ncat/0.jpg,b\n")
    with pytest.raises(ValueError, match=r"'cat/0\.jpg' is there twice"):
        ImageFiles(folder, table)


def test_a_table_gives_features_and_classes(iris: Path) -> None:
    dataset = Table(iris, "kind", strict=True)
    want = load_iris()
    assert dataset.classes == tuple(want.target_names)
    assert dataset.train.features == tuple(want.feature_names)
    batch = dataset.next_batch(150)
    assert isinstance(batch, RowsBatch)
    np.testing.assert_array_equal(batch.features, want.data.astype(np.float32))
    np.testing.assert_array_equal(batch.labels, want.target)
    assert [
        np.bincount(part.next_batch(len(part)).labels).tolist() for part in (dataset.train, dataset.test)
    ] == [
        [40] * 3,
        [10] * 3,
    ]
    mean, std = want.data.mean(0), want.data.std(0)
    np.testing.assert_allclose(batch.normalize(mean, std).features, (want.data - mean) / std, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"which column is the target\? target=NAME, one of sepal"),
        ({"target": "kinds"}, "unknown column 'kinds' of .*did you mean 'kind'"),
        (
            {"target": "sepal width (cm)", "ignore": "kind"},
            r"sepal width \(cm\): labels are numbers such as .*task=regression",
        ),
        ({"target": "kind", "missing": "drop"}, "'raise', 'leave_out' or 'fill', got 'drop'"),
        ({"target": "kind", "task": "regression"}, "'setosa' is no number"),
        (
            {"target": "kind", "task": "both"},
            "'classification', 'regression' or 'reconstruction', got 'both'",
        ),
    ],
)
def test_what_a_table_lacks_is_said(iris: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, KeyError), match=message):
        Table(iris, **options)


def test_rows_with_gaps_are_named_or_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,y,part\n1,2,u,train\n3,,v,train\n5,6,v,train\n7,8,u,test\n9,9,v,test\n")
    with pytest.raises(ValueError, match=r"t\.csv: row 2 has no value in the column 'b'.*missing=leave_out"):
        Table(path, "y", part="part")
    dataset = Table(path, "y", part="part", missing="leave_out")
    assert dataset.train.next_batch(2).features.tolist() == [[1, 2], [5, 6]]
    assert (dataset.features, len(dataset.test)) == (("a", "b"), 2)
    rows = Table.unlabelled(path, features=["a"], target="y")
    assert rows.next_batch(5).features[:, 0].tolist() == [1, 3, 5, 7, 9]


ROWS = [f"{number},{number % 3},{'ab'[number % 2]}" for number in range(20)]
STRANGE = {
    "a value more than names": (
        ["x,z,y", *(f"{row},7" for row in ROWS)], {},
        "rows have more values between ',' than the first line has names",
    ),
    "decimal commas": (
        ["x;y", *(f"1.{100 + number % 2},5;{number % 2}" for number in range(20))], {},
        r"'x' holds numbers with a comma, such as '1\.100,5': write them with a point, '1100\.5'",
    ),
    "the target among the features": (["x,z,y", *ROWS], {"features": ["x", "y"]}, "has 'y', which is"),
    "parts among the features": (
        ["x,z,y", *(f"{n},{('train', 'test')[n % 3 // 2]},{n % 2}" for n in range(20))],
        {"features": ["x", "z"], "part": "z"}, "features has 'z', which is the target, the column of parts",
    ),
    "a feature that is ignored": (
        ["x,z,y", *ROWS], {"features": ["x"], "ignore": "x"}, "features has 'x', .* or ignored",
    ),
    "no feature left": (
        ["x,z,y", *ROWS], {"ignore": ["x", "z"]}, "x, z, y are the target, .*: none is left to learn from",
    ),
    "numbers that no float32 holds": (
        ["x,y", *(f"{number},{10.0 ** (2 * number)}" for number in range(21))], {"task": "regression"},
        "row 21 holds a number too large for float32, more than 3.40282e",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("lines", "options", "message"), STRANGE.values(), ids=STRANGE)
def test_what_would_be_learnt_wrong_is_refused(tmp_path: Path, lines, options, message: str) -> None:
    """Each was learnt without a word: columns that had moved, numbers as texts, the answer as a feature."""
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=message):
        Table(tmp_path / "t.csv", "y", **options)


@pytest.mark.parametrize("strange", [np.inf, 1e20])
def test_a_number_that_is_none_of_a_class_is_refused(strange: float) -> None:
    with pytest.raises(ValueError, match="is no number of a class; write classes as texts"):
        number_labels([1.0, strange, 1.0, 3 * strange], "labels.npy")


def test_tables_of_other_programs_are_read_or_told(tmp_path: Path) -> None:
    (tmp_path / "quoted.csv").write_text("\n".join(['"a;b;c;d",z,y', *ROWS]))
    assert Table(tmp_path / "quoted.csv", "y").features == ("a;b;c;d", "z")
    (tmp_path / "ends.csv").write_text("\n".join(["x,z,y", *(f"{row}," for row in ROWS)]))
    ends = Table(tmp_path / "ends.csv", "y")
    assert (ends.features, ends.classes) == (("x", "z"), ("a", "b")), "a separator ends each row"
    (tmp_path / "latin.csv").write_text("\n".join(["x,z,y", *ROWS, "1,2,é"]), encoding="latin-1")
    with pytest.raises(
        ValueError, match=r"latin\.csv can't be read: byte 0xe9 is no UTF-8; save .* in UTF-8"
    ):
        Table(tmp_path / "latin.csv", "y")
    (tmp_path / "comma.csv").write_text("\n".join(["x;y", *(f"{n % 3},5;{n % 2}" for n in range(20))]))
    asked = Table(tmp_path / "comma.csv", "y", categories=["x"])
    assert asked.columns == ("x=0,5", "x=1,5", "x=2,5")
    (tmp_path / "new.csv").write_text("x,z\n1.5,2\n,3\n2.5,two\n3,4\n")
    with pytest.raises(ValueError, match=r"new\.csv: the column 'z' holds texts such as 'two' \(row 3\)"):
        Table.unlabelled(tmp_path / "new.csv", features=["x", "z"], missing="leave_out")
    (tmp_path / "paths.csv").write_text("file,label\na.png,1\n,2\n")
    with pytest.raises(ValueError, match=r"paths\.csv, column file: row 2 has no path"):
        ImageFiles(labels=tmp_path / "paths.csv")


def test_arrays_are_rows_or_pictures(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(20.0).reshape(10, 2))
    np.save(tmp_path / "p.npy", np.zeros((10, 8, 8), np.uint8))
    np.save(tmp_path / "y.npy", np.array(["u", "v"] * 5))
    rows = ArrayFiles(tmp_path / "x.npy", tmp_path / "y.npy")
    assert rows.classes == ("u", "v")
    assert rows.next_batch(3).features.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert ArrayFiles(tmp_path / "p.npy", tmp_path / "y.npy").train.next_batch(2).images.shape == (2, 8, 8)
    np.save(tmp_path / "y.npy", np.zeros(9))
    with pytest.raises(ValueError, match=r"y\.npy: labels of shape \(9,\) for 10 items of .*x\.npy"):
        ArrayFiles(tmp_path / "x.npy", tmp_path / "y.npy")


def test_labels_are_numbered_in_their_own_order() -> None:
    numbers, classes = number_labels([10, 2, 10, 2], "it")
    assert (numbers.tolist(), classes) == ([1, 0, 1, 0], ("2", "10"))
    with pytest.raises(ValueError, match="all 2 items have the label 'a'"):
        number_labels(["a", "a"], "it")
    with pytest.raises(ValueError, match="row 2 has no label"):
        number_labels(np.array(["a", None, "b", "a"], object), "it")


@pytest.mark.parametrize("cls", PictureSet.__subclasses__())
def test_any_set_of_pictures_lists_new_ones_to_predict_for(cls: type[PictureSet], tmp_path: Path) -> None:
    for name in ("a/1.png", "2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 5, 3), 9, np.uint8)).save(tmp_path / name)
    found = cls.unlabelled(tmp_path, size="160", shares=0.8, classes=["x"])
    assert len(found) == 2
    assert not {"labels", "masks"} & set(found.preloaded)
    assert found.next_batch(2).load().images[0].shape == (4, 5, 3)
