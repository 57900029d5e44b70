"""What lies outside pictures: enlarging repeats the edge as Pillow does, fill values are what they say."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from bf_batch import ImagesBatch, PerItem

SIZES = [(12, 14), (90, 70)]  # for the loops over points and, with three channels, over rows
DTYPES = ["uint8", "int16", "float32", "float64"]


def noise(shape, dtype="uint8"):
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


def batch_of(pictures, **others):
    return ImagesBatch(len(pictures), preloaded={"images": pictures, **others})


def by_pillow(picture, size, box=None):
    """Resize each channel of floats by Pillow, whose filter is as wide as a pixel where it enlarges."""
    planes = np.moveaxis(np.atleast_3d(picture).astype(np.float32), 2, 0)
    done = [np.asarray(Image.fromarray(p).resize(size[::-1], Image.Resampling.BILINEAR, box)) for p in planes]
    return np.stack(done, axis=2).reshape(*size, *picture.shape[2:])


def cubic(picture, size):
    """Enlarge by the formula of Keys (a = -1/2) after the edge has been repeated, as OpenCV does."""
    for axis, after in enumerate(size):
        before = picture.shape[axis]
        place = (np.arange(after) + 0.5) * before / after - 0.5
        low, total = np.floor(place).astype(int), 0
        for tap in range(-1, 3):
            t = np.abs(place - low - tap)
            far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
            weight = np.where(t < 1, 1.5 * t**3 - 2.5 * t**2 + 1, far)
            values = picture.astype(float).take((low + tap).clip(0, before - 1), axis)
            total = total + values * weight.reshape([-1 if a == axis else 1 for a in range(picture.ndim)])
        picture = total
    return picture


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(*size, *channels) for size in SIZES for channels in [(), (1,), (3,)]])
def test_enlarged_pictures_are_those_of_pillow_up_to_the_rim(shape, dtype):
    picture, size = noise(shape, dtype), (3 * shape[0] + 1, 2 * shape[1])
    theirs = by_pillow(picture, size)
    close = {"atol": 0.51 if np.dtype(dtype).kind in "iu" else 1e-3}
    assert_allclose(batch_of(picture[None]).resize(size).images[0], theirs, **close)
    factors = np.array(size) / shape[:2]
    assert_allclose(batch_of(picture[None]).scale(tuple(factors)).images[0], theirs, **close)
    mirrored = batch_of(picture[None]).flip().resize(size).flip("ud").images[0]
    assert_allclose(mirrored, theirs[::-1, ::-1], **close)


@pytest.mark.parametrize("size", [(40, 31), (7, 31), (5, 9)])
@pytest.mark.parametrize("shape", [(12, 14), (12, 14, 3)])
def test_cubic_resizing_repeats_the_edge_for_all_its_pixels(shape, size):
    picture = noise(shape, "float32")
    assert_allclose(batch_of(picture[None]).resize(size, order=3).images[0], cubic(picture, size), atol=1e-3)


@pytest.mark.parametrize("shape", [(12, 14), (80, 70, 3)])
def test_a_random_resized_crop_takes_its_pixels_from_the_crop_alone(shape):
    area = shape[0] * shape[1]
    ranks = np.random.default_rng(1).permuted(np.tile(np.arange(area), (4, 1)), axis=1)
    pictures = np.broadcast_to(ranks.reshape(4, *shape[:2], *[1] * (len(shape) - 2)), (4, *shape))
    cuts = batch_of(pictures.astype(np.float32)).random_resized_crop((100, 90), (0.2, 0.5)).images
    for picture, cut in zip(pictures, cuts):
        flat = picture if picture.ndim == 2 else picture[..., 0]
        corners = [cut[at].ravel()[0] for at in ((0, 0), (-1, -1))]
        (y, x), (y2, x2) = (np.argwhere(np.abs(flat - value) < 0.1)[0] for value in corners)
        assert_allclose(cut, by_pillow(picture[y : y2 + 1, x : x2 + 1], (100, 90)), atol=area / 1e5)


STEPS = {
    "pad": [("pad", 2), ("resize", (60, 50))],
    "crop": [("crop", (7, 9), (2, 3)), ("resize", (30, 41))],
    "shift": [("shift", (2, -1)), ("resize", (40, 41))],
    "then pad": [("resize", (40, 50)), ("pad", 3)],
    "then shift": [("resize", (40, 50)), ("shift", (3, -5))],
    "then crop": [("scale", 3.0), ("crop", (60, 70))],
    "then a quarter": [("scale", (3.0, 2.0)), ("flip", "ud"), ("rotate", 90, True)],
    "twice": [("resize", (40, 50)), ("crop", (2, 45), (0, 1)), ("resize", (9, 70))],
}


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("fill", [9, "edge", "reflect"])
@pytest.mark.parametrize("shape", [(12, 14), (12, 14, 3), (90, 70, 3)])
@pytest.mark.parametrize("steps", STEPS)
def test_enlarging_among_other_steps_is_as_if_each_was_done_by_itself(steps, shape, fill, order):
    def made(fuse):
        batch = batch_of(noise((2, *shape), "float32"))
        for name, *arguments in STEPS[steps]:
            options = {"fill": fill} if name in ("pad", "crop", "shift") else {}
            if name in ("resize", "scale", "shift"):
                options["order"] = order
            if name == "resize" and steps == "twice" and order == 3:
                options["order"] = 1  # cubic twice is another curve than cubic once
            getattr(batch, name)(*arguments, **options, fuse=fuse)
        return batch.images

    if steps == "twice":  # two blends are not one, but for a picture of one colour
        noise_free = batch_of(np.full((2, *shape), 7, np.float32))
        for name, *arguments in STEPS[steps]:
            getattr(noise_free, name)(*arguments)
        assert_array_equal(noise_free.images, 7)
        return
    assert_allclose(made(True), made(False), atol=2e-3)


@pytest.mark.parametrize("angle", [0, 0.5, 20])
@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("shape", [(16, 16), (80, 80, 3)])
def test_an_enlarged_picture_meets_the_fill_value_within_a_pixel_of_the_result(shape, order, angle):
    side = 4 * shape[0]
    batch = batch_of(np.full((1, *shape), 200, np.uint8))
    ours = batch.resize((side, side), order=order).rotate(angle, fill=0).images[0]
    covered = scipy.ndimage.rotate(np.ones((side, side)), angle, reshape=False, order=1, mode="grid-constant")
    near = scipy.ndimage.maximum_filter(np.abs(covered - 0.5) < 0.49, 3)
    assert (ours[(covered > 0.99) & ~near] == 200).all()
    assert (ours[(covered < 0.01) & ~near] == 0).all()
    assert near.mean() < 12 / side


def test_an_item_is_enlarged_alike_alone_and_beside_others():
    pictures = [noise((12, 14), "float32"), noise((9, 20), "float32"), noise((30, 8), "float32")]
    turns, factors, taken = [0.0, 30.0, 0.0], [1.0, 2.5, 0.4], [0.0, 1.0, 1.0]
    together = batch_of(pictures)
    together.scale(PerItem(factors), p=PerItem(taken)).rotate(PerItem(turns), fill=5).pad(2)
    for i, one in enumerate(together.images):
        alone = batch_of(pictures[i][None]).scale(factors[i], p=taken[i]).rotate(turns[i], fill=5).pad(2)
        assert_array_equal(one, alone.images[0])


# Pixels that only move


MOVES = {
    "flip": ([("flip", "lr")], lambda x: x[:, ::-1]),
    "upside down": ([("flip", "ud")], lambda x: x[::-1]),
    "pad": ([("pad", (1, 2, 3, 4))], lambda x: np.pad(x, ((1, 2), (3, 4)))),
    "crop": ([("crop", (3, 9), (1, -2))], lambda x: np.pad(x[1:4], ((0, 0), (2, 1)))),
    "shift": ([("shift", (2, 0))], lambda x: np.pad(x, ((2, 0), (0, 0)))[: len(x)]),
    "quarter": ([("rotate", 90, True)], np.rot90),
    "half": ([("rotate", 180)], lambda x: np.rot90(x, 2)),
    "same size": ([("resize", (5, 6)), ("scale", 1.0)], lambda x: x),
    "several": (
        [("flip", "lr"), ("pad", 1), ("rotate", -90, True)],
        lambda x: np.rot90(np.pad(x[:, ::-1], 1), -1),
    ),
}


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "int64", "uint64", "float16", "float64"])
@pytest.mark.parametrize("move", MOVES)
def test_pixels_that_only_move_keep_every_bit(move, dtype, order):
    kind = np.dtype(dtype)
    values = np.random.default_rng(0).integers(0, 256, (5, 6, kind.itemsize), dtype=np.uint8)
    picture = values.view(kind)[..., 0]
    if kind.kind == "f":
        picture[1, 1], picture[2, 4], picture[0, 3] = np.nan, np.inf, np.finfo(kind).max
    else:
        picture[1, 1], picture[2, 4] = np.iinfo(kind).max, np.iinfo(kind).min
    batch = batch_of(picture[None])
    for name, *arguments in MOVES[move][0]:
        options = {"order": order} if name in ("rotate", "resize", "scale", "shift") else {}
        getattr(batch, name)(*arguments, **options)
    assert_array_equal(batch.images[0], MOVES[move][1](picture), strict=True)


@pytest.mark.parametrize("action", ["rotate", "perspective", "elastic"])
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_items_that_took_no_step_pass_unchanged_beside_others(action, dtype):
    pictures = noise((4, 8, 9), dtype)
    pictures[1:3, 4, 4] = np.nan if dtype == "float32" else 2**62 + 1
    arguments = {"rotate": (30,), "perspective": (0.5,), "elastic": (9.0, 1.0)}[action]
    batch = getattr(batch_of(pictures), action)(*arguments, p=PerItem([1.0, 0.0, 0.0, 1.0]))
    assert_array_equal(batch.images[1:3], pictures[1:3])
    assert (batch.images[[0, 3]] != pictures[[0, 3]]).any()


def test_resizing_one_axis_spreads_no_nan_along_the_other():
    picture = noise((80, 90, 2), "float32")
    picture[40, 40] = np.nan
    for antialias in (False, True):
        ours = batch_of(picture[None]).resize((80, 45), antialias).images[0]
        assert np.isnan(ours).any(axis=(1, 2)).sum() == 1
        ours = batch_of(picture[None]).resize((160, 90), antialias).images[0]
        assert np.isnan(ours).any(axis=(0, 2)).sum() == 1


# Fill values


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("shape", [(12, 14, 3), (90, 80, 3)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_channel_has_a_fill_value_of_its_own(dtype, shape, order):
    picture = noise(shape, dtype)
    for name, argument in (("shift", (2.5, -1)), ("scale", 0.8), ("rotate", 25)):
        options = {"preserve_size": True} if name == "scale" else {}
        together = getattr(batch_of(picture[None]), name)
        ours = together(argument, fill=(1, 20, 200), order=order, **options).images[0]
        for channel, value in enumerate((1, 20, 200)):
            alone = getattr(batch_of(picture[None, ..., channel : channel + 1]), name)
            theirs = alone(argument, fill=value, order=order, **options).images[0]
            assert_allclose(ours[..., channel : channel + 1], theirs, atol=1e-3 if dtype[0] == "f" else 1)


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("rotate", (45,)), ("scale", (0.5, True)), ("crop", ((20, 20),)), ("shift", ((5, 0),)),
        ("shear", (40,)), ("pad", (2,)), ("perspective", (0.9,)), ("elastic", (90.0, 1.0)),
    ],
)  # fmt: skip
def test_every_action_that_looks_outside_has_fills_for_pictures_and_masks_apart(action, arguments):
    pictures, masks = np.full((2, 12, 12, 3), 50, np.uint8), np.full((2, 12, 12), 3, np.uint8)

    def values(fill, src=("images", "masks")):
        batch = batch_of(pictures, masks=masks)
        getattr(batch, action)(*arguments, fill=fill, src=list(src))
        return set(map(tuple, batch.images.reshape(-1, 3).tolist())), set(np.unique(batch.masks).tolist())

    assert values(200)[1] == {0, 3}
    assert (200, 200, 200) in values(200)[0]
    assert values({"images": (1, 2, 3), "masks": 255})[1] == {3, 255}
    assert (1, 2, 3) in values({"images": (1, 2, 3), "masks": 255})[0]
    assert values({"masks": 7})[1] == {3, 7}
    assert (0, 0, 0) in values({"masks": 7})[0]
    assert values("edge") == ({(50, 50, 50)}, {3})
    assert values(7, ["masks"])[1] == {3, 7}


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        (-1, "fill=-1 has no place in 'images', which are uint8 (0 to 255)"),
        (300, "fill=300 has no place in 'images'"),
        (float("nan"), "fill=nan has no place"),
        ((1, 2), "fill has 2 values, got (1, 2) for 'images' of 3 channels"),
        ({"masks": 0.5}, "fill=0.5 has no place in 'masks', which are uint8 (0 to 255); give a whole number"),
        ({"masks": 256}, "fill=256 has no place in 'masks'"),
        ({"mask": 1}, "unknown component 'mask' of src; did you mean 'masks'"),
        ("edges", "fill must be a number, one a channel, 'edge', 'reflect' or 'wrap', got 'edges'"),
        ((), "fill has no value"),
    ],
)
@pytest.mark.parametrize("action", [("shift", (1, 0)), ("rotate", 10), ("pad", 1), ("elastic", 3.0)])
def test_fill_values_that_pictures_cannot_hold_are_refused_by_name(action, fill, said):
    batch = batch_of(noise((1, 4, 4, 3)), masks=noise((1, 4, 4)))
    with pytest.raises(ValueError) as caught:
        getattr(batch, action[0])(action[1], fill=fill, src=["images", "masks"])
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"ImagesBatch.{action[0]}: fill")
    with pytest.raises(TypeError, match="fill is a number"):
        batch.shift((1, 0), fill=PerItem([1]))


def test_fill_values_are_checked_for_every_dtype_of_a_ragged_batch():
    pictures = [noise((4, 4), "uint16"), noise((5, 5), "float32"), noise((6, 6), "uint8")]
    assert batch_of(pictures[:2]).pad(1, fill=300).images[1][0, 0] == 300
    with pytest.raises(ValueError, match=r"fill=300 has no place in 'images', which are uint8"):
        batch_of(pictures).pad(1, fill=300)


def test_fill_values_are_in_the_units_of_the_pictures_at_that_step():
    pictures = np.full((1, 8, 8), 255, np.uint8)
    scaled = batch_of(pictures).to_array(scale=1 / 255).shift((2, 0), fill=0.5).images
    assert_allclose(scaled[0, :, 0, 0], [0.5, 0.5, 1, 1, 1, 1, 1, 1])
    large = np.array([2**63 - 1, 2**63 - 2])
    moved = batch_of(large.reshape(1, 2, 1)).shift((1, 0), order=0, fill=2**62 + 1).images
    assert moved.ravel().tolist() == [2**62 + 1, 2**63 - 1]
