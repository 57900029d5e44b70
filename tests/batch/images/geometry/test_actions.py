"""Geometry of image batches against scipy, scikit-image and Pillow, and against itself step by step."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import skimage.transform
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from bf_batch import ImagesBatch, PerItem


@pytest.fixture(scope="module")
def photo():
    return skimage.data.astronaut()[40:140, 150:280].copy()


@pytest.fixture
def digits():
    return np.random.default_rng(0).integers(0, 256, (8, 28, 28), dtype=np.uint8)


def batch_of(*pictures, **others):
    pictures = list(pictures)
    if len({(p.shape, p.dtype) for p in pictures}) == 1:
        pictures = np.stack(pictures)
    return ImagesBatch(len(pictures), preloaded={"images": pictures, **others})


def smooth(shape=(60, 80), seed=0):
    noise = np.random.default_rng(seed).random(shape)
    return scipy.ndimage.gaussian_filter(noise, [3, 3] + [0] * (len(shape) - 2)).astype(np.float32)


@pytest.mark.parametrize("shape", [(60, 80), (61, 80, 3), (300, 270, 2)])
@pytest.mark.parametrize("mode", ["edge", "reflect", 0.25])
def test_rotation_turns_counter_clockwise_about_the_centre_as_in_scipy(shape, mode):
    picture = smooth(shape)
    ours = batch_of(picture).rotate(25, fill=mode).images[0]
    name = {"edge": "nearest", "reflect": "mirror"}.get(mode, "grid-constant")
    fill = 0.25 if mode == 0.25 else 0.0
    theirs = scipy.ndimage.rotate(picture, 25, reshape=False, order=1, mode=name, cval=fill)
    assert_allclose(ours, theirs, atol=2e-4)


def test_rotation_with_expand_keeps_the_corners_in():
    ours = batch_of(np.full((40, 60), 255, np.uint8)).rotate(90, expand=True).images
    assert ours.shape == (1, 60, 40)
    assert (ours == 255).all()
    assert batch_of(np.ones((40, 60), np.uint8)).rotate(30, expand=True).images.shape == (1, 65, 72)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("factor", [0.7, 1.3, (0.8, 1.4)])
def test_scale_in_a_fixed_frame_equals_scikit_image(order, factor):
    picture = smooth((50, 70))
    ours = batch_of(picture).scale(factor, preserve_size=True, order=order).images[0]
    y, x = np.broadcast_to(factor, 2)
    middle = np.array([34.5, 24.5])
    move = skimage.transform.AffineTransform
    inverse = move(translation=-middle) + move(scale=(1 / x, 1 / y)) + move(translation=middle)
    theirs = skimage.transform.warp(picture, inverse, order=order, clip=False, preserve_range=True)
    assert_allclose(ours[3:-3, 3:-3], theirs[3:-3, 3:-3], atol=2e-4)


@pytest.mark.parametrize("size", [(40, 90), (120, 33)])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_resize_puts_edges_on_edges_as_scikit_image(size, order):
    picture = smooth((60, 80))
    ours = (
        batch_of(picture)
        .resize(
            size,
            order=order,
        )
        .images[0]
    )
    theirs = skimage.transform.resize(picture, size, order=order, mode="edge", anti_aliasing=False)
    assert ours.shape == size
    inner = np.s_[3:-3, 3:-3]
    assert_allclose(ours[inner], theirs[inner], atol=1e-2 if order == 0 else 2e-4)


def test_resize_with_a_side_of_none_keeps_the_ratio():
    assert batch_of(np.zeros((60, 80, 3), np.uint8)).resize((None, 40)).images.shape == (1, 30, 40, 3)
    assert batch_of(np.zeros((60, 80), np.uint8)).resize((15, None)).images.shape == (1, 15, 20)


@pytest.mark.parametrize("size", [(30, 40), (37, 91), (150, 20), (13, 200), (5, 5)])
def test_resize_with_antialias_equals_pillow_within_a_level(photo, size):
    theirs = np.asarray(Image.fromarray(photo).resize(size[::-1], Image.Resampling.BILINEAR)).astype(int)
    ours = batch_of(photo, photo).resize(size, antialias=True).images
    assert_allclose(ours[1].astype(int), theirs, atol=1.01)
    grey = batch_of(photo[..., 0].astype(np.float32) / 255).resize(size, antialias=True).images
    assert_allclose(grey[0] * 255, theirs[..., 0], atol=1.01)


def test_resize_with_antialias_of_some_items_and_of_masks(photo):
    masks = [(p[..., 0] > 90).astype(np.uint8) for p in (photo, photo[:50])]
    batch = batch_of(photo, photo[:50], masks=masks)
    batch.resize((20, 30), antialias=True, src=["images", "masks"])
    assert batch.images.shape == (2, 20, 30, 3)
    assert set(np.unique(batch.masks)) == {0, 1}
    some = batch_of(*[photo] * 12).resize((20, 30), antialias=True, p=0.5).images
    assert {p.shape for p in some} == {(20, 30, 3), (100, 130, 3)}


def test_scale_without_preserved_shape_gives_the_new_size():
    picture = np.zeros((6, 4), np.uint8)
    assert batch_of(picture).scale(1.5).images.shape == (1, 9, 6)
    assert batch_of(picture).scale((1, 2)).images.shape == (1, 6, 8)


@pytest.mark.parametrize(
    ("origin", "corner"),
    [
        ("center", (4, 4)), ("top_left", (0, 0)), ("top_right", (0, 8)), ("bottom_left", (8, 0)),
        ("bottom_right", (8, 8)), ((2, 5), (2, 5)), ((0.0, 1.0), (0, 8)), ((0.5, 0.25), (4, 2)),
    ],
)  # fmt: skip
def test_crop_cuts_exact_pixels_at_every_origin(digits, origin, corner):
    y, x = corner
    ours = batch_of(*digits).crop((20, 20), origin).images
    assert_array_equal(ours, digits[:, y : y + 20, x : x + 20])


def test_random_crop_cuts_each_item_at_its_own_place_inside(digits):
    cuts = batch_of(*digits).crop((20, 20), "random").images
    places = []
    for cut, digit in zip(cuts, digits):
        windows = np.lib.stride_tricks.sliding_window_view(digit, (20, 20))
        found = np.argwhere((windows == cut).all(axis=(2, 3)))
        assert len(found) == 1
        places.append(tuple(found[0]))
    assert len(set(places)) > 4


def test_crop_larger_than_the_picture_fills_around_it(digits):
    ours = batch_of(*digits).crop((32, 36)).images
    assert_array_equal(ours, np.pad(digits, ((0, 0), (2, 2), (4, 4))))


@pytest.mark.parametrize(
    ("fill", "keywords"),
    [
        (7, {"mode": "constant", "constant_values": 7}),
        ("edge", {"mode": "edge"}),
        ("reflect", {"mode": "reflect"}),
    ],
)
def test_pad_equals_numpy(digits, fill, keywords):
    ours = batch_of(*digits).pad((1, 2, 3, 4), fill=fill).images
    assert_array_equal(ours, np.pad(digits, ((0, 0), (1, 2), (3, 4)), **keywords))


@pytest.mark.parametrize("shape", [(28, 28), (100, 90, 3)])
def test_flips_and_quarter_turns_are_exact(shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert_array_equal(batch_of(picture).flip("lr").images[0], picture[:, ::-1])
    assert_array_equal(batch_of(picture).flip("ud").images[0], picture[::-1])
    assert_array_equal(batch_of(picture).rotate(90, expand=True).images[0], np.rot90(picture))


def test_shift_moves_down_and_right():
    picture = smooth((30, 40))
    ours = batch_of(picture).shift((2.5, -1.25)).images[0]
    assert_allclose(
        ours, scipy.ndimage.shift(picture, (2.5, -1.25), order=1, mode="grid-constant"), atol=1e-5
    )


def test_shear_slants_lower_rows_to_the_right():
    picture = smooth((41, 51))
    ours = batch_of(picture).shear(20).images[0]
    tangent = np.tan(np.deg2rad(20))
    matrix = np.array([[1, 0], [-tangent, 1]])
    theirs = scipy.ndimage.affine_transform(
        picture, matrix, offset=(0, tangent * 20), order=1, mode="grid-constant"
    )
    assert_allclose(ours, theirs, atol=1e-4)
    dot = np.zeros((21, 21), np.float32)
    dot[18, 10] = 1
    assert np.argwhere(batch_of(dot).shear(20).images[0] > 0)[:, 1].min() > 10
    assert np.argwhere(batch_of(dot.T.copy()).shear(20, axis="y").images[0] > 0)[:, 0].min() > 10


def test_many_steps_fused_equal_one_scipy_transform():
    picture = smooth((64, 64))
    ours = batch_of(picture).rotate(15).scale(1.2, preserve_size=True).crop((40, 40)).flip("lr").images[0]
    turn = np.deg2rad(15)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    mirror = np.diag([1, -1.0])
    matrix = rotation / 1.2 @ mirror
    corner = np.array([12, 12]) + np.array([0, 39])
    offset = rotation / 1.2 @ (corner - 31.5) + 31.5
    theirs = scipy.ndimage.affine_transform(picture, matrix, offset, (40, 40), order=1, mode="grid-constant")
    assert_allclose(ours, theirs, atol=1e-4)


def test_fused_steps_keep_pixels_that_step_by_step_would_cut():
    picture = smooth((64, 64)) + 1
    turned = {
        fuse: batch_of(picture).crop((32, 32)).rotate(45, fuse=fuse).images[0] for fuse in (True, False)
    }
    assert turned[True].min() > 0.9
    assert turned[False][0, 0] == 0
    assert_allclose(turned[True][10:-10, 10:-10], turned[False][10:-10, 10:-10], atol=1e-5)


def test_step_by_step_equals_fused_where_nothing_is_cut():
    picture = smooth((64, 64))
    fused = batch_of(picture).rotate(10).scale(1.1, preserve_size=True).crop((30, 30)).images
    steps = (
        batch_of(picture).rotate(10, fuse=False).scale(1.1, preserve_size=True, fuse=False)
        .crop((30, 30), fuse=False).images
    )  # fmt: skip
    assert_allclose(fused, steps, atol=3e-3)


def test_each_item_gets_its_own_value_and_unchosen_items_pass_unchanged(digits):
    angles = np.array([0, 90, 180, 270, 0, 90, 180, 270])
    ours = batch_of(*digits).rotate(PerItem(angles)).images
    for one, digit, angle in zip(ours, digits, angles):
        assert_array_equal(one, np.rot90(digit, angle // 90))
    some = batch_of(*digits).flip("lr", p=0.5).images
    changed = [not np.array_equal(one, digit) for one, digit in zip(some, digits)]
    assert 0 < sum(changed) < 8
    for one, digit, was_changed in zip(some, digits, changed):
        assert_array_equal(one, digit[:, ::-1] if was_changed else digit)


def test_p_of_zero_and_one_are_sure(digits):
    assert_array_equal(batch_of(*digits).flip("ud", p=0).images, digits)
    assert_array_equal(batch_of(*digits).flip("ud", p=1).images, digits[:, ::-1])
    with pytest.raises(ValueError, match=r"p is a probability from 0 to 1, got 1\.5"):
        batch_of(*digits).flip(p=1.5)


def test_pictures_of_many_sizes_keep_their_own_frames(photo):
    pictures = [photo, photo[:50, :70], photo[:30]]
    batch = ImagesBatch(3, preloaded={"images": pictures})
    turned = batch.rotate(PerItem([0, 90, 180])).images
    assert [p.shape for p in turned] == [p.shape for p in pictures]
    assert_array_equal(turned[2], pictures[2][::-1, ::-1])
    assert batch.resize((20, 24)).images.shape == (3, 20, 24, 3)


def test_items_that_skip_a_change_of_size_keep_theirs(digits):
    cut = batch_of(*digits).crop((20, 20), p=0.5).images
    assert {p.shape for p in cut} == {(20, 20), (28, 28)}


def test_pictures_of_many_sizes_that_skip_a_change_of_size_keep_theirs(photo):
    pictures = [photo[: 30 + row] for row in range(20)]
    for cut in (
        batch_of(*pictures).random_resized_crop((8, 9), p=0.5).images,
        batch_of(*pictures).resize((8, 9), antialias=True, p=0.5).images,
    ):
        own = [one.shape == before.shape for one, before in zip(cut, pictures)]
        assert 0 < sum(own) < 20
        assert {one.shape for one, same in zip(cut, own) if not same} == {(8, 9, 3)}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64", "bool", "int64"])
def test_every_dtype_comes_back_as_it_was(dtype):
    picture = (smooth((40, 50)) * 200).astype(dtype)
    ours = batch_of(picture).rotate(180).images
    assert ours.dtype == dtype
    assert_allclose(ours[0], picture[::-1, ::-1], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float64", "bool"])
def test_nearest_keeps_values_of_any_dtype_exactly(dtype):
    values = np.random.default_rng(0).integers(0, 2**31, (31, 33)).astype(dtype)
    ours = batch_of(values).rotate(33, order=0, fill=1).images[0]
    theirs = scipy.ndimage.rotate(values, 33, reshape=False, order=0, mode="grid-constant", cval=1)
    assert set(np.unique(ours)) <= {*np.unique(values), values.dtype.type(1)}
    assert (ours == theirs).mean() > 0.99


def test_masks_follow_images_with_the_same_parameters_and_no_new_values():
    images = np.random.default_rng(0).integers(0, 2, (6, 32, 32), dtype=np.uint8) * 200
    batch = batch_of(*images, masks=images // 100)
    both = ["images", "masks"]
    batch.rotate(PerItem(np.arange(6) * 90), p=0.7, src=both).crop((20, 20), "random", src=both)
    assert_array_equal(batch.images // 100, batch.masks)
    batch.rotate(30, src=both)
    assert set(np.unique(batch.masks)) <= {0, 2}


def test_dst_leaves_the_source_as_it_was(digits):
    class Pairs(ImagesBatch):
        components = "images", "views"

    batch = Pairs(8, preloaded={"images": digits})
    batch.flip("lr", src="images", dst="views")
    assert_array_equal(batch.images, digits)
    assert_array_equal(batch.views, digits[:, :, ::-1])


def test_to_array_and_normalize_join_the_resample(digits):
    batch = batch_of(*digits).rotate(10).to_array("float32", 1 / 255)
    assert batch.kinds()["images"] == "pending"
    images = batch.images
    assert images.shape == (8, 28, 28, 1)
    assert images.dtype == np.float32
    assert_allclose(images[..., 0], batch_of(*digits.astype(np.float32)).rotate(10).images / 255, atol=1e-5)
    first = batch_of(*digits).to_array(channels="first").images
    assert_array_equal(first, digits[:, None].astype(np.float32))
    assert batch_of(*digits).to_array(channels=None).images.shape == (8, 28, 28)


def test_normalize_takes_bytes_as_parts_of_255(photo):
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    ours = batch_of(photo, photo).flip(p=0.5).flip().normalize(mean, std).images
    expected = (photo / 255 - mean) / std
    assert_allclose(np.sort(ours[0], axis=1), np.sort(expected, axis=1), atol=1e-5)
    again = batch_of(photo).to_array(scale=1 / 255).normalize(mean, std).images
    assert_allclose(again[0], expected, atol=1e-5)
    own = batch_of(photo).normalize().images
    assert abs(own.mean()) < 1e-4
    assert abs(own.std() - 1) < 1e-4


def test_geometry_after_normalize_fills_in_the_units_of_now(photo):
    ours = batch_of(photo).normalize(0.5, 0.5).shift((10, 0), fill=9.0).images
    assert (ours[0, :10] == 9).all()


def test_an_empty_component_says_what_to_do(digits):
    with pytest.raises(
        ValueError, match=r"ImagesBatch\.rotate: component 'masks' of ImagesBatch is empty; load it"
    ):
        batch_of(*digits).rotate(10, src="masks")
    with pytest.raises(AttributeError, match="did you mean 'images'"):
        batch_of(*digits).rotate(10, src="imagse")
    with pytest.raises(ValueError, match="scale: factor must be positive"):
        batch_of(*digits).scale(-1)
    with pytest.raises(ValueError, match=r"crop: origin must be one of random, center, .*, got 'centre'"):
        batch_of(*digits).crop((28, 28), "centre")
    with pytest.raises(TypeError, match="rotate: angle: got 'ten'"):
        batch_of(*digits).rotate("ten")
    with pytest.raises(ValueError, match=r"per-item values of shape \(3, 1\) for 8 items"):
        batch_of(*digits).rotate(PerItem([1, 2, 3]))


def test_a_copy_or_a_part_of_a_pending_batch_has_its_pixels(digits):
    batch = batch_of(*digits).rotate(PerItem(np.arange(8) * 90))
    part = batch.subset([1, 3])
    whole = batch.images
    assert_array_equal(part.images, whole[[1, 3]])
    assert_array_equal(batch.rotate(90).subset(slice(2, 5)).images, batch.images[2:5])
