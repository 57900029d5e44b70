"""The command ``doctor``: what this machine and environment have, and what does not fit together."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from bf_index.errors import escape

_OWN = ("bf-index", "bf-batch", "bf-pipeline", "bf-models", "bf-research")
_LIBRARIES = ("hydra-core", "omegaconf", "numpy", "keras", "mlflow")
_TRACKERS = ("tensorboard", "wandb")
_TENSORFLOW = ("tensorflow", "tensorflow-cpu")
_GIB = 1 << 30
_LITTLE = 1 * _GIB
_PROBE = """
import json
import tensorflow as tf
seen = [device.device_type for device in tf.config.list_physical_devices()]
total = float(tf.reduce_sum(tf.ones((64, 64)) @ tf.ones((64, 64))))
told = {"seen": seen, "total": total, "version": tf.__version__, "cuda": tf.test.is_built_with_cuda()}
print(json.dumps(told))
"""


class Unhealthy(RuntimeError):
    """Something that a training needs is missing or does not fit."""


def doctor() -> None:
    """Write what there is, a line each; ``Unhealthy`` at the end names what has to be mended."""
    wrong: list[str] = []
    parts: dict[str, Callable[[list[str]], Iterator[str]]] = {
        "system": _system,
        "packages": _packages,
        "devices": _devices,
        "TensorFlow": _tensorflow,
        "Hydra": _hydra,
        "store": _store,
        "folder": _folder,
    }
    for name, part in parts.items():
        for number, line in enumerate(part(wrong)):
            sys.stdout.write(f"{'' if number else name:11}{line}\n")
            sys.stdout.flush()
    if wrong:
        raise Unhealthy("\n".join(["this has to be mended:", *(f"  {line}" for line in wrong)]))


def _system(wrong: list[str]) -> Iterator[str]:
    import psutil

    yield f"Python {platform.python_version()}, {platform.platform()}"
    flags = _cpu_flags()
    simd = next((name for name in ("avx512f", "avx2", "avx") if name in flags), None)
    memory = psutil.virtual_memory()
    yield (
        f"{len(psutil.Process().cpu_affinity() or ()) or os.cpu_count()} cores"
        f"{f' with {simd}' if simd else ''}, {memory.available / _GIB:.1f} of "
        f"{memory.total / _GIB:.1f} GiB free"
    )


def _cpu_flags() -> frozenset[str]:
    """Return what the processor can do, where Linux tells."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    line = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    return frozenset(line.partition(":")[2].split())


def _packages(wrong: list[str]) -> Iterator[str]:
    from packaging.requirements import Requirement

    yield ", ".join(f"{name} {_find_version(name) or 'is missing'}" for name in (*_OWN, *_LIBRARIES))
    yield f"trackers: csv, {', '.join(_tell_tracker(name) for name in _TRACKERS)}"
    for own in filter(_version, _OWN):
        for text in requires(own) or ():
            needed = Requirement(text)
            if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
                continue
            found = _version(needed.name)
            if found is None:
                wrong.append(f"{own} needs {needed}, which is not installed: pip install '{needed}'")
            elif not needed.specifier.contains(found, prereleases=True):
                wrong.append(f"{own} needs {needed}, got {found}: pip install '{needed}'")


def _tell_tracker(name: str) -> str:
    """Return the version of a library that records runs, or what installs it."""
    found = _version(name)
    return f"{name} {found}" if found else f"{name} is missing (pip install 'bf-research[{name}]')"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _find_version(name: str) -> str | None:
    """Return the version of a library, also of a build of the night."""
    return _version(name) or _version(f"{name}-nightly")


def _devices(wrong: list[str]) -> Iterator[str]:
    from bf_research.launcher.devices import find_machine

    machine = find_machine()
    mask = os.environ.get("CUDA_VISIBLE_DEVICES")
    yield (
        f"{len(machine.gpus) or 'no'} GPUs, {len(machine.cores)} cores for workers"
        f"{'' if mask is None else f'; CUDA_VISIBLE_DEVICES={escape(mask)}'}"
    )
    if machine.hidden:
        wrong.append(
            f"CUDA_VISIBLE_DEVICES has {escape(machine.hidden)}, which is no GPU here: those after it are "
            "hidden"
        )


def _tensorflow(wrong: list[str]) -> Iterator[str]:
    if not any(map(_version, _TENSORFLOW)):
        wrong.append("TensorFlow is not installed: pip install 'bf-models[cpu]', or [cuda] for GPUs")
        yield "not installed"
        return
    # in a process of its own: one that was built for another processor ends it at once
    done = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        told = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        wrong.append(f"TensorFlow does not start: {escape(told[0])}")
        yield "does not start"
        return
    found = json.loads(done.stdout.splitlines()[-1])
    seen = found["seen"]
    one_dnn = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1")
    yield (
        f"{found['version']}{'' if found['cuda'] else ', built for processors'}; sees "
        f"{', '.join(f'{seen.count(kind)} {kind}' for kind in dict.fromkeys(seen))}; oneDNN "
        f"{'off' if one_dnn == '0' else 'on'}"
    )
    if found["total"] != 64.0**3:
        wrong.append(f"TensorFlow computed {found['total']} for the sum of a product of ones: it is {64**3}")
    from bf_research.launcher.devices import find_machine

    if find_machine().gpus and "GPU" not in seen:
        wrong.append("there are GPUs, and TensorFlow sees none: pip install 'bf-models[cuda]'")


def _hydra(wrong: list[str]) -> Iterator[str]:
    from hydra.core.plugins import Plugins
    from hydra.plugins.launcher import Launcher
    from hydra.plugins.sweeper import Sweeper

    plugins = Plugins.instance()
    for kind, needed in ((Launcher, "GpuLauncher"), (Sweeper, "DomainSweeper")):
        names = sorted(found.__name__ for found in plugins.discover(kind))
        yield f"{kind.__name__.lower()}s: {', '.join(names)}"
        if needed not in names:
            wrong.append(
                f"Hydra does not find {needed} of bf-research: pip install --force-reinstall bf-research"
            )


def _store(wrong: list[str]) -> Iterator[str]:
    from bf_pipeline.redaction.texts import redact_text
    from bf_research.tracking.store import address, database, open_store

    uri = address(None)
    path = database(uri)
    if path is not None and not path.exists():
        yield f"{redact_text(uri)}, which the first training makes"
        return
    try:
        count = len(open_store(uri).search_experiments())
    except Exception as error:  # noqa: BLE001 - whatever the store says is what has to be mended
        wrong.append(f"the store of runs does not answer: {redact_text(str(error))}")
        count = 0
    yield f"{redact_text(uri)}, {count} experiments"


def _folder(wrong: list[str]) -> Iterator[str]:
    here = Path.cwd()
    free = shutil.disk_usage(here).free
    own = (here / "conf" / "train.yaml").is_file()
    yield (
        f"{escape(here)}, {free / _GIB:.0f} GiB free; configurations: "
        f"{'conf/ and those of bf-research' if own else 'those of bf-research'}"
    )
    if not os.access(here, os.W_OK):
        wrong.append(f"{escape(here)} can't be written, and trainings leave their folders there")
    elif free < _LITTLE:
        wrong.append(f"{escape(here)} has {free / _GIB:.1f} GiB free: checkpoints and models need more")
