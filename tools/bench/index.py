"""Index: shuffled epochs, huge indices, string ids and listings of files, beside the peers."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import Target, have, heading, judge, measure, table

from bf_index import DatasetIndex, FilesIndex

BATCH = 256
STRINGS = 3_000_000
FOLDERS, FILES = 1_000, 100

HUGE = """
import sys, time
from pathlib import Path
from bf_index import DatasetIndex
n = int(sys.argv[1])
started = time.perf_counter()
batches = DatasetIndex(n).gen_batch(256, shuffle=True, seed=1)
len(next(batches).indices)
first = time.perf_counter() - started
for batch in batches if n <= 10**8 else ():
    batch.indices
# The peak of resource.getrusage would be that of the parent, handed down at the fork.
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
print(first, time.perf_counter() - started, int(peak.split()[1]) / 1024)
"""


def ours(n: int) -> None:
    """A new index, one shuffled epoch, the ids of every batch."""
    for batch in DatasetIndex(n).gen_batch(BATCH, shuffle=True, n_epochs=1):
        batch.indices  # noqa: B018


def numpy_permutation(n: int) -> None:
    order = np.random.default_rng().permutation(n)
    for start in range(0, n, BATCH):
        order[start : start + BATCH]


def batchflow(n: int) -> None:
    from batchflow import DatasetIndex as Older

    for batch in Older(n).gen_batch(BATCH, shuffle=True, n_epochs=1):
        batch.indices  # noqa: B018


def torch_sampler(n: int) -> None:
    from torch.utils.data import BatchSampler, RandomSampler

    for _ in BatchSampler(RandomSampler(range(n)), BATCH, drop_last=False):
        pass


def epochs(n: int, rounds: int) -> bool:
    """A shuffled epoch of n ids in batches of 256."""
    name = f"bf-index {n:.0e}"
    contenders = {name: lambda: ours(n), "numpy permutation": lambda: numpy_permutation(n)}
    if have("torch"):
        contenders["torch RandomSampler"] = lambda: torch_sampler(n)
    if have("batchflow"):
        contenders["batchflow 0.10.1"] = lambda: batchflow(n)
    timings = measure(contenders, rounds, warmup=1 if rounds > 1 else 0)
    table(f"A shuffled epoch of {n:,} ids, batches of {BATCH}", timings, n // 1000, "1000 ids", name)
    return judge(timings, [Target(name, "batchflow 0.10.1", 20), Target(name, "torch RandomSampler", 2.5)])


def places() -> bool:
    """What the position of one batch costs a pipeline."""
    n = 640_000

    def run(shuffle: bool) -> None:
        batches = DatasetIndex(n).gen_batch(64, shuffle=shuffle, n_epochs=1)
        for _ in range(n // 64):
            batches.next_place()

    timings = measure({"in order": lambda: run(False), "shuffled": lambda: run(True)}, 7)
    table("next_place(), batches of 64", timings, n // 64, "batch", "in order")
    return True


def huge() -> bool:
    """Memory and time of indices that no stored order would fit."""
    heading("Huge indices, each in a process of its own")
    held = True
    for n, what, bound in ((10**8, "MiB in all", 300.0), (10**9, "ms to the first batch", 50.0)):
        done = subprocess.run(
            [sys.executable, "-c", HUGE, str(n)], capture_output=True, text=True, check=True
        )
        first, whole, memory = map(float, done.stdout.split())
        value = memory if "MiB" in what else first * 1e3
        held &= value <= bound
        verdict = "holds" if value <= bound else "FALLS SHORT"
        ran = f"a shuffled epoch in {whole:.2f} s" if n <= 10**8 else f"{memory:.0f} MiB"
        print(f"- {n:.0e} ids: {value:.3g} {what} (goal <= {bound:g}): {verdict}; {ran}")
    return held


def strings() -> bool:
    """An index of three million names."""
    names = [f"item{number}" for number in range(STRINGS)]
    contenders = {"bf-index names": lambda: DatasetIndex(names), "numpy array alone": lambda: np.array(names)}
    if have("batchflow"):
        from batchflow import DatasetIndex as Older

        contenders["batchflow 0.10.1"] = lambda: Older(names)
    timings = measure(contenders, 5)
    table(f"An index of {STRINGS:,} string ids", timings, 1, "index", "bf-index names")
    seconds = min(timings["bf-index names"].cpu)
    print(f"- {seconds:.2f} s CPU, best round (goal < 1): {'holds' if seconds < 1 else 'FALLS SHORT'}")
    return seconds < 1


def walk(root: str) -> list[str]:
    """The least that a listing can do: walk with os.scandir and sort the paths."""
    found: list[str] = []
    pending = [root]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    pending.append(entry.path)
                else:
                    found.append(entry.path)
    found.sort()
    return found


def files() -> bool:
    """A listing of 100,000 files in 1,000 folders."""
    with tempfile.TemporaryDirectory() as root:
        for folder in range(FOLDERS):
            inside = Path(root, f"folder{folder:04}")
            inside.mkdir()
            for number in range(FILES):
                (inside / f"image{folder:04}{number:03}.png").touch()
        pattern = f"{root}/**/*.png"
        contenders = {
            "FilesIndex": lambda: FilesIndex(pattern),
            "FilesIndex, relative ids": lambda: FilesIndex(pattern, relative=True),
            "os.scandir walk and sort": lambda: walk(root),
        }
        if have("batchflow"):
            from batchflow import FilesIndex as Older

            contenders["batchflow 0.10.1"] = lambda: Older(path=pattern)
        timings = measure(contenders, 9)
    table("100,000 files in 1,000 folders", timings, 1, "listing", "FilesIndex")
    return judge(timings, [Target("FilesIndex", "os.scandir walk and sort", 1.3, at_least=False)])


def main() -> bool:
    """Print all tables; True when every target holds."""
    started = time.monotonic()
    held = [epochs(10**6, 5), epochs(10**7, 1), places(), huge(), strings(), files()]
    print(f"({time.monotonic() - started:.0f} s)")
    return all(held)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
