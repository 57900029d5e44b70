"""Where a sweep tells what happens in it: a file of its folder, the screen, functions of a user's own."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from bf_index.errors import escape, unknown
from bf_research.own_files import open_plain

log = logging.getLogger(__name__)

FILE = "research.log"
Target = Literal["file", "print"] | Callable[[str], object]


def check_target(target: Target) -> Target:
    """Return where to tell; ``ValueError`` for an unknown name, ``TypeError`` for what can't be called."""
    if isinstance(target, str):
        if target not in ("file", "print"):
            raise ValueError(unknown("logger", target, ("file", "print"), "add_logger"))
    elif not callable(target):
        raise TypeError(f"add_logger: 'file', 'print' or a function of a line of text, got {target!r}")
    return target


class Loggers:
    """A function that tells a line to all targets; one that fails is left out then, with a warning."""

    def __init__(self, targets: Sequence[Target], folder: Path) -> None:
        self._targets, self._folder = list(targets), folder
        self._lock = threading.Lock()

    def __call__(self, text: str) -> None:
        """Tell a line; text of a user's own is escaped."""
        if not self._targets:
            return
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {escape(text)}"
        with self._lock:
            for target in tuple(self._targets):
                try:
                    self._tell(target, line)
                except Exception as error:  # noqa: BLE001 - a logger must not cost a sweep
                    self._targets.remove(target)
                    kind = type(error).__name__
                    log.warning("the logger %r is told nothing more: %s: %s", target, kind, escape(error))

    def _tell(self, target: Target, line: str) -> None:
        if callable(target):
            target(line)
        elif target == "print":
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        else:
            self._folder.mkdir(parents=True, exist_ok=True)
            with open(self._folder / FILE, "a", encoding="utf-8", opener=open_plain) as file:
                file.write(f"{line}\n")
