"""Image batches as a whole: buffers, memory, policies, volumes, show, missing libraries, data sets."""

from __future__ import annotations

import ctypes
import itertools
import os
import pickle
import threading

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, ImageEnhance, ImageOps

from bf_batch import Dataset, ImagesBatch, PerItem
from bf_batch.images import show
from bf_batch.images.arrays import BufferPool
from bf_batch.images.policies import RAND, STEPS, WIDE, take_steps
from bf_pipeline import P, Pipeline, R


def digits(n=64, shape=(28, 28), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def augmented(images, seed=0):
    batch = ImagesBatch(len(images), preloaded={"images": images}, seed=seed)
    return batch.rotate(PerItem(np.linspace(-10, 10, len(images))), p=0.8).to_array(scale=1 / 255)


def test_old_batches_that_someone_holds_are_never_overwritten():
    images = digits()
    held = [augmented(images, seed).images for seed in range(20)]
    copies = [one.copy() for one in held]
    part = augmented(images, 99).images[3, :, :, 0]
    part_copy = part.copy()
    for seed in range(50):
        _ = augmented(images[::-1], seed).images
    for one, copy in zip(held, copies):
        assert_array_equal(one, copy)
    assert_array_equal(part, part_copy)
    assert len({one.__array_interface__["data"][0] for one in held}) == 20


def test_a_buffer_nobody_holds_is_used_again():
    pool = BufferPool(min_bytes=0)
    places = set()
    for _ in range(10):
        array = pool.take((64, 100), "float32")
        places.add(array.__array_interface__["data"][0])
        del array
    assert len(places) == 1


def test_a_buffer_is_free_only_when_views_of_it_are_gone_too():
    pool = BufferPool(min_bytes=0)
    view = memoryview(pool.take((8, 8), "float32"))
    other = pool.take((8, 8), "float32")
    assert other.__array_interface__["data"][0] != np.asarray(view).__array_interface__["data"][0]
    del view
    assert len(pool) == 2


HOLDERS = {
    "whole": lambda batch: batch.images,
    "slice": lambda batch: batch.images[5:9, ::2],
    "item": lambda batch: batch[batch.indices[3]].images,
    "memoryview": lambda batch: memoryview(batch.images),
    "dlpack": lambda batch: np.from_dlpack(batch.images),
    "buffer": lambda batch: np.frombuffer(batch.images, np.float32),
    "strided": lambda batch: np.lib.stride_tricks.as_strided(batch.images, (64,), (28 * 28 * 4,)),
    "pillow": lambda batch: Image.fromarray(batch.images[1, ..., 0]),
    "ctypes": lambda batch: (ctypes.c_float * 784).from_buffer(batch.images),
}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prefetch": 4, "engine": "threads", "workers": 2},
        pytest.param({"prefetch": 2, "engine": "processes", "workers": 2}, marks=pytest.mark.slow),
    ],
    ids=["inline", "threads", "processes"],
)
def test_no_way_to_hold_pixels_sees_those_of_a_later_batch(options):
    augmentation = Pipeline().rotate(angle=P(R("uniform", -10, 10))).to_array(scale=1 / 255)
    pipeline = augmentation << Dataset(640, ImagesBatch, preloaded={"images": digits(640)})
    held, copies = [], []
    batches = pipeline.gen_batch(64, shuffle=True, n_iters=40, seed=2, **options)
    for batch, name in zip(batches, itertools.cycle(HOLDERS)):
        held.append(HOLDERS[name](batch))
        copies.append(np.array(held[-1]))
    for one, copy, name in zip(held, copies, itertools.cycle(HOLDERS)):
        assert_array_equal(np.asarray(one), copy, err_msg=name)


def test_the_pool_keeps_few_arrays_and_few_bytes():
    pool = BufferPool(each=3, max_bytes=10_000, min_bytes=0)
    held = [pool.take((10, 100), "uint8") for _ in range(9)]
    assert len(pool) == 3
    for size in range(1, 60):
        pool.take((size, 100), "uint8")
    assert pool._bytes <= 10_000
    assert len(held) == 9


def test_threads_never_share_a_buffer():
    pool, failures = BufferPool(min_bytes=0), []

    def work(number):
        for _ in range(2000):
            array = pool.take((16, 16), "int64")
            array[...] = number
            if (array != number).any():
                failures.append(number)
            del array

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("options", [{}, {"prefetch": 4, "workers": 2}], ids=["inline", "threads"])
def test_memory_is_flat_over_two_thousand_batches(options):
    augmentation = (
        Pipeline()
        .rotate(7, p=0.8)
        .scale(1.1, preserve_shape=True, p=0.8)
        .invert(p=0.2)
        .to_array(scale=1 / 255)
    )
    pipeline = augmentation << Dataset(640, ImagesBatch, preloaded={"images": digits(640)})
    for number, batch in enumerate(pipeline.gen_batch(64, shuffle=True, n_iters=2200, seed=1, **options)):
        assert batch.images.dtype == np.float32
        if number == 200:
            before = resident()
    assert resident() - before < 4 << 20


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


def by_pillow(name, strength, ranges, picture):
    """What a step of the papers does to a picture, done by Pillow alone."""
    image, (height, width) = Image.fromarray(picture), picture.shape[:2]
    part, moved = abs(strength), (height if ranges.shift < 1 else 1) * ranges.shift * strength
    tangent, middle = ranges.shear * strength, (width / 2, height / 2)
    matrices = {
        "shear_x": (1, -tangent, tangent * middle[1], 0, 1, 0),
        "shear_y": (1, 0, 0, -tangent, 1, tangent * middle[0]),
        "translate_x": (1, 0, -moved, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, -moved),
    }
    enhancers = {
        "brightness": "Brightness",
        "saturation": "Color",
        "contrast": "Contrast",
        "sharpness": "Sharpness",
    }
    if name in matrices:
        sampling = Image.Resampling.BILINEAR
        return image.transform(image.size, Image.Transform.AFFINE, matrices[name], sampling)
    if name == "rotate":
        return image.rotate(strength * ranges.angle, Image.Resampling.BILINEAR)
    if name.startswith("adjust_"):
        factor = 1 + strength * ranges.blend
        return getattr(ImageEnhance, enhancers[name.removeprefix("adjust_")])(image).enhance(factor)
    if name == "posterize":
        return ImageOps.posterize(image, 8 - round(part * ranges.bits))
    if name == "solarize":
        return ImageOps.solarize(image, 255 * (1 - part))
    return image if name == "identity" else getattr(ImageOps, name)(image)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("ranges", [RAND, WIDE], ids=["rand", "trivial"])
@pytest.mark.parametrize("strength", [0.2, 0.8, 1.0])
def test_each_step_of_a_policy_is_that_of_pillow_at_the_strength_of_the_papers(name, ranges, strength):
    photo = skimage.data.astronaut()[20:100, 180:260]
    batch = ImagesBatch(2, preloaded={"images": np.stack([photo, photo])})
    signs = np.array([1.0, -1.0])
    take_steps(batch, np.full(2, STEPS.index(name)), np.full(2, strength), signs, ranges, 0.0, "images")
    for ours, sign in zip(batch.images, signs):
        theirs = np.asarray(by_pillow(name, sign * strength, ranges, photo)).astype(int)
        error = np.abs(ours - theirs)
        if name in STEPS[1:6]:  # at the border we blend with the fill, Pillow does not
            assert (error > 2).mean() < 0.03
        else:
            assert error.max() <= (1 if name.startswith("adjust_") else 0)


def test_policies_give_each_item_its_own_steps_and_masks_their_geometry():
    images = np.repeat(digits(1, (32, 32)), 60, axis=0)
    batch = ImagesBatch(60, preloaded={"images": images, "masks": images // 128})
    batch.rand_augment(2, 15, src=["images", "masks"])
    assert len({one.tobytes() for one in batch.images}) > 30
    assert set(np.unique(batch.masks)) <= {0, 1}
    assert len({one.tobytes() for one in batch.masks}) > 10
    trivial = ImagesBatch(60, preloaded={"images": images}).trivial_augment()
    assert len({one.tobytes() for one in trivial.images}) > 30
    with pytest.raises(ValueError, match="magnitude from 0 to 30, got n=2, magnitude=31"):
        batch.rand_augment(2, 31)


def test_volumes_are_turned_slice_by_slice_when_slices_are_the_last_axis():
    volumes = scipy.ndimage.gaussian_filter(np.random.default_rng(0).random((2, 40, 50, 17)), 2).astype(
        np.float32
    )
    turned = ImagesBatch(2, preloaded={"images": volumes}).rotate(20).images
    theirs = scipy.ndimage.rotate(volumes, 20, axes=(2, 1), reshape=False, order=1, mode="grid-constant")
    assert_allclose(turned, theirs, atol=1e-4)


def test_show_draws_pictures_labels_and_masks_into_a_file(tmp_path):
    images = digits(5, (20, 30, 3))
    batch = ImagesBatch(
        5, preloaded={"images": images, "labels": [0, 1, 2, 1, 0], "masks": images[..., 0] // 128}
    )
    figure = batch.show(
        4, classes=["cat", "dog", "fox, of a " + "long " * 9], columns=3, path=tmp_path / "a.png"
    )
    assert [axes.get_title() for axes in figure.axes] == ["cat", "dog", "fox, of a long long lon…", "dog"]
    assert [len(axes.images) for axes in figure.axes] == [2, 2, 2, 2]
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert figure._repr_png_().startswith(b"\x89PNG")  # what a notebook asks for
    assert len(show(batch.normalize(0.5, 0.2), 2).axes) == 2


def test_show_gives_a_class_of_masks_one_colour_and_draws_boxes_and_keypoints():
    class Scenes(ImagesBatch):
        components = "images", "masks", "boxes", "keypoints"

    masks = np.zeros((2, 20, 30), np.uint8)
    masks[0, 5:9], masks[0, 9:], masks[1, 5:9] = 1, 2, 2
    boxes, points = [np.array([[2.0, 3, 9, 12]]), np.zeros((0, 4))], [np.array([[90.0, 5]]), np.zeros((0, 2))]
    batch = Scenes(
        2, preloaded={"images": digits(2, (20, 30)), "masks": masks, "boxes": boxes, "keypoints": points}
    )
    first, second = show(batch).axes
    colours = [axes.images[1].to_rgba(axes.images[1].get_array()) for axes in (first, second)]
    assert_array_equal(colours[0][12, 0], colours[1][6, 0])
    assert (colours[0][6, 0] != colours[0][12, 0]).any()
    assert colours[0][0, 0, 3] == 0
    assert first.lines[0].get_xydata().tolist() == [
        [1.5, 2.5],
        [8.5, 2.5],
        [8.5, 11.5],
        [1.5, 11.5],
        [1.5, 2.5],
    ]
    assert first.get_xlim() == second.get_xlim() == (-0.5, 29.5)
    assert not second.lines


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ((20, 30, 1), (20, 30)),
        ((3, 20, 30), (20, 30, 3)),
        ((20, 30, 2), (20, 30)),
        ((20, 30, 4), (20, 30, 4)),
    ],
)
def test_show_takes_channels_first_and_last_and_many(shape, shown):
    batch = ImagesBatch(1, preloaded={"images": digits(1, shape)})
    assert batch.show().axes[0].images[0].get_array().shape == shown


def test_without_numba_the_error_says_what_to_install(run_script):
    finished = run_script(
        """
        import sys
        sys.modules["numba"] = None
        import numpy as np
        from bf_batch import ImagesBatch
        batch = ImagesBatch(2, preloaded={"images": np.zeros((2, 8, 8), np.uint8)})
        try:
            batch.rotate(10).images
        except ImportError as error:
            print(error)
        """
    )
    assert "pip install bf-batch[images]" in finished.out
    assert "'numba'" in finished.out


def test_importing_image_batches_loads_no_heavy_library(run_script):
    finished = run_script(
        """
        import sys
        from bf_batch import ImagesBatch
        from bf_batch.images import show
        print([name for name in ("numba", "PIL", "simplejpeg", "matplotlib", "scipy") if name in sys.modules])
        """
    )
    assert finished.out.strip() == "[]"


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
