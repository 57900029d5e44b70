"""Which worker gets which device, computed from what is asked for and what is there."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from bf_research.launcher.channel import DEVICES
from bf_research.launcher.errors import LauncherError

log = logging.getLogger(__name__)

_DEVICE = re.compile(r"(gpu|cpu):(\d+)")
#: More processes than this would rather fill the memory than help; say ``workers`` for more.
MOST_AUTOMATIC_WORKERS = 4
#: The part of a GPU's memory that workers may share; the rest is what CUDA takes for itself.
SHARED_MEMORY = 0.92
_WHOLE_GPUS = (
    "this launcher places workers on whole GPUs; launch=local leaves CUDA_VISIBLE_DEVICES to the trials, "
    "devices=[cpu:0] leaves GPUs out"
)
#: Entries of CUDA_VISIBLE_DEVICES that mean "no GPU".
_NONE = frozenset({"", "-1", "none", "void", "NoDevFiles"})
#: A fraction of a device may be rounded: 0.333 is a third.
_FRACTION = 0.002


@dataclass(frozen=True)
class Gpu:
    """A GPU that this process may use: CUDA's name of it, its memory in MiB, whether it is split by MIG."""

    mask: str
    memory: int = 0
    split: bool = False


class Found(NamedTuple):
    """A GPU as the driver knows it; the memory is in MiB."""

    uuid: str
    memory: int
    split: bool = False


@dataclass(frozen=True)
class Machine:
    """A machine: its GPUs in the order in which this process sees them, and the cores it may use.

    ``hidden`` is the first entry of ``CUDA_VISIBLE_DEVICES`` that names no GPU of this machine.
    """

    gpus: tuple[Gpu, ...] = ()
    cores: tuple[int, ...] = (0,)
    hidden: str = ""


@dataclass(frozen=True)
class Slot:
    """A place for one worker: its devices, the cores it may use, and its environment."""

    name: str
    devices: tuple[str, ...]
    cores: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    memory_limit: int | None = None


def parse(text: str) -> tuple[str, int]:
    """Split ``gpu:0`` into kind and number; ``LauncherError`` for anything else."""
    found = _DEVICE.fullmatch(str(text).strip().lower())
    if found is None:
        raise LauncherError(f"a device is written gpu:0 or cpu:0, got {text!r}")
    return found.group(1), int(found.group(2))


def choose(devices: str | Sequence[str], machine: Machine, workers: int | None = None) -> list[str]:
    """Return the devices to use: those named, or all GPUs, or as many CPU places as cores for ``auto``.

    ``LauncherError`` for a GPU that is not there or is split by MIG, a device named twice, and an empty list.
    """
    if isinstance(devices, str):
        devices = [part for part in devices.split(",") if part.strip()] if devices != "auto" else ["auto"]
    if list(devices) == ["auto"]:
        if machine.hidden.startswith("MIG-"):
            raise LauncherError(_refuse_instance(machine.hidden))
        if machine.gpus:
            devices = [f"gpu:{number}" for number in range(len(machine.gpus))]
            _refuse_split([("gpu", number) for number in range(len(devices))], machine)
            return devices
        if machine.hidden:
            _warn_of_mask(machine.hidden)
        count = workers or min(len(machine.cores), MOST_AUTOMATIC_WORKERS)
        return [f"cpu:{number}" for number in range(count)]
    parsed = [parse(device) for device in devices]
    if not parsed:
        raise LauncherError("devices is empty: name some, as in devices=[cpu:0,cpu:1], or say devices=auto")
    if len(set(parsed)) < len(parsed):
        raise LauncherError(
            f"devices names one twice: {', '.join(devices)}; per_device=2 puts two workers on each"
        )
    for kind, number in parsed:
        if kind == "gpu" and number >= len(machine.gpus):
            there = ", ".join(f"gpu:{n}" for n in range(len(machine.gpus))) or "no GPU"
            if machine.hidden.startswith("MIG-"):
                raise LauncherError(_refuse_instance(machine.hidden))
            mask = f"; CUDA_VISIBLE_DEVICES ends at {machine.hidden}, which is none" if machine.hidden else ""
            raise LauncherError(f"gpu:{number} is not on this machine: there is {there}{mask}")
    _refuse_split(parsed, machine)
    return [f"{kind}:{number}" for kind, number in parsed]


@cache
def _warn_of_mask(entry: str) -> None:
    """Log, once, that the trials run on CPUs since the mask of GPUs names none."""
    log.warning(
        "CUDA_VISIBLE_DEVICES names %s, which is no GPU of this machine: the trials run on CPUs", entry
    )


def _refuse_instance(name: str) -> str:
    return f"CUDA_VISIBLE_DEVICES names the MIG instance {name}: {_WHOLE_GPUS}"


def _refuse_split(devices: Sequence[tuple[str, int]], machine: Machine) -> None:
    for kind, number in devices:
        if kind == "gpu" and machine.gpus[number].split:
            raise LauncherError(f"gpu:{number} is split into MIG instances: {_WHOLE_GPUS}")


def group_devices(
    devices: Sequence[str], per_device: float, devices_per_job: int
) -> list[tuple[tuple[str, ...], int]]:
    """Split devices into groups of one job's size, each with its number of workers.

    ``per_device=2``: two workers on each device; ``per_device=0.5``: a worker on every two, the same as
    ``devices_per_job=2``. ``LauncherError`` when the numbers do not fit.
    """
    if not (math.isfinite(per_device) and per_device > 0):
        raise LauncherError(f"per_device must be a number above 0, got {per_device:g}")
    if devices_per_job < 1:
        raise LauncherError(f"devices_per_job must be at least 1, got {devices_per_job}")
    if per_device < 1:
        if devices_per_job > 1:
            raise LauncherError(
                f"per_device={per_device:g} and devices_per_job={devices_per_job}: say one of them"
            )
        devices_per_job = round(1 / per_device)
        if abs(devices_per_job * per_device - 1) > _FRACTION:
            raise LauncherError(
                f"per_device below 1 is a worker on every 2, 3, ... devices (0.5, 0.333, ...), "
                f"got {per_device:g}; devices_per_job=3 says it as a whole number"
            )
        per_device = 1
    if per_device != int(per_device):
        raise LauncherError(f"per_device above 1 is a whole number of workers, got {per_device:g}")
    if len(devices) < devices_per_job:
        raise LauncherError(
            f"a job needs {devices_per_job} devices, there are {len(devices)}: {', '.join(devices)}"
        )
    parts = [tuple(devices[at : at + devices_per_job]) for at in range(0, len(devices), devices_per_job)]
    return [(part, int(per_device)) for part in parts if len(part) == devices_per_job]


def plan(
    devices: str | Sequence[str],
    machine: Machine,
    *,
    workers: int | None = None,
    per_device: float = 1,
    devices_per_job: int = 1,
    threads: int | None = None,
) -> list[Slot]:
    """Return a slot for every worker; ``workers`` is the most there may be. ``LauncherError`` as it applies.

    Neighbouring slots are on different devices, so that a few jobs spread over all of them.
    """
    if workers is not None and workers < 1:
        raise LauncherError(f"workers must be at least 1, got {workers}")
    parts = group_devices(choose(devices, machine, workers), per_device, devices_per_job)
    rounds = max(count for _, count in parts)
    places = [(group, turn, count) for turn in range(rounds) for group, count in parts if turn < count]
    places = places[:workers]
    return [_slot(*place, number, len(places), machine, threads) for number, place in enumerate(places)]


def _slot(
    group: tuple[str, ...],
    turn: int,
    count: int,
    number: int,
    slots: int,
    machine: Machine,
    threads: int | None,
) -> Slot:
    cores = share(machine.cores, number, slots)
    many = str(threads or len(cores))
    environment = {
        DEVICES: ",".join(group),
        "OMP_NUM_THREADS": many,
        "NUMBA_NUM_THREADS": many,
        "TF_NUM_INTRAOP_THREADS": many,
        "TF_NUM_INTEROP_THREADS": "1" if len(cores) == 1 else "2",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    limit = None
    gpus = [machine.gpus[index] for kind, index in map(parse, group) if kind == "gpu"]
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.mask for gpu in gpus)
        environment["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
        least = min(gpu.memory for gpu in gpus)
        limit = int(least * SHARED_MEMORY / count) if count > 1 and least else None
        if limit:  # JAX would take three quarters of the card for each
            environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{SHARED_MEMORY / count:.3f}"
        cores = machine.cores
    name = "+".join(group) + (f"/{turn}" if count > 1 else "")
    return Slot(name, group, cores, environment, limit)


def share(cores: Sequence[int], number: int, slots: int) -> tuple[int, ...]:
    """Return the cores of one of several workers: apart while there are enough, else one each in turn."""
    if slots > len(cores):
        return (cores[number % len(cores)],)
    first, last = number * len(cores) // slots, (number + 1) * len(cores) // slots
    return tuple(cores[first:last])


def find_machine() -> Machine:
    """Return this machine: the GPUs inside ``CUDA_VISIBLE_DEVICES`` and the cores this process may use."""
    cores = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()
    gpus, hidden = mask_gpus(list_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    return Machine(gpus, cores or tuple(range(os.cpu_count() or 1)), hidden)


def mask_gpus(found: Sequence[Found], mask: str | None) -> tuple[tuple[Gpu, ...], str]:
    """Return those of the GPUs that ``CUDA_VISIBLE_DEVICES`` leaves, in its order, and what ended it early.

    As CUDA does, the mask ends at the first entry that names nothing; a MIG instance is no whole GPU.
    """
    if mask is None:
        return tuple(Gpu(str(number), one.memory, one.split) for number, one in enumerate(found)), ""
    gpus: list[Gpu] = []
    for entry in (part.strip() for part in mask.split(",")):
        matches = [
            Gpu(entry, one.memory, one.split)
            for number, one in enumerate(found)
            if entry == str(number) or (entry.startswith("GPU-") and one.uuid.startswith(entry))
        ]
        if not matches:
            return tuple(gpus), "" if entry in _NONE else entry
        gpus.append(matches[0])
    return tuple(gpus), ""


def list_gpus() -> list[Found]:
    """Return the GPUs that the driver knows; none without NVML or a driver."""
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []

    def is_split(handle: Any) -> bool:
        try:
            return bool(pynvml.nvmlDeviceGetMigMode(handle)[0])
        except pynvml.NVMLError:  # most GPUs know no MIG
            return False

    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(n) for n in range(pynvml.nvmlDeviceGetCount())]
        return [
            Found(
                _text(pynvml.nvmlDeviceGetUUID(handle)),
                pynvml.nvmlDeviceGetMemoryInfo(handle).total >> 20,
                is_split(handle),
            )
            for handle in handles
        ]
    finally:
        pynvml.nvmlShutdown()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
