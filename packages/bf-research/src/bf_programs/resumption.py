"""The command ``resume``: a run or a sweep that was cut off goes on with the settings it was begun with."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bf_command.cli import Program, run_program
from bf_index.errors import escape
from bf_pipeline.redaction.values import redact_command
from bf_programs.records import is_sweep, read_command, read_run, read_sweep_overrides, split
from bf_programs.train import CONFIGURATIONS, complete, train
from bf_research.masks import is_masked
from bf_research.training.folder import FINISHED

_TRUST = "targets"


def resume(folder: Path, settings: Sequence[str] = ()) -> None:
    """Go on with what a folder holds; ``settings`` are added to those it was begun with.

    The settings are read from the folder, so they don't say whom to trust: ``targets`` are said again, and so
    are settings with secrets, of which the folder has none. ``ValueError`` says which.
    """
    if is_sweep(folder):
        quoted = _of_sweep(folder)
        own = ["-m", f"hydra.sweep.dir={_write(folder)}"]
    else:
        if read_run(folder).state == FINISHED:
            raise ValueError(f"{escape(folder)}: this training is finished; there is nothing to go on with")
        quoted = _of_run(folder)
        own = [f"resume={_write(folder)}"]
    again = {name for name, _ in split([*settings, *own])}
    quoted = [text for text in quoted if next(split([text]))[0] not in again]
    _refuse(quoted, folder)
    sys.argv = ["batchflow train", *own, *quoted, *settings]
    sys.path.insert(0, "")
    conf = Path("conf").absolute()
    base = conf if (conf / "train.yaml").is_file() else CONFIGURATIONS
    sys.stdout.write(escape(redact_command(sys.argv)) + "\n")
    sys.stdout.flush()
    run_program(Program(train, base, "", "train", {}, complete, CONFIGURATIONS, tuple(quoted)))


def _of_run(folder: Path) -> list[str]:
    """Return the settings of a training."""
    told = read_command(folder)
    if told is None:
        raise ValueError(
            f"{escape(folder)} was not begun by a command of ours: the program that began it goes on with it"
        )
    return told


def _of_sweep(folder: Path) -> list[str]:
    """Return the settings of a sweep: its options, and those of launcher and sweeper."""
    told = read_sweep_overrides(folder)
    if told is None:
        raise ValueError(
            f"{escape(folder)}: there is no multirun.yaml with the settings of the sweep: one that Python "
            "began goes on by the same program with resume='missing'"
        )
    return [text for text in (*told["task"], *told["hydra"]) if not text.startswith("hydra.mode=")]


def _refuse(quoted: Sequence[str], folder: Path) -> None:
    """Raise ``ValueError`` for settings that only the person can give."""
    from bf_research.launcher.hydra_private import read_overrides  # late: start-up time

    for (name, value), text in zip(read_overrides(quoted), quoted, strict=True):
        if name.partition("@")[0].partition(".")[0] == _TRUST:
            raise ValueError(
                f"{escape(folder)} was begun with {escape(text)!r}, which says whose code may run; if you "
                f"trust it, say it again: batchflow resume {escape(folder)} {escape(text)}"
            )
        if is_masked(value):
            raise ValueError(
                f"{escape(folder)} was begun with a secret in {escape(name)}, which it does not keep; say it "
                f"again: batchflow resume {escape(folder)} {escape(name)}=..."
            )


def _write(folder: Path) -> str:
    """Return a folder as Hydra's command line reads it."""
    from bf_research.launcher.hydra_private import write_value  # late: start-up time

    return write_value(str(folder))
