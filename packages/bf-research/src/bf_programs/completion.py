"""What a shell offers after the words of a command: names of commands, parts and settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path


def complete(commands: Sequence[str]) -> None:
    """Write what may stand at the cursor, a word a line: the shell gives the line in ``COMP_LINE``."""
    line = os.environ.get("COMP_LINE", "")[: int(os.environ.get("COMP_POINT") or 10_000)]
    words = line.split()
    if line.endswith((" ", "\t")) or not words:
        words.append("")
    for word in _offer(words[1:], commands):
        sys.stdout.write(f"{word}\n")


def _offer(words: Sequence[str], commands: Sequence[str]) -> Iterator[str]:
    """Yield the words that go on with the last one; after ``name=`` values alone, as shells split there."""
    if len(words) < 2:
        yield from (f"{name} " for name in commands if name.startswith(words[-1] if words else ""))
        return
    command, last = words[0], words[-1]
    if command not in ("train", "predict"):
        return
    from bf_command.help import list_parts  # late: start-up time
    from bf_programs.train import CONFIGURATIONS  # late: start-up time

    own = Path("conf").absolute()
    folder = own if (own / f"{command}.yaml").is_file() else CONFIGURATIONS
    groups, settings = list_parts(folder, command, CONFIGURATIONS)
    name, equals, value = last.partition("=")
    if equals:
        first, comma, rest = value.rpartition(",")
        yield from (f"{first}{comma}{option}" for option in groups.get(name, ()) if option.startswith(rest))
    else:
        yield from (f"{known}=" for known in sorted({*groups, *settings}) if known.startswith(name))
