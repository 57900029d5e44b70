"""Images: augmentation of digits (W1) and JPEG files to random crops (W2), through Pipeline, beside the
peers.
"""

from __future__ import annotations

import importlib
import statistics
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from common import Target, Timing, have, judge, measure, table

from bf_batch import Dataset, ImagesBatch
from bf_batch.images import PictureCache
from bf_index import FilesIndex
from bf_pipeline import P, Pipeline, R

BATCH = 64
WORKERS = 2
DIGITS = BATCH * 150
PHOTOS = BATCH * 4
SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CPU_GOAL = 1.15
CACHE_GOAL = 3.0

Run = Callable[[], None]


def consume(batches: Iterator[Any]) -> None:
    """Take every batch, as a model does."""
    for _ in batches:
        pass


# W1: rotate by -10..10 degrees and scale by 0.9..1.1, each with p = 0.8 for each item; float32 of 0..1


def digits() -> np.ndarray:
    """Return bytes like digits (n, 28, 28)."""
    return np.random.default_rng(0).integers(0, 256, (DIGITS, 28, 28), dtype=np.uint8)


def ours_digits(images: np.ndarray, **options: object) -> Run:
    """Give the run of the seed's augmentation."""
    augmentation = (
        Pipeline()
        .rotate(angle=P(R("uniform", -10, 10)), p=0.8)
        .crop(shape=(28, 28), origin="center")
        .scale(factor=P(R("uniform", 0.9, 1.1)), preserve_shape=True, p=0.8)
        .to_array("float32", scale=1 / 255)
    )
    pipeline = augmentation << Dataset(len(images), ImagesBatch, preloaded={"images": images})

    def run() -> None:
        for batch in pipeline.gen_batch(BATCH, shuffle=True, n_epochs=1, drop_last=True, **options):
            assert batch.images.dtype == np.float32

    return run


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


def scaled(timings: dict[str, Timing], contenders: dict[str, Run]) -> dict[str, Timing]:
    """Bring times of contenders that ran a share of the work to the whole."""
    for name, run in contenders.items():
        share = getattr(run, "share", 1)
        timings[name].wall[:] = [value * share for value in timings[name].wall]
        timings[name].cpu[:] = [value * share for value in timings[name].cpu]
    return timings


def augmentation(rounds: int) -> bool:
    """W1: the seed's augmentation of digits."""
    images = digits()
    contenders: dict[str, Run] = {
        "ours": ours_digits(images, prefetch=2 * WORKERS, workers=WORKERS),
        "ours inline": ours_digits(images),
    }
    if have("cv2"):
        contenders["OpenCV"] = opencv_digits(images, 1)
        contenders["OpenCV threads"] = opencv_digits(images, WORKERS)
    if have("tensorflow"):
        contenders["tf.data"] = tf_digits(images)
    if have("batchflow"):
        contenders["batchflow 0.10.1"] = older_digits(images)
    timings = scaled(measure(contenders, rounds), contenders)
    table(f"W1: rotate, crop, scale of 28x28 digits, batch {BATCH}", timings, DIGITS, "image", "ours")
    return judge(
        timings,
        [
            Target("ours", "OpenCV", 3),
            Target("ours", "OpenCV threads", 3),
            Target("ours", "tf.data", 5),
            Target("ours", "batchflow 0.10.1", 50),
            Target("ours inline", "OpenCV", 2),
        ],
    )


# W2: JPEG files of 500x375 to random resized crops of 224, mirrored by chance, normalised float32


def write_photos(folder: Path) -> None:
    """Write pictures with the spectrum of photographs, about 57 KB each."""
    from PIL import Image

    rng = np.random.default_rng(0)
    y, x = np.meshgrid(np.fft.fftfreq(375), np.fft.fftfreq(500), indexing="ij")
    spectrum = 1 / np.maximum(np.hypot(y, x), 1 / 500) ** 1.45
    for number in range(PHOTOS):
        waves = rng.standard_normal((3, 375, 500)) + 1j * rng.standard_normal((3, 375, 500))
        grey = np.fft.ifft2(waves * spectrum).real
        colour = grey[:1] + 0.3 * grey
        colour = 128 + 48 * (colour - colour.mean()) / colour.std()
        picture = np.clip(colour.transpose(1, 2, 0), 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{number:04}.jpg", quality=90)


def ours_photos(folder: Path, cache: PictureCache | None = None) -> Run:
    """Give our run: two batches at a time in threads."""
    steps = (
        Pipeline()
        .load(fmt="image", cache=cache)
        .random_resized_crop((SIDE, SIDE))
        .flip("lr", p=0.5)
        .normalize(MEAN, STD)
    )
    pipeline = steps << Dataset(FilesIndex(str(folder / "*.jpg")), ImagesBatch)

    def run() -> None:
        for batch in pipeline.gen_batch(BATCH, shuffle=True, n_epochs=1, prefetch=WORKERS, workers=WORKERS):
            assert batch.images.shape == (BATCH, SIDE, SIDE, 3)

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


def classification(rounds: int) -> bool:
    """W2: JPEG files to the crops of a classifier."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder)
        size = statistics.mean(path.stat().st_size for path in folder.iterdir()) / 1000
        contenders = {"ours": ours_photos(folder), "ours cached": ours_photos(folder, PictureCache(1 << 30))}
        if have("cv2"):
            contenders["OpenCV threads"] = opencv_photos(folder)
        if have("tensorflow"):
            contenders["tf.data"] = tf_photos(folder)
        if have("torchvision"):
            contenders["torchvision"] = torch_photos(folder)
        timings = measure(contenders, rounds)
    table(f"W2: JPEG of {size:.0f} KB to crops of {SIDE}, batch {BATCH}", timings, PHOTOS, "image", "ours")
    goals = [Target("ours", "tf.data", 1.5), Target("ours cached", "ours", CACHE_GOAL, cpu=True)]
    held = judge(timings, [*goals, Target("ours", "OpenCV threads", 1), Target("ours", "torchvision", 1)])
    cpu = statistics.median(timings["ours"].cpu) * 1000 / PHOTOS
    good = cpu <= CPU_GOAL
    print(
        f"- ours: {cpu:.3f} CPU s per 1000 images (goal <= {CPU_GOAL}): {'holds' if good else 'FALLS SHORT'}"
    )
    return held and good


def main(rounds: int = 5) -> bool:
    """Run both; tells whether every target held."""
    if have("torchvision"):
        importlib.import_module("torchvision")  # imported after TensorFlow it crashes
    return all([augmentation(rounds), classification(rounds)])


if __name__ == "__main__":
    main()
