"""Pictures on backgrounds, against Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from numpy.testing import assert_array_equal
from PIL import Image

from bf_batch import ImagesBatch, ItemError, PerItem

PHOTOS = np.stack([skimage.data.astronaut()[y : y + 20, 180:210] for y in (0, 60, 120)])
GROUND = skimage.data.coffee()[:50, :70]


class Detection(ImagesBatch):
    components = "images", "masks", "labels", "boxes", "keypoints", "backgrounds"


def batch_of(pictures, kind=ImagesBatch, **others):
    return kind(len(pictures), preloaded={"images": pictures, **others})


def paste(picture, ground, corner, share=None):
    whole = Image.fromarray(ground)
    mask = None if share is None else Image.fromarray(share)
    whole.paste(Image.fromarray(picture), (corner[1], corner[0]), mask)
    return np.asarray(whole)


@pytest.mark.parametrize(
    ("origin", "corner"),
    [
        ("top_left", (0, 0)),
        ("bottom_right", (30, 40)),
        ("center", (15, 20)),
        ((7, 11), (7, 11)),
        ((-5, 60), (-5, 60)),
        ((0.5, 1.0), (15, 40)),
        ((90, 0), (90, 0)),
    ],
)
def test_pasting_equals_pillow(origin, corner):
    ours = batch_of(PHOTOS).put_on_background(GROUND, origin).images
    assert_array_equal(ours, [paste(one, GROUND, corner) for one in PHOTOS])
    floats = batch_of(PHOTOS / 255).put_on_background(GROUND / 255, origin).images
    assert_array_equal(np.rint(floats * 255), ours)


def test_masks_choose_what_is_pasted_and_pictures_of_grey_are_shares():
    masks = (PHOTOS[..., 0] > 90).astype(np.uint8)
    batch = batch_of(PHOTOS, masks=masks).put_on_background(GROUND, "center", mask="masks")
    assert_array_equal(batch.images, [paste(*both, (15, 20), one > 0) for one, *both in _with(masks)])
    shares = PHOTOS[..., 2]
    soft = batch_of(PHOTOS, Detection, backgrounds=shares).put_on_background(
        GROUND, "center", mask="backgrounds"
    )
    theirs = [paste(*both, (15, 20), one) for one, *both in _with(shares)]
    assert np.abs(soft.images.astype(int) - theirs).max() <= 1
    each = batch_of(PHOTOS).put_on_background(np.stack([GROUND] * 3), "center").images
    assert_array_equal(each[0], paste(PHOTOS[0], GROUND, (15, 20)))
    half = batch_of(PHOTOS).put_on_background(GROUND, "center", mask=np.full((20, 30), 0.5)).images
    assert np.abs(half[:, 15:35, 20:50] - (PHOTOS + GROUND[15:35, 20:50].astype(float)) / 2).max() <= 0.5


def _with(masks):
    return [(mask, photo, GROUND) for mask, photo in zip(masks, PHOTOS)]


def test_masks_boxes_and_keypoints_follow():
    batch = batch_of(
        PHOTOS,
        Detection,
        masks=np.ones((3, 20, 30), np.int32),
        boxes=[np.array([[1.0, 2, 3, 4], [0, 0, 30, 20]])] * 3,
        keypoints=[np.array([[5.0, 6.0]])] * 3,
        backgrounds=[GROUND, GROUND[:40], GROUND],
    )
    everything = ["images", "masks", "boxes", "keypoints"]
    batch.put_on_background(
        "backgrounds", PerItem([(10, 20), (-10, -20), (0, 0)]), src=everything, p=PerItem([1, 1, 0])
    )
    assert [mask.sum() for mask in batch.masks] == [600, 100, 600]
    assert batch.masks[0][10:30, 20:50].all()
    assert batch.boxes[0].tolist() == [[21, 12, 23, 14], [20, 10, 50, 30]]
    assert batch.boxes[1].tolist() == [[0, 0, 0, 0], [0, 0, 10, 10]]
    assert batch.keypoints[0].tolist() == [[25, 16]]
    assert_array_equal(batch.images[1][:10, :10], PHOTOS[1, 10:, 20:])
    assert_array_equal(batch.images[2], PHOTOS[2])
    assert batch.boxes[2].tolist() == [[1, 2, 3, 4], [0, 0, 30, 20]]


def test_random_places_lie_within_the_background_and_depend_on_the_seed():
    def make(seed):
        batch = ImagesBatch(3, preloaded={"images": np.ones((3, 4, 5), np.uint8)}, seed=seed)
        return batch.put_on_background(np.zeros((9, 9), np.uint8)).images

    assert (make(1).sum(axis=(1, 2)) == 20).all()
    assert_array_equal(make(1), make(1))
    assert (make(1) != make(2)).any()


def test_channels_are_repeated_where_one_has_a_single_one():
    grey = batch_of(PHOTOS[..., 0]).put_on_background(GROUND, "top_left").images
    assert grey.shape == (3, 50, 70, 3)
    assert_array_equal(grey[:, :20, :30], np.repeat(PHOTOS[..., :1], 3, axis=3))
    colour = batch_of(PHOTOS).put_on_background(GROUND[..., 0], "top_left").images
    assert_array_equal(colour[:, :20, :30], PHOTOS)
    assert_array_equal(colour[:, 25:], np.repeat(GROUND[None, 25:, :, :1], 3, axis=3).repeat(3, axis=0))
    assert batch_of(PHOTOS[..., 0]).put_on_background(GROUND[..., :1]).images.shape == (3, 50, 70)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (
            {"background": GROUND / 255},
            ItemError,
            "item 0 .* background is float64 of 3; bring them to one dtype",
        ),
        ({"background": GROUND[..., :2]}, ItemError, "rgb"),
        ({"background": "labels"}, ItemError, "'labels' holds a int"),
        ({"background": "ground"}, AttributeError, "ground"),
        ({"background": [1, 2]}, ValueError, "give a picture"),
        ({"background": PerItem([GROUND])}, ValueError, "1 backgrounds for 3 items"),
        ({"background": GROUND, "mask": np.ones((3, 3))}, ValueError, "give one of their size"),
        ({"background": GROUND, "origin": "middle"}, ValueError, "put_on_background: origin must be one of"),
        ({"background": GROUND, "src": ["labels"]}, ItemError, "labels"),
    ],
)
def test_what_can_not_be_pasted_is_refused(arguments, error, said):
    with pytest.raises(error, match=said):
        batch_of(PHOTOS, labels=[1, 2, 3]).put_on_background(**arguments)
