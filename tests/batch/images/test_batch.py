"""Image batches as a whole: random values, copies in other processes, volumes, engines."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.ndimage
from numpy.testing import assert_allclose, assert_array_equal

from bf_batch import Dataset, ImagesBatch, PerItem
from bf_pipeline import P, Pipeline, R


def digits(n=64, shape=(28, 28), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def augmented(images, seed=0):
    batch = ImagesBatch(len(images), preloaded={"images": images}, seed=seed)
    return batch.rotate(PerItem(np.linspace(-10, 10, len(images))), p=0.8).to_array(scale=1 / 255)


def test_random_values_are_those_of_the_address_whatever_the_order():
    images = digits(8)

    def made(seed):
        batch = ImagesBatch(8, preloaded={"images": images}, seed=seed)
        return batch.crop((20, 20), "random").flip(p=0.5).perspective(0.4, p=0.5).elastic(10, p=0.5).images

    assert_array_equal(made(5), made(5))
    assert (made(5) != made(6)).any()


def test_pickled_batch_holds_its_pixels():
    batch = augmented(digits(4))
    copy = pickle.loads(pickle.dumps(batch))
    assert_array_equal(copy.images, batch.images)


def test_settled_batch_has_nothing_pending():
    assert augmented(digits(4)).settle().kinds()["images"] == "array"


def test_volumes_are_turned_slice_by_slice_when_slices_are_the_last_axis():
    volumes = scipy.ndimage.gaussian_filter(np.random.default_rng(0).random((2, 40, 50, 17)), 2).astype(
        np.float32
    )
    turned = ImagesBatch(2, preloaded={"images": volumes}).rotate(20).images
    theirs = scipy.ndimage.rotate(volumes, 20, axes=(2, 1), reshape=False, order=1, mode="grid-constant")
    assert_allclose(turned, theirs, atol=1e-4)


@pytest.mark.parametrize("engine", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_every_engine_gives_the_same_pictures(engine):
    augmentation = (
        Pipeline()
        .rotate(angle=P(R("uniform", -10, 10)), p=0.8)
        .crop((24, 24), "random")
        .elastic(8.0, p=0.3)
        .noise(0.05, p=0.5)
        .rand_augment()
        .trivial_augment()
        .to_array("float32", 1 / 255)
    )
    pipeline = augmentation << Dataset(128, ImagesBatch, preloaded={"images": digits(128)})

    def made(**options):
        return [batch.images for batch in pipeline.gen_batch(32, shuffle=True, n_epochs=1, seed=3, **options)]

    for one, two in zip(made(), made(prefetch=4, engine=engine, workers=2), strict=True):
        assert_array_equal(one, two)
