"""Matrices of one's own and pictures repeated side by side, against scipy, scikit-image, Pillow and numpy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import skimage.transform
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from bf_batch import ImagesBatch, PerItem

PHOTO = skimage.data.astronaut()[:60, 180:260]
AFFINE = np.array([[0.9, -0.2, 4.5], [0.3, 1.1, -7.25]])
TILTED = np.array([[0.9, -0.2, 4.5], [0.3, 1.1, -7.25], [0.001, -0.002, 1.0]])


class Detection(ImagesBatch):
    components = "images", "masks", "boxes", "keypoints"


def batch_of(pictures, kind=ImagesBatch, **others):
    return kind(len(pictures), preloaded={"images": pictures, **others})


@pytest.mark.parametrize("matrix", [AFFINE, TILTED])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_matrix_equals_scikit_image(matrix, dtype):
    picture = PHOTO if dtype == np.uint8 else (PHOTO / 255).astype(dtype)
    full = np.vstack([matrix, [0, 0, 1]])[:3] if len(matrix) == 2 else matrix
    swap = np.eye(3)[[1, 0, 2]]
    theirs = skimage.transform.warp(
        picture.astype(float), np.linalg.inv(swap @ full @ swap), order=1, output_shape=(50, 90), cval=7
    )
    ours = batch_of(picture[None]).transform(matrix, (50, 90), fill=7).images[0]
    assert (ours.dtype, ours.shape) == (dtype, (50, 90, 3))
    inside = (
        skimage.transform.warp(np.ones((60, 80)), np.linalg.inv(swap @ full @ swap), output_shape=(50, 90))
        == 1
    )
    assert_allclose(ours[inside], theirs[inside], atol=0.51 if dtype == np.uint8 else 1e-4)
    column_first = (
        batch_of(picture[None]).transform(swap @ full @ swap, (50, 90), axes="xy", fill=7).images[0]
    )
    assert_array_equal(column_first, ours)


def test_inverse_matrix_equals_scipy_and_pillow():
    grey = PHOTO[..., 0].astype(np.float32)
    ours = batch_of(grey[None]).transform(AFFINE, inverse=True).images[0]
    theirs = scipy.ndimage.affine_transform(grey, AFFINE[:, :2], AFFINE[:, 2], order=1)
    inside = scipy.ndimage.affine_transform(np.ones_like(grey), AFFINE[:, :2], AFFINE[:, 2], order=1) == 1
    assert inside.mean() > 0.5
    assert_allclose(ours[inside], theirs[inside], atol=1e-2)
    # Pillow's matrices are of (x, y) too, but count from corners of pixels: half a pixel each way
    forward = np.array([[1, 0.25, -3], [-0.125, 1, 6], [0, 0, 1.0]])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    where = (half @ forward @ np.linalg.inv(half))[:2].ravel()
    there = Image.fromarray(PHOTO).transform(
        (80, 60), Image.Transform.AFFINE, where, Image.Resampling.BILINEAR
    )
    here = batch_of(PHOTO[None]).transform(forward, axes="xy", inverse=True).images[0]
    white = Image.fromarray(np.full((60, 80), 255, np.uint8)).transform(
        (80, 60), Image.Transform.AFFINE, where
    )
    inside = scipy.ndimage.binary_erosion(np.asarray(white) == 255, iterations=3)
    assert inside.mean() > 0.5
    assert_allclose(here[inside].astype(int), np.asarray(there)[inside], atol=2)


def test_matrix_joins_the_one_resample():
    turn = np.deg2rad(20)
    about = np.array([[1, 0, 29.5], [0, 1, 39.5], [0, 0, 1.0]])
    turned = about @ [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    turned = turned @ np.linalg.inv(about)
    ours = batch_of(PHOTO[None]).shift((3, 1)).transform(turned).crop((40, 40)).images
    assert_array_equal(ours, batch_of(PHOTO[None]).shift((3, 1)).rotate(20).crop((40, 40)).images)
    back = batch_of(PHOTO[None]).transform(TILTED).transform(TILTED, inverse=True).images
    assert_array_equal(back, PHOTO[None])


def test_masks_boxes_and_keypoints_follow_a_matrix():
    def make():
        return batch_of(
            [PHOTO, PHOTO],
            Detection,
            masks=[PHOTO[..., 0] // 64] * 2,
            boxes=[np.array([[10.0, 20, 30, 40]])] * 2,
            keypoints=[np.array([[20.5, 30.5]])] * 2,
        )

    everything = ["images", "masks", "boxes", "keypoints"]
    moved = make().transform(PerItem([AFFINE, np.eye(3)[:2]]), src=everything)
    by_hand = AFFINE @ [30, 20, 1]
    assert_allclose(moved.keypoints[0], [by_hand[::-1] + 0.5])
    assert_allclose(moved.keypoints[1], [[20.5, 30.5]])
    corners = np.array([AFFINE @ [y - 0.5, x - 0.5, 1] for y in (20, 40) for x in (10, 30)]) + 0.5
    low, high = corners.min(axis=0)[::-1], corners.max(axis=0)[::-1]
    assert_allclose(moved.boxes[0], [[*low.clip(0), *high.clip(0, [80, 60])]])
    alone = batch_of([PHOTO[..., 0] // 64]).transform(AFFINE, order=0).images[0]
    assert_array_equal(moved.masks[0], alone)
    assert_array_equal(moved.images[1], PHOTO)
    changed = make().transform(TILTED, (30, 30), src=everything, p=PerItem([0, 1]))
    assert [one.shape for one in changed.images] == [(60, 80, 3), (30, 30, 3)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"matrix": np.zeros((2, 3))}, "to a line or a point"),
        ({"matrix": np.full((3, 3), np.inf)}, "not finite"),
        ({"matrix": [1, 2, 3]}, "give 2 x 3 or 3 x 3 numbers"),
        ({"matrix": "left"}, "give 2 x 3 or 3 x 3 numbers"),
        ({"matrix": PerItem([np.eye(3)] * 2)}, "give 2 x 3 or 3 x 3 numbers"),
        ({"matrix": AFFINE, "axes": "hw"}, "axes must be 'yx'"),
        ({"matrix": AFFINE, "size": (0, 4)}, "positive ints"),
    ],
)
def test_matrices_that_are_none_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        batch_of(PHOTO[None]).transform(**arguments)


# Repeated side by side


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
@pytest.mark.parametrize("picture", [PHOTO, PHOTO[:7, :5, 0]])
def test_whole_shifts_that_wrap_roll_the_picture(picture, dtype):
    pictures = np.stack([picture, picture]).astype(dtype)
    moves = PerItem([(3, -2), (-65, 170)])
    ours = batch_of(pictures).shift(moves, fill="wrap").images
    theirs = [np.roll(p, move, axis=(0, 1)) for p, move in zip(pictures, moves.values)]
    assert_array_equal(ours, theirs)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_wrapping_equals_the_middle_of_copies_side_by_side(order, channels):
    picture = (PHOTO[:31, :40, :channels] / 255).astype(np.float32)
    wide = np.tile(picture, (5, 5, 1))
    steps = ("rotate", (37,)), ("scale", (1.7, True)), ("shear", (20,)), ("shift", ((11.25, -6.5),))
    for name, arguments in steps:
        ours = getattr(batch_of(picture[None]), name)(*arguments, fill="wrap", order=order).images[0]
        whole = getattr(batch_of(wide[None]), name)(*arguments, order=order).crop((31, 40)).images[0]
        assert_allclose(ours, whole, atol=2e-5), name
    tilt = np.array([[1.1, 0.1, 2], [0, 0.9, -5], [0.002, -0.001, 1]])
    ours = batch_of(picture[None]).transform(tilt, fill="wrap", order=order).images[0]
    to_middle = np.array([[1, 0, 62], [0, 1, 80], [0, 0, 1.0]])
    whole = batch_of(wide[None]).transform(to_middle @ tilt @ np.linalg.inv(to_middle), order=order)
    assert_allclose(ours, whole.crop((31, 40), (62, 80)).images[0], atol=2e-5)


def test_older_mode_of_shift_is_understood_with_a_hint():
    with pytest.warns(FutureWarning, match="mode= is now called fill="):
        ours = batch_of(PHOTO[None]).shift((3, 0), mode="wrap").images
    assert_array_equal(ours[0], np.roll(PHOTO, 3, axis=0))
    with pytest.warns(FutureWarning, match="mode= is now called fill="):
        ours = batch_of(PHOTO[None]).shift((3, 0), mode="const").images
    assert (ours[0, :3] == 0).all()
