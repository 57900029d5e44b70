"""How busy the machine is, in a few letters beside a bar: processors, memory, GPUs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from bf_index.errors import unknown

#: Readings stand for so many seconds: to look at all children and GPUs takes milliseconds.
EVERY_SECONDS = 2.0
_GIGABYTE = 1e9


class Monitors:
    """Readings by name: ``cpu`` (share of all cores, whoever uses them), ``memory`` (GB that this process and
    its children hold), ``gpu`` (share of the time that the visible NVIDIA GPUs computed), ``gpu_memory``.

    ``ValueError`` for an unknown name; ``ImportError`` without psutil. What is not there reads ``none``.
    """

    def __init__(self, names: Sequence[str], every: float = EVERY_SECONDS) -> None:
        for name in names:
            if name not in _READERS:
                raise ValueError(unknown("monitor", name, _READERS))
        self._readers = {name: _READERS[name]() for name in names}
        self._every, self._next = every, 0.0
        self._shown: dict[str, str] = {}

    def read(self) -> Mapping[str, str]:
        """Return the readings, which are a moment old at most."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._every
            self._shown = {name: read() for name, read in self._readers.items()}
        return self._shown


def _import_psutil() -> Any:
    try:
        import psutil
    except ImportError as error:
        raise ImportError("monitors cpu and memory need psutil: pip install psutil") from error
    return psutil


def _watch_cpu() -> Callable[[], str]:
    psutil = _import_psutil()
    psutil.cpu_percent(None)  # the next reading is of the time since this one
    return lambda: f"{psutil.cpu_percent(None):.0f}%"


def _watch_memory() -> Callable[[], str]:
    psutil = _import_psutil()
    own = psutil.Process()

    def read() -> str:
        total = own.memory_info().rss
        for child in own.children(recursive=True):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += child.memory_info().rss
        return f"{total / _GIGABYTE:.1f}GB"

    return read


def _watch_gpu() -> Callable[[], str]:
    library, gpus = _find_gpus()

    def read() -> str:
        shares = [library.nvmlDeviceGetUtilizationRates(gpu).gpu for gpu in gpus]
        return f"{sum(shares) / len(shares):.0f}%"

    return read if gpus else _read_none


def _watch_gpu_memory() -> Callable[[], str]:
    library, gpus = _find_gpus()

    def read() -> str:
        found = [library.nvmlDeviceGetMemoryInfo(gpu) for gpu in gpus]
        used, total = (sum(getattr(one, name) for one in found) / _GIGABYTE for name in ("used", "total"))
        return f"{used:.1f}/{total:.0f}GB"

    return read if gpus else _read_none


def _read_none() -> str:
    return "none"


def _find_gpus() -> tuple[Any, list[Any]]:
    """Return NVIDIA's library and the GPUs that this process may see; none without library, driver or GPU."""
    try:
        import pynvml
    except ImportError:
        return None, []
    try:
        pynvml.nvmlInit()
        gpus = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return None, []
    mask = os.environ.get("CUDA_VISIBLE_DEVICES")
    if mask is None:
        return pynvml, gpus
    names = [_text(pynvml.nvmlDeviceGetUUID(gpu)) for gpu in gpus]
    seen = []
    for entry in (part.strip() for part in mask.split(",")):
        places = [
            place
            for place, name in enumerate(names)
            if entry == str(place) or (entry.startswith("GPU-") and name.startswith(entry))
        ]
        if not places:  # CUDA looks no further than the first entry that names no GPU
            break
        seen += [gpus[place] for place in places]
    return pynvml, seen


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


_READERS: Mapping[str, Callable[[], Callable[[], str]]] = {
    "cpu": _watch_cpu,
    "memory": _watch_memory,
    "gpu": _watch_gpu,
    "gpu_memory": _watch_gpu_memory,
}
