"""The folder of a training: which one it is, whether it is gone on with there, and who writes in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bf_pipeline.redaction.values import redact_config, redact_override
from bf_research.launcher.hydra_private import task_overrides
from bf_research.sweep.settings import INDIFFERENT
from bf_research.tracking.tracker import flatten
from bf_research.training.checkpoints import CHECKPOINTS
from bf_research.training.folder import (
    RECORD,
    RunFolder,
    check_same,
    make_free,
    open_unfinished,
    read_record,
)
from bf_research.training.workers import MULTIWORKER, read_workers

if TYPE_CHECKING:
    from omegaconf import DictConfig

#: Settings that change nothing of what is trained.
_INDIFFERENT = (
    *INDIFFERENT,
    "name",
    "resume",
    "launch",
    "tracking",
    "research",
    "stopping",
    "search",
    "debug",
)


def output_folder() -> Path | None:
    """Return the folder that Hydra gave this run; None in a program without Hydra."""
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir) if HydraConfig.initialized() else None


def essential_settings(config: DictConfig) -> dict[str, str]:
    """Return the settings that decide what is trained, flat: equal ones are one training."""
    plain: Any = redact_config(config, resolve=True)
    return flatten({name: value for name, value in plain.items() if name not in _INDIFFERENT})


@contextmanager
def open_folder(config: DictConfig) -> Iterator[RunFolder | None]:
    """Open the folder of a training, that of an unfinished one of the same settings if there is one.

    Yields None in a program without Hydra. ``StateError`` for a name under which other settings were trained.
    """
    own = output_folder()
    if own is None:
        yield None
        return
    own = _find_folder(own, config)
    settings = essential_settings(config)
    trial = is_trial()
    resume = str(config.get("resume", "auto"))
    if resume not in ("auto", "never"):
        if not (Path(resume) / RECORD).is_file():
            raise FileNotFoundError(
                f"resume={resume}: there is no {RECORD} in {str(Path(resume).absolute())!r}; give the folder "
                "of a run, such as outputs/NAME, or auto, or never"
            )
        folder = RunFolder(Path(resume))
        folder.check_same(settings)
    elif trial:
        folder = _open_trial(own, settings, resume)
    elif config.get("name") is not None:
        folder = _open_named(own, settings, resume)
    else:
        root = own.parent.parent if own.parent.parent != Path.cwd() else own.parent
        found = open_unfinished(root, settings) if resume == "auto" and _is_below(root, Path.cwd()) else None
        folder = found or RunFolder(own)
    with folder:
        if not folder.is_finished:
            folder.begin(settings, folder.record.get("run_id"))
            if "command" not in folder.record:  # Hydra's own record is written anew by every command
                folder.note(command=_read_command())
        yield folder
        if trial and folder.is_finished:  # nothing goes on with it, and sweeps have many
            shutil.rmtree(folder.path / CHECKPOINTS, ignore_errors=True)


def _find_folder(own: Path, config: DictConfig) -> Path:
    """Return the folder of the run, which the first worker writes; ``ValueError`` where none can know it."""
    if config.get("strategy") != MULTIWORKER:
        return own
    if config.get("name") is None or is_trial():
        what = "a trial of a sweep is given one folder" if is_trial() else "name is null"
        raise ValueError(
            f"strategy={MULTIWORKER}: all workers have to know the folder of the run, and {what}; give "
            "name=..., without -m"
        )
    resume = str(config.get("resume", "auto"))
    if resume != "auto":
        raise ValueError(
            f"resume={resume}: strategy={MULTIWORKER} goes on in the folder of its name; give another name"
        )
    number = read_workers(MULTIWORKER).number
    ending = f".worker{number}" if number else ""
    if own.name != config.name + ending:
        raise ValueError(
            f"strategy={MULTIWORKER}: hydra.run.dir={str(own)!r} is one folder for all workers, and each "
            "writes its log; end it with ${run_folder:${name},${strategy}}"
        )
    return own.with_name(own.name.removesuffix(ending)) if ending else own


def find_checkpoints(config: DictConfig) -> Path | None:
    """Return the checkpoints of the run that another worker writes and this one begins with; None for none.

    ``StateError`` for a name under which other settings were trained, as the first worker has it.
    """
    own = output_folder()
    if own is None:
        raise ValueError(f"strategy={MULTIWORKER}: the workers are commands, {own!r} is no folder of one")
    path = _find_folder(own, config)
    check_same(path, read_record(path), essential_settings(config))
    found = path / CHECKPOINTS
    return found if any(found.glob("checkpoint-*")) else None


def _open_named(own: Path, settings: Mapping[str, Any], resume: str) -> RunFolder:
    folder = RunFolder(own)
    if resume == "never" and folder.record:
        folder.close()
        return RunFolder(make_free(own))
    folder.check_same(settings)
    return folder


def _open_trial(own: Path, settings: Mapping[str, Any], resume: str) -> RunFolder:
    """Open a trial's folder; what another trial left in it, or one that is to be run again, goes."""
    folder = RunFolder(own)
    same = folder.record.get("settings") == dict(settings)
    if folder.record and (resume == "never" or folder.is_finished or not same):
        shutil.rmtree(own / CHECKPOINTS, ignore_errors=True)
        folder.record = {}
    return folder


def _read_command() -> list[str]:
    """Return the settings on the command line, without secrets."""
    from hydra.core.hydra_config import HydraConfig

    hydra: Any = HydraConfig.get()
    return [redact_override(text) for text in task_overrides(hydra)]


def is_trial() -> bool:
    """Whether this is a trial of a sweep; a program without Hydra is none."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN


def _is_below(path: Path, root: Path) -> bool:
    return path.resolve() != root.resolve() and path.resolve().is_relative_to(root.resolve())
