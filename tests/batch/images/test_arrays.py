"""Output arrays are used again, but never while somebody holds them; dtypes come back as they were."""

from __future__ import annotations

import ctypes
import itertools
import os
import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from bf_batch import Dataset, ImagesBatch, PerItem
from bf_batch.dtypes import limit_to
from bf_batch.images.arrays import NATIVE, BufferPool, from_native, to_native
from bf_pipeline import P, Pipeline, R


def digits(n=64, shape=(28, 28), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def augmented(images, seed=0):
    batch = ImagesBatch(len(images), preloaded={"images": images}, seed=seed)
    return batch.rotate(PerItem(np.linspace(-10, 10, len(images))), p=0.8).to_array(scale=1 / 255)


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


WAYS_TO_HOLD = {
    "slice": lambda array: array[1:],
    "item": lambda array: array[0, 0],
    "reshaped": lambda array: array.reshape(-1),
    "slice of a slice": lambda array: array[1:][0],
    "memoryview": memoryview,
    "dlpack": np.from_dlpack,
    "buffer": lambda array: np.frombuffer(array, np.uint8),
    "other dtype": lambda array: array.view(np.int32),
    "ctypes": lambda array: (ctypes.c_float * array.size).from_buffer(array),
}


@pytest.mark.parametrize("side", [8, 1024], ids=["in the heap", "in memory of its own"])
@pytest.mark.parametrize("hold", WAYS_TO_HOLD.values(), ids=WAYS_TO_HOLD)
def test_no_view_of_a_buffer_sees_another_array(hold, side):
    pool = BufferPool(min_bytes=0)
    array = pool.take((2, side, side), "float32")
    place = array.__array_interface__["data"][0]
    held = hold(array)
    del array
    assert pool.take((2, side, side), "float32").__array_interface__["data"][0] != place
    assert len(pool) == 2
    del held
    assert pool.take((2, side, side), "float32").__array_interface__["data"][0] == place


def test_arrays_larger_than_the_pool_are_made_and_not_kept():
    pool = BufferPool(max_bytes=10_000, min_bytes=0)
    for size in (20_000, 3000, 30_000, 4000, 5000, 20_000):
        assert pool.take((size,), "uint8").size == size
    assert pool._bytes <= 10_000


def test_memory_of_arrays_that_change_their_size_all_the_time_goes_back():
    pool, before, held, others = BufferPool(max_bytes=64 << 20), resident(), [], []
    for size in np.random.default_rng(0).integers(1 << 20, 16 << 20, 400).tolist():
        array = pool.take((size,), "uint8")
        array.fill(1)
        held = [*held[-1:], array]
        others = [*others[-300:], np.ones(20_000, np.uint8)]  # what else lies in the heap
    assert resident() - before < 90 << 20  # in the heap it is 120 to 160


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


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("options", [{}, {"prefetch": 4, "workers": 2}], ids=["inline", "threads"])
def test_memory_is_flat_over_two_thousand_batches(options):
    augmentation = (
        Pipeline()
        .rotate(7, p=0.8)
        .scale(1.1, preserve_size=True, p=0.8)
        .invert(p=0.2)
        .to_array(scale=1 / 255)
    )
    pipeline = augmentation << Dataset(640, ImagesBatch, preloaded={"images": digits(640)})
    for number, batch in enumerate(pipeline.gen_batch(64, shuffle=True, n_iters=2200, seed=1, **options)):
        assert batch.images.dtype == np.float32
        if number == 200:
            before = resident()
    assert resident() - before < 4 << 20


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "bool", "float32", "float64"])
def test_pictures_go_to_the_dtypes_of_the_loops_and_back(dtype):
    top = 1 if np.dtype(dtype).kind in "fb" else np.iinfo(dtype).max
    pictures = (np.random.default_rng(0).random((2, 5, 6, 3)) * top).round(2).astype(dtype)
    native = to_native(pictures[:, ::-1])
    assert native.dtype in NATIVE
    assert native.flags.c_contiguous
    assert not native.flags.writeable
    assert_allclose(from_native(pictures.dtype, native), pictures[:, ::-1], rtol=1e-6)


def test_floats_are_rounded_and_limited_where_integers_are_due():
    rounded = limit_to(np.dtype(np.int16), np.array([-1e9, -0.6, 2.5, 1e9], np.float32))
    assert_array_equal(rounded, np.array([-(2**15), -1, 2, 2**15 - 1], np.int16), strict=True)
    assert_array_equal(limit_to(np.dtype(bool), np.array([0.49, 0.5], np.float32)), [False, True])
