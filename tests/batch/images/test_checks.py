"""What holds no pictures is refused by every action, with the item, the component and the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bf_batch import Dataset, ImagesBatch
from bf_batch.errors import ItemError
from bf_index import DatasetIndex

GOOD = np.arange(90, dtype=np.uint8).reshape(5, 6, 3)
IDS = ["x.png", "y.png", "z.png"]
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(["adjust_brightness", "adjust_contrast", "adjust_gamma", "adjust_saturation"], (1.2,)),
    **dict.fromkeys(["adjust_sharpness", "multiply", "blur", "add", "pad", "shift"], (1,)),
    **dict.fromkeys(["crop", "resize", "fit", "random_resized_crop", "cutout"], ((3, 3),)),
    **dict.fromkeys(["rotate", "shear"], (10,)),
    **dict.fromkeys(["mixup", "cutmix"], (1.0, 3)),
    **dict.fromkeys(["denormalize", "dequantize"], (0, 1)),
    "adjust_hue": (0.1,),
    "clip": (10, 200),
    "enhance": (1.2,),
    "filter": ("sharpen",),
    "multiplicative_noise": (0.1,),
    "noise": (0.1,),
    "posterize": (3,),
    "put_on_background": (np.zeros((8, 8, 3), np.uint8),),
    "quantize": (0, 255, "uint8"),
    "scale": (0.5,),
    "split_to_patches": ((5, 6),),
    "transform": (((1, 0, 1), (0, 1, 0)),),
}
OTHERS = {"add_attributes", "add_components", "apply", "apply_parallel", "load", "load_images", "dump"}
OTHERS.add("stitch_patches")  # which needs a component besides pictures
ACTIONS = sorted(set(ImagesBatch.actions) - OTHERS)


def objects(*items: Any) -> np.ndarray:
    made = np.empty(len(items), dtype=object)
    for number, item in enumerate(items):
        made[number] = item
    return made


def among(item: Any) -> np.ndarray:
    return objects(GOOD, item, GOOD)


def as_palette() -> Image.Image:
    return Image.fromarray(GOOD).convert("P", palette=Image.Palette.ADAPTIVE)


class Broken:
    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise OSError("cut \x1b off")


FIELDS = np.dtype([("r", "u1"), ("g", "u1")])
ITEMS = {
    "text": ("a.png", "holds a str, 'a.png'"),
    "path": (Path("a.png"), "load_images"),
    "bytes": (b"abc", "holds a bytes, b'abc'"),
    "none": (None, "holds None; .*; load it first"),
    "dict": ({"a": 1}, r"holds a dict, \{'a': 1\}"),
    "number": (1, "holds a int, 1"),
    "0-d": (np.array(1), r"holds an array of shape \(\) and dtype int64"),
    "vector": (GOOD[0, 0], r"shape \(3,\) and dtype uint8"),
    "volume": (GOOD[None], r"shape \(1, 5, 6, 3\)"),
    "list": ([1, 2], r"holds a list, \[1, 2\]"),
    "ragged list": ([[1, 2], [3]], r"holds a list \(ValueError"),
    "pixels of objects": (GOOD.astype(object), r"dtype object; .*astype\('uint8'\)"),
    "no row": (GOOD[:0], r"shape \(0, 6, 3\)"),
    "no column": (GOOD[:, :0], r"shape \(5, 0, 3\)"),
    "no channel": (GOOD[..., :0], r"shape \(5, 6, 0\)"),
    "complex": (GOOD * 1j, "dtype complex128; .*abs"),
    "fields": (np.zeros((5, 6), FIELDS), "take the fields as channels"),
    "void": (np.zeros((5, 6), "V3"), r"dtype \|V3"),
    "dates": (np.zeros((5, 6), "M8[s]"), "dtype datetime64"),
    "spans": (np.zeros((5, 6), "m8[s]"), "dtype timedelta64"),
    "letters": (np.full((5, 6), "a"), "dtype <U1"),
    "palette": (as_palette(), r"a Pillow image of places in a palette; .*convert\('RGB'\)"),
    "broken": (Broken(), r"holds a Broken \(OSError: cut \\x1b off\)"),
}


def make(images: Any) -> ImagesBatch:
    index = DatasetIndex(IDS)
    batch = Dataset(index, ImagesBatch, preloaded={"images": images, "labels": [0, 1, 2]}).next_batch(
        3, seed=5
    )
    assert isinstance(batch, ImagesBatch)
    return batch


def call(batch: ImagesBatch, name: str) -> Any:
    return getattr(batch, name)(*ARGUMENTS.get(name, ())).images


def test_there_are_actions_to_test() -> None:
    assert len(ACTIONS) > 30
    for name in ACTIONS:
        assert len(call(make(np.stack([GOOD] * 3)), name)) == 3


@pytest.mark.parametrize("kind", ITEMS)
def test_an_item_that_is_no_picture_is_refused_by_every_action(kind: str) -> None:
    item, reason = ITEMS[kind]
    for name in ACTIONS:
        own = r"\w+" if name.endswith("_augment") else name  # by which step the item is met is drawn
        expected = rf"^ImagesBatch\.{own}: item 'y.png' \(number 1 of the batch\): 'images' .*{reason}"
        with pytest.raises(ItemError, match=expected):
            call(make(among(item)), name)
    with pytest.raises(ItemError, match=rf"^ImagesBatch\.show: item 'y.png' .*'images' .*{reason}"):
        make(among(item)).show()


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (np.array(["a", "b", "c"]), r"shape \(3,\) and dtype <U1"),
        (np.arange(3.0), r"shape \(3,\) and dtype float64"),
        (np.zeros((3, 7)), r"shape \(3, 7\)"),
        (np.zeros((3, 2, 5, 6, 3), np.uint8), r"shape \(3, 2, 5, 6, 3\)"),
        (np.zeros((3, 0, 6, 3), np.uint8), r"shape \(3, 0, 6, 3\)"),
        (np.zeros((3, 5, 6, 0), np.uint8), r"shape \(3, 5, 6, 0\)"),
        (np.zeros((3, 5, 6, 3), complex), "dtype complex128; .*abs"),
        (np.zeros((3, 5, 6), FIELDS), "take the fields as channels"),
        (np.zeros((3, 5, 6), "M8[s]"), "dtype datetime64"),
        (np.full((3, 5, 6), "a"), "dtype <U1"),
    ],
)
def test_an_array_that_holds_no_pictures_is_refused_by_every_action(images: Any, reason: str) -> None:
    for name in ACTIONS:
        own = r"\w+" if name.endswith("_augment") else name
        expected = rf"^ImagesBatch\.{own}: component 'images' is an array of .*{reason}"
        with pytest.raises(ValueError, match=expected):
            call(make(images), name)


def test_masks_are_checked_by_their_own_name() -> None:
    batch = ImagesBatch(2, preloaded={"images": [GOOD, GOOD], "masks": ["a", "b"]})
    with pytest.raises(ItemError, match=r"^ImagesBatch\.flip: item 0 .*'masks' holds a str, 'a'"):
        batch.flip(src=["images", "masks"])
    with pytest.raises(ItemError, match=r"^ImagesBatch\.show: item 0 .*'masks' holds a str, 'a'"):
        batch.show()


@pytest.mark.filterwarnings("ignore:.*count as black:RuntimeWarning")
@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "I", "F"])
def test_images_of_pillow_are_their_pixels_in_every_action(mode: str) -> None:
    image = Image.fromarray(GOOD).convert(mode)
    pixels = np.asarray(image)
    colour = ["adjust_hue", "adjust_saturation", "enhance", "gray", "rgb", "rand_augment", "trivial_augment"]
    left_out = {"put_on_background"} if mode not in ("L", "RGB") else set()  # the background is bytes, RGB
    left_out |= set(colour) if mode == "LA" else set()
    for name in [name for name in ACTIONS if name not in left_out]:
        ours, by_arrays = (call(make(objects(*[one] * 3)), name) for one in (image, pixels))
        for one, other in zip(ours, by_arrays, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_list_of_pictures_of_one_size_is_mixed_as_an_array(name: str) -> None:
    stack = np.stack([GOOD, GOOD + 90, GOOD // 2])
    ours, by_array = (call(make(some), name) for some in (list(stack), stack))
    np.testing.assert_array_equal(ours, by_array)
    with pytest.raises(ValueError, match=r"\(5, 6, 3\) uint8 and \(4, 6, 3\) uint8; resize or crop"):
        call(make(among(GOOD[1:])), name)


NOT_WRITTEN = [kind for kind in ITEMS if kind not in ("palette", "broken", "ragged list")]


@pytest.mark.parametrize("kind", NOT_WRITTEN)
def test_what_is_no_picture_is_not_dumped_as_one(kind: str, tmp_path: Path) -> None:
    place = rf"item 'y.png' .*component 'images' to {tmp_path}/y.png: got an? .*; a picture is"
    with pytest.raises(ItemError, match=rf"^ImagesBatch\.dump: {place}"):
        make(among(ITEMS[kind][0])).dump(str(tmp_path), "image", src="images")
    assert not (tmp_path / "y.png").exists()


def test_numbers_that_no_file_of_pictures_holds_are_told(tmp_path: Path) -> None:
    for wide in (GOOD.astype(np.int64), GOOD[..., 0].astype(np.float32)):
        with pytest.raises(ItemError, match=r"y\.png: an array of .* can't be written as png .*fmt='npy'"):
            make(among(wide)).dump(str(tmp_path), "image", src="images")


def test_a_palette_is_dumped_with_its_colours(tmp_path: Path) -> None:
    make(among(as_palette())).dump(str(tmp_path), "image", src="images")
    colours = np.asarray(as_palette().convert("RGB"))
    with Image.open(tmp_path / "y.png") as written:
        np.testing.assert_array_equal(np.asarray(written.convert("RGB")), colours)
    assert not np.array_equal(colours[..., 0], np.asarray(as_palette()))


class Boxed(ImagesBatch):
    components = "images", "boxes"
    roles = {"boxes": "boxes"}


@pytest.mark.parametrize(
    ("boxes", "reason"),
    [
        ("left", "a str, 'left'"),
        ({"x": 1}, "a dict"),
        ([[1, 2], [3]], "a list"),
        (np.ones((1, 4)) * 1j, "a nd"),
    ],
)
def test_boxes_that_are_no_numbers_are_refused(boxes: Any, reason: str) -> None:
    batch = Boxed(2, preloaded={"images": [GOOD, GOOD], "boxes": objects(np.ones((1, 4)), boxes)})
    with pytest.raises(ValueError, match=rf"^Boxed\.boxes: item number 1 holds {reason}"):
        batch.flip(src=["images", "boxes"])


def test_salt_takes_pictures_of_bool() -> None:
    batch = make(np.zeros((3, 40, 40), bool)).salt(0.5)
    assert batch.images.dtype == bool
    assert 0.2 < batch.images.mean() < 0.3  # half of the share is pepper
