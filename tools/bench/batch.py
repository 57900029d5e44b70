"""Batches: what making one costs, and what threads and processes do for item-wise actions."""

from __future__ import annotations

import time

import numpy as np
from common import Target, have, judge, measure, table

from bf_batch import Batch, Dataset, inbatch_parallel
from bf_batch.engines.factory import stop_shared
from bf_index import DatasetIndex

BATCH = 64
MADE = 5_000
ITEMS = 32
MILLISECONDS = 2.0


def _turns(milliseconds: float) -> int:
    """How many turns of an empty Python loop take so long on this machine."""
    turns = 2_000_000
    started = time.process_time()
    for _ in range(turns):
        pass
    return int(turns * milliseconds / 1e3 / (time.process_time() - started))


TURNS = _turns(MILLISECONDS)


def python_item(number: int) -> int:
    """An item that needs the interpreter for about two milliseconds."""
    for _ in range(TURNS):
        pass
    return number


def numpy_item(image: np.ndarray) -> np.ndarray:
    """An action on one 128 x 128 image, as augmentation has many."""
    return np.sqrt(image * 0.5 + 1.0) - image.mean()


def look(values: object) -> None:
    """Take what was read."""


class Images(Batch):
    components = "images", "labels"

    @inbatch_parallel(init="images", post="_post", target="inline")
    def touch(self, image):
        return numpy_item(image)

    @inbatch_parallel(init="labels", post="_post", target="inline")
    def think(self, label):
        return python_item(label)

    def _post(self, results):
        return self


IMAGES = np.ones((100_000, 28, 28), np.uint8)
LARGE = np.ones((BATCH, 128, 128), np.float32)


def making():
    """Ways to make batches of 64; each run makes 5000."""
    dataset = Dataset(len(IMAGES), Images, preloaded={"images": IMAGES})
    index, first = DatasetIndex(BATCH), IMAGES[:BATCH]
    starts = range(0, BATCH * 1000, BATCH)

    def data_set():
        for _ in range(MADE // 1000):
            for batch in dataset.gen_batch(BATCH, n_iters=1000):
                look(batch.images)

    def shuffled():
        for _ in range(MADE // 1000):
            for batch in dataset.gen_batch(BATCH, n_iters=1000, shuffle=True, seed=1):
                look(batch.images)

    def direct():
        for _ in range(MADE):
            Images(index, preloaded={"images": first})

    def bare():
        for _ in range(MADE // 1000):
            for start in starts:
                look(IMAGES[start : start + BATCH])

    runs = {"Dataset batch, read": data_set, "Batch(preloaded)": direct, "bare slices": bare}
    runs["Dataset batch, shuffled, read"] = shuffled
    if have("batchflow"):
        import batchflow

        class Older(batchflow.Batch):
            components = "images", "labels"

        older = batchflow.Dataset(len(IMAGES), Older, preloaded=(IMAGES, np.zeros(len(IMAGES), int)))

        def older_batches():
            for batch in older.gen_batch(BATCH, n_iters=MADE // 50):
                look(batch.images)

        runs["batchflow 0.10.1 (a fiftieth)"] = older_batches
    return runs


def threads():
    """An action of numpy on the items of a batch."""
    batch = Images(BATCH, preloaded={"images": LARGE})

    def run(target):
        return lambda: [batch.touch(target=target) for _ in range(20)]

    runs = {"inline": run("inline"), "threads": run("threads")}
    if have("batchflow"):
        import batchflow
        from batchflow.decorators import inbatch_parallel as older_parallel

        class Older(batchflow.Batch):
            components = "images", "labels"

            @batchflow.action
            @older_parallel(init="get_images", post="_post", target="threads")
            def touch(self, image):
                return numpy_item(image)

            def get_images(self, *args, **kwargs):
                return list(LARGE)

            def _post(self, results, *args, **kwargs):
                return self

        older = Older(BATCH)
        runs["batchflow 0.10.1 threads"] = lambda: [older.touch() for _ in range(20)]
    return runs


def processes():
    """An action of pure Python on the items of a batch."""
    batch = Images(ITEMS, preloaded={"labels": np.arange(ITEMS)})

    def run(target):
        return lambda: [batch.think(target=target, n_workers=2) for _ in range(8)]

    runs = {"inline": run("inline"), "processes": run("processes"), "threads": run("threads")}
    if have("joblib"):
        import joblib

        runs["joblib"] = lambda: [
            joblib.Parallel(2)(joblib.delayed(python_item)(number) for number in range(ITEMS))
            for _ in range(8)
        ]
    return runs


def main() -> bool:
    """Print the tables; True when every target holds."""
    timings = measure(making(), rounds=5)
    name = "batchflow 0.10.1 (a fiftieth)"
    if name in timings:
        timings[name].wall = [seconds * 50 for seconds in timings[name].wall]
        timings[name].cpu = [seconds * 50 for seconds in timings[name].cpu]
    table("Making a batch of 64", timings, MADE, "batch", "Batch(preloaded)")
    held = True
    for way in ("Batch(preloaded)", "Dataset batch, read"):
        best = min(timings[way].cpu) * 1e6 / MADE
        held &= best < 5
        print(f"- {way}: {best:.2f} us (goal < 5): {'holds' if best < 5 else 'FALLS SHORT'}")

    timings = measure(threads(), rounds=7)
    table("An action of numpy on 64 images of 128 x 128", timings, 20, "batch", "threads")
    held &= judge(timings, [Target("threads", "inline", 1.1, at_least=False)])

    timings = measure(processes(), rounds=5)
    table(f"{MILLISECONDS:g} ms of Python an item, {ITEMS} items", timings, 8, "batch", "processes")
    held &= judge(timings, [Target("processes", "inline", 1.5)])
    stop_shared()
    return held


if __name__ == "__main__":
    raise SystemExit(not main())
