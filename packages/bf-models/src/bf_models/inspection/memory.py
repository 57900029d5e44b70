"""Memory of a process and of a device, in bytes, as far as the machine tells."""

from __future__ import annotations

import os
from pathlib import Path

from bf_models._backend import tensorflow

_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def read_status(name: str, process: int | str = "self") -> int | None:
    """Return a field of ``/proc/.../status`` in bytes, such as VmRSS and VmHWM; None where there is none."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return None
    found = [line for line in lines if line.startswith(f"{name}:")]
    return int(found[0].split()[1]) * 1024 if found else None


def restart_peak() -> bool:
    """Let the peak of this process begin anew; False where that can't be done."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return False
    return True


def find_free_memory() -> int | None:
    """Return the bytes that a new process may take: of the machine, and of its cgroup if that is less."""
    free = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
            free.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for limit, used in _CGROUPS:
        try:
            most, now = Path(limit).read_text().strip(), int(Path(used).read_text())
        except (OSError, ValueError):
            continue
        if most != "max":
            free.append(int(most) - now)
    return max(min(free), 0) if free else None


class PeakMeter:
    """What a stretch of work takes at most: of the GPU's memory, or of this process beyond a level."""

    def __init__(self, on_gpu: bool) -> None:
        self._gpu = on_gpu
        self._level = read_status("VmRSS") or 0

    def restart(self) -> None:
        """Begin anew."""
        if self._gpu:
            tensorflow().config.experimental.reset_memory_stats("GPU:0")
            return
        self._known = restart_peak()

    def read(self) -> int | None:
        """Return the bytes of the peak since then; None where they are not told."""
        if self._gpu:
            return int(tensorflow().config.experimental.get_memory_info("GPU:0")["peak"])
        peak = read_status("VmHWM") if self._known else None
        return None if peak is None else max(peak - self._level, 0)
