"""The folder of configurations that come with a program, behind its user's own."""

from __future__ import annotations

from pathlib import Path

_folders: list[Path] = []


def use_standard(folder: Path | None, own: Path) -> None:
    """Have the configurations of a folder found after the program's ``own``; None: there are no others."""
    _folders[:] = [] if folder is None or folder.resolve() == own.resolve() else [folder.resolve()]


def standard_folders() -> list[Path]:
    """Return the folders of configurations behind the program's own: one, or none."""
    return [*_folders]
