"""Limits, enhancing, negatives of channels, speckle, parts cut out, Pillow images: numpy and Pillow agree."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, ImageEnhance

from bf_batch import Dataset, ImagesBatch, ItemError, PerItem
from bf_pipeline import P, Pipeline, R

PHOTOS = np.stack([skimage.data.astronaut()[y : y + 40, 180:230] for y in (0, 60, 120)])
FLOATS = (PHOTOS / 255).astype(np.float32)


def batch_of(pictures, **others):
    return ImagesBatch(len(pictures), preloaded={"images": pictures, **others})


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_clip_equals_numpy_and_keeps_the_dtype(dtype):
    pictures = PHOTOS.astype(dtype)
    ours = batch_of(pictures).clip(PerItem([10, 20, 30]), 99.5).images
    low = np.array([10, 20, 30]).reshape(-1, 1, 1, 1)
    assert ours.dtype == dtype
    assert_array_equal(ours, np.clip(pictures, low, 99 if np.dtype(dtype).kind in "iu" else 99.5))


def test_clip_beyond_the_dtype_changes_nothing_and_an_empty_range_is_refused():
    assert_array_equal(batch_of(PHOTOS).clip(-1000, 1000).images, PHOTOS)
    with pytest.raises(ValueError, match="low must not be above high"):
        batch_of(PHOTOS).clip(20, 10)
    with pytest.raises(ValueError, match="a whole number must lie between"):
        batch_of(PHOTOS).clip(10.2, 10.8)


@pytest.mark.parametrize("layout", ["hcbs", "sb", "c"])
def test_enhance_is_pillow_step_by_step(layout):
    factors = [0.5, 1.5, 0.8, 1.9][: len(layout)]
    enhancers = {"h": "Color", "c": "Contrast", "b": "Brightness", "s": "Sharpness"}
    for picture, ours in zip(PHOTOS, batch_of(PHOTOS).enhance(factors, layout).images):
        image = Image.fromarray(picture)
        for letter, factor in zip(layout, factors):
            image = getattr(ImageEnhance, enhancers[letter])(image).enhance(factor)
        assert_allclose(ours.astype(int), np.asarray(image), atol=len(layout) + 1)


def test_enhance_takes_a_factor_for_all_or_for_each_item_and_letter():
    one = batch_of(FLOATS).enhance(1.3, "cb").images
    assert_array_equal(one, batch_of(FLOATS).adjust_contrast(1.3).adjust_brightness(1.3).images)
    rows = PerItem(np.array([[1.3, 0.7], [1.0, 1.0], [0.2, 1.1]]))
    each = batch_of(FLOATS).enhance(rows, "cb").images
    by_hand = (
        batch_of(FLOATS).adjust_contrast(PerItem([1.3, 1, 0.2])).adjust_brightness(PerItem([0.7, 1, 1.1]))
    )
    assert_array_equal(each, by_hand.images)
    ragged = batch_of([PHOTOS[0], PHOTOS[1, :9, :, 0]]).enhance(PerItem([2.0, 0.5])).images
    assert_array_equal(ragged[0], batch_of(PHOTOS[:1]).enhance(2.0).images[0])
    assert ragged[1].shape == (9, 50)


@pytest.mark.parametrize(
    "arguments", [(1.2, "hx"), (1.2, ""), ([1, 2, 3], "hc"), (PerItem(np.ones((3, 3))), "hc")]
)
def test_enhance_refuses_letters_and_factors_that_do_not_fit(arguments):
    with pytest.raises(ValueError, match="layout"):
        batch_of(PHOTOS).enhance(*arguments)


@pytest.mark.parametrize("pictures", [PHOTOS, FLOATS, PHOTOS.astype(np.int16) * 128])
def test_negatives_of_some_channels(pictures):
    white = np.iinfo(pictures.dtype).max if pictures.dtype.kind in "iu" else 1
    ours = batch_of(pictures).invert([0, -1]).images
    theirs = pictures.copy()
    theirs[..., [0, 2]] = white - theirs[..., [0, 2]]
    assert_array_equal(ours, theirs)
    assert_array_equal(batch_of(pictures).invert("all").images, white - pictures)
    assert_array_equal(batch_of(pictures[..., 0]).invert(0).images, white - pictures[..., 0])
    with pytest.raises(ValueError, match="give 0 to 2"):
        batch_of(pictures).invert(3)
    with pytest.raises(ValueError, match="channels is 'all'"):
        batch_of(pictures).invert([])


def test_speckle_has_the_deviation_asked_for_and_leaves_black_black():
    flat = np.full((2, 200, 200, 3), 0.5, np.float32)
    flat[0, :, :100] = 0
    ours = batch_of(flat).multiplicative_noise(PerItem([0.2, 0.1]), mean=1.1).images
    assert (ours[0, :, :100] == 0).all()
    assert_allclose([ours[0, :, 100:].mean(), ours[1].mean()], 0.55, rtol=0.01)
    assert_allclose([ours[0, :, 100:].std(), ours[1].std()], [0.1, 0.05], rtol=0.02)
    whole = batch_of(flat).multiplicative_noise(0.2, by_channel=False).images
    assert_array_equal(whole[..., 0], whole[..., 2])
    bytes_ = batch_of(np.full((1, 100, 100), 200, np.uint8)).multiplicative_noise(0.5).images
    assert (bytes_.dtype, bytes_.min(), bytes_.max()) == (np.uint8, 0, 255)


@pytest.mark.parametrize(
    ("origin", "rows", "columns"),
    [
        ("top_left", slice(0, 10), slice(0, 20)),
        ("bottom_right", slice(30, 40), slice(30, 50)),
        ("center", slice(15, 25), slice(15, 35)),
        ((35, 4), slice(35, 40), slice(4, 24)),
        ((-5, -5), slice(0, 5), slice(0, 15)),
        ((0.5, 1.0), slice(15, 25), slice(30, 50)),
    ],
)
@pytest.mark.parametrize("pictures", [PHOTOS, FLOATS, list(FLOATS)])
def test_cutout_erases_where_it_is_told_to(pictures, origin, rows, columns):
    ours = batch_of(pictures).cutout((10, 20), 0.0, origin=origin).images
    theirs = np.array(pictures)
    theirs[:, rows, columns] = 0
    assert_array_equal(ours, theirs)


def test_cutout_of_pictures_and_masks_is_the_same_part_and_sizes_may_differ():
    ones = np.ones((3, 40, 50), np.uint8)
    for origin in (None, "random"):
        batch = batch_of(ones[..., None], masks=ones).cutout(
            PerItem([(8, 8), (4, 12), (1, 1)]), origin=origin, src=["images", "masks"]
        )
        assert_array_equal(batch.images[..., 0], batch.masks)
        gone = (batch.masks == 0).sum(axis=(1, 2))
        assert gone.tolist() == [64, 48, 1] if origin else (gone <= [64, 48, 1]).all()
    with pytest.raises(ValueError, match="cutout: origin must be one of"):
        batch_of(ones).cutout((3, 3), origin="middle")
    with pytest.raises(ValueError, match="positive ints"):
        batch_of(ones).cutout(PerItem([3.5, 1, 1]))


def test_pillow_images_hold_what_arrays_hold():
    kinds = [
        (PHOTOS, "RGB"),
        (PHOTOS[..., 0], "L"),
        (PHOTOS[..., :1], "L"),
        (PHOTOS[..., :2], "LA"),
        (np.concatenate([PHOTOS, PHOTOS[..., :1]], axis=3), "RGBA"),
        (PHOTOS[..., 0] > 90, "1"),
        (PHOTOS[..., 0].astype(np.uint16) * 200, "I;16"),
        (PHOTOS[..., 0].astype(np.int64) - 90, "I"),
        (FLOATS[..., 0], "F"),
    ]
    for pictures, mode in kinds:
        images = batch_of(pictures).to_pil().images
        assert [image.mode for image in images] == [mode] * 3
        flat = pictures[..., 0] if pictures.shape[3:] == (1,) else pictures
        assert_array_equal(np.stack([np.asarray(image) for image in images]), flat)
    assert_array_equal(np.asarray(batch_of(FLOATS).to_pil().images[1]), PHOTOS[1])
    assert batch_of(PHOTOS).to_pil("L").images[0].mode == "L"
    ragged = batch_of([PHOTOS[0], PHOTOS[1, :5, :, 0]]).to_pil()
    assert [image.size for image in ragged.images] == [(50, 40), (50, 5)]
    assert_array_equal(ragged.flip("lr").images[0], PHOTOS[0, :, ::-1])


@pytest.mark.parametrize("pictures", [PHOTOS.astype(np.int32), np.zeros((1, 4, 4, 7), np.uint8)])
def test_pictures_that_pillow_has_no_mode_for_are_named(pictures):
    with pytest.raises(ItemError, match=r"to_pil: item 0 .* Pillow has no image for shape"):
        batch_of(pictures).to_pil()
    with pytest.raises(ItemError, match="in mode 'XYZ'"):
        batch_of(PHOTOS).to_pil("XYZ")


# In pipelines


RANDOM = (
    Pipeline()
    .transform([[1, 0.1, 0], [0, 1, 2]], fill="wrap", p=0.5)
    .shift(P(R("uniform", -5, 5)), fill="wrap")
    .enhance(P(R("uniform", 0.5, 1.5)), p=0.7)
    .clip(P(R("uniform", 0, 50)), 240)
    .multiplicative_noise(P(R("uniform", 0, 0.2)), p=0.5)
    .filter("median", P(R("choice", [1, 3, 5])))
    .cutout((5, 9), origin="random", p=0.5)
    .put_on_background(np.zeros((60, 60, 3), np.uint8))
)


def test_random_arguments_are_the_same_in_every_engine():
    dataset = Dataset(3, ImagesBatch, preloaded={"images": PHOTOS})
    runs = [{}, {"prefetch": 2}, {"prefetch": 2, "engine": "processes", "workers": 2}]
    one, *others = (
        np.concatenate(
            [batch.images for batch in (RANDOM << dataset).gen_batch(2, n_epochs=2, seed=3, **run)]
        )
        for run in runs
    )
    assert one.shape == (6, 60, 60, 3)
    assert (one[:3] != one[3:]).any()
    for other in others:
        assert_array_equal(one, other)


# Older names of arguments


@pytest.mark.parametrize(
    ("action", "older", "now"),
    [
        ("crop", {"shape": (9, 9)}, {"size": (9, 9)}),
        ("fit", {"shape": (9, 9)}, {"size": (9, 9)}),
        ("random_resized_crop", {"shape": (9, 9)}, {"size": (9, 9)}),
        ("scale", {"factor": 2, "preserve_shape": True}, {"factor": 2, "preserve_size": True}),
        ("cutout", {"shape": (9, 9), "color": 7}, {"size": (9, 9), "fill": 7}),
        ("multiply", {"multiplier": 0.5}, {"factor": 0.5}),
        ("salt", {"p_noise": 0.1}, {"share": 0.1}),
        ("filter", {"mode": "SHARPEN"}, {"kind": "sharpen"}),
    ],
)
def test_arguments_may_have_their_older_names_with_a_hint(action, older, now):
    wanted = getattr(batch_of(PHOTOS), action)(**now).images
    with pytest.warns(FutureWarning, match=f"^{action}: .* is now called") as hints:
        found = getattr(batch_of(PHOTOS), action)(**older).images
    assert hints[0].filename == __file__
    assert_array_equal(found, wanted)
    recorded = getattr(Pipeline(), action)(**older) << Dataset(3, ImagesBatch, preloaded={"images": PHOTOS})
    with pytest.warns(FutureWarning, match=f"^{action}: .* is now called") as hints:
        batch = recorded.next_batch(3, seed=0)
    assert hints[0].filename == __file__
    assert batch.images.shape == wanted.shape


def test_an_argument_by_both_of_its_names_is_refused():
    with pytest.raises(TypeError, match="got shape= and size=, which are one argument"):
        batch_of(PHOTOS).crop(shape=(3, 3), size=(3, 3))
