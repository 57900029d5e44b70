"""Bringing pictures to a shape by resizing and cutting the middle."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_image

from bf_batch import ImagesBatch


@pytest.mark.parametrize("size", [(100, 160), (160, 100), (90, 90)])
@pytest.mark.parametrize("margin", [0.0, 0.0625])
def test_fit_is_that_of_pillow(size: tuple[int, int], margin: float) -> None:
    smooth = gaussian_filter(
        np.asarray(load_sample_image("china.jpg"), float)[: size[0], : size[1]], (2, 2, 0)
    )
    picture = smooth.astype(np.uint8)
    got = ImagesBatch(1, preloaded={"images": [picture]}).fit((96, 96), margin).images[0]
    want = ImageOps.fit(Image.fromarray(picture), (96, 96), Image.Resampling.BILINEAR, bleed=margin)
    # Pillow filters a little where it shrinks
    assert np.abs(got.astype(int) - np.asarray(want).astype(int)).mean() < 1.5


def test_a_picture_of_the_shape_stays_as_it_is() -> None:
    pictures = [np.random.default_rng(k).integers(0, 256, (8, 8 + k, 3), np.uint8) for k in (0, 4)]
    done = ImagesBatch(2, preloaded={"images": pictures}).fit((8, 8), 0.25).images
    assert done.shape == (2, 8, 8, 3)
    np.testing.assert_array_equal(done[0], pictures[0])
    same = ImagesBatch(1, preloaded={"images": pictures[0][None]}).fit((8, 8), 0.25).images
    np.testing.assert_array_equal(same[0], pictures[0])


def test_a_margin_is_a_share() -> None:
    with pytest.raises(ValueError, match="margin must be from 0"):
        ImagesBatch(1, preloaded={"images": np.zeros((1, 4, 4))}).fit((2, 2), 0.5)
