"""Filters against Pillow, scipy and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import skimage.filters
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, ImageFilter

from bf_batch import ImagesBatch, PerItem
from bf_batch.images.colour.filter_actions import KINDS

PHOTOS = np.stack([skimage.data.astronaut()[y : y + 41, 180:250] for y in (0, 60, 120)])
DTYPES = [np.uint8, np.float32, np.uint16, np.float64, np.int8]
RANKS = {
    "median": scipy.ndimage.median_filter,
    "minimum": scipy.ndimage.minimum_filter,
    "maximum": scipy.ndimage.maximum_filter,
}


def batch_of(pictures):
    return ImagesBatch(len(pictures), preloaded={"images": pictures})


def pictures_of(dtype, grey=False):
    some = PHOTOS[..., 1] if grey else PHOTOS
    if dtype == np.uint16:
        return some.astype(dtype) * 257
    if dtype == np.int8:
        return (some // 2).astype(dtype)
    return some if dtype == np.uint8 else (some / 255).astype(dtype)


def apply_by_channel(function, pictures):
    four = pictures[..., None] if pictures.ndim == 3 else pictures
    done = [
        np.stack([function(one[..., c].astype(np.float64)) for c in range(one.shape[2])], 2) for one in four
    ]
    return np.stack(done)[..., 0] if pictures.ndim == 3 else np.stack(done)


@pytest.mark.parametrize("kind", KINDS[:10])
def test_named_filters_equal_pillow_within_a_level_but_at_the_edge(kind):
    theirs = [np.asarray(Image.fromarray(p).filter(getattr(ImageFilter, kind.upper()))) for p in PHOTOS]
    ours = batch_of(PHOTOS).filter(kind).images
    inside = (slice(None), slice(2, -2), slice(2, -2))
    assert ours.dtype == np.uint8
    assert_allclose(ours[inside].astype(int), np.array(theirs)[inside], atol=1)
    floats = batch_of(pictures_of(np.float32)).filter(kind.upper()).images  # as older pipelines spell it
    assert_allclose((floats * 255).clip(0, 255)[inside], np.array(theirs)[inside], atol=0.51)


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 3, 5, 11])
def test_ranks_equal_scipy_for_all_dtypes(size, dtype, grey):
    pictures = pictures_of(dtype, grey)
    for kind, function in RANKS.items():
        ours = batch_of(pictures).filter(kind, size).images
        theirs = apply_by_channel(lambda one: function(one, size=size, mode="mirror"), pictures)  # noqa: B023
        assert ours.dtype == dtype
        assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [3, 9])
def test_box_is_the_mean_of_a_square(size, dtype):
    pictures = pictures_of(dtype)
    theirs = apply_by_channel(lambda one: scipy.ndimage.uniform_filter(one, size, mode="mirror"), pictures)
    whole = np.dtype(dtype).kind in "iu"
    assert_allclose(batch_of(pictures).filter("box", size).images, theirs, atol=0.501 if whole else 1e-6)


@pytest.mark.parametrize(
    ("fill", "mode"), [("reflect", "mirror"), ("edge", "nearest"), ("wrap", "wrap"), (0.25, "constant")]
)
@pytest.mark.parametrize("shape", [(3, 3), (1, 5), (7, 1)])
def test_own_weights_equal_scipy_correlate_with_any_border(fill, mode, shape):
    weights = np.random.default_rng(0).normal(size=shape)
    pictures = pictures_of(np.float32)
    ours = batch_of(pictures).filter(weights.tolist(), scale=2, offset=0.1, fill=fill).images
    theirs = apply_by_channel(
        lambda one: scipy.ndimage.correlate(one, weights, mode=mode, cval=0.25) / 2 + 0.1, pictures
    )
    assert_allclose(ours, theirs, atol=2e-6)


def test_weighted_bytes_are_rounded_half_up_and_limited():
    ours = batch_of(PHOTOS).filter([[1, 1, 1]], scale=6).images
    whole = apply_by_channel(
        lambda one: scipy.ndimage.correlate1d(one, [1, 1, 1], axis=1, mode="mirror"), PHOTOS
    )
    assert_array_equal(ours, np.floor(whole / 6 + 0.5))
    assert batch_of(PHOTOS).filter([[9]]).images.max() == 255


@pytest.mark.parametrize(("size", "dtype"), [(7, np.uint8), (9, np.uint8), (9, np.float32), (23, np.float32)])
def test_medians_of_wide_pictures_equal_scipy(size, dtype):
    wide = np.random.default_rng(size).integers(0, 256, (1, 26, 401, 3)).astype(dtype)
    theirs = scipy.ndimage.median_filter(wide, (1, size, size, 1), mode="mirror")
    assert_array_equal(batch_of(wide).filter("median", size).images, theirs)


def test_a_value_outside_is_in_the_units_of_the_pictures():
    wide = pictures_of(np.uint16, grey=True)
    ours = batch_of(wide).filter("maximum", 3, fill=60000).images
    assert_array_equal(ours[:, 0, 1:-1].clip(None, 60000), 60000)
    assert_array_equal(ours[:, 2:-2, 2:-2], batch_of(wide).filter("maximum", 3).images[:, 2:-2, 2:-2])
    colours = batch_of(PHOTOS).filter("maximum", 3, fill=(0, 255, 0)).images
    plain = batch_of(PHOTOS).filter("maximum", 3, fill=0).images
    assert (colours[:, 0, :, 1] == 255).all()
    assert_array_equal(colours[..., [0, 2]], plain[..., [0, 2]])


def test_sobel_equals_scikit_image():
    ours = batch_of(pictures_of(np.float32, grey=True)).filter("sobel").images
    theirs = [skimage.filters.sobel(one, mode="mirror") for one in pictures_of(np.float64, grey=True)]
    assert_allclose(ours, theirs, atol=1e-6)


def test_each_picture_has_a_window_of_its_own_size_and_ragged_ones_too():
    ours = batch_of(PHOTOS).filter("median", PerItem([3, 7, 1])).images
    theirs = [scipy.ndimage.median_filter(p, (s, s, 1), mode="mirror") for p, s in zip(PHOTOS, (3, 7, 1))]
    assert_array_equal(ours, theirs)
    ragged = [PHOTOS[0], PHOTOS[1, :20], PHOTOS[2, :, :9, 0]]
    for one, found, size in zip(
        ragged, batch_of(ragged).filter("median", PerItem([3, 7, 1])).images, (3, 7, 1)
    ):
        window = (size, size, 1)[: one.ndim]
        assert_array_equal(found, scipy.ndimage.median_filter(one, window, mode="mirror"))


def test_items_that_a_chance_leaves_out_stay_as_they_are():
    ours = batch_of(PHOTOS).filter("find_edges", p=PerItem([1, 0, 1])).images
    assert_array_equal(ours[1], PHOTOS[1])
    assert_array_equal(ours[[0, 2]], batch_of(PHOTOS[[0, 2]]).filter("find_edges").images)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"kind": "sharpn"}, "did you mean 'sharpen'"),
        ({"kind": "gaussian"}, r"blur\(sigma=...\) is the Gauss filter"),
        ({"kind": "median", "size": 4}, "size is an odd number of pixels from 1 to 255, got 4"),
        ({"kind": "median", "scale": 2}, "scale= and offset= are for weights of your own"),
        ({"kind": [[1, 2], [3, 4]]}, "odd numbers of both"),
        ({"kind": [[1, float("nan"), 3]]}, "finite"),
        ({"kind": None}, "odd numbers of both"),
        ({"kind": [[1]], "scale": 0}, "a number other than 0"),
        ({"kind": "box", "fill": "mirror"}, "fill must be a number"),
        ({"kind": "box", "fill": 300}, "has no place"),
    ],
)
def test_what_no_filter_can_do_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        batch_of(PHOTOS).filter(**arguments)
