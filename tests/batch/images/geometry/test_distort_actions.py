"""Perspective, elastic deformation, random resized crops, and boxes and keypoints that follow."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import skimage.transform
from numpy.testing import assert_allclose, assert_array_equal

from bf_batch import ImagesBatch, ItemError, PerItem
from bf_batch.images.geometry.distort_actions import solve_tilts
from bf_batch.images.geometry.frames import draw_boxes


class Detection(ImagesBatch):
    components = "images", "masks", "boxes", "keypoints"


def smooth(shape=(60, 80), seed=0):
    return scipy.ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 3).astype(np.float32)


def dots(points, shape=(64, 80)):
    """A picture with a bright spot around each point (x, y)."""
    picture = np.zeros(shape, np.float32)
    for x, y in points:
        picture[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2] = 1
    return picture


def centres(picture):
    labels, count = scipy.ndimage.label(picture > 0.2)
    found = scipy.ndimage.center_of_mass(picture, labels, range(1, count + 1))
    return np.array(sorted((x + 0.5, y + 0.5) for y, x in found))


def test_perspective_brings_the_drawn_corners_to_the_corners_of_the_picture():
    sizes = np.array([[60.0, 80.0], [31.0, 20.0]])
    moves = np.random.default_rng(0).random((2, 4, 2)) * 0.5
    for matrix, (h, w), move in zip(solve_tilts(sizes, moves), sizes, moves):
        start = np.array([[0, 0], [0, w - 1], [h - 1, w - 1], [h - 1, 0]])
        end = start + move * [h / 2, w / 2] * np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]])
        moved = np.column_stack([end, np.ones(4)]) @ matrix.T
        assert_allclose(moved[:, :2] / moved[:, 2:], start, atol=1e-9)


@pytest.mark.parametrize("order", [0, 1])
def test_perspective_equals_scikit_image(order):
    picture = smooth()
    batch = Detection(1, preloaded={"images": picture[None]}).perspective(0.6, order=order)
    inverse = batch.peek("images").matrices[0][[1, 0, 2]][:, [1, 0, 2]]  # scikit-image has (x, y)
    theirs = skimage.transform.warp(picture, skimage.transform.ProjectiveTransform(inverse), order=order)
    assert np.isclose(batch.images[0], theirs, atol=1e-3).mean() > (0.99 if order else 0.98)


def test_perspective_joins_other_steps_before_and_after():
    picture = smooth((64, 64)) + 1
    one = Detection(1, preloaded={"images": picture[None]}).rotate(20).perspective(0.3).crop((30, 30))
    steps = (
        Detection(1, preloaded={"images": picture[None]}).rotate(20, fuse=False).perspective(0.3, fuse=False)
    )
    assert one.kinds()["images"] == "pending"
    # the draws differ by the number of the call, so the second batch takes the matrix of the first
    assert one.images.shape == (1, 30, 30)
    assert steps.images.shape == (1, 64, 64)


def test_elastic_displaces_by_a_smooth_field_shared_by_masks():
    picture = smooth((64, 64))
    batch = Detection(
        2, preloaded={"images": np.stack([picture] * 2), "masks": np.stack([picture > 0.5] * 2)}
    )
    batch.elastic(60.0, 5.0, src=["images", "masks"])
    field = batch.peek("images").field[0]
    y, x = np.mgrid[:64, :64]
    theirs = scipy.ndimage.map_coordinates(
        picture, [y + field[..., 0], x + field[..., 1]], order=1, mode="grid-constant"
    )
    assert_allclose(batch.images[0], theirs, atol=1e-4)
    assert (batch.images[0] != batch.images[1]).any()
    assert ((batch.images[0] > 0.5) == batch.masks[0]).mean() > 0.95
    assert 0.5 < np.abs(field).max() < 20


def test_elastic_between_other_steps_equals_step_by_step():
    picture = smooth((64, 64), 1)

    def made(fuse):
        batch = Detection(1, preloaded={"images": picture[None]}, seed=3)
        batch.rotate(10, fuse=fuse).elastic(40.0, 6.0, fuse=fuse).scale(1.3, preserve_shape=True, fuse=fuse)
        return batch.crop((40, 40), fuse=fuse).images

    assert_allclose(made(True), made(False), atol=2e-2)


def test_two_displacements_and_ragged_pictures_are_displaced_too():
    pictures = [smooth((40, 50)), smooth((30, 60))]
    batch = Detection(2, preloaded={"images": pictures}).elastic(20).elastic(PerItem([0.0, 20.0]))
    assert [p.shape for p in batch.images] == [(40, 50), (30, 60)]


def test_random_parts_have_the_shares_and_ratios_of_the_papers():
    boxes = draw_boxes(
        np.tile([375.0, 500.0], (4000, 1)), (0.08, 1.0), (3 / 4, 4 / 3), np.random.default_rng(0)
    )
    top, left, height, width = boxes.T
    share, ratio = height * width / (375 * 500), width / height
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 375).all()
    assert (left + width <= 500).all()
    assert 0.075 < share.min() < share.max() <= 1
    assert 0.74 < ratio.min() < ratio.max() < 1.35
    assert np.median(share) == pytest.approx(0.45, abs=0.05)  # large parts of a far ratio do not fit


def test_parts_that_never_fit_are_the_largest_centred_one():
    boxes = draw_boxes(np.tile([10.0, 1000.0], (3, 1)), (0.9, 1.0), (3 / 4, 4 / 3), np.random.default_rng(0))
    assert_array_equal(boxes, np.tile([0.0, 493.0, 10.0, 13.0], (3, 1)))


def test_random_resized_crop_is_a_resize_of_a_part():
    picture = smooth((120, 160))
    batch = Detection(4, preloaded={"images": np.stack([picture] * 4)}).random_resized_crop((32, 40))
    matrices = batch.peek("images").matrices
    for ours, matrix in zip(batch.images, matrices):
        theirs = scipy.ndimage.affine_transform(
            picture, matrix[:2, :2], matrix[:2, 2], (32, 40), order=1, mode="nearest"
        )
        assert_allclose(ours[1:-1, 1:-1], theirs[1:-1, 1:-1], atol=1e-4)
    assert len({m.tobytes() for m in matrices}) == 4


def test_keypoints_follow_all_steps():
    points = np.array([[20.5, 15.5], [40.5, 30.5], [60.5, 45.5]])
    batch = Detection(1, preloaded={"images": dots(points)[None], "keypoints": [points]})
    both = ["images", "keypoints"]
    batch.rotate(15, src=both).scale(0.8, preserve_shape=True, src=both).flip("lr", src=both)
    batch.shift((3, -2), src=both).perspective(0.3, src=both).elastic(10.0, 8.0, src=both).shear(5, src=both)
    batch.pad(4, src=both)
    assert batch.kinds()["keypoints"] == "pending"
    found = np.array(sorted(map(tuple, batch.keypoints[0])))
    assert_allclose(found, centres(batch.images[0]), atol=0.6)


def test_boxes_stay_tight_over_many_turns_and_are_cut_to_the_frame():
    box = np.array([[10.0, 20.0, 40.0, 50.0]])
    batch = Detection(1, preloaded={"images": np.zeros((1, 60, 80), np.uint8), "boxes": [box]})
    both = ["images", "boxes"]
    for _ in range(4):
        batch.rotate(22.5, src=both)
    batch.rotate(-90, src=both)
    assert_allclose(batch.boxes[0], box, atol=1e-9)
    batch.crop((30, 30), (0, 0), src=both)
    assert_allclose(batch.boxes[0], [[10, 20, 30, 30]], atol=1e-9)
    batch.flip("lr", src=both)
    assert_allclose(batch.boxes[0], [[0, 20, 20, 30]], atol=1e-9)


def test_items_without_boxes_and_boxes_out_of_the_frame_keep_labels_in_step():
    boxes = [np.zeros((0, 4)), np.array([[0.0, 0, 5, 5], [50, 40, 60, 50]])]
    batch = Detection(2, preloaded={"images": np.zeros((2, 60, 80), np.uint8), "boxes": boxes})
    batch.crop((20, 20), (40, 50), src=["images", "boxes"])
    assert [b.shape for b in batch.boxes] == [(0, 4), (2, 4)]
    assert_array_equal(batch.boxes[1], [[0, 0, 0, 0], [0, 0, 10, 10]])


def test_points_alone_and_points_of_a_wrong_shape_are_refused():
    batch = Detection(1, preloaded={"images": np.zeros((1, 9, 9), np.uint8), "boxes": [np.zeros((2, 3))]})
    with pytest.raises(ValueError, match=r"src='boxes' holds no pictures"):
        batch.flip(src="boxes")
    with pytest.raises(
        ValueError, match=r"boxes: item number 0 has shape \(2, 3\); boxes of an item are an array \(k, 4\)"
    ):
        batch.flip(src=["images", "boxes"])


@pytest.mark.faults("IM09")
def test_mask_of_another_size_names_the_item_and_the_sizes():
    masks = [np.zeros((32, 32), np.uint8), np.zeros((16, 32), np.uint8)]
    batch = Detection(["cat", "dog"], preloaded={"images": np.zeros((2, 32, 32), np.uint8), "masks": masks})
    with pytest.raises(ItemError, match=r"'dog' .*images is 32 x 32 pixels and masks 16 x 32"):
        batch.rotate(10, src=["images", "masks"])
