"""Colour and noise actions against Pillow, scikit-image and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import skimage.color
import skimage.data
import skimage.exposure
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, ImageEnhance, ImageOps

from bf_batch import Batch, ImagesBatch, PerItem


@pytest.fixture(scope="module")
def photos():
    whole = skimage.data.astronaut()
    return np.stack([whole[y : y + 60, x : x + 80] for y, x in [(0, 180), (100, 100), (300, 300)]])


@pytest.fixture
def batch(photos):
    return ImagesBatch(3, preloaded={"images": photos, "labels": np.arange(3)})


@pytest.fixture
def floats(photos):
    return ImagesBatch(3, preloaded={"images": (photos / 255).astype(np.float32)})


ENHANCERS = {
    "adjust_brightness": ImageEnhance.Brightness,
    "adjust_contrast": ImageEnhance.Contrast,
    "adjust_saturation": ImageEnhance.Color,
    "adjust_sharpness": ImageEnhance.Sharpness,
}


@pytest.mark.parametrize("name", ENHANCERS)
@pytest.mark.parametrize("factors", [(0.0, 0.4, 1.0), (1.3, 1.9, 0.7)])
def test_enhancers_equal_pillow_within_a_level(batch, floats, photos, name, factors):
    ours = getattr(batch, name)(PerItem(factors)).images
    theirs = [np.asarray(ENHANCERS[name](Image.fromarray(p)).enhance(f)) for p, f in zip(photos, factors)]
    assert_allclose(ours.astype(int), np.array(theirs).astype(int), atol=1.01)
    exact = getattr(floats, name)(PerItem(factors)).images
    assert exact.dtype == np.float32
    assert_allclose(exact * 255, theirs, atol=2)


@pytest.mark.parametrize(
    ("name", "arguments", "reference"),
    [
        ("invert", {}, ImageOps.invert),
        ("solarize", {"threshold": 128 / 255}, lambda p: ImageOps.solarize(p, 128)),
        ("solarize", {"threshold": 10 / 255}, lambda p: ImageOps.solarize(p, 10)),
        ("posterize", {"bits": 3}, lambda p: ImageOps.posterize(p, 3)),
        ("equalize", {}, ImageOps.equalize),
        ("autocontrast", {}, ImageOps.autocontrast),
    ],
)
def test_tables_equal_pillow_exactly(batch, floats, photos, name, arguments, reference):
    theirs = np.stack([np.asarray(reference(Image.fromarray(p))) for p in photos])
    assert_array_equal(getattr(batch, name)(**arguments).images, theirs)
    if name != "solarize":
        assert_allclose(getattr(floats, name)(**arguments).images * 255, theirs, atol=0.01)


def test_solarize_of_floats_inverts_from_the_threshold(floats, photos):
    values = photos / np.float32(255)
    assert_allclose(floats.solarize(0.4).images, np.where(values < 0.4, values, 1 - values), atol=1e-6)


def test_hue_turns_the_circle_of_colours_as_scikit_image(batch, floats, photos):
    shifts = np.array([-0.3, 0.1, 0.5])
    hsv = np.stack([skimage.color.rgb2hsv(p) for p in photos])
    hsv[..., 0] = (hsv[..., 0] + shifts[:, None, None]) % 1
    theirs = skimage.color.hsv2rgb(hsv)
    assert_allclose(floats.adjust_hue(PerItem(shifts)).images, theirs, atol=1e-5)
    assert_allclose(batch.adjust_hue(PerItem(shifts)).images, theirs * 255, atol=0.51)


def test_gamma_equals_scikit_image(batch, floats, photos):
    theirs = skimage.exposure.adjust_gamma(photos / 255, 1.7, 0.9)
    assert_allclose(floats.adjust_gamma(1.7, 0.9).images, theirs, atol=1e-5)
    assert_allclose(batch.adjust_gamma(1.7, 0.9).images, theirs * 255, atol=0.51)
    assert_allclose(
        ImagesBatch(3, preloaded={"images": photos}).adjust_gamma(0.5).images,
        (photos / 255) ** 0.5 * 255,
        atol=0.51,
    )


@pytest.mark.parametrize("sigma", [0.6, 2.0, 5.0])
def test_blur_equals_scipy(batch, floats, photos, sigma):
    theirs = np.stack(
        [scipy.ndimage.gaussian_filter(p.astype(float), [sigma, sigma, 0], mode="mirror") for p in photos]
    )
    assert_allclose(batch.blur(sigma).images, theirs, atol=0.51)
    assert_allclose(floats.blur(sigma).images * 255, theirs, atol=1e-2)


def test_gray_equals_pillow_within_a_level_and_rgb_repeats(batch, photos):
    theirs = np.stack([np.asarray(Image.fromarray(p).convert("L")) for p in photos])
    grey = batch.gray().images
    assert grey.shape == (3, 60, 80, 1)
    assert_allclose(grey[..., 0].astype(int), theirs, atol=1)
    back = batch.rgb().images
    assert back.shape == (3, 60, 80, 3)
    assert (back == back[..., :1]).all()


def test_grey_pictures_pass_through_steps_on_colour():
    digits = np.random.default_rng(0).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    batch = ImagesBatch(4)
    batch.images = digits
    assert_array_equal(batch.adjust_saturation(0.2).adjust_hue(0.3).images, digits)
    assert batch.images.flags.writeable
    assert batch.adjust_contrast(0.5).blur(1).invert().images.shape == (4, 28, 28)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_results_come_back_in_the_dtype_of_the_pictures(photos, dtype):
    top = np.iinfo(dtype).max if dtype.startswith("u") else 1
    pictures = (photos / 255 * top).astype(dtype)
    dark = ImagesBatch(3, preloaded={"images": pictures}).adjust_brightness(0.5).images
    assert dark.dtype == dtype
    assert_allclose(dark / top, photos / 510, atol=3e-3)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32"])
def test_integers_are_limited_to_their_range_and_never_wrap_around(dtype):
    limits = np.iinfo(dtype)
    light = np.full((2, 30, 30), limits.max // 4 * 3, dtype)

    def made(name, *arguments):
        return getattr(ImagesBatch(2, preloaded={"images": light}), name)(*arguments).images

    assert (made("multiply", 2.0) == limits.max).all()
    assert (made("add", 0.5) == limits.max).all()
    assert (made("add", -3.0) == max(limits.min, round(-2.25 * limits.max))).all()
    noisy = made("noise", 0.2)
    assert noisy.dtype == dtype
    assert (noisy == limits.max).mean() == pytest.approx(
        0.106, abs=0.04
    )  # a quarter above is 1.25 deviations


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32", "float64"])
def test_mixup_of_anything_but_bytes_gives_float32(photos, dtype):
    batch = ImagesBatch(3, preloaded={"images": photos.astype(dtype), "labels": np.arange(3)})
    assert batch.mixup(1.0, classes=3).images.dtype == np.float32


def test_chance_is_for_each_item_and_the_others_stay(photos):
    many = np.repeat(photos[:1], 40, axis=0)
    inverted = ImagesBatch(40, preloaded={"images": many}).invert(p=0.5).images
    changed = (inverted != many).any(axis=(1, 2, 3))
    assert 8 < changed.sum() < 32
    assert_array_equal(inverted[changed], 255 - many[changed])
    assert_array_equal(inverted[~changed], many[~changed])


def test_lists_of_pictures_of_many_sizes_are_recoloured_one_by_one(photos):
    pictures = [photos[0], photos[1][:30], photos[2][:, :20]]
    batch = (
        ImagesBatch(3, preloaded={"images": pictures}).adjust_brightness(PerItem([1.0, 0.5, 2.0])).equalize()
    )
    for ours, picture, factor in zip(batch.images, pictures, (1.0, 0.5, 2.0)):
        bright = np.clip(np.floor(picture * factor + 0.5), 0, 255).astype(np.uint8)
        assert_array_equal(ours, np.asarray(ImageOps.equalize(Image.fromarray(bright))))


def test_noise_has_the_deviation_asked_for():
    grey = np.full((8, 64, 64), 128, np.uint8)
    noisy = ImagesBatch(8, preloaded={"images": grey}).noise(0.1, 0.05).images
    assert noisy.dtype == np.uint8
    assert noisy.std() == pytest.approx(25.5, rel=0.03)
    assert noisy.mean() == pytest.approx(128 + 12.75, abs=0.5)


def test_salt_turns_a_share_of_pixels_white_or_black():
    grey = np.full((4, 100, 100, 3), 128, np.uint8)
    salted = ImagesBatch(4, preloaded={"images": grey}).salt(0.1, pepper=0.25).images
    assert (salted == 255).all(axis=3).mean() == pytest.approx(0.075, abs=0.01)
    assert (salted == 0).all(axis=3).mean() == pytest.approx(0.025, abs=0.01)
    assert ((salted == 128).all(axis=3) | (salted == 255).all(axis=3) | (salted == 0).all(axis=3)).all()


def test_cutout_erases_one_part_of_at_most_its_size():
    ones = np.ones((50, 32, 32), np.float32)
    cut = ImagesBatch(50, preloaded={"images": ones}).cutout((8, 8), fill=-1).images
    erased = (cut == -1).sum(axis=(1, 2))
    assert erased.max() == 64
    assert erased.min() >= 16
    assert len({tuple(np.argwhere(c == -1)[0]) for c in cut}) > 30


def test_mixup_blends_pictures_and_labels_by_one_share(batch, photos):
    batch.mixup(1.0, classes=5)
    assert batch.labels.shape == (3, 5)
    assert_allclose(batch.labels.sum(axis=1), 1, rtol=1e-6)
    blended = np.einsum("ij,jhwc->ihwc", batch.labels[:, :3], photos.astype(np.float32))
    assert_allclose(batch.images, blended, atol=0.51)


def test_cutmix_labels_are_the_areas_really_pasted():
    pictures = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((4, 40, 50), np.float32)
    batch = ImagesBatch(4, preloaded={"images": pictures, "labels": np.arange(4)}).cutmix(1.0, classes=4)
    shares = np.stack([(batch.images == k).mean(axis=(1, 2)) for k in range(4)], axis=1)
    assert_allclose(batch.labels, shares, atol=1e-6)


def test_mixing_says_what_it_needs(batch):
    with pytest.raises(ValueError, match=r"mixup: labels are numbers of classes; say how many"):
        batch.mixup(0.2)
    with pytest.raises(ValueError, match=r"labels must be integers from 0 to 1, got int64 from 0 to 2"):
        batch.mixup(0.2, classes=2)
    with pytest.raises(ValueError, match="posterize: bits must be from 1 to 8, got 9"):
        batch.posterize(9)


def test_the_same_address_gives_the_same_noise(photos):
    def made(seed):
        return (
            ImagesBatch(3, preloaded={"images": photos}, seed=seed).noise(0.1).salt(0.1).cutout((9, 9)).images
        )

    assert_array_equal(made(1), made(1))
    assert (made(1) != made(2)).any()


def test_batch_of_no_images_has_no_image_actions():
    assert "rotate" not in Batch.actions
    assert ImagesBatch.actions["rotate"].itemwise
    assert not ImagesBatch.actions["mixup"].itemwise
