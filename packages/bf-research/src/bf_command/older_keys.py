"""Keys of the command line that have another name now: they are taken for two minor versions, and told."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger(__name__)


def rename_keys(arguments: Sequence[str], folder: Path) -> list[str]:
    """Return arguments with the names of today; a warning in the log says what to write instead.

    ``folder`` has the configurations of the program: where one of its own still has an older key, it stays.
    """
    if "tracking=csv" not in arguments or _has_older(folder / "tracking" / "csv.yaml"):
        return list(arguments)
    return [_rename(argument, "tracking.folder", "tracking.csv.folder") for argument in arguments]


def _rename(argument: str, older: str, name: str) -> str:
    key, equals, value = argument.partition("=")
    if not equals or key != older:
        return argument
    log.warning("%s is called %s since version 0.3; its older name is taken until version 0.5", older, name)
    return f"{name}={value}"


def _has_older(path: Path) -> bool:
    """Whether a file has the key ``folder`` at its top, as that of version 0.2 had."""
    try:
        return re.search(r"^folder:", path.read_text(encoding="utf-8"), re.MULTILINE) is not None
    except (OSError, ValueError):
        return False
