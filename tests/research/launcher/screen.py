"""A program on a pseudo-terminal, and what a person sees on it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

from tests.conftest import PATIENCE

_TOKEN = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]")


class Screen:
    """The lines of a terminal that knows what tables of ours need: lines up, lines cleared, the cursor."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.lines = [""]
        self.row = self.column = 0
        self.cursor_shown = True
        self.unknown: list[str] = []

    def feed(self, text: str) -> None:
        """Show a text."""
        for found in _TOKEN.finditer(text):
            self._take(found)

    def _take(self, found: re.Match[str]) -> None:
        token, private, number, letter = found[0], found[1], found[2], found[3]
        if token == "\r":
            self.column = 0
        elif token == "\n":
            self._go_down()
        elif letter == "A":
            self.row = max(self.row - int(number or 1), 0)
        elif letter == "K":
            self.lines[self.row] = ""
        elif private and number == "25":
            self.cursor_shown = letter == "h"
        elif letter is None:
            if self.column >= self.columns:
                self.column = 0
                self._go_down()
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + token + line[self.column + 1 :]
            self.column += 1
        elif letter != "m":
            self.unknown.append(token)

    def _go_down(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")

    @property
    def text(self) -> str:
        """All that is on it."""
        return "\n".join(line.rstrip() for line in self.lines).rstrip()


class Terminal:
    """A program of Python on a terminal; ``see`` reads on until the screen is as it should be."""

    def __init__(self, program: str, folder: Path, columns: int, **env: str) -> None:
        self.screen = Screen(columns)
        self._own, inner = pty.openpty()
        fcntl.ioctl(self._own, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        (folder / "program.py").write_text(program)
        # the processes of the tests may be told a width of their own, which goes before that of a terminal
        around = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "program.py"],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            cwd=folder,
            env={**around, "TERM": "xterm-256color", **env},
            preexec_fn=_take_terminal,
        )
        os.close(inner)

    def see(self, wanted: Callable[[str], bool], what: str) -> str:
        """Read until a text is wanted, and return it."""
        limit = time.monotonic() + PATIENCE
        while not wanted(self.screen.text):
            assert time.monotonic() < limit, f"{what} was not seen:\n{self.screen.text}"
            if not self._read():
                break
        assert wanted(self.screen.text), f"{what} was not seen:\n{self.screen.text}"
        return self.screen.text

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self._own, key)

    def leave(self) -> int:
        """Read until the program ends; return its exit code."""
        while self._read():
            pass
        os.close(self._own)
        return self.process.wait(PATIENCE)

    def _read(self) -> bool:
        """Show what comes within a moment; return whether more may come."""
        if select.select([self._own], [], [], PATIENCE)[0]:
            try:
                data = os.read(self._own, 1 << 16)
            except OSError:  # the other side is closed
                return False
            self.screen.feed(data.decode(errors="replace"))
            return bool(data)
        return False


def _take_terminal() -> None:
    """Make the terminal that of a new session, so that Ctrl-C reaches its programs."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
