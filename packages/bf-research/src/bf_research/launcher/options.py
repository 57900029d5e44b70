"""What a sweep asks of the launcher, checked before any worker is started."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bf_index.errors import escape
from bf_research.launcher.devices import Slot, find_machine, plan
from bf_research.launcher.errors import LauncherError
from bf_research.launcher.jobs import Policy
from bf_research.targets import find_part

#: A file name may have 255 bytes on the usual file systems.
LONGEST_NAME = 255
ON_FAILURE = ("continue", "stop")
#: What workers of a Hydra sweep need in any case.
_HYDRA = "bf_research.launcher.hydra_job:warm_up"


def settle(options: Mapping[str, Any]) -> tuple[list[Slot], Policy]:
    """Return the workers' places and the rules of a sweep; ``LauncherError`` for options that can't be."""
    if options["on_failure"] not in ON_FAILURE:
        raise LauncherError(f"on_failure is one of {', '.join(ON_FAILURE)}, got {options['on_failure']!r}")
    slots = plan(
        options["devices"],
        find_machine(),
        workers=options["workers"],
        per_device=float(options["per_device"]),
        devices_per_job=int(options["devices_per_job"]),
        threads=options["threads"],
    )
    policy = Policy(
        retries=int(options["retries"]),
        timeout=options["timeout"],
        stop_on_failure=options["on_failure"] == "stop",
        max_jobs_per_worker=int(options["max_jobs_per_worker"]),
        stop_grace=float(options["stop_grace"]),
    )
    return slots, policy


def check_folder(text: str) -> None:
    """Refuse a sweep folder that can't be made or written before any job starts; ``LauncherError``."""
    folder = Path(text)
    if ".." in folder.parts:
        raise LauncherError(f"hydra.sweep.dir={text} leads upwards: write the folder without '..'")
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in folder.parts):
        raise LauncherError(
            f"hydra.sweep.dir={text[:80]}...: a name in it has more than {LONGEST_NAME} bytes"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LauncherError(
            f"hydra.sweep.dir={text} can't be made: {escape(error)}; choose another folder"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise LauncherError(f"hydra.sweep.dir={text} can't be written: choose another folder")


def preload_list(options: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the modules to import once for all workers; MLflow too when the trials are tracked there."""
    names = [_HYDRA, *(str(name) for name in options.get("preload") or ())]
    if find_part(config.get("tracking"), "MLflowTracker") is not None:
        names.append("mlflow")
    return tuple(dict.fromkeys(names))
