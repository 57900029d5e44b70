"""Pictures beside masks: what is found, what masks mean, and what is told at once; held against Pillow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bf_batch import ImagesBatch
from bf_batch.errors import ItemError
from bf_batch.opensets import Coins, ImageMasks, MasksBatch
from bf_batch.opensets.own.mask_labels import MaskLabels, choose_palette
from bf_pipeline import Pipeline

SIZE = (20, 30)
PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0, *[9] * (3 * 253)]
ROAD, SKY, EDGE = (128, 64, 128), (70, 130, 180), (255, 255, 255)


def draw(seed: int, values: Any = (0, 1, 2)) -> np.ndarray:
    """Return a mask of blocks of 5 x 5 of some values, with all of them."""
    rng = np.random.default_rng(seed)
    blocks = rng.permutation(np.resize(np.arange(len(values)), 24)).reshape(4, 6)
    return np.asarray(values)[np.kron(blocks, np.ones((5, 5), int))]


def write(path: Path, array: np.ndarray, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(array.astype(bool) if array.dtype == bool else array)
    if palette:
        picture.putpalette(PALETTE)
    picture.save(path)


def make(root: Path, count: int = 10, values: Any = (0, 1, 2), palette: bool = False, **names: str) -> Path:
    """Write pictures to ``root/photos`` and masks to ``root/masks``."""
    photo, mask = names.get("photo", "photos/{}.jpg"), names.get("mask", "masks/{}.png")
    for number in range(count):
        write(root / photo.format(number), np.full((*SIZE, 3), 20 * number, np.uint8))
        array = draw(number, values)
        write(root / mask.format(number), array if array.dtype == bool else array.astype(np.uint8), palette)
    return root


def read(dataset: Any, size: int = 100) -> dict[str, np.ndarray]:
    """Return the masks of a data set as its batches have them, by id."""
    batch = dataset.next_batch(min(size, len(dataset))).load().load_masks()
    assert batch.find_sizes("masks").tolist() == [list(SIZE)] * len(batch)
    return {str(name): np.asarray(mask) for name, mask in zip(batch.indices, batch.masks)}


@pytest.mark.parametrize("palette", [True, False])
def test_folders_beside_each_other_are_pairs_by_their_names(tmp_path: Path, palette: bool) -> None:
    make(tmp_path, palette=palette)
    dataset = ImageMasks(tmp_path / "photos", tmp_path / "masks")
    assert dataset.classes == ("0", "1", "2")
    assert (len(dataset.train), len(dataset.test)) == (8, 2)
    assert issubclass(dataset.batch_class, MasksBatch)
    masks = read(dataset)
    assert sorted(masks) == sorted(f"{number}.jpg" for number in range(10))
    for name, mask in masks.items():
        want = np.asarray(Image.open(tmp_path / "masks" / Path(name).with_suffix(".png")))
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, want)
    assert dataset.palette == (["#000000", "#800000", "#008000"] if palette else choose_palette(3))
    np.testing.assert_array_equal(
        dataset.pixels, [np.bincount(masks[str(name)].ravel(), minlength=3) for name in dataset.indices]
    )


@pytest.mark.parametrize(
    ("photo", "mask", "ids", "parts"),
    [
        ("photos/{}.jpg", "masks/{}_mask.png", "0.jpg", {}),
        ("data/a/b{}/im.png", "data/a/b{}/seg.png", "a/b0/im.png", {}),
        ("train/images/{}.jpg", "train/masks/{}.png", "train/images/0.jpg", {"train": 8, "test": 2}),
    ],
)
def test_patterns_are_pairs_by_what_their_stars_match(
    tmp_path: Path, monkeypatch, photo: str, mask: str, ids: str, parts: dict[str, int]
) -> None:
    monkeypatch.chdir(make(tmp_path, photo=photo, mask=mask))
    patterns = {
        "photos/{}.jpg": ("photos/*.jpg", "masks/*_mask.png"),
        "data/a/b{}/im.png": ("data/**/im.png", "data/**/seg.png"),
        "train/images/{}.jpg": ("*/images/*.*", "*/masks/*.png"),
    }[photo]
    dataset = ImageMasks(*patterns)
    assert len(dataset) == 10
    assert str(sorted(dataset.indices)[0]) == ids
    assert {name: len(getattr(dataset, name)) for name in parts} == parts
    for name, path in dataset.mask_files.paths.items():
        own = dataset.index.fullpath(name)
        assert re.findall(r"b?(\d+)", own)[-1] == re.findall(r"b?(\d+)", path)[-1]


def test_folders_of_parts_are_parts(tmp_path: Path) -> None:
    for part, count in (("train", 6), ("val", 3), ("test", 2)):
        make(tmp_path, count, photo=f"photos/{part}/{{}}.jpg", mask=f"masks/{part}/{{}}.png")
    dataset = ImageMasks(tmp_path / "photos", tmp_path / "masks")
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [6, 3, 2]
    assert {str(name).split("/")[0] for name in dataset.validation.indices} == {"val"}


def test_a_table_names_pairs_and_parts(tmp_path: Path) -> None:
    make(tmp_path, 6)
    rows = [f"photos/{k}.jpg,masks/{5 - k}.png,{'test' if k > 3 else 'train'}" for k in range(6)]
    (tmp_path / "pairs.csv").write_text("\n".join(["photo,seg,fold", *rows]))
    dataset = ImageMasks(table=tmp_path / "pairs.csv", part="fold")
    assert (len(dataset.train), len(dataset.test)) == (4, 2)
    np.testing.assert_array_equal(read(dataset)["photos/1.jpg"], draw(4))
    other = ImageMasks(tmp_path, table=tmp_path / "pairs.csv", file="photo", mask="seg")
    assert other.mask_files.fullpath("photos/1.jpg") == str(tmp_path / "masks/4.png")


@pytest.mark.parametrize(
    ("values", "options", "names", "labels"),
    [
        ((0, 255), {}, ("0", "255"), (0, 1)),
        ((0, 255), {"classes": ["table", "coin"]}, ("table", "coin"), (0, 1)),
        ((False, True), {"classes": 2}, ("0", "1"), (0, 1)),
        ((0, 1, 255), {}, ("0", "1"), (0, 1, 255)),
        ((0, 1, 255), {"ignore": None}, ("0", "1", "255"), (0, 1, 2)),
        ((0, 1, 9), {"ignore": 9}, ("0", "1"), (0, 1, 255)),
        ((7, 11, 26), {}, ("7", "11", "26"), (0, 1, 2)),
        ((7, 11, 26), {"classes": {"road": 11, "car": 7}, "others": "ignore"}, ("road", "car"), (1, 0, 255)),
        ((1, 2, 0), {"classes": {"a": 1, "b": 2}, "ignore": 0}, ("a", "b"), (0, 1, 255)),
        ((0, 1), {"classes": 4, "scan": False}, ("0", "1", "2", "3"), (0, 1)),
    ],
)
def test_numbers_in_masks_are_classes(tmp_path: Path, values, options, names, labels) -> None:
    make(tmp_path, 4, values)
    dataset = ImageMasks(tmp_path / "photos", tmp_path / "masks", **options)
    assert dataset.classes == names
    for name, mask in read(dataset).items():
        np.testing.assert_array_equal(mask, draw(int(name[0]), labels))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_in_masks_are_classes(tmp_path: Path, mode: str) -> None:
    colours = np.array([ROAD, SKY, EDGE], np.uint8)
    for number in range(4):
        write(tmp_path / "photos" / f"{number}.jpg", np.zeros((*SIZE, 3), np.uint8))
        (tmp_path / "masks").mkdir(exist_ok=True)
        picture = Image.fromarray(colours[draw(number)])
        if mode == "P":
            picture = Image.fromarray(draw(number).astype(np.uint8))
            picture.putpalette(colours.tobytes())
        picture.convert(mode).save(tmp_path / "masks" / f"{number}.png")
    said = {"road": "#804080", "sky": [70, 130, 180]}
    dataset = ImageMasks(tmp_path / "photos", tmp_path / "masks", classes=said, ignore="#ffffff")
    assert dataset.palette == ["#804080", "#4682b4"]
    assert dataset.mask_labels.legend == {"road": "#804080", "sky": "#4682b4"}
    for name, mask in read(dataset).items():
        np.testing.assert_array_equal(mask, draw(int(name[0]), (0, 1, 255)))
    if mode != "P":  # there the numbers of the palette are the classes
        found = ImageMasks(tmp_path / "photos", tmp_path / "masks")
        assert found.classes == ("#4682b4", "#804080", "#ffffff")
        again = ImageMasks(tmp_path / "photos", tmp_path / "masks", classes=found.mask_labels.legend)
        np.testing.assert_array_equal(read(again)["1.jpg"], read(found)["1.jpg"])


def test_greys_in_three_channels_are_numbers_and_wide_numbers_are_read(tmp_path: Path) -> None:
    make(tmp_path, 3)
    write(tmp_path / "masks" / "0.png", np.repeat(draw(0)[..., None], 3, 2).astype(np.uint8))
    write(tmp_path / "masks" / "1.png", draw(1, (0, 1, 2)).astype(np.uint16))
    masks = read(ImageMasks(tmp_path / "photos", tmp_path / "masks"))
    for number in range(3):
        np.testing.assert_array_equal(masks[f"{number}.jpg"], draw(number))


def test_new_pictures_have_no_masks(tmp_path: Path) -> None:
    make(tmp_path)
    new = ImageMasks.unlabelled(tmp_path / "photos", masks="nowhere", classes=3)
    assert len(new) == 10
    batch = new.next_batch(2).load()
    assert batch.find_sizes().tolist() == [list(SIZE)] * 2
    with pytest.raises(ValueError, match="the data set has no masks"):
        batch.load_masks()


def test_masks_move_with_their_pictures_to_the_nearest_pixel(tmp_path: Path) -> None:
    """A picture that shows its mask shows it after all steps, but where neighbours are blended."""
    for number in range(8):
        mask = draw(number, (0, 1)).astype(np.uint8)
        write(tmp_path / "photos" / f"{number}.png", mask * 200)
        write(tmp_path / "masks" / f"{number}.png", mask)
    dataset = ImageMasks(tmp_path / "photos", tmp_path / "masks")
    both = ["images", "masks"]
    steps = (
        Pipeline()
        .load(mode="gray")
        .load_masks()
        .rotate(20, fill={"images": 100, "masks": 255}, src=both)
        .random_resized_crop((16, 24), (0.4, 1.0), src=both)
        .flip("lr", p=0.5, src=both)
        .flip("ud", p=0.5, src=both)
    )
    batch = (steps << dataset).next_batch(8, seed=3)
    images, masks = (np.asarray(one).reshape(8, 16, 24) for one in (batch.images, batch.masks))
    assert set(np.unique(masks)) == {0, 1, 255}
    clear = np.isin(images, (0, 200))
    assert clear.mean() > 0.3
    np.testing.assert_array_equal(masks[clear] * 200, images[clear])


def test_coins_are_cuts_of_a_photo_that_share_no_pixel_between_parts() -> None:
    import skimage.data

    dataset = Coins()
    photo = skimage.data.coins().astype(int)
    for part, columns in (("train", slice(0, 250)), ("validation", slice(0, 250)), ("test", slice(250, 384))):
        data = getattr(dataset, part)
        images, masks = (np.asarray(data.rows(name, slice(0, 5))) for name in ("images", "masks"))
        assert set(np.unique(masks)) == {0, 1, 255}
        windows = np.lib.stride_tricks.sliding_window_view(photo[:, columns], (64, 64))
        assert (windows == images[0]).all((2, 3)).any()
        assert images[masks == 1].mean() > images[masks == 0].mean() + 40
    assert dataset.classes == ("background", "coin")


def break_size(root: Path) -> None:
    write(root / "masks" / "3.png", np.zeros((20, 31), np.uint8))


def break_value(root: Path) -> None:
    array = draw(3).astype(np.uint8)
    array[:2, 0] = 77
    write(root / "masks" / "3.png", array)


def make_jpeg(root: Path) -> None:
    Image.fromarray(draw(3).astype(np.uint8)).save(root / "masks" / "3.png", "JPEG")


def make_text(root: Path) -> None:
    (root / "masks" / "3.png").write_text("no picture")


def remove_mask(root: Path) -> None:
    (root / "masks" / "3.png").unlink()


def add_mask(root: Path) -> None:
    write(root / "masks" / "99.png", draw(1).astype(np.uint8))


def rename_masks(root: Path) -> None:
    for file in (root / "masks").iterdir():
        file.rename(file.with_stem(f"{file.stem}_mask"))


def twin(root: Path) -> None:
    write(root / "photos" / "3.png", np.zeros((*SIZE, 3), np.uint8))


def number_objects(root: Path) -> None:
    for number in range(10):
        write(root / "masks" / f"{number}.png", np.arange(600).reshape(SIZE).astype(np.uint16))


def blank(root: Path) -> None:
    for number in range(10):
        write(root / "masks" / f"{number}.png", np.zeros(SIZE, np.uint8))


def empty(root: Path) -> None:
    for file in (root / "photos").iterdir():
        file.unlink()


def nothing(root: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("spoil", "options", "words"),
    [
        (break_size, {}, r"1 of 10 masks have another size.*masks/3\.png is 20 x 31, its picture 20 x 30"),
        (break_size, {"scan": False, "classes": 3}, r"masks/3\.png is 20 x 31"),
        (break_value, {"classes": 3}, r"masks/3\.png has the number 77 \(2 pixels\), which is no class"),
        (make_jpeg, {}, r"masks/3\.png: it is a JPEG file, which does not keep"),
        (make_text, {}, r"masks/3\.png.*not a picture"),
        (remove_mask, {}, r"1 of 10 pictures have no mask, such as .*photos/3\.jpg.*unmatched=leave_out"),
        (add_mask, {}, r"1 of 11 masks have no picture, such as .*masks/99\.png"),
        (rename_masks, {}, r"10 of 10 pictures have no mask.*masks='masks/\*_mask\.png'"),
        (twin, {}, r"photos/3\.jpg and .*photos/3\.png have one name up to the ending"),
        (number_objects, {}, r"599 different numbers \(0, 1, .*numbers of objects"),
        (blank, {}, r"all pixels of all masks are 0; nothing to tell apart"),
        (empty, {}, "no pictures match .*photos"),
        (nothing, {"classes": ["a"]}, "there are 1 classes"),
        (nothing, {"classes": ["a", "a", "b"]}, "two have one name"),
        (nothing, {"classes": {"a": 1, "b": 1}}, "two classes have one value"),
        (nothing, {"classes": {"a": 0, "b": "#010203"}}, "numbers or colours, not both"),
        (nothing, {"classes": {"a": 0, "b": "red"}}, "'red' stands for nothing in a mask"),
        (nothing, {"classes": 3, "ignore": 2}, "the number 2 is the class '2' and takes no part"),
        (nothing, {"classes": 3, "ignore": "#ffffff"}, "the masks have numbers"),
        (nothing, {"classes": {"a": 90, "b": 91}}, "no mask has any of the classes"),
        (nothing, {"classes": {"a": 0, "b": 91}, "others": "ignore"}, "all pixels that take part are of 'a'"),
        (nothing, {"classes": "abc"}, "how many, a list of names"),
        (nothing, {"others": "drop"}, "others must be 'raise' or 'ignore'"),
        (nothing, {"unmatched": "drop"}, "unmatched must be"),
        (nothing, {"palette": ["#000000"]}, "a colour as '#804080' for each of the 3 classes"),
        (nothing, {"scan": False}, "say which classes there are"),
        (nothing, {"table": "t.csv"}, "masks and table both say"),
        (nothing, {"masks": None}, "where are pictures and masks"),
        (nothing, {"masks": "nowhere"}, "masks: no folder nowhere"),
    ],
)
def test_what_is_wrong_is_named_at_once(tmp_path: Path, spoil, options, words) -> None:
    make(tmp_path)
    spoil(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        ImageMasks(**{"path": tmp_path / "photos", "masks": tmp_path / "masks", **options})


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("photo,seg\nphotos/0.jpg,masks/0.png\nphotos/0.jpg,masks/1.png", "'photos/0.jpg' is there twice"),
        (
            "photo,seg\nphotos/0.jpg,masks/0.png\nphotos/1.jpg,masks/x.png",
            r"1 of 2 files are not there.*x\.png",
        ),
        ("photo,seg\nphotos/0.jpg,masks/0.png\nphotos/1.jpg,", "column seg: row 2 has no path"),
        ("photo\nphotos/0.jpg", "columns of pictures and masks are needed"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(tmp_path: Path, table: str, words: str) -> None:
    make(tmp_path, 2)
    (tmp_path / "pairs.csv").write_text(table)
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        ImageMasks(table=tmp_path / "pairs.csv")


def test_what_has_no_partner_and_what_is_no_picture_is_left_out_when_asked(tmp_path: Path) -> None:
    make(tmp_path)
    remove_mask(tmp_path)
    add_mask(tmp_path)
    (tmp_path / "photos" / "5.jpg").write_text("no picture")
    (tmp_path / "masks" / "6.png").write_text("no picture")
    dataset = ImageMasks(
        tmp_path / "photos", tmp_path / "masks", unmatched="leave_out", unreadable="leave_out"
    )
    assert sorted(map(str, dataset.indices)) == [f"{number}.jpg" for number in (0, 1, 2, 4, 7, 8, 9)]
    np.testing.assert_array_equal(read(dataset)["8.jpg"], draw(8))


def test_a_class_that_is_nowhere_to_train_on_is_refused_when_strict(tmp_path: Path) -> None:
    make(tmp_path / "a", 4, (0, 1), photo="photos/train/{}.jpg", mask="masks/train/{}.png")
    make(tmp_path / "a", 2, (0, 2), photo="photos/test/{}.jpg", mask="masks/test/{}.png")
    folders = (tmp_path / "a" / "photos", tmp_path / "a" / "masks")
    with pytest.raises(ValueError, match="no picture to train on has pixels of '2'"):
        ImageMasks(*folders, strict=True)
    assert ImageMasks(*folders).num_classes == 3


def test_a_number_that_is_no_class_is_named_when_a_mask_is_read(tmp_path: Path) -> None:
    make(tmp_path)
    break_value(tmp_path)
    dataset = ImageMasks(tmp_path / "photos", tmp_path / "masks", classes=3, scan=False)
    with pytest.raises(
        ItemError, match=r"masks/3\.png: it has the number 77 \(2 pixels\), which is no class"
    ):
        read(dataset)


def test_labels_are_read_by_every_way_alike() -> None:
    stored = np.array([[0, 7], [9, 255]])
    labels = MaskLabels(("a", "b"), (0, 7), 255, others="ignore")
    for dtype in (np.uint8, np.uint16, np.int32):
        assert labels.read(stored.astype(dtype)).tolist() == [[0, 1], [255, 255]]
    plain = MaskLabels(("a", "b"), (0, 1), 255, others="ignore")
    assert plain.read(np.array([[0, 1], [5, 255]], np.uint8)).tolist() == [[0, 1], [255, 255]]
    with pytest.raises(ValueError, match="the number 5"):
        MaskLabels(("a", "b"), (0, 1), 255).read(np.array([[0, 5]], np.uint8))
    with pytest.raises(ValueError, match="a mask of colours"):
        plain.read(np.eye(3, dtype=np.uint8)[None])


def test_sizes_are_known_before_pixels_are() -> None:
    pictures = [np.zeros((4, 5), np.uint8), np.zeros((6, 8), np.uint8)]
    batch = ImagesBatch(2, preloaded={"images": pictures})
    assert batch.find_sizes().tolist() == [[4, 5], [6, 8]]
    assert batch.resize((10, None)).find_sizes().tolist() == [[10, 12], [10, 13]]
    assert batch.crop((3, 3)).find_sizes().tolist() == [[3, 3], [3, 3]]
    with pytest.raises(ValueError, match="find_sizes"):
        batch.find_sizes("masks")
