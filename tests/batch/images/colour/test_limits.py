"""Integers of all widths at their limits, and dtypes that differ by item, against Python's integers."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bf_batch import ImagesBatch

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
FLOATS = ["float32", "float64"]


def batch_of(pictures, **others):
    return ImagesBatch(len(pictures), preloaded={"images": pictures, **others})


def extremes(dtype):
    limits = np.iinfo(dtype)
    return np.array([[limits.max, limits.max - 1], [limits.min, limits.min + 1]], dtype)[None]


def limited(value, dtype):
    limits = np.iinfo(dtype)
    return min(max(value, limits.min), limits.max)


@pytest.mark.parametrize("after", [*INTEGERS, *FLOATS])
@pytest.mark.parametrize("before", INTEGERS)
def test_to_array_takes_integers_to_every_dtype_within_its_limits(before, after):
    values = extremes(before)
    ours = batch_of(values).to_array(after, channels=None).images
    if after in FLOATS:
        assert_allclose(ours, values.astype(after), rtol=1e-6 if "32" in (before + after) else 1e-15)
    else:
        assert ours.ravel().tolist() == [limited(int(value), after) for value in values.ravel()]
    assert ours.dtype == after


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("source", FLOATS)
def test_to_array_limits_floats_to_the_range_of_integers(source, dtype):
    floats = np.array([[[1e30, -1e30, np.inf, -np.inf, 2.5, -0.6, np.nan]]], source)
    whole = [limited(value, dtype) for value in (10**30, -(10**30), 10**30, -(10**30), 2, -1, 0)]
    ours = batch_of(floats).to_array(dtype, channels=None).images.ravel().tolist()
    assert ours[:-1] == whole[:-1] or (dtype == "uint8" and ours[4] == 3)  # bytes round a half up
    assert ours[-1] == 0
    scaled = batch_of(floats / 4).to_array(dtype, scale=4.0, channels=None).images.ravel().tolist()
    assert scaled == ours


def test_what_is_limited_to_integers_stays_limited_for_later_steps():
    floats = np.array([[[300.7, -5.0, 100.4]]], np.float32)
    ours = batch_of(floats).to_array("uint8").normalize(0.0, 1.0).images.ravel()
    assert_allclose(ours, np.array([255, 0, 100]) / 255, rtol=1e-6)
    ours = batch_of(floats).to_array("uint8").to_array("float32").images.ravel()
    assert_array_equal(ours, [255, 0, 100])
    ours = batch_of(floats * 1e6).to_array("uint8").resize((1, 6)).images.ravel()
    assert_array_equal(ours, [255, 191, 64, 64, 191, 255])


@pytest.mark.parametrize("dtype", INTEGERS)
def test_actions_keep_integers_within_their_limits(dtype):
    values = np.repeat(extremes(dtype)[..., None], 3, axis=3)
    limits = np.iinfo(dtype)
    negative = [limited(limits.max - int(value), dtype) for value in values.ravel()]
    assert batch_of(values).invert().images.ravel().tolist() == negative
    greys = batch_of(values).gray().images.ravel().tolist()
    for grey, value in zip(greys, values[..., 0].ravel().tolist()):  # computed in float64
        assert abs(grey - value) <= abs(value) * 1e-6
    top = np.full((1, 6, 6, 3), limits.max, dtype)
    for action, *arguments in (
        ("multiply", 3.0), ("add", 1.0), ("adjust_brightness", 2.0), ("adjust_contrast", 2.0), ("gray",),
        ("noise", 0.0, 1.0), ("blur", 1.0), ("resize", (9, 4), True), ("adjust_saturation", 2.0),
        ("adjust_hue", 0.5), ("salt", 1.0, 0.0), ("cutout", (3, 3), int(limits.max)),
        ("rotate", 360.0), ("adjust_sharpness", 2.0),
    ):  # fmt: skip
        ours = getattr(batch_of(top), action)(*arguments).images
        assert ours.dtype == dtype
        assert int(ours.min()) >= int(limits.max) * (1 - 1e-6), action  # loops compute in float32
    lowest = batch_of(np.zeros((1, 4, 4), dtype)).add(-2.0).images
    assert (lowest == limits.min).all() or (lowest == limited(-2 * int(limits.max), dtype)).all()


@pytest.mark.parametrize("dtype", [*INTEGERS, "float16", "float64"])
def test_cutout_and_salt_leave_all_other_pixels_as_they_are(dtype):
    kind = np.dtype(dtype)
    bits = np.random.default_rng(0).integers(0, 256, (3, 9, 9, 2, kind.itemsize), dtype=np.uint8)
    values = bits.view(kind)[..., 0]
    ours = batch_of(values).cutout((4, 5), fill=(7, 9)).images
    cut = (ours == (7, 9)).all(axis=3)
    assert (cut.sum(axis=(1, 2)) > 0).all()
    assert_array_equal(ours[~cut], values[~cut])
    white = np.iinfo(kind).max if kind.kind in "iu" else 1
    ours = batch_of(values).salt(0.3, pepper=0.5).images
    other = ~((ours == white) | (ours == 0)).all(axis=3)
    assert 0.5 < other.mean() < 0.9
    assert_array_equal(ours[other], values[other])


def test_cutout_has_fills_for_pictures_and_masks_apart():
    def cut(fill, **kinds):
        batch = batch_of(
            np.full((2, 6, 6), 50, kinds.get("dtype", "uint8")), masks=np.full((2, 6, 6), 3, "int8")
        )
        batch.cutout((9, 9), fill, src=["images", "masks"])
        return set(np.unique(batch.images)) - {50}, set(np.unique(batch.masks)) - {3}

    assert cut(200) == ({200}, {0})
    assert cut(1000, dtype="uint16") == ({1000}, {0})
    assert cut({"images": 9, "masks": -1}) == ({9}, {-1})
    for fill, said in ((300, "fill=300 has no place in 'images'"), ({"masks": 128}, "fill=128 has no place")):
        with pytest.raises(ValueError, match=said):
            cut(fill)
    with pytest.raises(ValueError, match="fill is a number"):
        cut("edge")


# What depends on a dtype is decided for each item


def test_items_of_several_dtypes_are_normalised_each_by_its_own():
    values = np.linspace(0, 1, 12).reshape(3, 4)
    some = [
        np.rint(values * 255).astype(np.uint8),
        values.astype(np.float32),
        np.rint(values * 65535).astype("u2"),
    ]
    for order in ([0, 1, 2], [1, 0, 2], [2, 1, 0]):
        ours = batch_of([some[i] for i in order]).normalize(0.5, 0.25).images
        assert_allclose(ours, np.broadcast_to((values - 0.5) / 0.25, (3, 3, 4)), atol=0.01)
        assert ours.dtype == np.float32
        turned = batch_of([some[i] for i in order]).flip().normalize(0.5, 0.25).to_array(scale=2).images
        assert_allclose(turned[1, :, ::-1, 0] / 2, (values - 0.5) / 0.25, atol=0.01)


def test_to_array_makes_one_array_of_items_of_several_dtypes_and_ranks():
    some = [
        np.full((3, 4), 7, np.uint8),
        np.full((3, 4, 1), 300, np.uint16),
        np.full((3, 4), -1.5, np.float64),
    ]
    ours = batch_of(some).to_array("float32").images
    assert ours.shape == (3, 3, 4, 1)
    assert ours[:, 0, 0, 0].tolist() == [7, 300, -1.5]
    ours = batch_of(some).rotate(90).to_array("uint8", channels="first").images
    assert ours.shape == (3, 1, 3, 4)
    assert ours[:, 0, 1, 1].tolist() == [7, 255, 0]


def test_items_of_a_ragged_batch_are_what_each_would_be_alone():
    rng = np.random.default_rng(0)
    some = [
        (rng.random(size) * 200).astype(kind)
        for size, kind in (((8, 9), "uint8"), ((7, 5), "float64"), ((6, 6), "u2"))
    ]
    for action, *arguments in (
        ("normalize", 0.4, 0.2), ("normalize",), ("invert",), ("to_array", "int16"), ("resize", (11, 13)),
        ("adjust_contrast", 0.5), ("gray",), ("rgb",), ("autocontrast",), ("rotate", 20), ("pad", 2),
        ("resize", (4, 3), True),
    ):  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the values of u2 are those of bytes
            together = getattr(batch_of(some), action)(*arguments).images
            for one, picture in zip(together, some):
                alone = getattr(batch_of(picture[None]), action)(*arguments).images[0]
                assert_array_equal(one, alone, strict=True)


@pytest.mark.parametrize("action", ["normalize", "invert", "add", "equalize", "solarize", "noise"])
@pytest.mark.parametrize(
    ("dtype", "top"), [("int64", 255), ("uint32", 65535), ("uint16", 255), ("int16", 200)]
)
def test_wide_integers_with_the_values_of_narrow_ones_are_told(action, dtype, top):
    arguments = {"normalize": (0.5, 0.5), "add": (0.1,), "noise": (0.1,)}.get(action, ())
    dark = np.full((4, 4), top, dtype)
    bright = np.full((4, 5), np.iinfo(dtype).max, dtype)
    for pictures in (dark[None], [bright, dark]):
        with pytest.warns(
            RuntimeWarning, match=rf"{action}: pictures in 'images' are {dtype}.*to_array\('uint8'\)"
        ):
            getattr(batch_of(pictures), action)(*arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for pictures in (bright[None], dark[None] * 0, [bright, dark * 0], dark[None].astype("uint8")):
            getattr(batch_of(pictures), action)(*arguments)
    once = batch_of(dark[None]).to_array("uint8").normalize(0.5, 0.5).images
    assert_allclose(once, (min(top, 255) / 255 - 0.5) / 0.5, rtol=1e-6)


def test_standardizing_wide_numbers_keeps_what_tells_them_apart():
    values = np.arange(12).reshape(1, 3, 4)
    wanted = (values - values.mean()) / values.std()
    for pictures in (values + 2**40, values + 1e12, values.astype("uint8")):
        assert_allclose(batch_of(pictures).normalize().images, wanted, rtol=1e-5)


@pytest.mark.parametrize(("channels", "middle"), [((0, 200), 100), ((0, 0, 0, 250, 250), 100), ((40,), 40)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "uint16"])
def test_contrast_blends_with_the_mean_of_all_channels_where_they_are_no_colours(channels, middle, dtype):
    scale = {"uint8": 1, "float32": 1 / 255, "uint16": 257}[dtype]
    pictures = (np.broadcast_to(channels, (1, 4, 4, len(channels))) * scale).astype(dtype)
    assert_allclose(batch_of(pictures).adjust_contrast(0.0).images, middle * scale, rtol=1e-5)
    half = batch_of(pictures).adjust_contrast(0.5).images[0, 0, 0] / scale
    assert_allclose(half, (np.array(channels) + middle) / 2, rtol=1e-2)
