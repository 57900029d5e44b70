"""What a trial writes into its folder while it runs: its rows so far, and how long its units took."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bf_index.errors import StateError, escape, unknown
from bf_index.sizes import reading
from bf_research.own_files import open_plain
from bf_research.units.base import RunningTrial, Schedule, Unit

ROWS, TIMES = "rows.jsonl", "profile.json"
#: More of a file that somebody sent is not read.
_MOST_BYTES = 1 << 28


@dataclass(frozen=True)
class DumpUnit:
    """A unit that writes the rows so far into the trial's folder, those of ``only`` or all results."""

    name: str
    only: tuple[str, ...]
    schedule: Schedule

    returns = ()
    arguments = ()

    def execute(self, running: RunningTrial) -> Mapping[str, Any]:
        """Do nothing yet: the row of this iteration is not whole."""
        return {}

    def write(self, running: RunningTrial) -> None:
        """Append the rows not written yet, and the last one again, since more may have come to it."""
        done = max(running.kept.get(self.name, 0) - 1, 0)
        lines = [json.dumps(row) for row in map(self._choose, running.rows[done:]) if len(row) > 1]
        with open(running.folder / ROWS, "a", encoding="utf-8", opener=open_plain) as file:
            file.writelines(f"{line}\n" for line in lines)
        running.kept[self.name] = len(running.rows)

    def _choose(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: row[name] for name in row if name == "iteration" or not self.only or name in self.only}

    def faults(self, before: Sequence[Unit], config: Mapping[str, Any]) -> Iterator[str]:
        """Yield results that no unit before it returns."""
        known = [name for unit in before for name in unit.returns]
        for name in self.only:
            if name not in known:
                yield unknown("result", name, known, "the units before it")


def forget_rows(folder: Path) -> None:
    """Remove the rows that an earlier try of a trial has written."""
    (folder / ROWS).unlink(missing_ok=True)


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the rows that a trial has written into its folder; a last line cut short is left out."""
    path = folder / ROWS
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return []
    *lines, _ = path.read_bytes().split(b"\n")
    rows: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(lines, 1):
        with reading(f"{escape(path)}, line {number}", StateError):
            row = json.loads(line)
            rows.setdefault(int(row["iteration"]), {}).update(row)
    return list(rows.values())


def write_times(folder: Path, times: Mapping[str, tuple[int, float]]) -> None:
    """Write calls and seconds of each unit into the folder of a trial."""
    with open(folder / TIMES, "w", encoding="utf-8", opener=open_plain) as file:
        json.dump({name: {"calls": calls, "seconds": total} for name, (calls, total) in times.items()}, file)


def read_times(folder: Path) -> dict[str, tuple[int, float]]:
    """Return calls and seconds of each unit of a trial; nothing where no profile was written."""
    path = folder / TIMES
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return {}
    with reading(path, StateError):
        found = json.loads(path.read_bytes())
        return {str(name): (int(one["calls"]), float(one["seconds"])) for name, one in found.items()}
    return {}
