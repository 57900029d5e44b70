"""The peers of the benchmark of images: OpenCV, tf.data, torchvision, batchflow 0.10.1, at the same work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 64
WORKERS = 2
DIGITS = BATCH * 930  # as many as MNIST has
PHOTOS = BATCH * 4
SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Run = Callable[[], None]


def consume(batches: Iterator[Any]) -> None:
    """Take every batch, as a model does."""
    for _ in batches:
        pass


def drawn(rng: np.random.Generator) -> np.ndarray:
    """Draw the matrices (64, 2, 3) of one batch for OpenCV, from result (x, y) to source."""
    angle = np.deg2rad(np.where(rng.random(BATCH) < 0.8, rng.uniform(-10, 10, BATCH), 0))
    factor = np.where(rng.random(BATCH) < 0.8, rng.uniform(0.9, 1.1, BATCH), 1)
    a, b = np.cos(angle) / factor, np.sin(angle) / factor
    matrices = np.empty((BATCH, 2, 3))
    matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 0, 2] = a, -b, 13.5 * (1 - a + b)
    matrices[:, 1, 0], matrices[:, 1, 1], matrices[:, 1, 2] = b, a, 13.5 * (1 - a - b)
    return matrices


def opencv_digits(images: np.ndarray, threads: int) -> Run:
    """Give the run of cv2.warpAffine for each picture, one pass for both steps; over batches in threads."""
    import cv2

    cv2.setNumThreads(1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

    def batch(ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        warped = np.empty((BATCH, 28, 28), np.uint8)
        for image, matrix, place in zip(images[ids], drawn(rng), warped):
            cv2.warpAffine(image, matrix, (28, 28), dst=place, flags=flags)
        return np.multiply(warped, np.float32(1 / 255), dtype=np.float32)[..., None]

    def run() -> None:
        rng = np.random.default_rng(1)
        order = rng.permutation(DIGITS).reshape(-1, BATCH)
        if threads == 1:
            consume(batch(ids, rng) for ids in order)
        else:
            with ThreadPoolExecutor(threads) as pool:
                consume(pool.map(batch, order, rng.spawn(len(order))))

    return run


def tf_digits(images: np.ndarray) -> Run:
    """Give the run of tf.data: whole batches through one projective transform."""
    import tensorflow as tf

    source = tf.constant(images[..., None])

    def augment(ids: Any) -> Any:
        def chance(values: Any, other: float) -> Any:
            return tf.where(tf.random.uniform([BATCH]) < 0.8, values, other)

        angle = chance(tf.random.uniform([BATCH], -np.pi / 18, np.pi / 18), 0.0)
        factor = chance(tf.random.uniform([BATCH], 0.9, 1.1), 1.0)
        a, b = tf.cos(angle) / factor, tf.sin(angle) / factor
        zero = tf.zeros([BATCH])
        rows = [a, -b, 13.5 * (1 - a + b), b, a, 13.5 * (1 - a - b), zero, zero]
        warped = tf.raw_ops.ImageProjectiveTransformV3(
            images=tf.gather(source, ids),
            transforms=tf.stack(rows, axis=1),
            output_shape=[28, 28],
            interpolation="BILINEAR",
            fill_mode="CONSTANT",
            fill_value=0.0,
        )
        return tf.cast(warped, tf.float32) / 255.0

    data = tf.data.Dataset.range(DIGITS).shuffle(DIGITS).batch(BATCH, drop_remainder=True)
    data = data.map(augment, num_parallel_calls=WORKERS).prefetch(WORKERS)
    return lambda: consume(iter(data))


def older_digits(images: np.ndarray) -> Run:
    """Give the run of batchflow 0.10.1, its image actions repaired so that they run at all."""
    import PIL.Image
    from batchflow import Dataset as OlderDataset
    from batchflow import ImagesBatch as OlderImages
    from batchflow import P as OlderP
    from batchflow import R as OlderR
    from batchflow import apply_parallel

    class Repaired(OlderImages):
        def _assemble_component(self, result, *args, component="images", **kwargs):
            objects = np.empty(len(result), object)
            objects[:] = result
            setattr(self, component, objects)

        @apply_parallel
        def to_pil(self, image, mode=None, src=None, dst=None):
            return PIL.Image.fromarray(image)

        @apply_parallel
        def rotate(self, image, *args, src=None, dst=None, **kwargs):
            return image.rotate(*args, **kwargs)

    dataset = OlderDataset(DIGITS, Repaired, preloaded=(images,))
    pipeline = (
        dataset.p.to_pil()
        .rotate(angle=OlderP(OlderR("uniform", -10, 10)), resample=2, p=0.8)
        .crop(origin="center", shape=(28, 28))
        .scale(factor=OlderP(OlderR("uniform", 0.9, 1.1)), preserve_shape=True, resample=2, p=0.8)
    )

    def run() -> None:
        for batch in pipeline.gen_batch(BATCH, shuffle=True, n_iters=DIGITS // BATCH // 10, drop_last=True):
            np.stack([np.asarray(image) for image in batch.images]).astype(np.float32)[..., None] / 255

    return tenfold(run)


def tenfold(run: Run) -> Run:
    """Mark a contender too slow for all batches: it runs a tenth, and its times are taken times ten."""
    run.share = 10  # type: ignore[attr-defined]
    return run


def random_box(rng: np.random.Generator, height: int, width: int) -> tuple[int, int, int, int]:
    """Draw (top, left, height, width) as torchvision does."""
    for _ in range(10):
        area, ratio = height * width * rng.uniform(0.08, 1), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        h, w = round(np.sqrt(area / ratio)), round(np.sqrt(area * ratio))
        if 0 < h <= height and 0 < w <= width:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    return 0, 0, height, width


def opencv_photos(folder: Path) -> Run:
    """Give the run of OpenCV: decode, cut, resize, mirror and normalise, batches in threads."""
    import cv2

    paths = sorted(map(str, folder.glob("*.jpg")))
    mean, std = 255 * np.array(MEAN, np.float32), 255 * np.array(STD, np.float32)

    def batch(ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        out = np.empty((len(ids), SIDE, SIDE, 3), np.float32)
        for i, place in zip(ids, out):
            image = cv2.imread(paths[i], cv2.IMREAD_COLOR_RGB)
            top, left, h, w = random_box(rng, *image.shape[:2])
            image = cv2.resize(image[top : top + h, left : left + w], (SIDE, SIDE))
            if rng.random() < 0.5:
                image = cv2.flip(image, 1)
            np.divide(np.subtract(image, mean, out=place), std, out=place)
        return out

    def run() -> None:
        rng = np.random.default_rng(1)
        order = rng.permutation(PHOTOS).reshape(-1, BATCH)
        with ThreadPoolExecutor(WORKERS) as pool:
            consume(pool.map(batch, order, rng.spawn(len(order))))

    return run


def tf_photos(folder: Path) -> Run:
    """Give the run of tf.data with decode_and_crop_jpeg, the way of its guide to performance."""
    import tensorflow as tf

    paths = sorted(map(str, folder.glob("*.jpg")))
    mean, std = 255 * tf.constant(MEAN), 255 * tf.constant(STD)

    def load(path: Any) -> Any:
        data = tf.io.read_file(path)
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            tf.image.extract_jpeg_shape(data),
            bounding_boxes=tf.zeros([1, 0, 4]),
            area_range=(0.08, 1.0),
            aspect_ratio_range=(3 / 4, 4 / 3),
            use_image_if_no_bounding_boxes=True,
        )
        window = tf.stack([begin[0], begin[1], size[0], size[1]])
        image = tf.image.decode_and_crop_jpeg(data, window, channels=3)
        image = tf.image.resize(image, (SIDE, SIDE))
        return (tf.image.random_flip_left_right(image) - mean) / std

    data = tf.data.Dataset.from_tensor_slices(paths).shuffle(PHOTOS)
    data = data.map(load, num_parallel_calls=WORKERS).batch(BATCH, drop_remainder=True).prefetch(WORKERS)
    return lambda: consume(iter(data))


def torch_photos(folder: Path) -> Run:
    """Give the run of torchvision with Pillow in worker processes; its CPU time is that of the parent
    alone.
    """
    from PIL import Image
    from torch.utils.data import DataLoader
    from torchvision.transforms import v2

    paths = sorted(folder.glob("*.jpg"))
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(SIDE),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
            v2.ToDtype(_float(), scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )

    class Photos:
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, number: int) -> Any:
            return transform(Image.open(paths[number]))

    loader = DataLoader(Photos(), BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True)  # type: ignore[arg-type]
    return lambda: consume(iter(loader))


def _float() -> Any:
    import torch

    return torch.float32
