"""Prefetch: what threads cost a batch and gain on images, what processes gain where the GIL is held."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable

import numpy as np
from common import Target, have, judge, measure, run_parts, table, verdicts
from images import ours_digits

from bf_batch import Batch, Dataset, action
from bf_batch.engines import make_engine
from bf_pipeline import Pipeline

SHAPE = (128, 128, 3)
BATCH = 32
BATCHES = 16
LIGHT_BATCHES = 2_000
MILLISECONDS = 2.0
#: Pixels a side, and how many batches of 64 make a run.
PIXELS = {28: 930, 64: 240, 128: 60}


def _turns(milliseconds: float) -> int:
    """How many turns of an empty Python loop take so long on this machine."""
    turns = 2_000_000
    started = time.process_time()
    for _ in range(turns):
        pass
    return int(turns * milliseconds / 1e3 / (time.process_time() - started))


TURNS = _turns(MILLISECONDS)


def item(number: int) -> np.ndarray:
    """An item that needs the interpreter for about two milliseconds."""
    for _ in range(TURNS):
        pass
    return np.full(SHAPE, number, dtype=np.float32)


class Heavy(Batch):
    components = ("images",)

    @action
    def make(self):
        self.images = np.stack([item(i) for i in self.indices.tolist()])
        return self


class Light(Batch):
    components = ("values",)

    @action
    def make(self):
        self.values = self.indices
        return self


def heavy(**ahead):
    """Run over all batches and look at each, as a training step would."""
    pipeline = Pipeline(Dataset(BATCH * BATCHES, Heavy)).make()

    def run():
        count = 0
        for batch in pipeline.gen_batch(BATCH, n_epochs=1, seed=1, **ahead):
            assert batch.images[0, 0, 0, 0] == batch.indices[0]
            count += 1
        assert count == BATCHES

    return run


def light(**ahead):
    pipeline = Pipeline(Dataset(64 * LIGHT_BATCHES, Light)).make()

    def run():
        for _ in pipeline.gen_batch(64, n_epochs=1, seed=1, **ahead):
            pass

    return run


def torch_loader():
    """The same items through torch's DataLoader with two workers, kept between epochs."""
    from torch.utils.data import DataLoader
    from torch.utils.data import Dataset as TorchDataset

    class Items(TorchDataset):
        def __len__(self):
            return BATCH * BATCHES

        def __getitem__(self, number):
            return item(number)

    loader = DataLoader(Items(), batch_size=BATCH, num_workers=2, persistent_workers=True)

    def run():
        count = 0
        for number, images in enumerate(loader):
            assert images[0, 0, 0, 0] == number * BATCH
            count += 1
        assert count == BATCHES

    return run


def overhead() -> bool:
    """What threads add to an action that does nothing."""
    here, threads = "no prefetch", "threads, 4 ahead"
    timings = measure({here: light(), threads: light(prefetch=4, engine="threads")}, rounds=7)
    table("Overhead of prefetch: an action that does nothing", timings, LIGHT_BATCHES, "batch", here)
    extra = sorted(b - a for a, b in zip(timings[here].wall, timings[threads].wall))[3] * 1e6 / LIGHT_BATCHES
    print(f"- threads add {extra:.1f} us a batch (goal <= 40): {verdicts()[extra <= 40]}")
    return extra <= 40


def processes() -> bool:
    """What two processes gain where the interpreter is the work."""
    serial, ours, peer = "serial", "processes, 2 workers", "torch DataLoader, 2 workers"
    # Both loaders keep their workers between rounds.
    with make_engine("processes", workers=2) as engine:
        contenders = {serial: heavy(), ours: heavy(prefetch=4, engine=engine)}
        if have("torch"):
            contenders[peer] = torch_loader()
        timings = measure(contenders, rounds=5)
    title = f"{BATCH} x {SHAPE} float32, {MILLISECONDS:g} ms of Python an item"
    table(title, timings, BATCHES, "batch", ours)
    return judge(timings, [Target(ours, serial, 1.6), Target(ours, peer, 1.0)])


def on_one_core(run: Callable[[], None]) -> Callable[[], None]:
    """The same run where this thread may use one core: large batches made inline use all cores."""

    def alone() -> None:
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
        try:
            run()
        finally:
            os.sched_setaffinity(0, cores)

    return alone


def pixels(side: int) -> bool:
    """What threads gain, or cost, where a batch is the augmentation of 64 images of so many pixels a side."""
    count = PIXELS[side]
    images = np.random.default_rng(0).integers(0, 256, (64 * count, side, side), dtype=np.uint8)
    inline, one = "inline", "inline, one core"
    contenders = {inline: ours_digits(images), one: on_one_core(ours_digits(images))}
    threads = []
    for depth in (2, 16):
        ahead = {"prefetch": depth, "engine": "threads", "workers": 2}
        threads.append(f"threads, {depth} ahead")
        contenders[threads[-1]] = ours_digits(images, **ahead)
    timings = measure(contenders, rounds=7)
    table(f"Rotate, crop, scale of {side}x{side}, batch 64", timings, count, "batch", inline)
    targets = [Target(name, inline, 0.95) for name in threads]
    if side >= 64:
        targets += [Target(name, one, 1.3) for name in threads]
    return judge(timings, targets)


PARTS = {
    "overhead": overhead,
    "processes": processes,
    **{f"pixels-{side}": functools.partial(pixels, side) for side in PIXELS},
}


def main(*parts: str) -> bool:
    """Run those parts, or all; True when every target holds."""
    return run_parts(PARTS, parts)


if __name__ == "__main__":
    raise SystemExit(not main(*sys.argv[1:]))
