"""Hold the launcher against the GPUs of this machine: ``python tools/gpu_check.py``, under five minutes.

What needs a GPU is left out, and told, where there is none; the rest is tried with CPU places and invented
cards. Jobs use what is installed: torch, JAX, or else ``nvidia-smi`` alone. It ends in a table. Exit code 0:
all held; 1: something did not; 3: what could be tried held, but there is no GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bf_research.launcher import WorkerDied
from bf_research.launcher.devices import Found, Machine, Slot, find_machine, list_gpus, mask_gpus, plan
from bf_research.launcher.jobs import Done, Job, Monitor, Policy
from bf_research.launcher.pool import Pool, open_pool
from bf_research.launcher.scheduler import Scheduler

#: Seconds that a job may take, and that a job waits for another: far more than any needs.
PATIENCE = 60.0
#: The part of a card that a job takes: two of them fit on one.
PART = 0.2
SWEEP = """
import time
from bf_research.launcher.devices import Gpu, Machine, find_machine, plan
from bf_research.launcher.pool import open_pool

found = find_machine()
machine = found if found.gpus else Machine((Gpu("0", 1024),), found.cores)
with open_pool([], plan(["gpu:0"], machine), lease=True, keep=False):
    print("holds", flush=True)
    time.sleep(10**6)
"""


class Left(Exception):
    """The reason why something could not be tried here."""


class Fallen(Exception):
    """What did not hold."""


def hold(true: object, what: str) -> None:
    """Raise ``Fallen`` unless something is true."""
    if not true:
        raise Fallen(what)


@dataclass(frozen=True)
class Here:
    """What there is: this machine, the library that jobs use, and a folder to meet in."""

    machine: Machine
    library: str
    folder: Path

    def need_gpu(self) -> None:
        """Raise ``Left`` without a GPU."""
        if not self.machine.gpus:
            raise Left("no GPU")

    def need_library(self) -> None:
        """Raise ``Left`` without a GPU, or without a library that uses it."""
        self.need_gpu()
        if not self.library:
            raise Left("neither torch nor JAX is installed")


# What jobs do ---------------------------------------------------------------------------------------------


def see(here: Here) -> tuple[list[str], int]:
    """Return the mask that a worker has, and how many GPUs its library sees; -1 without one."""
    mask = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if here.library == "torch":
        import torch

        return mask, torch.cuda.device_count()
    if here.library == "jax":
        import jax

        return mask, len([device for device in jax.devices() if device.platform == "gpu"])
    return mask, -1


def take(here: Here, size: int) -> Any:
    """Take so many bytes of the first GPU that a worker sees, for as long as the result lives."""
    if here.library == "torch":
        import torch

        return torch.empty(size, dtype=torch.uint8, device="cuda:0")
    import jax.numpy as jnp

    return jnp.zeros(size, jnp.uint8).block_until_ready()


@dataclass(frozen=True)
class Work:
    """The function of all jobs; a job is ``(kind, number)``."""

    here: Here

    def __call__(self, job: tuple[str, int]) -> Any:
        """Do a job."""
        kind, number = job
        tries = len(list(self.here.folder.glob(f"{kind}-{number}-*")))
        (self.here.folder / f"{kind}-{number}-{tries}-{os.getpid()}").touch()
        if kind == "die" and number == 1 and not tries:
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "full" and number == 1:
            self.overfill()
        if kind == "share":
            return self.share(number)
        return (*see(self.here), os.getpid())

    def overfill(self) -> None:
        """Take more than the card has, or raise what a library raises then."""
        if self.here.library and self.here.machine.gpus:
            taken = take(self.here, (self.here.machine.gpus[0].memory << 20) * 2)
            raise RuntimeError(f"twice the card was given: {type(taken)}")
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory, as JAX says it")

    def share(self, number: int) -> tuple[float, float, int]:
        """Hold a part of the card until the other job does; return from when to when, and the process."""
        held = take(self.here, int((self.here.machine.gpus[0].memory << 20) * PART))
        began = time.monotonic()
        (self.here.folder / f"held-{number}").touch()
        while len(list(self.here.folder.glob("held-*"))) < 2 and time.monotonic() - began < PATIENCE:
            time.sleep(0.05)
        del held
        return began, time.monotonic(), os.getpid()


def run(here: Here, slots: Sequence[Slot], kind: str, count: int, lease: bool = False) -> dict[int, Done]:
    """Run jobs of a kind on workers in these places; return how they ended, by number."""
    jobs = [Job(number, (kind, number), f"{kind} {number}") for number in range(count)]
    with open_workers(slots, lease) as pool:
        policy = Policy(retries=1, timeout=PATIENCE)
        ends = Scheduler(pool, policy, Monitor()).run(Work(here), jobs)
        return {done.job.number: done for done in ends}


@contextmanager
def open_workers(slots: Sequence[Slot], lease: bool = False) -> Iterator[Pool]:
    """Yield workers in these places that no one used before."""
    with open_pool([], slots, lease=lease, keep=False) as pool:
        yield pool


# What is checked ------------------------------------------------------------------------------------------


def check_names(here: Here) -> str:
    """Compare the GPUs that NVML names with those of ``nvidia-smi``."""
    here.need_gpu()
    ask = ["nvidia-smi", "--query-gpu=uuid,memory.total", "--format=csv,noheader,nounits"]
    told = [line.split(", ") for line in subprocess.check_output(ask, text=True).splitlines()]
    found = [[one.uuid, str(one.memory)] for one in list_gpus()]
    hold([uuid for uuid, _ in found] == [uuid for uuid, _ in told], f"NVML {found}, nvidia-smi {told}")
    for (_, ours), (_, theirs) in zip(found, told, strict=True):
        hold(abs(int(ours) - int(theirs)) <= 0.02 * int(theirs), f"memory: NVML {ours}, nvidia-smi {theirs}")
    return ", ".join(f"{uuid[:12]} {int(memory) / 1024:.0f} GiB" for uuid, memory in told)


def check_masks(here: Here) -> str:
    """Find GPUs inside masks of invented cards, and have workers tell the mask that they got."""
    cards = [Found("GPU-aaaa", 1024), Found("GPU-bbbb", 2048), Found("GPU-cccc", 4096, split=True)]
    expected: dict[str | None, list[str]] = {
        None: ["0", "1", "2"],
        "1,0": ["1", "0"],
        "GPU-bb": ["GPU-bb"],
        "1,7,0": ["1"],
        "-1": [],
        "": [],
    }
    for mask, names in expected.items():
        gpus, _ = mask_gpus(cards, mask)
        hold([gpu.mask for gpu in gpus] == names, f"CUDA_VISIBLE_DEVICES={mask}: {gpus}")
    machine = replace(here.machine, gpus=mask_gpus(cards, "1,0")[0])
    slots = plan(["gpu:0", "gpu:1"], machine)
    blind = replace(here, library="")  # these cards are not there
    done = run(blind, slots, "see", 4)
    hold({tuple(end.value[0]) for end in done.values()} == {("1",), ("0",)}, f"workers saw {done}")
    return "of invented cards, inside CUDA_VISIBLE_DEVICES=1,0"


def check_real_masks(here: Here) -> str:
    """Have a worker on each real GPU count what its library sees."""
    here.need_gpu()
    slots = plan("auto", here.machine)
    done = run(here, slots, "see", 2 * len(slots), lease=True)
    masks = {tuple(end.value[0]) for end in done.values() if end.kind == "ok"}
    hold(masks == {(gpu.mask,) for gpu in here.machine.gpus}, f"masks {masks}")
    counts = {end.value[1] for end in done.values()}
    hold(counts == ({1} if here.library else {-1}), f"GPUs that a worker's library sees: {counts}")
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:  # once more inside a mask of the last card alone
        last = list_gpus()[-1].uuid
        again = [sys.executable, __file__, "masks of real GPUs"]
        inside = subprocess.run(
            again,
            check=False,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": last},
            capture_output=True,
            text=True,
        )
        hold(inside.returncode == 0, f"inside CUDA_VISIBLE_DEVICES={last}: {inside.stdout}")
    return f"{len(masks)} cards" + (", then one alone" if given is None else f" inside {given}")


def check_sharing(here: Here) -> str:
    """Have two workers hold a part of one card at once."""
    here.need_library()
    slots = plan(["gpu:0"], here.machine, per_device=2)
    done = run(here, slots, "share", 2)
    hold({end.kind for end in done.values()} == {"ok"}, f"{done}")
    (first, last, one), (other_first, other_last, two) = (done[n].value for n in (0, 1))
    hold(one != two and max(first, other_first) < min(last, other_last), "they did not run at once")
    return f"two processes held {PART:.0%} of gpu:0 each at once; memory limit {slots[0].memory_limit} MiB"


def check_leases(here: Here) -> str:
    """Have a sweep hold a card, a second one be refused, and a third one take it when the first is killed."""
    environment = {**os.environ, "TMPDIR": str(here.folder)}  # where the leases are

    def start() -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-c", SWEEP], stdout=pipe, stderr=pipe, text=True, env=environment
        )

    first, second, third = start(), None, None
    try:
        assert first.stdout is not None
        hold(first.stdout.readline().strip() == "holds", "the first sweep got no lease")
        second = start()
        _, said = second.communicate(timeout=PATIENCE)
        refused = second.returncode == 1 and f"gpu:0 is used by process {first.pid}" in said
        hold(refused, f"the second sweep was not refused: {said[-300:]}")
        first.kill()
        first.wait()
        third = start()
        assert third.stdout is not None
        hold(third.stdout.readline().strip() == "holds", "the lease of a killed sweep was not taken over")
    finally:
        for sweep in (first, second, third):
            if sweep is not None:
                sweep.kill()
                sweep.communicate()
    return "the second is told who holds gpu:0, and has it when that one is killed"


def check_full(here: Here) -> str:
    """Have one of four jobs ask for too much memory."""
    real = bool(here.machine.gpus and here.library)
    slots = plan(["gpu:0"], here.machine, per_device=2) if real else plan(["cpu:0", "cpu:1"], here.machine)
    done = run(here, slots, "full", 4)
    tries = len(list(here.folder.glob("full-1-*")))
    hold(done[1].kind == "failed" and done[1].job.alone, f"the job that asked for too much: {done[1]}")
    hold(tries == 2, f"it was tried {tries} times, not twice")
    hold({done[n].kind for n in (0, 2, 3)} == {"ok"}, f"the others: {done}")
    how = f"{type(done[1].value).__name__} of {here.library}" if real else "raised without a GPU"
    return f"tried once more, alone; the others ended well ({how})"


def check_killed(here: Here) -> str:
    """Have one of four jobs kill its worker."""
    gpus = bool(here.machine.gpus)
    slots = plan("auto", here.machine) if gpus else plan(["cpu:0", "cpu:1"], here.machine)
    done = run(here, slots, "die", 4, lease=gpus)
    hold({end.kind for end in done.values()} == {"ok"}, f"{done}")
    hold(done[1].job.attempt == 2, f"the job whose worker was killed: {done[1]}")
    hold(not any(isinstance(end.value, WorkerDied) for end in done.values()), f"{done}")
    return f"on {slots[0].name}: once more on a new worker, the others ended well"


CHECKS: dict[str, Callable[[Here], str]] = {
    "NVML names": check_names,
    "masks": check_masks,
    "masks of real GPUs": check_real_masks,
    "two workers share a card": check_sharing,
    "leases of two sweeps": check_leases,
    "a job out of memory": check_full,
    "a killed worker": check_killed,
}


def find_library() -> str:
    """Return the library that jobs use: torch, JAX, or none."""
    return next((name for name in ("torch", "jax") if importlib.util.find_spec(name)), "")


def check(name: str, machine: Machine) -> tuple[str, str]:
    """Return the verdict of one check, and what it saw."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return "held", CHECKS[name](Here(machine, find_library(), Path(folder)))
        except Left as reason:
            return "left out", str(reason)
        except Exception as error:  # noqa: BLE001 - whatever a driver, a library or a worker raises
            return "FELL", f"{type(error).__name__}: {error}"[:500]


def main() -> int:
    """Run all checks, or those named, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("checks", nargs="*", help=f"some of: {', '.join(CHECKS)}")
    names = parser.parse_args().checks or list(CHECKS)
    if wrong := set(names) - set(CHECKS):
        parser.error(f"no such check: {', '.join(sorted(wrong))}; there are {', '.join(CHECKS)}")
    machine = find_machine()
    cards = ", ".join(f"gpu:{n} ({gpu.memory} MiB)" for n, gpu in enumerate(machine.gpus)) or "no GPU"
    print(f"{cards}; {len(machine.cores)} cores; jobs use {find_library() or 'no library'}")
    verdicts = []
    for name in names:
        began = time.monotonic()
        verdict, told = check(name, machine)
        verdicts.append(verdict)
        print(f"{verdict:9} {name:26} {time.monotonic() - began:5.1f} s  {told}", flush=True)
    if "FELL" in verdicts:
        return 1
    if not machine.gpus:
        print("no GPU: what needs one was not tried")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
