"""The machine that a table was measured on: CPU and instruction sets, oneDNN, cores, and who else is busy."""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path
from typing import Literal

#: What decides how quick a training step is: TensorFlow's own choice of oneDNN asks for one of the last five.
SETS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile")
#: So many cores' work of others makes a machine busy.
BUSY = 0.5


def describe_cpu(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the model's name and those of ``SETS`` that it has, from the text of /proc/cpuinfo.

    Without such a text (other systems than Linux) it is the name that Python knows, and no sets.
    """
    fields = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = fields.get("flags", "").split()
    model = fields.get("model name") or platform.processor() or platform.machine()
    return model, tuple(name for name in SETS if name in flags)


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


def kind() -> Literal["AVX-512", "AVX2"]:
    """Return which column of targets this machine is judged by; what has no AVX-512 counts as AVX2."""
    return "AVX-512" if "avx512f" in describe_cpu(_cpuinfo())[1] else "AVX2"


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def others(seconds: float = 0.3) -> float:
    """Return how many cores were busy while this process slept; 0 where /proc/stat is not there.

    Time that the host of a virtual machine gave to others is counted too.
    """
    path = Path("/proc/stat")
    if not path.exists():
        return 0.0

    def idle() -> int:
        numbers = path.read_text().splitlines()[0].split()
        return int(numbers[4]) + int(numbers[5])

    before, began = idle(), time.perf_counter()
    time.sleep(seconds)
    spent = (idle() - before) / os.sysconf("SC_CLK_TCK")
    return max(0.0, (os.cpu_count() or 1) - spent / (time.perf_counter() - began))


def busy() -> bool:
    """Whether others use the cores now: then ratios mean little, above all those to torch's threads."""
    return others() > BUSY


def onednn() -> str:
    """Return whether oneDNN is on, as TensorFlow says where it is loaded, and what the environment asks."""
    value = os.environ.get("TF_ENABLE_ONEDNN_OPTS")
    asked = "TF_ENABLE_ONEDNN_OPTS " + ("not set" if value is None else f"= {value}")
    if "tensorflow" not in sys.modules:
        return f"TensorFlow not loaded in this process ({asked})"
    from tensorflow.python.util import _pywrap_util_port

    return f"oneDNN {'on' if _pywrap_util_port.IsMklEnabled() else 'OFF'} ({asked})"


def head() -> str:
    """Return one line about the machine as it is now."""
    model, sets = describe_cpu(_cpuinfo())
    lacking = [name for name in SETS if name not in sets]
    has = " ".join(sets) or "none known"
    load = f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"
    return (
        f"CPU: {model}; has {has}; lacks {' '.join(lacking) or 'none'}; {cores()} cores; "
        f"load {load}, others keep {others():.1f} cores busy; {onednn()}"
    )
