"""Messages for what Hydra and OmegaConf refuse: the name that is wrong, the close matches, what next."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from bf_index.errors import close_matches, unknown, unknown_setting
from bf_pipeline.redaction.names import means_secret

#: Launchers of others, and the packages that they come in.
LAUNCHERS = {
    "joblib": "hydra-joblib-launcher",
    "ray": "hydra-ray-launcher",
    "ray_aws": "hydra-ray-launcher",
    "rq": "hydra-rq-launcher",
    "submitit_local": "hydra-submitit-launcher",
    "submitit_slurm": "hydra-submitit-launcher",
}


def configuration_message(error: BaseException) -> str | None:
    """Return a clear message for an error of composing a configuration; None for any other error."""
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, MissingConfigException):
        # of several options of a group, as in tracking=[mlflow,csv], Hydra does not tell what there is
        options = error.options or _find_options(error.missing_cfg_file, str(error))
        return _missing_option(error.missing_cfg_file, options) or str(error)
    cause = error.__cause__ if isinstance(error, HydraException) else error
    if isinstance(cause, OmegaConfBaseException):
        return _wrong_key(cause)
    if isinstance(error, HydraException):
        # what a launcher or sweeper says of its options, without the call by which Hydra made it
        return str(error) if cause is None else f"{type(cause).__name__}: {cause}"
    return None


def _missing_option(name: str | None, options: Iterable[str] | None) -> str | None:
    """Return a message with the options of the group, as for ``model=resnet19``."""
    if not name or "/" not in name:
        return None
    group, _, option = name.rpartition("/")
    known = sorted(options or ())
    if group == "hydra/launcher" and option in LAUNCHERS:
        return f"the launcher {option!r} is not installed: pip install {LAUNCHERS[option]}"
    close = close_matches(option, known)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    return f"unknown {group} {option!r}{hint}\navailable: {', '.join(known) or 'none'}"


def _find_options(name: str | None, told: str) -> set[str]:
    """Return the options of a group in the folders and packages of a told search path."""
    group = (name or "").rpartition("/")[0]
    folders: list[Any] = [Path(place) for place in re.findall(r"path=file://(.+)", told)]
    folders += [files(package) for package in re.findall(r"path=pkg://(bf_[\w.]+)", told)]
    groups = [folder.joinpath(group) for folder in folders]
    paths = [path.name for group in groups if group.is_dir() for path in group.iterdir()]
    return {name.removesuffix(".yaml") for name in paths if name.endswith(".yaml")}


def _wrong_key(error: Exception) -> str:
    """Return a message for a missing key, a wrong type or a cycle, with the full path of the key."""
    from omegaconf import OmegaConf
    from omegaconf.errors import (
        ConfigAttributeError,
        ConfigKeyError,
        InterpolationResolutionError,
        MissingMandatoryValue,
    )

    path = str(getattr(error, "full_key", "") or getattr(error, "key", "") or "")
    first = str(error).partition("\n")[0]
    if means_secret(path):
        first = re.sub(r"'.*'", "'***'", first)
    parent = getattr(error, "parent_node", None)
    if isinstance(error, ConfigAttributeError | ConfigKeyError) and parent is not None:
        owner, _, key = path.rpartition(".")
        known = [str(name) for name in parent if name != "hydra"] if hasattr(parent, "keys") else []
        message = unknown("config key", key, known, owner)
        if owner in ("launch", "pipeline"):
            return message  # all that is read of these is listed
        if not owner and is_dataclass(OmegaConf.get_type(parent)):
            tree: Any = OmegaConf.to_container(parent, resolve=False)  # type: ignore[arg-type]
            return unknown_setting(key, {name: value for name, value in tree.items() if name != "hydra"})
        hint = (
            f"a setting that the file does not list is added by +{path}=..., and checked by the part itself"
        )
        return f"{message}\n{hint}"
    if isinstance(error, MissingMandatoryValue):
        return f"config key {path!r} has no value: give one as {path}=..."
    if isinstance(error, InterpolationResolutionError):
        return f"config key {path!r}: {first}"
    return f"config key {path!r}: {re.sub(r'^Error setting .*?: ', '', first)}"
