"""The table of all image actions is that of the code, and what it says of each action is so."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from bf_batch import ImagesBatch

ROOT = Path(__file__).resolve().parents[2]


def _load(name: str) -> ModuleType:
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


TABLE, PICTURES = _load("image_actions"), _load("action_pictures")
ARGUMENTS = {
    "add": (0.1,),
    "adjust_gamma": (2.0,),
    "adjust_hue": (0.1,),
    "blur": (1.0,),
    "clip": (10, 200),
    "crop": ((9, 9),),
    "cutmix": (1.0, 3),
    "cutout": ((3, 3),),
    "denormalize": (0.5, 0.5),
    "dequantize": (-1, 1),
    "filter": ("sharpen",),
    "fit": ((9, 9),),
    "mixup": (0.2, 3),
    "normalize": (0.5, 0.5),
    "pad": (2,),
    "put_on_background": (np.zeros((20, 24, 3), np.uint8),),
    "quantize": (0, 255, "uint8"),
    "random_resized_crop": ((9, 9),),
    "resize": ((9, 9),),
    "rotate": (30,),
    "shear": (20,),
    "shift": ((2, 3),),
    "split_to_patches": ((8, 8),),
    "stitch_patches": (),
    "transform": ([[1, 0, 2], [0.1, 1, 3]],),
}
FACTORS = ("adjust_", "enhance", "multiply", "multiplicative_noise", "noise", "scale")
NAMES = [name for name in TABLE.actions() if name != "load_images"]
OTHERS = {"masks": 2, "boxes": 4, "keypoints": 2}


class Detection(ImagesBatch):
    components = "images", "labels", "masks", "boxes", "keypoints"


def make() -> Detection:
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    return Detection(
        3,
        preloaded={
            "images": images,
            "labels": np.arange(3),
            "masks": images[..., 0] // 128,
            "boxes": [np.array([[2.0, 3, 9, 12]])] * 3,
            "keypoints": [np.array([[4.0, 5.0]])] * 3,
        },
    )


def arguments(name: str) -> tuple[object, ...]:
    return ARGUMENTS.get(name) or ((1.2,) if name.startswith(FACTORS) else ())


def test_table_of_the_page_is_that_of_the_code():
    text = TABLE.PAGE.read_text()
    assert TABLE.table() in text, "run python tools/image_actions.py"


@pytest.mark.parametrize("name", NAMES)
def test_what_the_table_says_of_joining_and_following_is_so(name: str):
    batch = make()
    if name == "stitch_patches":
        batch = batch.split_to_patches((8, 8))
    done = getattr(batch.copy(), name)(*arguments(name))
    waits = hasattr(done.peek("images"), "matrices")
    if name not in ("rand_augment", "trivial_augment"):  # which may draw a step of colour last
        assert waits == (name in TABLE._joining())
    if TABLE.FOLLOW.get(name) == TABLE.EVERYTHING:
        moved = getattr(make(), name)(*arguments(name), src=["images", *OTHERS])
        assert [len(getattr(moved, other)) for other in OTHERS] == [len(moved)] * 3
        assert moved.masks[0].shape == moved.images[0].shape[:2]
        assert moved.boxes[0].shape == (1, 4)
    elif "src" in TABLE.inspect.signature(getattr(ImagesBatch, name)).parameters and name not in (
        "mixup",
        "cutmix",
    ):
        with pytest.raises(ValueError, match="'boxes' are boxes, not pictures"):
            getattr(batch, name)(*arguments(name), src=["images", "boxes"]).to_dict()


def test_each_action_has_a_picture_and_no_other_thing_has() -> None:
    assert sorted(PICTURES.CALLS) == TABLE.actions()
    paths = list(PICTURES.FOLDER.iterdir())
    assert sorted(path.name for path in paths) == [f"{name}.webp" for name in TABLE.actions()]
    assert sum(path.stat().st_size for path in paths) < 300_000


@pytest.mark.parametrize("name", TABLE.actions())
def test_picture_of_an_action_is_what_it_does_now(name: str) -> None:
    drawn = np.asarray(PICTURES.draw(name)).astype(float)
    with Image.open(PICTURES.FOLDER / f"{name}.webp") as opened:
        kept = np.asarray(opened.convert("RGBA")).astype(float)
    assert kept.shape == drawn.shape
    shown = (drawn[..., 3] > 0) & (kept[..., 3] > 0)
    assert shown.mean() > 0.5
    # a lossy file changes a few levels, of noise some ten
    assert np.abs(kept - drawn)[shown].mean() < 12, "run python tools/image_actions.py"


@pytest.mark.parametrize("name", [name for name in NAMES if name not in PICTURES.SAME])
def test_one_sees_what_an_action_does(name: str) -> None:
    before, after = PICTURES.apply(name)
    one, other = before[0].astype(float), after[0].astype(float)
    assert one.shape != other.shape or np.abs(one - other).mean() > 4


@pytest.mark.parametrize("name", sorted(PICTURES.SAME))
def test_what_changes_numbers_alone_looks_the_same(name: str) -> None:
    before, after = PICTURES.apply(name)
    np.testing.assert_array_equal(before, after)
