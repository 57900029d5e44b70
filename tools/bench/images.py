"""Images: augmentation of digits (W1), JPEG files to crops (W2), filters (W3), beside the peers."""

from __future__ import annotations

import importlib
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _cpu import busy
from _images_peers import (
    BATCH,
    DIGITS,
    MEAN,
    PHOTOS,
    SIDE,
    STD,
    WORKERS,
    Run,
    older_digits,
    opencv_digits,
    opencv_photos,
    tf_digits,
    tf_photos,
    torch_photos,
)
from common import Target, Timing, have, judge, measure, run_parts, table

from bf_batch import Dataset, ImagesBatch
from bf_batch.images import PictureCache
from bf_index import FilesIndex
from bf_pipeline import P, Pipeline, R

CPU_GOAL = 1.15
CACHE_GOAL = 3.0

# W1: rotate by -10..10 degrees and scale by 0.9..1.1, each with p = 0.8 for each item; float32 of 0..1


def digits() -> np.ndarray:
    """Return bytes like digits (n, 28, 28)."""
    return np.random.default_rng(0).integers(0, 256, (DIGITS, 28, 28), dtype=np.uint8)


def ours_digits(images: np.ndarray, **options: object) -> Run:
    """Give the run of the seed's augmentation."""
    augmentation = (
        Pipeline()
        .rotate(angle=P(R("uniform", -10, 10)), p=0.8)
        .crop(size=images.shape[1:], origin="center")
        .scale(factor=P(R("uniform", 0.9, 1.1)), preserve_size=True, p=0.8)
        .to_array("float32", scale=1 / 255)
    )
    pipeline = augmentation << Dataset(len(images), ImagesBatch, preloaded={"images": images})

    def run() -> None:
        for batch in pipeline.gen_batch(BATCH, shuffle=True, n_epochs=1, drop_last=True, **options):
            assert batch.images.dtype == np.float32

    return run


def scaled(timings: dict[str, Timing], contenders: dict[str, Run]) -> dict[str, Timing]:
    """Bring times of contenders that ran a share of the work to the whole."""
    for name, run in contenders.items():
        share = getattr(run, "share", 1)
        timings[name].wall[:] = [value * share for value in timings[name].wall]
        timings[name].cpu[:] = [value * share for value in timings[name].cpu]
    return timings


def augmentation(rounds: int = 5) -> bool:
    """W1: the seed's augmentation of digits."""
    images = digits()
    contenders: dict[str, Run] = {
        "ours": ours_digits(images, prefetch=8 * WORKERS, workers=WORKERS),
        "ours inline": ours_digits(images),
    }
    if have("cv2"):
        contenders["OpenCV"] = opencv_digits(images, 1)
        contenders["OpenCV threads"] = opencv_digits(images, WORKERS)
    if have("tensorflow"):
        contenders["tf.data"] = tf_digits(images)
    if have("batchflow"):
        contenders["batchflow 0.10.1"] = older_digits(images)
    quiet = not busy()
    timings = scaled(measure(contenders, rounds), contenders)
    table(f"W1: rotate, crop, scale of 28x28 digits, batch {BATCH}", timings, DIGITS, "image", "ours")
    return judge(
        timings,
        [
            Target("ours", "OpenCV", 3 if quiet else 2),
            Target("ours", "OpenCV threads", 3 if quiet else 2),
            Target("ours", "tf.data", 5 if quiet else 4),
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


def classification(rounds: int = 5) -> bool:
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


# W3: actions that read pixels, one thread, beside Pillow and OpenCV; a batch of 16 photos of 224 x 224


def filters(rounds: int = 5) -> bool:
    """W3: filters and enhancing, each against the same of Pillow and OpenCV."""
    from PIL import Image, ImageEnhance, ImageFilter

    pictures = np.random.default_rng(0).integers(0, 256, (16, SIDE, SIDE, 3), dtype=np.uint8)
    images = [Image.fromarray(picture) for picture in pictures]
    sharpen = np.array([[-2, -2, -2], [-2, 32, -2], [-2, -2, -2]]) / 16

    def enhance(image: Image.Image) -> Image.Image:
        for kind in (
            ImageEnhance.Color,
            ImageEnhance.Contrast,
            ImageEnhance.Brightness,
            ImageEnhance.Sharpness,
        ):
            image = kind(image).enhance(1.3)
        return image

    def over(items: Sequence[Any], work: Callable[[Any], Any]) -> Run:
        return lambda: [np.asarray(work(item)) for item in items] and None

    def ours(name: str, *arguments: Any) -> Run:
        def run() -> None:
            batch = ImagesBatch(len(pictures), preloaded={"images": pictures})
            assert getattr(batch, name)(*arguments).images.dtype == np.uint8

        return run

    cases: dict[str, dict[str, Run]] = {
        "sharpen": {
            "ours": ours("filter", "sharpen"),
            "Pillow": over(images, lambda image: image.filter(ImageFilter.SHARPEN)),
        },
        "median of 5 x 5": {
            "ours": ours("filter", "median", 5),
            "Pillow": over(images, lambda image: image.filter(ImageFilter.MedianFilter(5))),
        },
        "enhance": {"ours": ours("enhance", 1.3), "Pillow": over(images, enhance)},
    }
    if have("cv2"):
        cv2 = importlib.import_module("cv2")
        cv2.setNumThreads(1)
        cases["sharpen"]["OpenCV"] = over(pictures, lambda picture: cv2.filter2D(picture, -1, sharpen))
        cases["median of 5 x 5"]["OpenCV"] = over(pictures, lambda picture: cv2.medianBlur(picture, 5))
    held = True
    for name, contenders in cases.items():
        timings = measure(contenders, rounds)
        table(
            f"W3: {name}, {len(pictures)} pictures of {SIDE}, bytes, RGB",
            timings,
            len(pictures),
            "image",
            "ours",
        )
        held = judge(timings, [Target("ours", "Pillow", 1.5)]) and held
    return held


PARTS = {"digits": augmentation, "photos": classification, "filters": filters}


def main(*parts: str) -> bool:
    """Run those parts, or all; tells whether every target held."""
    if have("torchvision"):
        importlib.import_module("torchvision")  # imported after TensorFlow it crashes
    return run_parts(PARTS, parts)


if __name__ == "__main__":
    sys.exit(not main(*sys.argv[1:]))
