"""Before a sweep is composed: refuse what can't be, and start the workers' server.

The server's imports overlap with what the sweep's own process still has to do. The launcher prepares when it
is set up; a callback of ours does so before all others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ValidationError

from bf_index.errors import unknown
from bf_pipeline.redaction.texts import redact_text
from bf_research.launcher import hydra_private
from bf_research.launcher.additions import refuse_additions
from bf_research.launcher.errors import LauncherError, SweepRefused
from bf_research.launcher.options import check_folder, preload_list, settle
from bf_research.launcher.pool import start_early
from bf_research.targets import find_part

#: Kinds of addresses of stores that are files.
_FILES = ("sqlite", "file", "")


class EarlyWorkers(Callback):
    """A callback that imports TensorFlow for the workers while the sweep's own process still prepares."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Start the server if the launcher is ours; the launcher finds it running.

        ``SweepRefused`` for a folder or for options of our launcher that can't be: nothing has been made yet.
        """
        _refuse_unknown_options(config)
        try:
            refuse_additions(config, config.hydra)
        except ValueError as error:
            raise SweepRefused(str(error)) from error
        launcher = config.hydra.launcher
        refuse_own_store(config)
        ours = str(launcher.get("_target_", "")).rpartition(".")[2] == "GpuLauncher"
        try:
            if ours:
                prepare(launcher, config)
            else:
                check_folder(str(config.hydra.sweep.dir))
        except LauncherError as error:
            raise SweepRefused(str(error)) from error
        except ValidationError as error:
            raise SweepRefused(str(error).partition("\n")[0]) from error


def refuse_own_store(config: DictConfig) -> None:
    """Raise ``SweepRefused`` when trials on other machines would record into a file of this one.

    Each would make a store of its own there, or spoil one on a shared file system, which has no locks.
    """
    kind = str(config.hydra.launcher.get("_target_", "")).rpartition(".")[2]
    head = OmegaConf.select(config, "hydra.launcher.ray.init.address") or os.environ.get("RAY_ADDRESS")
    away = kind == "SlurmLauncher" or (kind == "RayLauncher" and head not in (None, "", "local"))
    tracking = find_part(config.get("tracking"), "MLflowTracker")
    if not away or tracking is None:
        return
    uri = str(tracking.get("uri") or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db")
    if urlsplit(uri).scheme in _FILES:
        raise SweepRefused(
            f"tracking.uri={redact_text(uri)}: the trials of {kind} run on other machines, and this store is "
            "a file; start a server (mlflow server --host 0.0.0.0) and say tracking.uri=http://HOST:5000, or "
            "tracking=none and read the journal of the sweep"
        )


def _refuse_unknown_options(config: DictConfig) -> None:
    """Refuse an unknown option such as ``+launch.wokers=2``, which nobody would read."""
    known = re.findall(r"\$\{launch\.(\w+)\}", OmegaConf.to_yaml(config.hydra.launcher))
    for text in config.hydra.overrides.task:
        found = re.match(r"\+{1,2}launch\.(\w+)", str(text))
        if found and found[1] not in known:
            hint = "" if known else _find_takers(found[1], config.hydra.runtime.config_sources)
            raise SweepRefused(hint or unknown("option", found[1], known, "launch"))


def _find_takers(name: str, sources: Any) -> str:
    """Return what to say of an option where the launcher takes none; an empty text where none ever does."""
    files = hydra_private.group_files(sources, "launch")
    options = {choice: list(file.get("launch") or ()) for choice, file in files.items()}
    takers = [choice for choice, names in options.items() if names]
    if not takers:
        return ""
    all_names = dict.fromkeys(one for names in options.values() for one in names)
    if name not in all_names:
        first = unknown("option", name, all_names, "launch")
        return f"{first}\nthe launcher in use takes none: choose one as well, launch={'|'.join(takers)}"
    choices = "|".join(choice for choice in takers if name in options[choice])
    return f"launch.{name}: the launcher in use takes no options; choose one that does, launch={choices}"


def prepare(options: Mapping[str, Any], config: DictConfig) -> None:
    """Check the sweep's folder and the options of our launcher, and start the server; ``LauncherError``."""
    check_folder(str(config.hydra.sweep.dir))
    settle(options)
    start_early(preload_list(options, config))
